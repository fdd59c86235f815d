export { type Bell, GATHER_MS, makeBell } from "./bell.ts";
export { type Asker, Deadline, REST_CEILING_MS, RPC_CEILING_MS } from "./deadline.ts";
export { type Edge, type EdgeOptions, type EdgeState, makeEdge } from "./edge.ts";
export {
  type Backoff,
  type BackoffOptions,
  databaseBackoff,
  exponential,
  type KeepTryingOptions,
  keepTrying,
  pause,
  reconnectBackoff,
  sleep,
} from "./retry.ts";
