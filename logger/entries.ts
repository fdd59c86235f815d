/** Takes log entries: checks them, gives them their identity, and has them stored. */
import { Type } from "@sinclair/typebox";
import {
  EventId,
  LogEntry,
  LogRequest,
  type LogOnceResult,
  type LogOrigin,
  type Producer,
  type Severity,
} from "#contracts/logs";
import { Failure, fail, ok, type Result } from "#shared/errors";
import type { Log } from "#shared/log";
import { asSpan, type CallContext, idsOf, inSpan, type Metrics, type Trace, traceOf } from "#shared/telemetry";
import { makeValidator, timeOf } from "#shared/validation";
import { isAudit } from "./audit/name.ts";
import { encodeData, type StoredData } from "./data.ts";
import { type BatchStore, type GroupCommitOptions, makeGroupCommit, type Stored } from "./group-commit.ts";

/** The way an entry came in. */
export type Source = "http" | "rpc" | "otlp";

/** An entry as it is stored. */
export interface LogRecord {
  readonly eventId: string;
  readonly name: string;
  readonly severity: Severity;
  readonly content: StoredData;
  /** Of name, severity and data: tells a repeated entry from another one under the same id. */
  readonly contentHash: string;
  readonly createdAt: Date;
  readonly source: Source;
  readonly requestId: string;
  readonly traceId: string;
  /** The span in which it waits and is stored, where that is followed. */
  readonly trace?: Trace;
  readonly producer?: Producer;
  /** The event that it came from. */
  readonly origin?: LogOrigin;
  /** Whoever sent it waits to hear whether its id was taken, and by what. */
  readonly once?: true;
}

export interface Entries extends AsyncDisposable {
  /**
   * Takes what a client of `POST /log` sent: name, data, severity.
   * @returns when the entry is stored and acknowledged. Failures: `invalid`, `too_large`, and those of the group commit.
   */
  takeRequest(value: unknown, context: CallContext): Promise<Result<void>>;
  /** Takes an entry of a service: also with its own `event_id` and `created_at`. */
  takeEntry(value: unknown, context: CallContext): Promise<Result<void>>;
  /**
   * As `takeEntry`, for entries that have an `event_id`, and tells what the store made of it. Also fails as
   * `unavailable` where the id was taken and it could not be found out by what.
   */
  takeOnce(value: unknown, context: CallContext): Promise<Result<LogOnceResult>>;
  /** Entries that wait to be written. */
  readonly waiting: number;
  /**
   * As `takeEntry`, for an entry that came in another way and has an `event_id`: tells what the store made of it
   * (`taken`: it was there before, and with what content could not be found out).
   */
  takeFrom(source: Source, value: unknown, context: CallContext): Promise<Result<Stored>>;
  /** Takes nothing more and waits until everything taken is stored or has failed. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** How far ahead of ours a producer's clock may be (ms). */
const MAX_AHEAD_MS = 24 * 3_600_000;

const MIB = 1_048_576;

const LIMITS = {
  batchItems: 500,
  // Half of what one document may have: the driver would send more in several commands.
  batchBytes: 8 * MIB,
  // While one is waited for, the next is on its way: measured 1.1 to 1.6 times the rate of one, on FerretDB.
  batchesInFlight: 2,
  queueItems: 20_000,
  queueBytes: 64 * MIB,
} satisfies Partial<GroupCommitOptions<LogRecord>>;

/** More than of others, since each is also sealed before it is over: one head seals all that wait for it. */
const AUDIT_BATCHES_IN_FLIGHT = 4;

const validRequest = makeValidator(LogRequest);
const validEntry = makeValidator(LogEntry, { name: "entry" });
const validOnce = makeValidator(Type.Object({ ...LogEntry.properties, event_id: EventId }), { name: "entry" });

/** Its time where it has one, else now. */
function createdAtOf(text: string | undefined): Result<Date> {
  if (text === undefined) return ok(new Date());
  const date = timeOf("created_at", text);
  if (!date.ok) return date;
  if (date.value.getTime() > Date.now() + MAX_AHEAD_MS) return fail("invalid", "created_at lies more than a day ahead");
  return date;
}

/** Those who only want it stored need not know whether it was before. */
function nothingMore(result: Result<Stored>): Result<void> {
  return result.ok ? ok() : result;
}

/** The context that an entry is stored under: where it says of which trace it is, that one instead of the call's. */
function ofItsOwn({ traceparent }: LogEntry, context: CallContext): CallContext {
  if (traceparent === undefined) return context;
  const trace = traceOf(traceparent);
  // Malformed, it began a new trace, which would be nobody's.
  return trace.parentId === undefined ? context : { ...context, trace };
}

function hashOf(name: string, severity: Severity, dataText: string): string {
  return new Bun.CryptoHasher("sha256").update(`${severity}\0${name}\0`).update(dataText).digest("base64url");
}

/** Its two fields and no other: what else a caller sends is not kept. */
function originOf({ exchange, routing_key }: LogOrigin): LogOrigin {
  return { exchange, routing_key };
}

/** Context fields are read one by one: those of an RPC call are made when they are asked for. */
function recordOf(
  entry: LogEntry,
  source: Source,
  context: CallContext,
  once: boolean,
): Result<{ record: LogRecord; bytes: number }> {
  const createdAt = createdAtOf(entry.created_at);
  if (!createdAt.ok) return createdAt;
  const encoded = encodeData(entry.data);
  if (!encoded.ok) return encoded;
  const { stored, text, bytes } = encoded.value;
  const severity = entry.severity ?? "INFO";
  const record = {
    eventId: entry.event_id ?? Bun.randomUUIDv7(),
    name: entry.name,
    severity,
    content: stored,
    contentHash: hashOf(entry.name, severity, text),
    createdAt: createdAt.value,
    source,
    requestId: context.requestId,
    traceId: context.trace.traceId,
    ...(entry.producer === undefined ? {} : { producer: entry.producer }),
    ...(entry.origin === undefined ? {} : { origin: originOf(entry.origin) }),
    ...(once ? { once } : {}),
  };
  return ok({ record, bytes });
}

export interface EntriesOptions {
  readonly log: Log;
  readonly metrics: Metrics;
  /** Told of each entry that is stored now. @param bytes about what it takes. */
  readonly onStored?: (record: LogRecord, bytes: number) => void;
  /** Where entries of the audit trail go: theirs are batches of their own, so that others wait for no seal. Default: as all. */
  readonly audit?: BatchStore<LogRecord>;
}

export function makeEntries(store: BatchStore<LogRecord>, { log, metrics, onStored, audit }: EntriesOptions): Entries {
  const taken = metrics.counter("logger_entries_total", "Log entries by what became of them.", ["result"]);
  const duplicates = metrics.counter("logger_duplicates_total", "Entries whose event_id was stored before.");
  const conflicts = metrics.counter("logger_id_conflicts_total", "Those among them that had other content.");
  const sizes = metrics.histogram(
    "logger_batch_size",
    "Entries in one write to the store.",
    [],
    [1, 2, 5, 10, 20, 50, 100, 200, 500],
  );
  const durations = metrics.histogram("logger_store_seconds", "Time of one write to the store.");
  metrics.gauge("logger_queue_entries", "Entries that wait to be written.", [], (gauge) =>
    gauge.set(commit.waiting + (auditCommit === commit ? 0 : auditCommit.waiting)),
  );

  const commitTo = (to: BatchStore<LogRecord>, batchesInFlight: number) =>
    makeGroupCommit<LogRecord>({
      ...LIMITS,
      batchesInFlight,
      store: to,
      onBatch: (items, seconds) => {
        sizes.observe(items);
        durations.observe(seconds);
      },
    });
  const commit = commitTo(store, LIMITS.batchesInFlight);
  const auditCommit = audit === undefined ? commit : commitTo(audit, AUDIT_BATCHES_IN_FLIGHT);

  const refuse = (error: Failure): Result<never> => {
    taken.inc({ result: error.code });
    return { ok: false, error };
  };

  const take = async (
    valid: Result<LogEntry>,
    source: Source,
    context: CallContext,
    once = false,
  ): Promise<Result<Stored>> => {
    if (!valid.ok) return refuse(valid.error);
    const own = ofItsOwn(valid.value, context);
    const made = recordOf(valid.value, source, own, once);
    if (!made.ok) return refuse(made.error);
    const { record, bytes } = made.value;
    // The wait for a batch, and the batch: what MongoDB does of it is a span within.
    const result = await (own === context ? inSpan : asSpan)(
      own,
      "store entry",
      { attributes: { "log.record.uid": record.eventId } },
      ({ trace }, span) =>
        (isAudit(record.name) ? auditCommit : commit).add(
          span.isRecorded ? { ...record, trace } : record,
          bytes,
          context.deadline,
        ),
    );
    if (!result.ok) return refuse(result.error);
    if (result.value === "stored") {
      taken.inc({ result: "stored" });
      onStored?.(record, bytes);
      return result;
    }
    taken.inc({ result: "duplicate" });
    duplicates.inc();
    if (result.value === "conflict") {
      conflicts.inc();
      log.warn("another entry came under an event_id that is taken: the first one stays", {
        event_id: record.eventId,
        name: record.name,
        request_id: record.requestId,
        trace_id: record.traceId,
      });
    }
    return result;
  };

  /** A bug that one entry brings to light is that entry's alone, not that of the batch it came in. */
  const guarded = async (context: CallContext, taking: () => Promise<Result<Stored>>): Promise<Result<Stored>> => {
    try {
      return await taking();
    } catch (bug) {
      log.error("an entry could not be taken: this is a bug", { ...idsOf(context), error: bug });
      return refuse(new Failure("internal", undefined, { cause: bug }));
    }
  };

  return {
    async takeRequest(value, context) {
      const valid = validRequest(value);
      if (!valid.ok) return nothingMore(await take(valid, "http", context));
      const { name, data, severity } = valid.value;
      // Only these three: an identity is not the client's to choose here.
      const entry = { name, data, ...(severity === undefined ? {} : { severity }) };
      return nothingMore(await take(ok(entry), "http", context));
    },
    takeEntry: async (value, context) =>
      nothingMore(await guarded(context, () => take(validEntry(value), "rpc", context))),
    takeFrom: (source, value, context) => guarded(context, () => take(validOnce(value), source, context, true)),
    async takeOnce(value, context) {
      const result = await guarded(context, () => take(validOnce(value), "rpc", context, true));
      if (!result.ok || result.value !== "taken") return result as Result<LogOnceResult>;
      return fail("unavailable", "the event_id is taken, and by what could not be found out", { retryAfterS: 1 });
    },
    get waiting() {
      return commit.waiting + auditCommit.waiting;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([commit.drain(), auditCommit.drain()]);
    },
  };
}
