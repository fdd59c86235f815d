/** DKIM signatures, verified by code that shares nothing with what makes them. */
import { expect, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { Secret } from "#shared/config";
import * as fc from "fast-check";
import { makeSmtp } from "../smtp/smtp.ts";
import { startSmtpDouble } from "../smtp/smtp-double.test-kit.ts";
import { isDkimKey, makeDkim } from "./dkim.ts";
import { verifyDkim } from "./dkim-verifier.test-kit.ts";
import { compose, type Draft } from "./message.ts";

const PEM = {
  publicKeyEncoding: { type: "spki", format: "pem" },
  privateKeyEncoding: { type: "pkcs8", format: "pem" },
} as const;
const key = generateKeyPairSync("rsa", { modulusLength: 2_048, ...PEM });
const dkim = makeDkim({ domain: "example.com", selector: "mail2026", privateKey: new Secret(key.privateKey) });

const draft: Draft = {
  messageId: "1@example.com",
  from: "ann@example.com",
  subject: "Grüße — 你好",
  date: new Date("2026-11-23T10:00:00Z"),
  content: { text: "Hello,\n\n  indented \t and spaced  \n\n\n", to: ["bob@example.org"] },
  requestId: "r",
  traceparent: "t",
  priority: 1,
};
const bulk: Draft = {
  ...draft,
  list: "news",
  unsubscribeUrl: "https://api.example.com/v1/unsubscribe/v1.x.y",
  content: {
    ...draft.content,
    cc: ["cy@example.org"],
    reply_to: "desk@example.com",
    headers: { "In-Reply-To": "<0@x>" },
  },
};

async function signed(mail: Draft = bulk): Promise<string> {
  return Buffer.from(await dkim.sign(await compose(mail))).toString("latin1");
}
const verdictOf = (message: string) => verifyDkim(Buffer.from(message, "latin1"), key.publicKey);

test("a signature holds, names its key, and covers what a receiver shows or acts on", async () => {
  const { tags, signed: names, bodyHolds, headersHold } = verdictOf(await signed());
  expect({ bodyHolds, headersHold }).toEqual({ bodyHolds: true, headersHold: true });
  expect(tags).toMatchObject({ v: "1", a: "rsa-sha256", c: "relaxed/relaxed", d: "example.com", s: "mail2026" });
  expect([...names].sort()).toEqual(
    [
      "cc",
      "content-type",
      "date",
      "from",
      "in-reply-to",
      "list-id",
      "list-unsubscribe",
      "list-unsubscribe-post",
      "message-id",
      "mime-version",
      "reply-to",
      "subject",
      "to",
    ].sort(),
  );
  // `l=` would let others add to the body, `x=` and `t=` would make attempts differ.
  for (const tag of ["l", "x", "t"]) expect(tags).not.toHaveProperty(tag);
});

test("the mail itself is as it was, and the same mail has the same signature", async () => {
  const bytes = await compose(bulk);
  const text = await signed();
  expect(text.endsWith(Buffer.from(bytes).toString("latin1"))).toBe(true);
  expect(await signed()).toBe(text);
});

test.each([
  ["the body", (text: string) => text.replace("indented", "intended")],
  ["more after the body", (text: string) => `${text}more\r\n`],
])("a change of %s breaks it", async (_what, change) => {
  expect(verdictOf(change(await signed()))).toMatchObject({ bodyHolds: false, headersHold: true });
});

test.each([
  ["From", "From: eve@example.net"],
  ["To", "To: eve@example.net"],
  ["Cc", "Cc: eve@example.net"],
  ["Reply-To", "Reply-To: eve@example.net"],
  ["Subject", "Subject: other"],
  ["Date", "Date: Mon, 23 Nov 2026 10:00:01 +0000"],
  ["Message-ID", "Message-ID: <2@example.com>"],
  ["List-Id", "List-Id: <other.example.com>"],
  ["List-Unsubscribe", "List-Unsubscribe: <https://evil.example.net/>"],
  ["List-Unsubscribe-Post", "List-Unsubscribe-Post: no"],
  ["Content-Type", "Content-Type: text/plain"],
])("a change of %s breaks it", async (name, line) => {
  const field = new RegExp(`^${name}:.*(\\r\\n[ \\t].*)*`, "im");
  const text = await signed();
  expect(text).toMatch(field);
  expect(verdictOf(text.replace(field, line))).toMatchObject({ bodyHolds: true, headersHold: false });
});

test("white space that servers change on the way does not break it", async () => {
  const text = (await signed())
    .replace(/^Subject: /m, "SUBJECT:\t  ")
    .replace(/^To: /m, "To:\r\n ")
    .replace("spaced  \r\n", "spaced\r\n");
  expect(verdictOf(text)).toMatchObject({ bodyHolds: true, headersHold: true });
});

test("it holds for any text and subject", async () => {
  const text = fc.array(fc.oneof(fc.string({ unit: "grapheme", maxLength: 80 }), fc.constantFrom("", " ", "\t", ".")), {
    maxLength: 10,
  });
  await fc.assert(
    fc.asyncProperty(text, fc.string({ unit: "grapheme", maxLength: 120 }), async (lines, subject) => {
      const content = { ...draft.content, text: lines.join("\n") };
      const verdict = verdictOf(await signed({ ...draft, subject, content }));
      expect(verdict).toMatchObject({ bodyHolds: true, headersHold: true });
    }),
    { numRuns: 100 },
  );
}, 30_000);

test("it holds for what the mail server gets", async () => {
  await using double = startSmtpDouble();
  await using smtp = makeSmtp({
    url: new Secret(double.url),
    tls: "auto",
    name: "here.example",
    connectTimeoutMs: 2_000,
    idleTimeoutMs: 2_000,
    onLost: () => undefined,
  });
  const text = ".\n..\n.dots\n\n" + "long ".repeat(300) + "\r\rlone\rreturns é\n.";
  const file = { filename: "a.txt", content_type: "text/plain", content: Buffer.from("x\n.\ny").toString("base64") };
  for (const html of [undefined, "<p>\n.\n</p>\r\n"]) {
    const content = { ...bulk.content, text, attachments: [file], ...(html === undefined ? {} : { html }) };
    const bytes = await dkim.sign(await compose({ ...bulk, content }));
    const letter = { from: bulk.from, to: "bob@example.org", bytes };
    expect((await smtp.send(letter, async () => true, AbortSignal.timeout(5_000))).ok).toBe(true);
    expect(verdictOf(double.taken.at(-1)?.content ?? "")).toMatchObject({ bodyHolds: true, headersHold: true });
  }
});

test("a mail of a megabyte is signed too", async () => {
  const content = { ...draft.content, text: "0123456789\n".repeat(100_000) };
  expect(verdictOf(await signed({ ...draft, content }))).toMatchObject({ bodyHolds: true, headersHold: true });
});

test("what cannot be signed is not sent unsigned", async () => {
  const broken = makeDkim({ domain: "example.com", selector: "x", privateKey: new Secret("no key") });
  expect(broken.sign(await compose(draft))).rejects.toThrow("could not be signed");
});

const old = generateKeyPairSync("rsa", {
  modulusLength: 2_048,
  ...PEM,
  privateKeyEncoding: { type: "pkcs1", format: "pem" },
});
test.each([
  ["RSA of 2048 bits", true, key.privateKey],
  ["RSA of 2048 bits as PKCS #1", true, old.privateKey],
  ["RSA of 1024 bits", false, generateKeyPairSync("rsa", { modulusLength: 1_024, ...PEM }).privateKey],
  ["Ed25519", false, generateKeyPairSync("ed25519", PEM).privateKey],
  ["a public key", false, key.publicKey],
  ["half a key", false, key.privateKey.slice(0, 400)],
  ["text", false, "secret"],
  ["nothing", false, ""],
])("%s as a key: %p", (_what, fit, pem) => {
  expect(isDkimKey(pem)).toBe(fit);
});
