/** Which headers a sender may set. */
import { expect, test } from "bun:test";
import { SENDER_HEADER } from "./content.ts";

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
