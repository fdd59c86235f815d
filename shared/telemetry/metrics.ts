/** Prometheus metrics of one process. Names and units follow the field: `_total`, `_seconds`, `_bytes`. */
import { readdirSync } from "node:fs";
import {
  AggregatorRegistry,
  Counter,
  Gauge,
  Histogram,
  type MetricObjectWithValues,
  type MetricValue,
  Registry,
} from "prom-client";

/** Upper bounds (s) of what is timed: from a local call to the longest REST request. */
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const LAG_INTERVAL_MS = 500;

export interface Metrics extends Disposable {
  counter<L extends string = never>(name: string, help: string, labels?: readonly L[]): Counter<L>;
  /** @param collect sets the gauge just before it is read: for what can be asked, no second copy is kept. */
  gauge<L extends string = never>(
    name: string,
    help: string,
    labels?: readonly L[],
    collect?: (gauge: Gauge<L>) => void,
  ): Gauge<L>;
  /** @param buckets upper bounds; default: durations in seconds from 1 ms to 30 s. */
  histogram<L extends string = never>(
    name: string,
    help: string,
    labels?: readonly L[],
    buckets?: readonly number[],
  ): Histogram<L>;
  /** As plain objects, so that another thread can show them: without those that are of the process as a whole. */
  ofThread(labels: Readonly<Record<string, string>>): Promise<ThreadMetrics>;
  /** From now on `text` has what other threads give, too. What takes longer than half a second is left out. */
  include(threads: () => readonly Promise<ThreadMetrics>[]): void;
  /** The exposition format, version 0.0.4. */
  text(): Promise<string>;
  readonly contentType: string;
}

/** Metrics of a thread on their way to the one that shows them. */
export type ThreadMetrics = readonly MetricObjectWithValues<MetricValue<string>>[];

/** Families of the process as a whole, whichever thread looks. */
const OF_PROCESS = /^(process_|build_info$)/;
/** Longest that another thread may take to give its metrics (ms). */
const THREAD_MS = 500;

/** What is there in time. */
async function inTime(asked: Promise<ThreadMetrics>): Promise<ThreadMetrics> {
  const late = Promise.withResolvers<ThreadMetrics>();
  const timer = setTimeout(() => late.resolve([]), THREAD_MS);
  try {
    return await Promise.race([asked, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Metrics with those of the process in them. The runtime has no GC, heap-space or active-handle figures
 * behind Node's names, so these are not exported rather than read zero for ever.
 */
export function makeMetrics(service: string, version: string): Metrics {
  const registry = new Registry();
  registry.setDefaultLabels({ service });
  const registers = [registry];
  const startedAt = Date.now() / 1_000;
  let threads: () => readonly Promise<ThreadMetrics>[] = () => [];

  const metrics: Metrics = {
    counter: (name, help, labels = []) => new Counter({ name, help, labelNames: [...labels], registers }),
    gauge: <L extends string>(
      name: string,
      help: string,
      labels: readonly L[] = [],
      collect?: (gauge: Gauge<L>) => void,
    ) =>
      new Gauge<L>({
        name,
        help,
        labelNames: [...labels],
        registers,
        ...(collect === undefined
          ? {}
          : {
              collect() {
                collect(this);
              },
            }),
      }),
    histogram: (name, help, labels = [], buckets = SECONDS) =>
      new Histogram({ name, help, labelNames: [...labels], buckets: [...buckets], registers }),
    async ofThread(labels) {
      const all = (await registry.getMetricsAsJSON()).filter(({ name }) => !OF_PROCESS.test(name));
      // Copies: the labels are those of the registry itself.
      return all.map((metric) => ({
        ...metric,
        values: metric.values.map((value) => ({ ...value, labels: { ...value.labels, ...labels } })),
      }));
    },
    include(given) {
      threads = given;
    },
    async text() {
      const asked = threads();
      if (asked.length === 0) return registry.metrics();
      const [own, ...others] = await Promise.all([registry.getMetricsAsJSON(), ...asked.map(inTime)]);
      // Their labels tell them apart: nothing is added up.
      return AggregatorRegistry.aggregate([own ?? [], ...others]).metrics();
    },
    contentType: registry.contentType,
    [Symbol.dispose]: () => clearInterval(ticker),
  };

  metrics.gauge("build_info", "1, with the version as a label.", ["version"]).set({ version }, 1);
  metrics.gauge("process_start_time_seconds", "Start of the process, Unix time.").set(startedAt);
  metrics.gauge("process_resident_memory_bytes", "Memory of the process that is in RAM.", [], (gauge) =>
    gauge.set(process.memoryUsage.rss()),
  );
  metrics.gauge("process_cpu_seconds_total", "User and system CPU time spent (s).", [], (gauge) => {
    const { user, system } = process.cpuUsage();
    gauge.set((user + system) / 1e6);
  });
  if (process.platform === "linux") {
    metrics.gauge("process_open_fds", "Open file descriptors.", [], (gauge) =>
      gauge.set(readdirSync("/proc/self/fd").length),
    );
  }
  const lag = metrics.histogram("event_loop_lag_seconds", "How late a timer fired, sampled twice a second.");
  let due = performance.now() + LAG_INTERVAL_MS;
  const ticker = setInterval(() => {
    const now = performance.now();
    lag.observe(Math.max(0, now - due) / 1_000);
    due = now + LAG_INTERVAL_MS;
  }, LAG_INTERVAL_MS);
  ticker.unref();
  return metrics;
}
