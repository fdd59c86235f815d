/** What an attachment may be. */
import { expect, test } from "bun:test";
import { Attachment } from "#contracts/mail";
import { makeValidator } from "#shared/validation";

const attachmentOf = makeValidator(Attachment);
const holds = (content: string) => attachmentOf({ filename: "a.pdf", content_type: "application/pdf", content }).ok;

test.each<[string, boolean]>([
  ["", true],
  ["QQ==", true],
  ["QUI=", true],
  ["QUJD", true],
  ["QUJDR", false],
  ["QUJDRA", false],
  ["QUJDRA=", false],
  ["QUJDRA===", false],
  ["QU=D", false],
  ["QU-_", false],
  ["QUJD\n", false],
])("%j as its base64, alone and at the end of much: %p", (end, isRight) => {
  for (const length of [0, 4_092, 4_096, 4_100, 8_192, 12_284]) {
    expect([length, holds("QUJD".repeat(length / 4) + end)]).toEqual([length, isRight]);
  }
});

test("the largest that a request can hold is checked in no time, right or wrong", () => {
  const large = "QUJD".repeat(261_000);
  for (const content of [large, `${large.slice(0, -1)}!`, `${large.slice(0, 500_000)}=${large.slice(500_001)}`]) {
    const startedAt = performance.now();
    holds(content);
    expect(performance.now() - startedAt).toBeLessThan(400);
  }
});
