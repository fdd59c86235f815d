/** What a spool tells of itself. Several spools of one process share the metrics, told apart by the label `spool`. */
import type { Metrics } from "#shared/telemetry";

/** What the gauges read. */
export interface SpoolState {
  readonly records: number;
  readonly bytes: number;
  readonly oldestAt: Date | undefined;
}

export interface Instruments extends Disposable {
  fsynced(ms: number): void;
  corrupt(): void;
  replayed(records: number): void;
  refused(): void;
}

function register(metrics: Metrics) {
  const live = new Map<string, { state: SpoolState; limitBytes: number }>();
  const gauge = (name: string, help: string, read: (state: SpoolState, limitBytes: number) => number): void => {
    metrics.gauge(name, help, ["spool"], (it) => {
      it.reset();
      for (const [spool, { state, limitBytes }] of live) it.set({ spool }, read(state, limitBytes));
    });
  };
  gauge("spool_records", "Records kept and not yet delivered.", (state) => state.records);
  gauge("spool_bytes", "Bytes of the spool's segments on disk.", (state) => state.bytes);
  gauge("spool_limit_bytes", "Bytes at which the spool takes no more.", (_state, limitBytes) => limitBytes);
  gauge("spool_oldest_seconds", "Age of the oldest record not yet delivered; 0 where there is none.", ({ oldestAt }) =>
    oldestAt === undefined ? 0 : Math.max(0, (Date.now() - oldestAt.getTime()) / 1_000),
  );
  return {
    live,
    fsync: metrics.histogram("spool_fsync_seconds", "Time of one fsync of a group of records.", ["spool"]),
    corrupt: metrics.counter("spool_corrupt_total", "Segments found damaged, kept as .bad.", ["spool"]),
    replayed: metrics.counter("spool_replayed_total", "Records delivered.", ["spool"]),
    refused: metrics.counter("spool_refused_total", "Records refused for good, kept in refused.ndjson.", ["spool"]),
  };
}

const registered = new WeakMap<Metrics, ReturnType<typeof register>>();

/** The instruments of one spool; disposing takes its gauges away. */
export function makeInstruments(metrics: Metrics, spool: string, state: SpoolState, limitBytes: number): Instruments {
  let shared = registered.get(metrics);
  if (shared === undefined) {
    shared = register(metrics);
    registered.set(metrics, shared);
  }
  const { live, fsync, corrupt, replayed, refused } = shared;
  live.set(spool, { state, limitBytes });
  for (const counter of [corrupt, replayed, refused]) counter.inc({ spool }, 0); // a series from the start
  return {
    fsynced: (ms) => fsync.observe({ spool }, ms / 1_000),
    corrupt: () => corrupt.inc({ spool }),
    replayed: (records) => replayed.inc({ spool }, records),
    refused: () => refused.inc({ spool }),
    [Symbol.dispose]: () => {
      if (live.get(spool)?.state === state) live.delete(spool);
    },
  };
}
