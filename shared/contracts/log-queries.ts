/** Asking for log entries: what can be asked, and what is answered. Owner: the logger. */
import { type Static, Type } from "@sinclair/typebox";
import { EventId, LogName, LogOrigin, Producer, Severity } from "./logs.ts";

const Time = Type.String({ minLength: 1, maxLength: 40, description: "RFC 3339" });
/** 32 lower-case hexadecimal digits. */
const TraceId = Type.String({ pattern: "^[0-9a-f]{32}$" });

/** A field of `data` and what it has to be equal to; `user.id` is `id` of the object `user`. */
export const DataEquals = Type.Object({
  path: Type.String({ minLength: 1, maxLength: 256, pattern: "^[^\\u0000$]+$" }),
  equals: Type.Union([Type.String({ maxLength: 1_024 }), Type.Number(), Type.Boolean(), Type.Null()]),
});
export type DataEquals = Static<typeof DataEquals>;

/** All that is there has to hold; of several names or severities one. */
export const LogFilter = Type.Object({
  name: Type.Optional(Type.Array(LogName, { minItems: 1, maxItems: 20 })),
  severity: Type.Optional(Type.Array(Severity, { minItems: 1, maxItems: 3 })),
  /** By `created_at`: from (included) to (not included). */
  from: Type.Optional(Time),
  to: Type.Optional(Time),
  producer: Type.Optional(Producer.properties.id),
  trace_id: Type.Optional(TraceId),
  request_id: Type.Optional(Type.String({ minLength: 1, maxLength: 128, pattern: "^[^\\u0000]*$" })),
  event_id: Type.Optional(EventId),
  data: Type.Optional(Type.Array(DataEquals, { minItems: 1, maxItems: 5 })),
  /** Words that all have to be there as whole words, in the name or in the texts of `data`, in any case. */
  q: Type.Optional(Type.String({ minLength: 1, maxLength: 256, pattern: "^[^\\u0000]*$" })),
});
export type LogFilter = Static<typeof LogFilter>;

/** An entry as it is given back. Times are RFC 3339 in UTC. */
export const LogItem = Type.Object({
  event_id: EventId,
  name: Type.String(),
  severity: Type.String(),
  data: Type.Unknown(),
  /** When it happened, by its producer. */
  created_at: Type.String(),
  /** When the logger wrote it; entries of older writers do not say. */
  stored_at: Type.Optional(Type.String()),
  /** The way it came in: http, rpc, otlp. */
  source: Type.Optional(Type.String()),
  request_id: Type.Optional(Type.String()),
  trace_id: Type.Optional(Type.String()),
  producer: Type.Optional(Type.Object({ id: Type.String(), sequence: Type.Integer() })),
  origin: Type.Optional(LogOrigin),
});
export type LogItem = Static<typeof LogItem>;

/** `data` of `GET /logs`: newest first. */
export const LogPage = Type.Object({
  items: Type.Array(LogItem),
  next_cursor: Type.Optional(Type.String()),
  /** How `q` was looked for: by an index of words, or by a pattern over what the other filters leave. */
  text: Type.Optional(Type.Union([Type.Literal("index"), Type.Literal("pattern")])),
});
export type LogPage = Static<typeof LogPage>;

/** The last line of an export: no entry has this key. Without it the export was cut off. */
export const LogExportEnd = Type.Object({
  $export: Type.Object({
    /** Whether the lines before are all that was asked for. */
    complete: Type.Boolean(),
    entries: Type.Integer(),
    /** Why it ended early. */
    error: Type.Optional(Type.String()),
  }),
});
export type LogExportEnd = Static<typeof LogExportEnd>;

/** `data` of `GET /logs/histogram`: counts over time, buckets without entries too. */
export const LogHistogram = Type.Object({
  from: Type.String(),
  /** Not included. */
  to: Type.String(),
  interval_ms: Type.Integer(),
  total: Type.Integer(),
  /** The most frequent ones, at most 10. */
  names: Type.Array(Type.String()),
  buckets: Type.Array(
    Type.Object({
      /** Where it begins: a multiple of the interval. */
      at: Type.String(),
      total: Type.Integer(),
      severities: Type.Record(Type.String(), Type.Integer()),
      /** In the order of `names` above. */
      names: Type.Array(Type.Integer()),
      /** Entries of all other names. */
      others: Type.Integer(),
    }),
  ),
});
export type LogHistogram = Static<typeof LogHistogram>;
