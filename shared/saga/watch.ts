/** Sagas as figures, and the end of old rows. */
import type { Log } from "#shared/log";
import type { Database } from "#shared/postgres";
import { Deadline, pause } from "#shared/resilience";
import type { Metrics } from "#shared/telemetry";
import type { Count, Store } from "./store.ts";

const COUNT_EVERY_MS = 5_000;
/** Of these rounds, every so many removes old rows. */
const PURGE_EVERY = 120;
const KEPT_DAYS = 30;
const STATEMENT_MS = 3_000;

export interface WatchOptions {
  store: Pick<Store, "counts" | "purge">;
  database: Pick<Database, "up">;
  log: Log;
  metrics: Metrics;
  signal: AbortSignal;
}

/** Counts every 5 s until the signal fires; every 10 minutes up to 1,000 rows that ended 30 days ago are removed. */
export async function watchSagas({ store, database, log, metrics, signal }: WatchOptions): Promise<void> {
  let counts: readonly Count[] = [];
  metrics.gauge("sagas", "Sagas that have not ended.", ["saga", "state"], (gauge) => {
    gauge.reset();
    for (const { name, state, count } of counts) gauge.set({ saga: name, state }, count);
  });
  metrics.gauge("saga_oldest_seconds", "Age of the oldest saga that has not ended (s).", ["saga", "state"], (gauge) => {
    gauge.reset();
    for (const { name, state, oldestS } of counts) gauge.set({ saga: name, state }, oldestS);
  });
  for (let round = 0; !signal.aborted; round += 1) {
    if (database.up) {
      const counted = await store.counts(Deadline.after(STATEMENT_MS));
      if (counted.ok) counts = counted.value;
      if (round % PURGE_EVERY === PURGE_EVERY - 1) {
        const purged = await store.purge(KEPT_DAYS, Deadline.after(STATEMENT_MS));
        if (!purged.ok) log.warn("old sagas not removed", { reason: purged.error });
      }
    }
    await pause(COUNT_EVERY_MS, signal);
  }
}
