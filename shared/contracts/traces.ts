/** The last traces of the platform, as the logger keeps them: what can be asked, and what is answered. Owner: the logger. */
import { type Static, Type } from "@sinclair/typebox";

/** 32 lower-case hexadecimal digits. */
export const TraceId = Type.String({ pattern: "^[0-9a-f]{32}$" });
const SpanId = Type.String({ pattern: "^[0-9a-f]{16}$" });

export const SPAN_KINDS = ["internal", "server", "client", "producer", "consumer"] as const;

/** Another span that led to one, of the same trace or of another. */
export const TraceLink = Type.Object({ trace_id: Type.String(), span_id: Type.String() });

export const TraceEvent = Type.Object({
  name: Type.String(),
  /** After the start of the trace (ms, with fractions). */
  offset_ms: Type.Number(),
  attributes: Type.Record(Type.String(), Type.Unknown()),
});

export const TraceSpan = Type.Object({
  span_id: SpanId,
  /** Absent at the root. */
  parent_id: Type.Optional(SpanId),
  name: Type.String(),
  kind: Type.Union(SPAN_KINDS.map((kind) => Type.Literal(kind))),
  /** The service that made it, and which of its instances. */
  service: Type.String(),
  instance: Type.Optional(Type.String()),
  /** RFC 3339 in UTC. */
  started_at: Type.String(),
  /** After the start of the trace (ms, with fractions). */
  offset_ms: Type.Number(),
  duration_ms: Type.Number(),
  /** Why it did not go well: a code of ours, or what OpenTelemetry's `error.type` says. */
  error: Type.Optional(Type.String()),
  attributes: Type.Record(Type.String(), Type.Unknown()),
  events: Type.Array(TraceEvent),
  links: Type.Array(TraceLink),
});
export type TraceSpan = Static<typeof TraceSpan>;

/** `data` of `GET /traces/:id`. */
export const TraceDetail = Type.Object({
  trace_id: TraceId,
  started_at: Type.String(),
  ended_at: Type.String(),
  duration_ms: Type.Number(),
  services: Type.Array(Type.String()),
  /** Whether any of its spans did not go well. */
  error: Type.Boolean(),
  /** Every span has its parent here, or has none that we could have. More may still come. */
  whole: Type.Boolean(),
  /** Parents that spans name and that are not here. */
  missing_parents: Type.Array(SpanId),
  /** More spans than are kept of one trace came: the last ones are not here. */
  cut: Type.Boolean(),
  /** By their start. */
  spans: Type.Array(TraceSpan),
});
export type TraceDetail = Static<typeof TraceDetail>;

export const TraceSummary = Type.Object({
  trace_id: TraceId,
  started_at: Type.String(),
  duration_ms: Type.Number(),
  /** Of the span that it began with, and whose that is; absent while that is not here. */
  name: Type.Optional(Type.String()),
  service: Type.Optional(Type.String()),
  services: Type.Array(Type.String()),
  /** As they came: one that came twice is counted twice. */
  spans: Type.Integer(),
  error: Type.Boolean(),
});
export type TraceSummary = Static<typeof TraceSummary>;

/** `data` of `GET /traces`: newest first. */
export const TracePage = Type.Object({
  items: Type.Array(TraceSummary),
  next_cursor: Type.Optional(Type.String()),
});
export type TracePage = Static<typeof TracePage>;

/** The query of `GET /traces`: all that is there has to hold. */
export const TraceQuery = Type.Object({
  /** Traces with a span that took at least so long (ms). */
  min_duration_ms: Type.Optional(Type.Number({ minimum: 0, maximum: 86_400_000 })),
  /** Only those with an error (true) or without (false). */
  error: Type.Optional(Type.Boolean()),
  /** Name of the span that it began with, such as `POST /handle`. */
  name: Type.Optional(Type.String({ minLength: 1, maxLength: 256, pattern: "^[^\\u0000]*$" })),
  /** A service that has a span in it. */
  service: Type.Optional(Type.String({ pattern: "^[A-Za-z0-9_-]{1,64}$" })),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })),
  cursor: Type.Optional(Type.String({ minLength: 1, maxLength: 256 })),
});
export type TraceQuery = Static<typeof TraceQuery>;
