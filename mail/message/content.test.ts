/** What is told of attachments, and what PostgreSQL can keep. */
import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { attachmentBytes, attachmentViews, SENDER_HEADER, storable } from "./content.ts";

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

test("what jsonb refuses becomes U+FFFD, at any depth, and nothing else changes", () => {
  const given = { text: "a\0b\ud800c😀", to: ["x@y.z"], n: 1, none: null, deep: [{ "k\udc00": "\udfff" }], flag: true };
  expect(storable(given)).toEqual({
    text: "a\ufffdb\ufffdc😀",
    to: ["x@y.z"],
    n: 1,
    none: null,
    deep: [{ "k\ufffd": "\ufffd" }],
    flag: true,
  } as unknown as typeof given);
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
])("%j as a header of a sender: %p", (name, allowed) => {
  expect(SENDER_HEADER.test(name)).toBe(allowed);
});
