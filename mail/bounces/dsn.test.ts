/** Notifications of many mail servers are understood, and nothing else is. */
import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { bounceOf, EXIM, GMAIL_DELAYED, MESSAGE_ID, OFFICE_365, SENDMAIL, SES_TWO, UTF_8 } from "./bounces.test-kit.ts";
import { BOUNCE_ACTIONS, BOUNCE_MAX_BYTES, type Notification, parseBounce } from "./dsn.ts";

const POSTFIX = bounceOf("bob@example.org", MESSAGE_ID);
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const parsed = (text: string) => parseBounce(encode(text));

async function notificationsIn(text: string): Promise<readonly Notification[]> {
  const result = await parsed(text);
  if (!result.ok) throw result.error;
  return result.value;
}

async function refusalOf(text: string): Promise<string> {
  const result = await parsed(text);
  return result.ok ? JSON.stringify(result.value) : `${result.error.code}: ${result.error.message}`;
}

const BOB = { recipient: "bob@example.org", action: "failed", messageId: MESSAGE_ID };
const SAMPLES: [string, string, unknown[]][] = [
  [
    "Postfix",
    POSTFIX,
    [
      {
        ...BOB,
        status: "5.1.1",
        diagnostic: "550 5.1.1 <bob@example.org>: Recipient address rejected: nobody of that name here",
      },
    ],
  ],
  ["Exim", EXIM, [{ ...BOB, status: "5.0.0", diagnostic: "550-nobody here is called bob 550 5.1.1 give up" }]],
  [
    "Office 365",
    OFFICE_365,
    [
      {
        ...BOB,
        status: "5.1.10",
        diagnostic: "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
      },
    ],
  ],
  [
    "Gmail, delayed",
    GMAIL_DELAYED,
    [{ ...BOB, action: "delayed", status: "4.4.1", diagnostic: "The recipient server did not answer in time." }],
  ],
  [
    "Amazon SES, two recipients",
    SES_TWO,
    [
      {
        ...BOB,
        messageId: "0100019aaaa-bbbb-000000@ses.example",
        status: "5.1.1",
        diagnostic: "550 5.1.1 user unknown",
      },
      {
        ...BOB,
        messageId: "0100019aaaa-bbbb-000000@ses.example",
        recipient: "cy@example.net",
        status: "5.2.2",
        diagnostic: "552 5.2.2 mailbox full",
      },
    ],
  ],
  [
    "sendmail",
    SENDMAIL,
    [
      { ...BOB, recipient: "Bob@Example.ORG", status: "5.1.1", diagnostic: "550 5.1.1 no such user" },
      { ...BOB, recipient: "cy@example.net", action: "relayed", status: "2.6.0" },
    ],
  ],
  [
    "one in UTF-8 and base64, without the mail",
    UTF_8,
    [{ recipient: "bob@example.org", action: "failed", status: "5.2.2", diagnostic: "552 Почтовый ящик полон !" }],
  ],
];

test.each(SAMPLES)("%s", async (_server, text, expected) => {
  expect((await notificationsIn(text)) as unknown[]).toEqual(expected);
  // Mailboxes and pipes change line ends.
  expect((await notificationsIn(text.replaceAll("\r\n", "\n"))) as unknown[]).toEqual(expected);
  expect((await notificationsIn(`\r\n${text}`)) as unknown[]).toEqual(expected);
});

test.each(BOUNCE_ACTIONS.map((action) => [action] as const))("%s is an action", async (action) => {
  expect(await notificationsIn(bounceOf("a@b.example", "x@y", "4.2.0", action))).toMatchObject([{ action }]);
});

test.each([
  ["", "5.0.0", "failed"],
  ["5", "5.0.0", "failed"],
  ["none", "4.0.0", "delayed"],
  ["9.9.9", "2.0.0", "delivered"],
])("status %j is read as %s where it is %s", async (given, status, action) => {
  const text = bounceOf("a@b.example", "x@y", "5.1.1", action).replace("Status: 5.1.1", `Status: ${given}`);
  expect(await notificationsIn(text)).toMatchObject([{ status }]);
});

test("the address that the mail was sent to counts, not the one that it was forwarded to", async () => {
  const text = POSTFIX.replace("Final-Recipient: rfc822; bob@example.org", "Final-Recipient: rfc822; r@inside.example");
  expect(await notificationsIn(text)).toMatchObject([{ recipient: "bob@example.org" }]);
  const unknown = text.replace("Original-Recipient: rfc822;bob@example.org", "Original-Recipient: unknown; bob");
  expect(await notificationsIn(unknown)).toMatchObject([{ recipient: "r@inside.example" }]);
});

test("without a Message-ID it is still a bounce", async () => {
  const [notification] = await notificationsIn(POSTFIX.replace(/^Message-ID: .*\r\n/m, ""));
  expect(notification).not.toHaveProperty("messageId");
  const [nonsense] = await notificationsIn(POSTFIX.replace(/^Message-ID: .*$/m, "Message-ID: none at all"));
  expect(nonsense).not.toHaveProperty("messageId");
});

test("a diagnostic is cut, and one that is in no charset is marked", async () => {
  const long = POSTFIX.replace("rejected", `rejected ${"x".repeat(2_000)}`);
  expect((await notificationsIn(long))[0]?.diagnostic).toHaveLength(500);
  const latin = Buffer.from(POSTFIX.replace("nobody", "nobody \u00e9"), "latin1");
  expect(await parseBounce(latin)).toMatchObject({
    value: [{ diagnostic: expect.stringContaining("nobody \ufffd of that name") }],
  });
});

test("one that is cut off tells what it has", async () => {
  const text = POSTFIX.slice(0, POSTFIX.indexOf("Content-Description: Undelivered"));
  expect(await notificationsIn(text)).toMatchObject([{ recipient: "bob@example.org", status: "5.1.1" }]);
});

const plain = "From: a@b.example\r\nTo: c@d.example\r\nSubject: Out of office\r\n\r\nI am away.\r\n";
test.each([
  ["nothing", ""],
  ["text", "hello"],
  ["a mail", plain],
  ["JSON", '{"bounce":true}'],
  ["bytes", "\0\u0001\ufffd".repeat(100)],
  ["an answer of a person", plain.replace("Subject", "Content-Type: multipart/mixed; boundary=b\r\nSubject")],
  ["a read receipt", POSTFIX.replace("report-type=delivery-status", "report-type=disposition-notification")],
  ["a complaint", POSTFIX.replace("report-type=delivery-status", "report-type=feedback-report")],
  ["a report without its status", POSTFIX.replace("message/delivery-status", "text/plain")],
  ["a report without boundary", POSTFIX.replace(/\tboundary=.*\r\n/, " x=y\r\n")],
  ["a report on nobody", POSTFIX.replaceAll(/^(Final|Original)-Recipient.*\r\n/gm, "")],
  ["a report without an action", POSTFIX.replace("Action: failed", "Action: pondered")],
])("%s is refused in words", async (_what, text) => {
  expect(await refusalOf(text)).toStartWith("invalid: not a bounce");
});

test.each([
  "rfc822; bob",
  "rfc822; bob@example.org, eve@example.net",
  "rfc822; bob@[192.0.2.1]",
  'rfc822; "bob"@example.org',
  "rfc822; bob@example.org> eve@example.net",
  "utf-8; bøb@example.org",
  "x400; /S=bob/",
  "",
])("nobody is put on a list for %j", async (recipient) => {
  const text = POSTFIX.replace(/^Original-Recipient.*\r\n/m, "").replace(
    "Final-Recipient: rfc822; bob@example.org",
    `Final-Recipient: ${recipient}`,
  );
  expect(await refusalOf(text)).toStartWith("invalid: not a bounce of ours");
});

function withRecipients(count: number): string {
  const group = (at: number): string =>
    `\r\nFinal-Recipient: rfc822; a${at}@b.example\r\nAction: failed\r\nStatus: 5.1.1\r\n`;
  return `Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n${Array.from({ length: count }, (_, at) => group(at)).join("")}\r\n--b--\r\n`;
}

test("it may speak of 100 recipients, and not of more", async () => {
  expect(await notificationsIn(withRecipients(100))).toHaveLength(100);
  expect(await refusalOf(withRecipients(101))).toBe("invalid: a bounce speaks of at most 100 recipients");
});

test("it may have 1 MiB, and not more", async () => {
  const rest = "x".repeat(BOUNCE_MAX_BYTES - POSTFIX.length);
  expect(await notificationsIn(POSTFIX + rest)).toHaveLength(1);
  expect(await refusalOf(`${POSTFIX}${rest}x`)).toStartWith("too_large");
});

test("whatever is changed in one, it is read or refused in words, and soon", async () => {
  const samples = fc.constantFrom(...SAMPLES.map(([, text]) => text));
  const piece = fc.oneof(
    fc.string({ unit: "binary", maxLength: 20 }),
    fc.constantFrom("\r\n", "\r\n\r\n", "\n--b\n", ";", ":", '"', "=", "<", ">", "rfc822; ", "\0", " ".repeat(2_000)),
  );
  const change = fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(200), piece);
  let slowest = 0;
  let read = 0;
  await fc.assert(
    fc.asyncProperty(samples, fc.array(change, { minLength: 1, maxLength: 6 }), async (sample, changes) => {
      let text = sample;
      for (const [where, cut, more] of changes) {
        const at = Math.floor(where * text.length);
        text = text.slice(0, at) + more + text.slice(at + cut);
      }
      const startedAt = performance.now();
      const result = await parsed(text);
      slowest = Math.max(slowest, performance.now() - startedAt);
      if (!result.ok) {
        expect(["invalid", "too_large"]).toContain(result.error.code);
        return;
      }
      read += 1;
      expect(result.value.length).toBeGreaterThan(0);
      for (const { recipient, action, status, diagnostic = "", messageId = "x" } of result.value) {
        expect(recipient).toMatch(/^[^\s<>,;]+@[^\s<>,;@]+$/);
        expect(BOUNCE_ACTIONS).toContain(action);
        expect(status).toMatch(/^[245]\.\d+\.\d+$/);
        expect(diagnostic).toMatch(/^\P{C}{0,500}$/u);
        expect(messageId).toMatch(/^[^\s<>]+$/);
      }
    }),
    { numRuns: 2_000 },
  );
  expect(slowest).toBeLessThan(1_000);
  // It was not all refused at the first look.
  expect(read).toBeGreaterThan(100);
}, 60_000);

const head = 'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n';
const status = `${head}--b\r\nContent-Type: message/delivery-status\r\n\r\n`;
const recipient = "Final-Recipient: rfc822; a@b.example\r\nAction: failed\r\n";
test.each([
  ["empty lines", head + "\n".repeat(1_000_000)],
  ["boundaries", head + "--b\n".repeat(200_000)],
  ["what begins like a boundary", head + "\n--bb".repeat(180_000)],
  ["headers", `${"X: a\n".repeat(150_000)}${head}`],
  ["one header", `X: ${"a ".repeat(400_000)}\n${head}`],
  ["parameters", `Content-Type: multipart/report${"; report-type ".repeat(60_000)}\n\n`],
  ["white space in a header", `Content-Type: multipart/report;${" ".repeat(900_000)}x\n\n`],
  ["fields", status + "A: b\n c\n".repeat(100_000)],
  ["continued lines", `${status}${recipient}Diagnostic-Code: x;${" c\n".repeat(300_000)}`],
  ["groups", status + "A: b\n\n".repeat(150_000)],
  ["white space in a diagnostic", `${status}${recipient}Diagnostic-Code: x;${" ".repeat(900_000)}x`],
  ["an address", `${status}Action: failed\nFinal-Recipient: rfc822; ${"a.".repeat(450_000)}@`],
  [
    "brackets",
    `${status}${recipient}\r\n--b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: ${"<a".repeat(450_000)}`,
  ],
  ["HTML", `${head}--b\r\nContent-Type: text/html\r\n\r\n${'<a href="'.repeat(100_000)}`],
  [
    "quoted-printable",
    `${head}--b\r\nContent-Type: message/delivery-status\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n${"=".repeat(300_000)}${"=  ".repeat(200_000)}`,
  ],
])("a megabyte of %s takes time in proportion", async (_what, text) => {
  const startedAt = performance.now();
  await parsed(text);
  // Minutes where it is quadratic.
  expect(performance.now() - startedAt).toBeLessThan(4_000);
});
