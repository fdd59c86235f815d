/**
 * What is behind the spans of shared/telemetry: which traces are recorded, and the way of their spans to a collector (OTLP/HTTP) and to the
 * platform's own store. One for a process, and one for each of its threads that makes spans. docs/tracing.md.
 */
export { tracesUrlField, tracingFields, tracingProblemsOf, type TracingValues } from "./fields.ts";
export type { Sent, SpanCount } from "./pipeline.ts";
export { TRACES_PATH, tracingOf, type TracingSettings } from "./settings.ts";
export { makeSpanCounters, makeSpanTally, startTracing, type Tracing } from "./tracing.ts";
export { FROM_OUTSIDE } from "./convert.ts";
