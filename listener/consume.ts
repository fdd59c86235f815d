/** Decides what becomes of a message: done, dead-lettered with the reason, put off, or held until the system is well. */
import {
  HEADER_CREATED_AT,
  HEADER_PRODUCER,
  HEADER_SEQUENCE,
  HEADER_VOIDED,
  LogEvent,
  severityOf,
} from "#contracts/events";
import { MESSAGE_LIMITS } from "#contracts/limits";
import { type LogEntry, LogOrigin, Producer } from "#contracts/logs";
import { FAILURES, Failure, type FailureCode, failureOf, ok, type QueueFate, type Result } from "#shared/errors";
import { type Trace, traceOf } from "#shared/telemetry";
import { makeValidator, parseJson, timeOf, type Validator } from "#shared/validation";
import type { Fate } from "./pipeline.ts";

/** A message as far as its fate depends on it. */
export interface Message {
  /** The one that it came under first. */
  readonly routingKey: string;
  /** That it was published to first; empty for the default one. */
  readonly exchange: string;
  readonly messageId: string | undefined;
  readonly timestamp: Date | undefined;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: Uint8Array;
}

/** What a message is known by from now on. */
export interface Identity {
  readonly id: string;
  /** The span of its handling, from its delivery until it is settled: within the span that published it. */
  readonly trace: Trace;
}

/** A message that was read: what it says or what is wrong with it. */
export interface Reading<T> extends Identity {
  readonly content: Result<T>;
}

/** An entry, and the span that storing it is a part of. */
export interface TracedEntry {
  readonly entry: LogEntry;
  readonly trace: Trace;
}

/** Results of a call for several entries: undefined for what is stored. */
export type StoreEntries = (entries: readonly TracedEntry[]) => Promise<Result<(Failure | undefined)[]>>;

/** Ways out for a message that could not be used. Success is the server's confirm. */
export interface Moving<M> {
  /** Into the dead-letter queue. */
  bury(message: M, identity: Identity, reason: Failure): Promise<Result<void>>;
  /**
   * Into the next delay queue, or a longer one where the reason says when to try again, from which it comes back; after as
   * many times as there are delay queues, into the dead-letter queue.
   */
  putOff(message: M, identity: Identity, reason: Failure): Promise<Result<"retried" | "dead">>;
}

export interface Received<M, T> {
  readonly message: M;
  readonly reading: Reading<T>;
  /** Told why it leaves its queue undone. */
  readonly onFailure?: ((reason: Failure) => void) | undefined;
}

const logEventOf = makeValidator(LogEvent);
const producerOf = makeValidator(Producer);
const originOf = makeValidator(LogOrigin);
/** As `EventId` of the contracts; whoever sends none gets one, which holds until the message is dealt with. */
const SANE_ID = /^[^\0]{1,128}$/;

function idOf({ messageId }: Message): string {
  return messageId !== undefined && SANE_ID.test(messageId) && messageId.isWellFormed()
    ? messageId
    : Bun.randomUUIDv7();
}

/** Reads a JSON body. The content type is the sender's to choose, or to forget: the body decides. Never throws. */
export function readMessage<T>(message: Message, validate: Validator<T>): Reading<T> {
  const id = idOf(message);
  const trace = traceOf(message.headers["traceparent"]);
  try {
    const parsed = parseJson(message.body, MESSAGE_LIMITS);
    return { id, trace, content: parsed.ok ? validate(parsed.value) : parsed };
  } catch (error) {
    // A bug of ours that this body brings to light: no reason to keep the others waiting.
    return { id, trace, content: { ok: false, error: failureOf(error) } };
  }
}

/** An event as a log entry. */
export function readEvent(message: Message): Reading<LogEntry> {
  const { id, trace, content } = readMessage(message, logEventOf);
  if (!content.ok) return { id, trace, content };
  const { name, data } = content.value;
  const producer = numbersOf(message);
  // What was put straight into the queue came by no exchange that has a name.
  const origin = originOf({ exchange: message.exchange, routing_key: message.routingKey });
  const entry: LogEntry = {
    name,
    data,
    severity: severityOf(message.routingKey),
    event_id: id,
    created_at: createdAt(message),
    ...(producer === undefined ? {} : { producer }),
    ...(origin.ok ? { origin: origin.value } : {}),
  };
  return { id, trace, content: ok(entry) };
}

/** When it was accepted, as exactly as anybody said it. */
function createdAt({ headers, timestamp }: Message): string {
  const header = headers[HEADER_CREATED_AT];
  if (typeof header === "string" && timeOf(HEADER_CREATED_AT, header).ok) return header;
  return (timestamp ?? new Date()).toISOString();
}

/** Its producer's number for it. What is no such number is no reason to refuse an event. */
function numbersOf({ headers }: Message): Producer | undefined {
  if (headers[HEADER_PRODUCER] === undefined) return undefined;
  const voided = headers[HEADER_VOIDED];
  const numbered = producerOf({
    id: headers[HEADER_PRODUCER],
    sequence: headers[HEADER_SEQUENCE],
    ...(voided === undefined ? {} : { voided }),
  });
  return numbered.ok ? numbered.value : undefined;
}

/** What these say is about us, or about how we are set up, and not about the message: it is not the message that has to go. */
const ABOUT_US: ReadonlySet<FailureCode> = new Set<FailureCode>([
  "unauthenticated",
  "forbidden",
  "not_found",
  "method_not_allowed",
]);

export function queueFateOf(failure: Failure): QueueFate {
  return ABOUT_US.has(failure.code) ? "hold" : FAILURES[failure.code].queue;
}

/**
 * What becomes of a message whose handling came out as `failure` (undefined: it succeeded).
 *
 * Whose fault is it? An attempt is spent, and a message leaves its queue, only for a fault of its own:
 * - we could not read it, or the neighbour says what is wrong with it (`invalid`, `too_large`, …): its own, for ever;
 * - the neighbour says that it collides with something (`conflict`): its own, for now;
 * - the neighbour is away, slow or refuses us: not its own, and all wait; the pipeline thinks better of it where others
 *   are dealt with again and again meanwhile, and this one is not;
 * - the neighbour broke (`internal`: an entry's own result, a whole call that a batch was split for, or a 500): it
 *   cannot be told from this message alone. The pipeline asks for a witness: another message that the same
 *   neighbour could deal with since.
 */
export async function fateOf<M, T>(
  received: Received<M, T>,
  failure: Failure | undefined,
  moving: Moving<M>,
): Promise<Fate> {
  if (failure === undefined) return "done";
  const fate = queueFateOf(failure);
  if (fate === "dead") return bury(received, failure, moving);
  const isUnread = !received.reading.content.ok;
  if (fate === "retry" && (isUnread || failure.code === "conflict")) return spend(received, failure, moving);
  return fate === "retry" ? { unsure: failure } : { hold: failure };
}

type Identified<M> = Pick<Received<M, unknown>, "message" | "onFailure"> & { readonly reading: Identity };

/** Spends one of a message's attempts. What could not be moved stays in hand. */
export async function spend<M>(
  { message, reading, onFailure }: Identified<M>,
  failure: Failure,
  moving: Moving<M>,
): Promise<Fate> {
  const moved = await moving.putOff(message, reading, failure);
  if (!moved.ok) return notTaken(moved.error);
  onFailure?.(failure);
  return moved.value;
}

/** Dead-letters it, whatever attempts it has left. */
export async function bury<M>(
  { message, reading, onFailure }: Identified<M>,
  failure: Failure,
  moving: Moving<M>,
): Promise<Fate> {
  const moved = await moving.bury(message, reading, failure);
  if (!moved.ok) return notTaken(moved.error);
  onFailure?.(failure);
  return "dead";
}

function notTaken(cause: Failure): Fate {
  return { hold: new Failure("unavailable", "RabbitMQ did not take the message where it has to go", { cause }) };
}

/** The fates of events: stored by the logger in as few calls as may be. */
export function makeStoring<M>(store: StoreEntries, moving: Moving<M>) {
  /** One refusal must not cost the others: a batch that is refused as a whole is halved until it is known which. */
  async function storeAll(entries: readonly TracedEntry[]): Promise<(Failure | undefined)[]> {
    const result = await store(entries);
    if (result.ok) return result.value;
    if (queueFateOf(result.error) === "hold" || entries.length === 1) return entries.map(() => result.error);
    const half = Math.ceil(entries.length / 2);
    return [...(await storeAll(entries.slice(0, half))), ...(await storeAll(entries.slice(half)))];
  }

  return async (batch: readonly Received<M, LogEntry>[]): Promise<Fate[]> => {
    const entries = batch.flatMap(({ reading: { content, trace } }) =>
      content.ok ? [{ entry: content.value, trace }] : [],
    );
    const failures = entries.length === 0 ? [] : await storeAll(entries);
    let at = 0;
    return Promise.all(
      batch.map((received) => {
        const { content } = received.reading;
        return fateOf(received, content.ok ? failures[at++] : content.error, moving);
      }),
    );
  };
}

/** The fates of jobs: each done by itself. */
export function makeDoing<M, T>(
  run: (message: M, content: T, id: string, trace: Trace) => Promise<Result<void>>,
  moving: Moving<M>,
) {
  return async (batch: readonly Received<M, T>[]): Promise<Fate[]> =>
    Promise.all(
      batch.map(async (received) => {
        const { id, trace, content } = received.reading;
        const result = content.ok ? await run(received.message, content.value, id, trace) : content;
        return fateOf(received, result.ok ? undefined : result.error, moving);
      }),
    );
}
