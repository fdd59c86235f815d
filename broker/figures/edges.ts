/** The ways between the parts: what the one that goes there counts of it. A way is a row here. */
import { type EdgeFigures, FIGURE_SERVICES } from "#contracts/figures";
import { FAILURES, type FailureCode } from "#shared/errors";
import { isFailed, isWork } from "./charts.ts";
import type { Measure, Where } from "./measure.ts";

type Service = (typeof FIGURE_SERVICES)[number];

export interface EdgeSpec {
  readonly from: Service | "clients";
  readonly to: string;
  readonly via: EdgeFigures["via"];
  /** A counter of what goes this way, and which of it. */
  readonly calls: string;
  readonly where?: Where;
  readonly failed: Where;
  readonly seconds: string;
  /** It is shown only where it is in use. */
  readonly optional?: true;
}

const MS = 1_000;
const P95 = [0.95] as const;
const BREAKER = ["closed", "half-open", "open"] as const;

/** By a code of a failure, which says a fault of the other part as its HTTP status does. */
const isFault = (label: string): Where => {
  return ({ [label]: code = "" }) => Object.hasOwn(FAILURES, code) && FAILURES[code as FailureCode].http >= 500;
};

const http = (from: Service, to: Service): EdgeSpec => ({
  from,
  to,
  via: "http",
  calls: "http_client_request_duration_seconds_count",
  where: ({ peer }) => peer === to,
  failed: isFailed,
  seconds: "http_client_request_duration_seconds",
});
const rpc = (from: Service): EdgeSpec => ({
  from,
  to: "logger",
  via: "rpc",
  calls: "rpc_client_calls_total",
  failed: isFault("code"),
  seconds: "rpc_client_call_seconds",
});
const publishing = (from: Service): EdgeSpec => ({
  from,
  to: "rabbitmq",
  via: "amqp",
  calls: "amqp_published_total",
  failed: isFault("result"),
  seconds: "amqp_confirm_seconds",
});
const database = (from: Service): EdgeSpec => ({
  from,
  to: "postgres",
  via: "sql",
  calls: "postgres_work_seconds_count",
  failed: isFault("outcome"),
  seconds: "postgres_work_seconds",
});
const redis = (from: Service): EdgeSpec => ({
  from,
  to: "redis",
  via: "redis",
  calls: "redis_command_seconds_count",
  failed: ({ result }) => result !== "ok",
  seconds: "redis_command_seconds",
  optional: true,
});
const never: Where = () => false;

export const EDGES: readonly EdgeSpec[] = [
  {
    from: "clients",
    to: "broker",
    via: "http",
    calls: "http_request_duration_seconds_count",
    where: isWork,
    failed: isFailed,
    seconds: "http_request_duration_seconds",
  },
  http("broker", "auth"),
  rpc("broker"),
  http("broker", "logger"),
  http("broker", "mail"),
  http("broker", "listener"),
  publishing("broker"),
  redis("broker"),
  database("auth"),
  http("auth", "mail"),
  publishing("auth"),
  redis("auth"),
  // What is read is not counted.
  {
    from: "logger",
    to: "mongodb",
    via: "mongodb",
    calls: "logger_store_seconds_count",
    failed: never,
    seconds: "logger_store_seconds",
  },
  database("mail"),
  {
    from: "mail",
    to: "smtp",
    via: "smtp",
    calls: "smtp_attempt_seconds_count",
    failed: ({ result = "" }) => ["away", "interrupted", "ambiguous"].includes(result),
    seconds: "smtp_attempt_seconds",
  },
  publishing("mail"),
  // What it consumes; what it publishes itself is a chart of its own.
  {
    from: "listener",
    to: "rabbitmq",
    via: "amqp",
    calls: "listener_messages_total",
    failed: ({ result }) => result !== "done",
    seconds: "listener_message_seconds",
  },
  rpc("listener"),
  http("listener", "mail"),
];

/** Whose figures tell of a way. */
export const tellerOf = ({ from }: EdgeSpec): Service => (from === "clients" ? "broker" : from);

/** @returns undefined for a way that is not in use and need not be. */
export function readEdge(spec: EdgeSpec, measure: Measure): EdgeFigures | undefined {
  const { from, to, via, calls, where = () => true, failed, seconds, optional } = spec;
  const ofPeer: Where = ({ dependency }) => dependency === to;
  // `auth_sessions` of the broker is one of its ways to auth.
  const isBreaker: Where = ({ name = "" }) => name === to || name.startsWith(`${to}_`);
  const [p95 = null] = measure.quantiles(seconds, P95, where);
  const breaker = measure.max("circuitbreaker_state", isBreaker);
  const up = measure.min("dependency_up", ofPeer);
  if (optional === true && measure.sum(calls) === null) return undefined;
  return {
    from,
    to,
    via,
    calls_per_s: measure.rate(calls, where),
    failed_per_s: measure.rate(calls, (labels) => where(labels) && failed(labels)),
    p95_ms: p95 === null ? null : p95 * MS,
    breaker: breaker === null || from === "clients" ? null : (BREAKER[breaker] ?? null),
    up: up === null || from === "clients" ? null : up === 1,
  };
}
