export {
  type CallContext,
  childOf,
  type Client,
  idsOf,
  newContext,
  newTrace,
  requestIdOf,
  type Trace,
  traceFromOutside,
  traceHeaders,
  traceOf,
  traceparentOf,
  within,
} from "./context.ts";
export { type Metrics, makeMetrics } from "./metrics.ts";
export { type SpanSink, useSpans } from "./sink.ts";
export {
  type FinishedSpan,
  inSpan,
  isRecorded,
  preciseNow,
  recordSpan,
  type Span,
  type SpanAttributes,
  type SpanKind,
  type SpanLink,
} from "./spans.ts";
