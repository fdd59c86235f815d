/** Everything that a mail server may do, to 200 mails each: every one ends in the state that it has to have. */
import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Secret } from "#shared/config";
import { type MailState, outcomeOf, transitionOf } from "../outbox/states.ts";
import { makeSmtp, type Smtp, type SmtpOptions } from "./smtp.ts";
import { type Behaviour, type SmtpDouble, startSmtpDouble } from "./smtp-double.test-kit.ts";
import { CERTIFICATE, startTlsFront, type TlsFront } from "./tls-front.test-kit.ts";

const MAILS = 200;
const AT_ONCE = 20;
const DAY_MS = 86_400_000;

const open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const resource of open.splice(0).toReversed()) await resource[Symbol.asyncDispose]();
});

function smtpTo(url: string, options: Partial<SmtpOptions> = {}): Smtp {
  const smtp = makeSmtp({
    url: new Secret(url),
    tls: "auto",
    name: "here.example",
    connectTimeoutMs: 20_000,
    idleTimeoutMs: 20_000,
    onLost: () => undefined,
    ...options,
  });
  open.push(smtp);
  return smtp;
}

function doubleThat(behaviour: Partial<Behaviour>): SmtpDouble {
  const double = startSmtpDouble(behaviour);
  open.push(double);
  return double;
}

interface End {
  readonly recipient: string;
  readonly state: MailState;
  /** Attempts spent. */
  readonly attempts: number;
  /** Whether the leave to send its content was asked for. */
  readonly begun: boolean;
  /** The server's words, or the system's. */
  readonly text: string;
}

/** Recipients are `r<n>@example.org`. */
const numberOf = (recipient: string): number => Number(/\d+/.exec(recipient)?.[0]);

/** One attempt each, `AT_ONCE` at a time, as the outbox makes them and judges them. */
async function sendAll(smtp: Smtp): Promise<End[]> {
  const left = Array.from({ length: MAILS }, (_, at) => `r${at}@example.org`);
  const ends: End[] = [];
  const worker = async (): Promise<void> => {
    for (let recipient = left.pop(); recipient !== undefined; recipient = left.pop()) {
      let begun = false;
      const begin = async (): Promise<boolean> => {
        begun = true;
        return true;
      };
      const bytes = new TextEncoder().encode(`Subject: ${recipient}\r\n\r\n${"hello ".repeat(20)}\r\n`);
      const letter = { from: "ann@example.com", to: recipient, bytes };
      const result = await smtp.send(letter, begin, AbortSignal.timeout(20_000));
      const progress = { attempt: 0, interruptions: 0, expiresInMs: 5 * DAY_MS };
      const { state, attempt } = transitionOf(progress, outcomeOf(result), [60_000]);
      ends.push({ recipient, state, attempts: attempt, begun, text: result.text });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return ends;
}

/** How many are in which state after how many attempts: `sent 1`. */
function tally(ends: readonly End[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { state, attempts } of ends) counts[`${state} ${attempts}`] = (counts[`${state} ${attempts}`] ?? 0) + 1;
  return counts;
}

/** How often the server took a mail for each. */
function takenBy(double: SmtpDouble): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { to } of double.taken) for (const each of to) counts.set(each, (counts.get(each) ?? 0) + 1);
  return counts;
}

const CLASSES: [string, Partial<Behaviour> | "refuses", string, { begun: boolean }, Partial<SmtpOptions>?][] = [
  ["takes them", {}, "sent 1", { begun: true }],
  ["is slow", { delayMs: 15 }, "sent 1", { begun: true }],
  ["refuses connections", "refuses", "queued 0", { begun: false }],
  ["stalls at its greeting", { greeting: "silent" }, "queued 0", { begun: false }, { connectTimeoutMs: 100 }],
  ["greets with 421", { greeting: "421 4.3.2 too busy" }, "queued 0", { begun: false }],
  ["cuts at its greeting", { greeting: "cut" }, "queued 0", { begun: false }],
  ["says 421 to MAIL", { mail: "421 4.3.2 closing" }, "queued 0", { begun: false }],
  ["says 421 to RCPT", { rcpt: "421 4.7.0 slow down" }, "queued 0", { begun: false }],
  ["says 451 to RCPT", { rcpt: "451 4.7.1 greylisted" }, "deferred 1", { begun: false }],
  ["says 550 to RCPT", { rcpt: "550 5.1.1 nobody" }, "failed 1", { begun: false }],
  ["cuts at RCPT", { rcpt: "cut" }, "queued 0", { begun: false }],
  ["says 451 to DATA", { data: "451 4.3.0 later" }, "deferred 1", { begun: false }],
  ["cuts at DATA", { data: "cut" }, "queued 0", { begun: false }],
  ["says 452 to the content", { end: "452 4.2.2 full" }, "deferred 1", { begun: true }],
  ["says 554 to the content", { end: "554 5.6.0 spam" }, "failed 1", { begun: true }],
  ["says 421 to the content", { end: "421 4.3.2 closing" }, "queued 0", { begun: true }],
  ["cuts within the content", { cutAfterBytes: 40, end: "cut" }, "ambiguous 1", { begun: true }],
  ["cuts after the content", { end: "cut" }, "ambiguous 1", { begun: true }],
  ["is silent after the content", { end: "silent" }, "ambiguous 1", { begun: true }, { idleTimeoutMs: 150 }],
];

test.each(CLASSES)(
  "a server that %s",
  async (_what, behaviour, expected, { begun }, options = {}) => {
    const double = doubleThat(behaviour === "refuses" ? {} : behaviour);
    if (behaviour === "refuses") double.stop();
    const ends = await sendAll(smtpTo(double.url, options));
    expect(tally(ends)).toEqual({ [expected]: MAILS });
    expect(ends.filter((end) => end.begun !== begun)).toEqual([]);
    expect(double.taken).toHaveLength(expected.startsWith("sent") ? MAILS : 0);
    for (const count of takenBy(double).values()) expect(count).toBe(1);
  },
  30_000,
);

test("a server that accepts in part: each recipient has his own end", async () => {
  const answers: Record<number, string> = { 1: "550 5.1.1 nobody", 2: "451 4.7.1 later", 3: "421 4.7.0 enough" };
  const ends: Record<number, string> = { 4: "cut", 5: "554 5.7.1 no", 6: "452 4.3.1 full", 7: "421 4.3.2 closing" };
  const double = doubleThat({
    rcpt: (recipient) => answers[numberOf(recipient) % 8] ?? "250 2.1.5 ok",
    end: (recipient) => ends[numberOf(recipient) % 8] ?? "250 2.0.0 taken",
  });
  const states = ["sent 1", "failed 1", "deferred 1", "queued 0", "ambiguous 1", "failed 1", "deferred 1", "queued 0"];
  const all = await sendAll(smtpTo(double.url));
  const wrong = all.filter(
    ({ recipient, state, attempts }) => states[numberOf(recipient) % 8] !== `${state} ${attempts}`,
  );
  expect(wrong).toEqual([]);
  expect(all).toHaveLength(MAILS);
  const sent = all.filter(({ state }) => state === "sent");
  expect(Object.fromEntries(takenBy(double))).toEqual(Object.fromEntries(sent.map(({ recipient }) => [recipient, 1])));
});

/** Words of SMTP that speak of a mail, or prove who we are. */
const TELLING = /^(MAIL|RCPT|DATA|AUTH|BDAT)\b/;

async function frontOf(kind: "starttls" | "tls"): Promise<{ double: SmtpDouble; front: TlsFront }> {
  const double = doubleThat({ extensions: ["8BITMIME", "AUTH PLAIN"] });
  const front = await startTlsFront(double, kind);
  open.push(front);
  return { double, front };
}

test.each([
  ["STARTTLS that is required", "starttls", "smtp://user:secret@localhost", "required"],
  // Not called by a name of this machine, and yet this machine.
  ["STARTTLS with another machine", "starttls", "smtp://user:secret@127.1", "auto"],
  ["STARTTLS that was only taken since it is offered", "starttls", "smtp://user:secret@localhost", "if-offered"],
  ["TLS from the start", "tls", "smtps://user:secret@localhost", "auto"],
] as const)(
  "a certificate that nobody vouches for, %s: nothing is sent, least of all in clear",
  async (_what, kind, url, tls) => {
    const { double, front } = await frontOf(kind);
    const ends = await sendAll(smtpTo(`${url}:${front.port}`, { tls }));
    expect(tally(ends)).toEqual({ "queued 0": MAILS });
    expect(ends.filter(({ begun }) => begun)).toEqual([]);
    expect(ends.filter(({ text }) => !/self.signed certificate/i.test(text))).toEqual([]);
    expect(front.clear.filter((line) => TELLING.test(line))).toEqual([]);
    expect(double.commands.filter((line) => TELLING.test(line))).toEqual([]);
  },
  60_000,
);

test.each([
  ["required", "localhost"],
  ["auto", "127.1"],
] as const)(
  "a server that does not offer STARTTLS gets nothing where TLS is %s for %s",
  async (tls, host) => {
    const double = doubleThat({ extensions: ["8BITMIME", "AUTH PLAIN"] });
    const ends = await sendAll(smtpTo(`smtp://user:secret@${host}:${double.port}`, { tls }));
    expect(tally(ends)).toEqual({ "queued 0": MAILS });
    expect(double.commands.filter((line) => TELLING.test(line))).toEqual([]);
  },
  60_000,
);

test.each([
  ["starttls", "smtp"],
  ["tls", "smtps"],
] as const)(
  "a certificate that NODE_EXTRA_CA_CERTS vouches for is taken (%s)",
  async (kind, scheme) => {
    const { double, front } = await frontOf(kind);
    const directory = mkdtempSync(join(tmpdir(), "ca-"));
    try {
      const path = join(directory, "ca.pem");
      writeFileSync(path, CERTIFICATE);
      const sent = Bun.spawn(
        [
          process.execPath,
          join(import.meta.dir, "send-one.fixture.ts"),
          `${scheme}://user:secret@localhost:${front.port}`,
        ],
        { env: { ...process.env, NODE_EXTRA_CA_CERTS: path }, stdout: "pipe", stderr: "inherit" },
      );
      expect(await new Response(sent.stdout).text()).toStartWith("sent: 250");
      expect(double.taken).toHaveLength(1);
      expect(front.secured).toBe(1);
      expect(front.clear.filter((line) => TELLING.test(line))).toEqual([]);
    } finally {
      rmSync(directory, { recursive: true });
    }
  },
  30_000,
);
