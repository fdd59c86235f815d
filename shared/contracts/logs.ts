/** Log entries, as every part speaks of them. Owner: the logger. */
import { type Static, Type } from "@sinclair/typebox";

export const SEVERITIES = ["INFO", "WARNING", "ERROR"] as const;
export const Severity = Type.Union([Type.Literal("INFO"), Type.Literal("WARNING"), Type.Literal("ERROR")]);
export type Severity = Static<typeof Severity>;

/** 1 to 255 characters without NUL. */
export const LogName = Type.String({ minLength: 1, maxLength: 255, pattern: "^[^\\u0000]*$" });

/** What a client sends to have something logged. `data` is given back as it was sent, whatever keys it has. */
export const LogRequest = Type.Object({
  name: LogName,
  data: Type.Unknown({ description: "Text or any JSON value" }),
  severity: Type.Optional(Severity),
});
export type LogRequest = Static<typeof LogRequest>;

/** 1 to 128 characters without NUL; ours are UUIDv7. The same id again is success and stores nothing. */
export const EventId = Type.String({ minLength: 1, maxLength: 128, pattern: "^[^\\u0000]*$" });

/** A positive whole number that JSON and MessagePack carry exactly. */
const Sequence = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });

/**
 * A producer numbers what it has accepted, from 1 without gaps, so that the store can tell what is missing
 * (`GET /v1/logs/gaps`). A number whose entry came to nothing is voided by a later entry of the same producer.
 */
export const Producer = Type.Object({
  /** One process, from its start to its end; the next one has another id. */
  id: Type.String({ minLength: 1, maxLength: 128, pattern: "^[^\\u0000]*$" }),
  sequence: Sequence,
  voided: Type.Optional(Type.Array(Sequence, { maxItems: 100 })),
});
export type Producer = Static<typeof Producer>;

/** The event that an entry was before it was stored, as it was published: absent for what came by HTTP or RPC. */
export const LogOrigin = Type.Object({
  /** Names of AMQP: 1 to 255 bytes. */
  exchange: Type.String({ minLength: 1, maxLength: 255, pattern: "^[^\\u0000]*$" }),
  routing_key: Type.String({ maxLength: 255, pattern: "^[^\\u0000]*$" }),
});
export type LogOrigin = Static<typeof LogOrigin>;

/** An entry on its way to the store: a request with its identity. */
export const LogEntry = Type.Object({
  name: LogName,
  data: Type.Unknown(),
  severity: Type.Optional(Severity),
  event_id: Type.Optional(EventId),
  created_at: Type.Optional(Type.String({ maxLength: 40, description: "RFC 3339" })),
  producer: Type.Optional(Producer),
  /** W3C Trace Context, where it is another one than that of the call which brings the entry; malformed, it counts for nothing. */
  traceparent: Type.Optional(Type.String({ maxLength: 512 })),
  origin: Type.Optional(LogOrigin),
});
export type LogEntry = Static<typeof LogEntry>;

/** Methods of the logger's RPC. */
export const RPC_LOG_INFO = "RPCServer.LogInfo";
export const RPC_LOG_BATCH = "RPCServer.LogBatch";
/** `[entry]` with an `event_id` → `LogOnceResult`: as LogInfo, and tells what the store made of the id. */
export const RPC_LOG_ONCE = "RPCServer.LogOnce";
/** `[[event_id, …]]` up to 1,000 → `FoundEntry` or nil for each, in order. */
export const RPC_FIND = "RPCServer.Find";
/** What `RPCServer.LogInfo` answers. */
export const LOG_SUCCEEDED = "Processing succeeded";
/** Entries in one `RPCServer.LogBatch`. */
export const LOG_BATCH_MAX = 1_000;
/** Ids in one `RPCServer.Find`. */
export const FIND_MAX = 1_000;

/** Per entry of a batch, in order. */
export const LogBatchResult = Type.Array(
  Type.Union([
    Type.Object({ ok: Type.Literal(true) }),
    Type.Object({ error: Type.Object({ code: Type.String(), message: Type.String() }) }),
  ]),
);
export type LogBatchResult = Static<typeof LogBatchResult>;

/** `conflict`: the id was taken by an entry with another name, severity or data, which stays. */
export const LogOnceResult = Type.Union([Type.Literal("stored"), Type.Literal("duplicate"), Type.Literal("conflict")]);
export type LogOnceResult = Static<typeof LogOnceResult>;

/** What a client sends to have several entries logged, each by itself: also as a list without a name. */
export const LogEntriesRequest = Type.Object({
  entries: Type.Array(LogRequest, { minItems: 1, maxItems: LOG_BATCH_MAX }),
});

/** The entries of a body that is several, whatever they are; undefined where it is to be one. */
export function entriesOf(body: unknown): readonly unknown[] | undefined {
  if (Array.isArray(body)) return body;
  if (typeof body !== "object" || body === null || !Object.hasOwn(body, "entries")) return undefined;
  const { entries } = body as { entries: unknown };
  return Array.isArray(entries) ? entries : undefined;
}

/** An entry that is stored, without its data. Times are RFC 3339 in UTC. */
export const FoundEntry = Type.Object({
  event_id: EventId,
  name: Type.String(),
  severity: Type.String(),
  created_at: Type.String(),
  stored_at: Type.Optional(Type.String()),
});
export type FoundEntry = Static<typeof FoundEntry>;

/** What one producer's numbers say. Ranges are `[first, last]`, both included. */
export const ProducerGaps = Type.Object({
  producer: Type.String(),
  /** Highest number that was seen. */
  last: Type.Integer(),
  /**
   * The numbers that this item speaks of, where it does not of all from 1 to `last`: a producer with very many entries is
   * told over several pages.
   */
  from: Type.Optional(Type.Integer()),
  to: Type.Optional(Type.Integer()),
  /** Entries that are stored. */
  stored: Type.Integer(),
  /** Entries that were stored and have been removed since, their time being over; absent where there are none. */
  removed: Type.Optional(Type.Integer()),
  /**
   * Numbers below `last` that nothing is stored under, and that were neither voided nor removed. Also what is still on
   * its way.
   */
  missing: Type.Integer(),
  missing_ranges: Type.Array(Type.Tuple([Type.Integer(), Type.Integer()])),
  /** Numbers that more than one entry has. */
  duplicates: Type.Array(Type.Object({ sequence: Type.Integer(), event_ids: Type.Array(Type.String()) })),
  /** There are more ranges, or more duplicates, than the 100 of each that are listed; `missing` counts all. */
  cut: Type.Optional(Type.Literal(true)),
  first_stored_at: Type.String(),
  last_stored_at: Type.String(),
});
export type ProducerGaps = Static<typeof ProducerGaps>;

/** `data` of `GET /logs/gaps?producer=&limit=&cursor=`: one item a producer. */
export const GapsReport = Type.Object({
  items: Type.Array(ProducerGaps),
  next_cursor: Type.Optional(Type.String()),
  /** Over all producers that were looked at for this page. */
  entries: Type.Integer(),
  missing: Type.Integer(),
});
export type GapsReport = Static<typeof GapsReport>;
