/** Decides what becomes of a message: stored or delivered, dead-lettered with the reason, or held until the system is well. */
import { HEADER_CREATED_AT, LogEvent, severityOf } from "#contracts/events";
import { MESSAGE_LIMITS } from "#contracts/limits";
import type { LogEntry } from "#contracts/logs";
import { MailRequest } from "#contracts/mail";
import { FAILURES, Failure, type FailureCode, ok, type Result } from "#shared/errors";
import { newTrace, type Trace, traceOf } from "#shared/telemetry";
import { makeValidator, parseJson } from "#shared/validation";
import type { Fate } from "./pipeline.ts";

/** A message as far as its fate depends on it. */
export interface Message {
  readonly routingKey: string;
  readonly messageId: string | undefined;
  readonly timestamp: Date | undefined;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: Uint8Array;
}

/** A message that was read: its identity from now on, and what it says or what is wrong with it. */
export interface Reading<T> {
  readonly id: string;
  readonly trace: Trace;
  readonly content: Result<T>;
}

/** Results of a call for several entries: undefined for what is stored. */
export type StoreEntries = (entries: readonly LogEntry[], trace: Trace) => Promise<Result<(Failure | undefined)[]>>;
export type DeliverMail = (mail: MailRequest, id: string, trace: Trace) => Promise<Result<void>>;
/** Puts the message into the dead-letter queue; success is the server's confirm. */
export type Bury<M> = (message: M, id: string, reason: Failure) => Promise<Result<void>>;

export interface Received<M, T> {
  readonly message: M;
  readonly reading: Reading<T>;
}

const logEventOf = makeValidator(LogEvent);
const mailRequestOf = makeValidator(MailRequest);
/** RFC 3339 §5.6. */
const DATE_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/i;
/** As `EventId` of the contracts; whoever sends none gets one, which holds until the message is stored. */
const SANE_ID = /^[^\0]{1,128}$/;

function idOf({ messageId }: Message): string {
  return messageId !== undefined && SANE_ID.test(messageId) && messageId.isWellFormed()
    ? messageId
    : Bun.randomUUIDv7();
}

/** An event as a log entry. The content type is the sender's to choose, or to forget: the body decides. */
export function readEvent(message: Message): Reading<LogEntry> {
  const id = idOf(message);
  const trace = traceOf(message.headers["traceparent"]);
  const parsed = parseJson(message.body, MESSAGE_LIMITS);
  if (!parsed.ok) return { id, trace, content: parsed };
  const event = logEventOf(parsed.value);
  if (!event.ok) return { id, trace, content: event };
  const { name, data } = event.value;
  const entry = { name, data, severity: severityOf(message.routingKey), event_id: id, created_at: createdAt(message) };
  return { id, trace, content: ok(entry) };
}

/** When it was accepted, as exactly as anybody said it. */
function createdAt({ headers, timestamp }: Message): string {
  const header = headers[HEADER_CREATED_AT];
  if (typeof header === "string" && DATE_TIME.test(header) && !Number.isNaN(Date.parse(header))) return header;
  return (timestamp ?? new Date()).toISOString();
}

export function readMailJob(message: Message): Reading<MailRequest> {
  const id = idOf(message);
  const trace = traceOf(message.headers["traceparent"]);
  const parsed = parseJson(message.body, MESSAGE_LIMITS);
  return { id, trace, content: parsed.ok ? mailRequestOf(parsed.value) : parsed };
}

/** What these say is about us, or about how we are set up, and not about the message: it is not the message that has to go. */
const ABOUT_US: ReadonlySet<FailureCode> = new Set<FailureCode>([
  "unauthenticated",
  "forbidden",
  "not_found",
  "method_not_allowed",
]);

export function fateOf(failure: Failure): "dead" | "hold" {
  return ABOUT_US.has(failure.code) ? "hold" : FAILURES[failure.code].queue;
}

/** The fates of events: stored by the logger in as few calls as may be. */
export function makeStoring<M>(store: StoreEntries, bury: Bury<M>) {
  /** One refusal must not cost the others: a batch that is refused as a whole is halved until it is known which. */
  async function storeAll(entries: readonly LogEntry[], trace: Trace): Promise<(Failure | undefined)[]> {
    const result = await store(entries, trace);
    if (result.ok) return result.value;
    if (fateOf(result.error) === "hold" || entries.length === 1) return entries.map(() => result.error);
    const half = Math.ceil(entries.length / 2);
    return [...(await storeAll(entries.slice(0, half), trace)), ...(await storeAll(entries.slice(half), trace))];
  }

  return async (batch: readonly Received<M, LogEntry>[]): Promise<Fate[]> => {
    const entries = batch.flatMap(({ reading }) => (reading.content.ok ? [reading.content.value] : []));
    const trace = batch.find(({ reading }) => reading.content.ok)?.reading.trace ?? newTrace();
    const failures = entries.length === 0 ? [] : await storeAll(entries, trace);
    let at = 0;
    return Promise.all(
      batch.map(({ message, reading }) => {
        const failure = reading.content.ok ? failures[at++] : reading.content.error;
        return fateFor(message, reading.id, failure, bury);
      }),
    );
  };
}

/** The fates of mail jobs: handed to the mail service one by one. */
export function makeMailing<M>(deliver: DeliverMail, bury: Bury<M>) {
  return async (batch: readonly Received<M, MailRequest>[]): Promise<Fate[]> =>
    Promise.all(
      batch.map(async ({ message, reading: { id, trace, content } }) => {
        const result = content.ok ? await deliver(content.value, id, trace) : content;
        return fateFor(message, id, result.ok ? undefined : result.error, bury);
      }),
    );
}

async function fateFor<M>(message: M, id: string, failure: Failure | undefined, bury: Bury<M>): Promise<Fate> {
  if (failure === undefined) return "done";
  if (fateOf(failure) === "hold") return { hold: failure };
  const buried = await bury(message, id, failure);
  if (buried.ok) return "dead";
  return {
    hold: new Failure("unavailable", "the dead-letter exchange did not take the message", { cause: buried.error }),
  };
}
