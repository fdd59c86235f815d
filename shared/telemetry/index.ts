export {
  type CallContext,
  childOf,
  type Client,
  idsOf,
  newContext,
  newTrace,
  quietContext,
  requestIdOf,
  type Trace,
  traceFromOutside,
  traceHeaders,
  traceOf,
  traceparentOf,
  untraced,
  within,
} from "./context.ts";
export { type Metrics, makeMetrics, type ThreadMetrics } from "./metrics.ts";
export { overEdge } from "./edge.ts";
export { type SpanSink, useSpans } from "./sink.ts";
export {
  asSpan,
  type FinishedSpan,
  inSpan,
  isFollowing,
  isRecorded,
  preciseNow,
  recordSpan,
  type Span,
  type SpanAttributes,
  type SpanKind,
  type SpanLink,
  type SpanOptions,
} from "./spans.ts";
