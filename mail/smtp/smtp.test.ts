/** Handing over mails to a mail server that does everything a mail server may do. */
import { afterEach, expect, test } from "bun:test";
import { Secret } from "#shared/config";
import { makeSmtp, type Smtp, sessionOptionsOf, type SmtpOptions } from "./smtp.ts";
import { type Behaviour, type SmtpDouble, startSmtpDouble } from "./smtp-double.test-kit.ts";
import { type Outcome, outcomeOf } from "../outbox/states.ts";

const open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const resource of open.splice(0)) await resource[Symbol.asyncDispose]();
});

function smtpTo(url: string, options: Partial<SmtpOptions> = {}): Smtp {
  const smtp = makeSmtp({
    url: new Secret(url),
    tls: "auto",
    name: "here.example",
    connectTimeoutMs: 500,
    idleTimeoutMs: 500,
    onLost: () => undefined,
    ...options,
  });
  open.push(smtp);
  return smtp;
}

function doubleThat(behaviour: Partial<Behaviour> = {}): SmtpDouble {
  const double = startSmtpDouble(behaviour);
  open.push(double);
  return double;
}

const letter = {
  from: "ann@example.com",
  to: "bob@example.org",
  bytes: new TextEncoder().encode("Subject: hi\r\n\r\n.dot\r\nhello\r\n"),
};
const yes = async () => true;
const never = new AbortController().signal;

const LOST: Partial<Behaviour>[] = [{ extensions: ["8BITMIME"] }, { extensions: ["PIPELINING", "SIZE 1000000"] }];

const CLASSES: [string, Partial<Behaviour>, Outcome, { code?: number | undefined; arrived?: number }][] = [
  ["accepts", {}, "sent", { code: 250, arrived: 1 }],
  ["greets with 421", { greeting: "421 too busy" }, "away", { code: 421 }],
  ["greets with 554", { greeting: "554 no mail here" }, "away", { code: 554 }],
  ["closes before its greeting", { greeting: "cut" }, "away", {}],
  ["never greets", { greeting: "silent" }, "away", {}],
  ["answers MAIL with 421", { mail: "421 closing" }, "interrupted", { code: 421 }],
  ["answers MAIL with 451", { mail: "451 4.3.0 later" }, "deferred", { code: 451 }],
  ["answers MAIL with 550", { mail: "550 5.7.1 not you" }, "failed", { code: 550 }],
  ["answers MAIL with 503", { mail: "503 out of step" }, "deferred", { code: 503 }],
  ["answers MAIL with 530", { mail: "530 authentication required" }, "away", { code: 530 }],
  ["answers RCPT with 421", { rcpt: "421 4.7.0 slow down" }, "interrupted", { code: 421 }],
  ["answers RCPT with 450", { rcpt: "450 4.2.1 greylisted" }, "deferred", { code: 450 }],
  ["answers RCPT with 550", { rcpt: "550 5.1.1 no such user" }, "failed", { code: 550 }],
  ["falls silent after RCPT", { rcpt: "silent" }, "interrupted", {}],
  ["cuts after RCPT", { rcpt: "cut" }, "interrupted", {}],
  ["answers DATA with 451", { data: "451 later" }, "deferred", { code: 451 }],
  ["answers DATA with 554", { data: "554 no" }, "failed", { code: 554 }],
  ["cuts after DATA", { data: "cut" }, "interrupted", {}],
  ["answers the content with 451", { end: "451 4.7.1 later" }, "deferred", { code: 451, arrived: 1 }],
  ["answers the content with 552", { end: "552 too large" }, "failed", { code: 552, arrived: 1 }],
  ["answers the content with 421", { end: "421 closing" }, "interrupted", { code: 421, arrived: 1 }],
  ["answers the content with nonsense", { end: "354 what?" }, "ambiguous", { arrived: 1 }],
  ["cuts after the content", { end: "cut" }, "ambiguous", { arrived: 1 }],
  ["falls silent after the content", { end: "silent" }, "ambiguous", { arrived: 1 }],
  ["cuts within the content", { cutAfterBytes: 1, end: "cut" }, "ambiguous", {}],
];

for (const extra of LOST) {
  test.each(CLASSES)(`a server that %s (${extra.extensions?.[0]})`, async (_title, behaviour, outcome, seen) => {
    const double = doubleThat({ ...extra, ...behaviour });
    const long = "x".repeat(200_000);
    const bytes = behaviour.cutAfterBytes === undefined ? letter.bytes : new TextEncoder().encode(long);
    const result = await smtpTo(double.url).send({ ...letter, bytes }, yes, never);
    expect({ outcome: outcomeOf(result), text: result.text }).toMatchObject({ outcome });
    if (seen.code !== undefined) expect(result.code).toBe(seen.code);
    if (seen.arrived !== undefined) expect(double.arrived).toHaveLength(seen.arrived);
    expect(double.taken).toHaveLength(outcome === "sent" ? 1 : 0);
  });
}

test("nobody listens: away, and the reason is told", async () => {
  const double = doubleThat();
  double.stop();
  const result = await smtpTo(double.url).send(letter, yes, never);
  expect(outcomeOf(result)).toBe("away");
  expect(result.text).toContain("ECONNREFUSED");
});

test("the envelope and the content arrive as they were given", async () => {
  const double = doubleThat();
  await smtpTo(double.url).send(letter, yes, never);
  expect(double.arrived).toEqual([
    { from: letter.from, to: [letter.to], content: new TextDecoder().decode(letter.bytes) },
  ]);
  expect(double.commands[0]).toBe("EHLO here.example");
});

test("content is asked for once the server wants it, and no byte leaves before the answer", async () => {
  const double = doubleThat();
  const answer = Promise.withResolvers<boolean>();
  const asked = Promise.withResolvers<string[]>();
  const sending = smtpTo(double.url).send(
    letter,
    () => {
      asked.resolve([...double.commands]);
      return answer.promise;
    },
    never,
  );
  expect((await asked.promise).at(-1)).toBe("DATA");
  expect(double.arrived).toHaveLength(0);
  answer.resolve(true);
  expect((await sending).ok).toBe(true);
  expect(double.arrived).toHaveLength(1);
});

test("content that is held back never arrives, and the session is not used again", async () => {
  const double = doubleThat();
  const smtp = smtpTo(double.url);
  const result = await smtp.send(letter, async () => false, never);
  expect(outcomeOf(result)).toBe("withheld");
  await double.until(() => double.open === 0);
  expect(double.arrived).toHaveLength(0);
});

test("mails follow one another over one session, also after a refusal", async () => {
  const double = doubleThat();
  const smtp = smtpTo(double.url);
  await smtp.send(letter, yes, never);
  double.behaviour.rcpt = "550 no";
  await smtp.send(letter, yes, never);
  double.behaviour.rcpt = "250 ok";
  await smtp.send(letter, yes, never);
  expect(double.taken).toHaveLength(2);
  expect(double.sessions).toBe(1);
});

test.each(["cut", "421 idle for too long"])("a kept session that the server ends (%s) costs no mail", async (end) => {
  const double = doubleThat();
  const smtp = smtpTo(double.url);
  await smtp.send(letter, yes, never);
  const { mail } = double.behaviour;
  double.behaviour.mail = end;
  const sending = smtp.send(letter, yes, never);
  await double.until(() => double.commands.filter((line) => line.startsWith("MAIL")).length === 2);
  double.behaviour.mail = mail;
  expect((await sending).ok).toBe(true);
  expect(double.sessions).toBe(2);
});

test("a kept session that is lost is told", async () => {
  const double = doubleThat();
  const lost = Promise.withResolvers<void>();
  await smtpTo(double.url, { onLost: lost.resolve }).probe(never);
  double.stop();
  await lost.promise;
});

test("an attempt can be cut: before the content it is the server's fault, after it nobody knows", async () => {
  const early = doubleThat({ rcpt: "silent" });
  const cut = new AbortController();
  const first = smtpTo(early.url, { idleTimeoutMs: 60_000 }).send(letter, yes, cut.signal);
  await early.until(() => early.rcptLines.length === 1);
  cut.abort();
  expect(outcomeOf(await first)).toBe("interrupted");

  const late = doubleThat({ end: "silent" });
  const cutLate = new AbortController();
  const second = smtpTo(late.url, { idleTimeoutMs: 60_000 }).send(letter, yes, cutLate.signal);
  await late.until(() => late.arrived.length === 1);
  cutLate.abort();
  expect(outcomeOf(await second)).toBe("ambiguous");
});

test("a mail larger than the server said is refused for good, without asking", async () => {
  const double = doubleThat({ extensions: ["SIZE 10"] });
  const result = await smtpTo(double.url).send(letter, yes, never);
  expect(outcomeOf(result)).toBe("failed");
  expect(result.code).toBe(552);
});

test("where TLS is required a server without it gets no mail", async () => {
  const double = doubleThat();
  const result = await smtpTo(double.url, { tls: "required" }).send(letter, yes, never);
  expect(outcomeOf(result)).toBe("away");
  expect(double.commands.some((line) => line.startsWith("MAIL"))).toBe(false);
});

test("a login that is refused is no fault of the mail", async () => {
  const double = doubleThat({ extensions: ["AUTH PLAIN"], auth: "535 5.7.8 wrong" });
  const result = await smtpTo(double.url.replace("//", "//user:pa%40ss@")).send(letter, yes, never);
  expect(outcomeOf(result)).toBe("away");
  expect(double.commands).toContain(`AUTH PLAIN ${Buffer.from("\0user\0pa@ss").toString("base64")}`);
});

test.each([
  ["smtp://localhost:1025", "auto", { host: "localhost", port: 1025, secure: false, requireTls: false }],
  ["smtp://127.0.0.2", "auto", { host: "127.0.0.2", port: 25, requireTls: false }],
  ["smtp://[::1]:25", "auto", { host: "::1", requireTls: false }],
  ["smtp://127.evil.example", "auto", { requireTls: true }],
  ["smtp://mail.example.com:587", "auto", { requireTls: true, secure: false }],
  ["smtp://mailpit:1025", "if-offered", { requireTls: false }],
  ["smtp://localhost", "required", { requireTls: true }],
  ["smtps://u%40x:p%3Aw@mail.example.com", "auto", { port: 465, secure: true, user: "u@x", password: "p:w" }],
] as const)("%s with TLS %s", (url, tls, expected) => {
  const options = { name: "x", connectTimeoutMs: 1, idleTimeoutMs: 1, onLost: () => undefined };
  expect(sessionOptionsOf({ url: new Secret(url), tls, ...options })).toMatchObject(expected);
});
