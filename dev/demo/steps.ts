/** One real request of each kind, and where it has to end. */
import { randomBytes } from "node:crypto";
import { outgoingTls } from "#shared/tls";
import type { Ends } from "./follow.ts";

/** As long as a client of the broker may wait for it (ms). */
const ANSWER_MS = 30_000;
/** Clocks of one machine do not differ; a document is no older than its request (ms). */
const SLACK_MS = 1_000;

interface Answer {
  readonly status: number;
  readonly message: string;
  readonly data: unknown;
  readonly requestId: string | null;
}

export interface Step {
  readonly title: string;
  /** Does it, tells what it saw, throws what went wrong. */
  readonly run: (demo: Demo) => Promise<void>;
}

export interface Demo {
  readonly brokerUrl: string;
  readonly ends: Ends;
  /** Whether mail ends in an inbox that can be looked into. */
  readonly hasInbox: boolean;
  readonly saw: (what: string) => void;
  /** Fires when the person has seen enough. */
  readonly signal: AbortSignal;
}

/** Sends one request to the broker; it is found again by the trace that it starts (W3C Trace Context). */
async function send(demo: Demo, path: string, body?: unknown): Promise<Answer & { traceId: string }> {
  const traceId = randomBytes(16).toString("hex");
  const headers: Record<string, string> = { traceparent: `00-${traceId}-${randomBytes(8).toString("hex")}-01` };
  if (body !== undefined) headers["content-type"] = "application/json";
  const answer = await fetch(`${demo.brokerUrl}${path}`, {
    method: "POST",
    headers,
    ...outgoingTls(),
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.any([AbortSignal.timeout(ANSWER_MS), demo.signal]),
  });
  const envelope = (await answer.json()) as { message: string; data?: unknown };
  const degraded = answer.headers.get("x-degraded");
  demo.saw(`${answer.status} ${envelope.message}${degraded === null ? "" : ` (degraded: ${degraded})`}`);
  return {
    status: answer.status,
    message: envelope.message,
    data: envelope.data,
    requestId: answer.headers.get("x-request-id"),
    traceId,
  };
}

function expectAnswer(answer: Answer, status: number, messages: readonly string[]): void {
  if (answer.status === status && messages.includes(answer.message)) return;
  throw new Error(
    `expected ${status} "${messages.join('" or "')}", got ${answer.status} "${answer.message}" (request ${answer.requestId})`,
  );
}

/** The event of this very request, stored by the listener: through RabbitMQ, not past it. */
async function followEvent(demo: Demo, name: string, since: Date, traceId: string): Promise<void> {
  const after = new Date(since.getTime() - SLACK_MS);
  const document = await demo.ends.document(`the event ${name}`, {
    name,
    trace_id: traceId,
    created_at: { $gte: after },
  });
  demo.saw(`event ${name} → RabbitMQ → listener → MongoDB: event_id ${String(document["event_id"])}`);
}

async function followEntry(demo: Demo, name: string): Promise<void> {
  const document = await demo.ends.document(`the entry ${name}`, { name });
  demo.saw(`document ${String(document["_id"])} in MongoDB: name ${name}, severity ${String(document["severity"])}`);
}

async function followLetter(demo: Demo, subject: string): Promise<void> {
  if (!demo.hasInbox) {
    demo.saw("the mail server has no inbox to look into");
    return;
  }
  const letter = await demo.ends.letter(subject);
  if (!letter.hasText || !letter.hasHtml) throw new Error("the message lacks its text or its HTML part");
  demo.saw(`message ${letter.id} in the inbox: from ${letter.from} to ${letter.to}, with text and HTML`);
}

const unique = (what: string): string => `demo-${what}-${randomBytes(6).toString("hex")}`;

function logAction(name: string) {
  return { action: "log", log: { name, data: { from: "demo", at: new Date().toISOString() }, severity: "WARNING" } };
}

function mailAction(subject: string) {
  const message = "This went from the broker to the mail service, and by SMTP into the inbox.";
  return { action: "mail", mail: { from: "demo@example.com", to: "you@example.com", subject, message } };
}

const SENT = ["Message sent to you@example.com", "Message queued for you@example.com"];
const LOGGED = ["Logged via RPC: Processing succeeded", "Log entry queued"];
const CREDENTIALS = { email: "admin@example.com", password: "verysecret" };

export const STEPS: readonly Step[] = [
  {
    title: "hit      POST /",
    async run(demo) {
      const since = new Date();
      const answer = await send(demo, "/");
      expectAnswer(answer, 200, ["Hit the Broker"]);
      await followEvent(demo, "broker_hit", since, answer.traceId);
    },
  },
  {
    title: "auth     POST /handle",
    async run(demo) {
      const since = new Date();
      const answer = await send(demo, "/handle", { action: "auth", auth: CREDENTIALS });
      expectAnswer(answer, 202, ["Authenticated!"]);
      const { email, id } = answer.data as { email?: string; id?: number };
      if (email !== CREDENTIALS.email) throw new Error("the answer is about another user");
      demo.saw(`user ${id} <${email}> from PostgreSQL`);
      await followEvent(demo, "authentication", since, answer.traceId);
    },
  },
  {
    title: "log      POST /handle",
    async run(demo) {
      const name = unique("log");
      expectAnswer(await send(demo, "/handle", logAction(name)), 202, LOGGED);
      await followEntry(demo, name);
    },
  },
  {
    title: "mail     POST /handle",
    async run(demo) {
      const subject = unique("mail");
      expectAnswer(await send(demo, "/handle", mailAction(subject)), 202, SENT);
      await followLetter(demo, subject);
    },
  },
  {
    title: "batch    POST /handle",
    async run(demo) {
      const [name, subject] = [unique("batch-log"), unique("batch-mail")];
      const actions = [logAction(name), mailAction(subject), { action: "no such action" }];
      const answer = await send(demo, "/handle", actions);
      if (answer.status !== 207) throw new Error(`expected 207, got ${answer.status} "${answer.message}"`);
      const statuses = (answer.data as readonly { status: number }[]).map(({ status }) => status);
      if (statuses.join() !== "202,202,400") throw new Error(`expected 202, 202, 400, got ${statuses.join(", ")}`);
      demo.saw(`its actions: ${statuses.join(", ")} (the last one is wrong on purpose)`);
      await followEntry(demo, name);
      await followLetter(demo, subject);
    },
  },
];
