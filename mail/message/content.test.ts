/** What is told of attachments, and which headers a sender may set. */
import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { attachmentBytes, attachmentViews, SENDER_HEADER } from "./content.ts";

const file = (bytes: Uint8Array) => ({
  filename: "a.bin",
  content_type: "application/octet-stream",
  content: Buffer.from(bytes).toString("base64"),
});

test("attachments are told without what is in them, with their size once decoded", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 4 }), (all) => {
      const views = attachmentViews({ attachments: all.map(file) });
      expect(views).toEqual(
        all.map(({ byteLength: bytes }) => ({ filename: "a.bin", content_type: "application/octet-stream", bytes })),
      );
      expect(attachmentBytes({ attachments: all.map(file) })).toBe(all.reduce((sum, each) => sum + each.byteLength, 0));
    }),
  );
  expect(attachmentViews({})).toEqual([]);
  expect(attachmentBytes({})).toBe(0);
});

test.each([
  ["X-Campaign", true],
  ["in-reply-to", true],
  ["References", true],
  ["Organization", true],
  ["X-", false],
  ["From", false],
  ["Bcc", false],
  ["Content-Type", false],
  ["DKIM-Signature", false],
  ["X-A\r\nBcc", false],
  ["X-A: b", false],
  ["X-SMTPAPI", false],
  ["x-smtpapi-more", true],
  ["X-MSYS-API", false],
  ["X-MC-BccAddress", false],
  ["X-Mailgun-Recipient-Variables", false],
  ["X-MJ-TemplateID", false],
  ["X-Mailjet-TrackOpen", false],
  ["X-PM-TrackOpens", false],
  ["X-SES-CONFIGURATION-SET", false],
  ["X-Mailin-Tag", false],
  ["X-Sib-Sandbox", false],
])("%j as a header of a sender: %p", (name, allowed) => {
  expect(SENDER_HEADER.test(name)).toBe(allowed);
});
