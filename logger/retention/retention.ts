/**
 * Retention at work: what has been kept for its time is removed in the background, by one replica at a time, slowly
 * enough that those who store notice little of it.
 */
import { hostname } from "node:os";
import type { Log } from "#shared/log";
import { Deadline, pause } from "#shared/resilience";
import type { Metrics } from "#shared/telemetry";
import type { Logs, MongoConnection } from "../mongo.ts";
import { retentionOf } from "./documents.ts";
import { makeLease } from "./lease.ts";
import type { Policy } from "./policy.ts";
import { makeRemoved } from "./removed.ts";
import { retime, retimeSlot } from "./retime.ts";
import { STEP_MS, sweep, type SweepOptions } from "./sweep.ts";

export interface RetentionOptions {
  readonly connection: MongoConnection;
  readonly policy: Policy;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Entries that wait to be stored. */
  readonly waiting: () => number;
  /** Told of what is about to be removed: what it throws ends the round, and that stays. */
  readonly onDue: SweepOptions["onDue"];
  /** Told of what was removed. */
  readonly onGone: SweepOptions["onGone"];
  /** Milliseconds since 1970 (default: the clock). */
  readonly now?: () => number;
  /** Between two looks at what is due (ms, default 30 s). */
  readonly everyMs?: number;
}

/** Disposing ends what is under way within a step. */
export type Retention = AsyncDisposable;

const EVERY_MS = 30_000;
/** After one that was interrupted. */
const SOON_MS = 1_000;
/** Indexes over a large collection take their time (ms). */
const INDEX_MS = 30 * 60_000;
/** After a step: so many times what it took, once where nobody waits to store, and within these bounds (ms). */
const REST_SHARE = 3;
const REST_SHARE_IDLE = 1;
const REST_MIN_MS = 10;
const REST_MAX_MS = 10_000;
/** So many entries wait where the store has more to do than it can: they come first, for so long (ms) a step. */
const BUSY_ENTRIES = 500;
const BUSY_MS = 10_000;
const BUSY_LOOK_MS = 100;
/**
 * Where the server removes by itself (a TTL index), it is the last resort: so long after the time of an entry (s), in which
 * no logger has come to remove it. Numbers of what it removes are written down by nobody.
 */
const LAST_RESORT_S = 7 * 86_400;
const TTL_INDEX = "expire_at_1";

export function startRetention(options: RetentionOptions): Retention {
  const { connection, policy, log, metrics, waiting, onDue, onGone, now = Date.now, everyMs = EVERY_MS } = options;
  const stopping = new AbortController();
  const { signal } = stopping;
  const lease = makeLease(`${hostname()} ${process.pid}`, now);
  const removed = makeRemoved();
  const gone = metrics.counter("logger_retention_removed_total", "Entries removed because their time was over.");
  let lateS = 0;
  const about = "How late the oldest entry is whose time is over (s), as the replica knows that removes them.";
  metrics.gauge("logger_retention_late_seconds", about, [], (gauge) => gauge.set(lateS));
  let indexedAt = -1;

  /** Lets others go first. @returns whether to go on. */
  const between = async (tookMs: number): Promise<boolean> => {
    const share = waiting() === 0 ? REST_SHARE_IDLE : REST_SHARE;
    await pause(Math.min(REST_MAX_MS, Math.max(REST_MIN_MS, tookMs * share)), signal);
    for (let waited = 0; waiting() > BUSY_ENTRIES && waited < BUSY_MS && !signal.aborted; waited += BUSY_LOOK_MS) {
      await pause(BUSY_LOOK_MS, signal);
    }
    return !signal.aborted && connection.logs !== undefined && lease.held;
  };

  const makeIndexes = async (logs: Logs): Promise<void> => {
    const { epoch } = connection;
    if (indexedAt === epoch) return;
    const { slots, removed: numbers } = retentionOf(logs);
    const bound = <T>(work: Promise<T>): Promise<T> => Deadline.after(INDEX_MS, signal).bound(work, "making indexes");
    // One by one: see prepare.ts.
    await bound(logs.createIndexes([{ name: "expire_slot_1", key: { expire_slot: 1 }, sparse: true }]));
    await bound(slots.createIndexes([{ name: "hour_1", key: { hour: 1 } }]));
    await bound(numbers.createIndexes([{ name: "producer_id_1_block_1", key: { producer_id: 1, block: 1 } }]));
    if (!connection.isFerretdb) {
      const ttl = { name: TTL_INDEX, key: { expire_at: 1 }, expireAfterSeconds: LAST_RESORT_S };
      await bound(logs.createIndexes([ttl]));
    }
    indexedAt = epoch;
  };

  /** @returns whether it was interrupted: others came first, or the minute was over. */
  const round = async (logs: Logs): Promise<boolean> => {
    const { state } = retentionOf(logs);
    const known = await Deadline.after(STEP_MS, signal).bound(state.findOne({ _id: "state" }), "MongoDB");
    // Nothing has ever been removed here, and nothing is to be.
    if (known === null && policy.keepsAll) return false;
    if (!(await lease.take(logs))) return false;
    await makeIndexes(logs);
    if (known?.rules !== policy.fingerprint) {
      if (known !== null) log.info("entries get their time by other rules", { rules: policy.rules.length });
      if (!(await retime(logs, { policy, isFerretdb: connection.isFerretdb, now, between }))) return true;
      const update = { $set: { rules: policy.fingerprint } };
      await Deadline.after(STEP_MS).bound(state.updateOne({ _id: "state" }, update, { upsert: true }), "MongoDB");
      log.info("all entries have their time by the rules", { rules: policy.rules.map(({ text }) => text) });
    }
    let count = 0;
    const counted: SweepOptions["onGone"] = (entries) => {
      count += entries.length;
      gone.inc(entries.length);
      onGone(entries);
    };
    const lateMs = await sweep(logs, {
      removed,
      now,
      rules: policy.fingerprint,
      renew: (slot) => retimeSlot(logs, slot, { policy, now }),
      onDue,
      onGone: counted,
      between,
    });
    lateS = Math.max(0, lateMs / 1_000);
    if (count > 0) log.info("entries removed, their time being over", { entries: count });
    return lateMs > 0;
  };

  const live = async (): Promise<void> => {
    while (!signal.aborted) {
      const { logs } = connection;
      let waitMs = everyMs;
      try {
        if (logs !== undefined && (await round(logs))) waitMs = Math.min(everyMs, SOON_MS);
      } catch (error) {
        if (!signal.aborted) log.warn("entries whose time is over could not be removed now", { error });
      }
      await pause(waitMs * (0.75 + Math.random() / 2), signal);
    }
  };
  const life = live();

  return {
    async [Symbol.asyncDispose]() {
      stopping.abort(new Error("the logger is stopping"));
      await life;
    },
  };
}
