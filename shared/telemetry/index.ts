export {
  type CallContext,
  type Client,
  newContext,
  newTrace,
  requestIdOf,
  type Trace,
  traceOf,
  traceparentOf,
  within,
} from "./context.ts";
export { type Metrics, makeMetrics, type ThreadMetrics } from "./metrics.ts";
