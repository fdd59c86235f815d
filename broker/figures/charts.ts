/** Which figures there are of each part, and how each is found. A chart is a row here, and nothing else. */
import { FIGURE_SERVICES, type FigurePart } from "#contracts/figures";
import type { By, Measure, Where } from "./measure.ts";

/** One series of a chart at one time. */
export type Figure = readonly [series: string, value: number | null];

export interface ChartSpec {
  readonly key: string;
  readonly title: string;
  /** As in the contract. */
  readonly unit: string;
  readonly read: (measure: Measure) => Iterable<Figure>;
}

const MIB = 1_048_576;
const MS = 1_000;
const QUANTILES = [0.5, 0.95, 0.99] as const;
const NAMES = ["p50", "p95", "p99"] as const;

const REQUESTS = "http_request_duration_seconds";
/**
 * What is asked by the clock, spans that are handed in, and what is held open as long as somebody follows it: not what a
 * service is there for, and most of what is counted of it on a quiet day.
 */
const NO_WORK = new Set([
  "/ping",
  "/ready",
  "/metrics",
  "/.well-known/jwks.json",
  "/revocations",
  "/events/queues",
  "/otlp/v1/traces",
  "/v1/logs/tail",
  "/v1/logs/export",
  "/logs/tail",
  "/logs/export",
]);
/** A request that is work. */
export const isWork: Where = ({ route = "" }) => !NO_WORK.has(route);
/** Answered with a fault of the service that was asked, or not at all. */
export const isFailed: Where = ({ status = "" }) => status === "none" || status.startsWith("5");

const by =
  (label: string): By =>
  (labels) =>
    labels[label];

/** Times of a histogram in seconds, as milliseconds. */
function* times(measure: Measure, histogram: string, where?: Where): Generator<Figure> {
  const found = measure.quantiles(histogram, QUANTILES, where);
  for (const [index, name] of NAMES.entries()) {
    const seconds = found[index] ?? null;
    yield [name, seconds === null ? null : seconds * MS];
  }
}

const rates = (key: string, title: string, counter: string, label: string): ChartSpec => ({
  key,
  title,
  unit: "/s",
  read: (measure) => measure.rates(counter, by(label)),
});
const latency = (key: string, title: string, histogram: string, where?: Where): ChartSpec => ({
  key,
  title,
  unit: "ms",
  read: (measure) => times(measure, histogram, where),
});
/** A gauge whose instances each have a part of the whole. */
const summed = (key: string, title: string, unit: string, gauge: string, label: string): ChartSpec => ({
  key,
  title,
  unit,
  read: (measure) => measure.sums(gauge, by(label)),
});
/** A gauge of something that all instances see, such as a table: they differ by when they looked. */
const shared = (key: string, title: string, unit: string, gauge: string, label: string): ChartSpec => ({
  key,
  title,
  unit,
  read: (measure) => measure.maxes(gauge, by(label)),
});

/** Of every service. */
const COMMON: readonly ChartSpec[] = [
  {
    key: "requests",
    title: "Requests",
    unit: "/s",
    read: (measure) => [
      ["all", measure.rate(`${REQUESTS}_count`, isWork)],
      ["failed", measure.rate(`${REQUESTS}_count`, (labels) => isWork(labels) && isFailed(labels))],
    ],
  },
  latency("latency", "Time to the answer", REQUESTS, isWork),
  {
    key: "cpu",
    title: "CPU of all instances",
    unit: "cores",
    read: (measure) => [["used", measure.rate("process_cpu_seconds_total")]],
  },
  {
    key: "memory",
    title: "Resident memory of all instances",
    unit: "MiB",
    read(measure) {
      const bytes = measure.sum("process_resident_memory_bytes");
      return [["resident", bytes === null ? null : bytes / MIB]];
    },
  },
  latency("lag", "Lag of the event loop", "event_loop_lag_seconds"),
  {
    key: "connections",
    title: "Open connections",
    unit: "",
    *read(measure) {
      for (const [series, gauge] of CONNECTIONS) {
        const open = measure.sum(gauge);
        if (open !== null) yield [series, open];
      }
    },
  },
];
const CONNECTIONS = [
  ["clients", "http_connections"],
  ["rpc clients", "rpc_server_connections"],
  ["rpc servers", "rpc_client_connected"],
  ["postgres", "postgres_connections"],
  ["mongodb", "mongodb_connections"],
  ["open files", "process_open_fds"],
] as const;

const BREAKERS: ChartSpec = {
  key: "breakers",
  title: "Circuit breakers: 0 closed, 1 half-open, 2 open",
  unit: "",
  read: (measure) => measure.maxes("circuitbreaker_state", by("name")),
};
const PUBLISHED: readonly ChartSpec[] = [
  rates("published", "Messages published", "amqp_published_total", "result"),
  latency("confirm", "Time to RabbitMQ's confirm", "amqp_confirm_seconds"),
];
const DATABASE: readonly ChartSpec[] = [
  {
    key: "database",
    title: "Work on PostgreSQL",
    unit: "",
    read: (measure) => [
      ["in progress", measure.sum("postgres_work_in_progress")],
      ["waiting", measure.sum("postgres_work_waiting")],
    ],
  },
];

const BROKER: readonly ChartSpec[] = [
  rates("actions", "Actions", "broker_actions_total", "action"),
  rates("outcomes", "Actions by what came of them", "broker_actions_total", "result"),
  {
    key: "limited",
    title: "Refused by rate limits",
    unit: "/s",
    read: (measure) => [["refused", measure.rate("rate_limited_requests_total")]],
  },
  summed("spool", "Records in the spool", "", "spool_records", "spool"),
  {
    key: "spool_size",
    title: "Size of the spool",
    unit: "MiB",
    *read(measure) {
      for (const [spool, bytes] of measure.sums("spool_bytes", by("spool"))) yield [spool, bytes / MIB];
    },
  },
  shared("spool_age", "Oldest record in the spool", "s", "spool_oldest_seconds", "spool"),
  BREAKERS,
  ...PUBLISHED,
];

const AUTH: readonly ChartSpec[] = [
  rates("logins", "Logins", "auth_logins_total", "result"),
  rates("refreshes", "Refreshes of sessions", "auth_refreshes_total", "result"),
  latency("hash", "Time of one password hash", "auth_hash_seconds"),
  {
    key: "hash_queue",
    title: "Hashes that wait for a thread",
    unit: "",
    read: (measure) => [["waiting", measure.sum("auth_hash_queue")]],
  },
  shared("outbox", "Waiting in the outbox", "", "auth_outbox_waiting", "lane"),
  shared("outbox_age", "Oldest in the outbox", "s", "auth_outbox_oldest_seconds", "lane"),
  ...DATABASE,
  BREAKERS,
  ...PUBLISHED,
];

const LOGGER: readonly ChartSpec[] = [
  rates("rpc", "RPC calls", "rpc_server_calls_total", "method"),
  latency("rpc_latency", "Time of RPC calls", "rpc_server_call_seconds"),
  rates("entries", "Entries", "logger_entries_total", "result"),
  latency("store", "Time of one write to MongoDB", "logger_store_seconds"),
  {
    key: "queue",
    title: "Entries that wait to be written",
    unit: "",
    read: (measure) => [["waiting", measure.sum("logger_queue_entries")]],
  },
  {
    key: "pool",
    title: "Connections to MongoDB",
    unit: "",
    read: (measure) => [
      ["open", measure.sum("mongodb_connections")],
      ["in use", measure.sum("mongodb_connections_in_use")],
      ["at most", measure.sum("mongodb_connections_max")],
    ],
  },
  latency("pool_wait", "Waiting for a connection to MongoDB", "mongodb_connection_wait_seconds"),
];

const MAIL: readonly ChartSpec[] = [
  rates("sent", "Mails by what became of them", "mail_sent_total", "result"),
  latency("smtp", "Time of an attempt at the mail server", "smtp_attempt_seconds"),
  shared("outbox", "Mails in the outbox", "", "mail_outbox_rows", "state"),
  {
    key: "outbox_age",
    title: "Oldest mail that waits",
    unit: "s",
    read: (measure) => [["oldest", measure.max("mail_oldest_queued_seconds")]],
  },
  ...DATABASE,
  ...PUBLISHED,
];

const LISTENER: readonly ChartSpec[] = [
  rates("messages", "Messages dealt with", "listener_messages_total", "queue"),
  rates("results", "Messages by what became of them", "listener_messages_total", "result"),
  latency("message_latency", "Time in hand", "listener_message_seconds"),
  summed("in_hand", "Messages in hand", "", "listener_in_hand", "queue"),
  summed("held", "Messages held for a neighbour that is away", "", "listener_held", "queue"),
  {
    key: "prefetch",
    title: "Prefetch used",
    unit: "%",
    *read(measure) {
      const inHand = measure.sums("listener_in_hand", by("queue"));
      for (const [queue, most] of measure.sums("listener_prefetch", by("queue")))
        if (most > 0) yield [queue, (100 * (inHand.get(queue) ?? 0)) / most];
    },
  },
  {
    key: "workers",
    title: "Worker threads",
    unit: "",
    read: (measure) => [
      ["alive", measure.sum("listener_workers")],
      ["cautious", measure.sum("listener_cautious_workers")],
      ["restarted since the time before", measure.increase("listener_worker_restarts_total")],
    ],
  },
  ...PUBLISHED,
];

const OWN: Readonly<Record<(typeof FIGURE_SERVICES)[number], readonly ChartSpec[]>> = {
  broker: BROKER,
  auth: AUTH,
  logger: LOGGER,
  mail: MAIL,
  listener: LISTENER,
};

/** What a service tells of itself. */
export function chartsOf(service: (typeof FIGURE_SERVICES)[number]): readonly ChartSpec[] {
  return [...COMMON, ...OWN[service]];
}

/** Made of what others tell: of the queues, and of the ways between parts. Every part may have any of them. */
export const DERIVED = {
  depth: { key: "depth", title: "Messages that wait, by queue", unit: "" },
  consumers: { key: "consumers", title: "Consumers, by queue", unit: "" },
  calls_in: { key: "calls_in", title: "Calls to it", unit: "/s" },
  time_in: { key: "time_in", title: "95 of 100 calls to it took no longer", unit: "ms" },
  calls_out: { key: "calls_out", title: "Calls to others", unit: "/s" },
  failed_out: { key: "failed_out", title: "Of these failed", unit: "/s" },
  time_out: { key: "time_out", title: "95 of 100 calls to others took no longer", unit: "ms" },
} as const satisfies Record<string, Omit<ChartSpec, "read">>;

/** The charts of a part, in the order in which they are shown. */
export function titlesOf(part: FigurePart): readonly Omit<ChartSpec, "read">[] {
  const service = FIGURE_SERVICES.find((name) => name === part);
  return [...(service === undefined ? [] : chartsOf(service)), ...Object.values(DERIVED)];
}
