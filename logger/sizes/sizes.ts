/** How much the log keeps: found out in the background every minute, and told from what is known. */
import { Type } from "@sinclair/typebox";
import type { LogSizes } from "#contracts/log-sizes";
import { Failure, failureOf, ok, type Result } from "#shared/errors";
import type { Log } from "#shared/log";
import { Deadline, pause } from "#shared/resilience";
import type { CallContext, Metrics } from "#shared/telemetry";
import type { Logs, MongoConnection } from "../mongo.ts";
import { hourOf, retentionOf } from "../retention/documents.ts";
import type { Policy } from "../retention/policy.ts";
import type { Gone } from "../retention/sweep.ts";
import { type Counted, type Counts, count, countsOf, dayOf, type SizeDocument, sizesOf } from "./counters.ts";

export const SizesQuery = Type.Object({
  /** How many days are told, newest first. */
  days: Type.Optional(Type.Integer({ minimum: 1, maximum: 366 })),
});
export const DAYS_DEFAULT = 14;

export interface SizesOptions {
  readonly connection: MongoConnection;
  readonly policy: Policy;
  readonly log: Log;
  readonly metrics: Metrics;
}

export interface Sizes extends AsyncDisposable {
  /**
   * @param days the newest ones that are told, at most.
   * @returns what was known a minute ago at most. Failures: `unavailable`, `deadline`, before anything is known.
   */
  report(days: number, context: CallContext): Promise<Result<LogSizes>>;
  /**
   * An entry that is removed as it was counted when it came: with the bytes that those of its severity have on average.
   * Undefined for one that came before anything was counted, or while nothing is known.
   */
  countedOf(entry: Gone): Counted | undefined;
}

const EVERY_MS = 60_000;
/** Longest for finding out (ms). */
const LOOK_MS = 20_000;
/** Documents of counts that are read: years of them. What is beyond is left out. */
const COUNTS_MAX = 20_000;
const NAMES_TOLD = 20;
const GROWTH_DAYS = 7;
const DAY_MS = 86_400_000;
const HOURS_AHEAD = 24;
const SLOTS_MAX = 10_000;

/** Since which day (UTC) entries are counted; undefined while none were. */
type Known = LogSizes & { since: string | undefined };

/** Never less than nothing: what was removed is counted by averages. */
const shown = ({ entries, bytes }: Counts): Counts => ({
  entries: Math.max(0, entries),
  bytes: Math.max(0, Math.round(bytes)),
});

function rowsOf<K extends string>(map: ReadonlyMap<string, Counts>, key: K) {
  return [...map]
    .filter(([, { entries }]) => entries > 0)
    .map(([name, counts]) => ({ [key]: name, ...shown(counts) }) as Record<K, string> & Counts);
}

/** What the documents of all processes say together. */
export function sumOf(documents: readonly SizeDocument[], today: string) {
  const severities = new Map<string, Counts>();
  const names = new Map<string, Counts>();
  const days = new Map<string, Counts>();
  const came = new Map<string, Counts>();
  const others: Counts = { entries: 0, bytes: 0 };
  for (const document of documents) {
    for (const { severity, ...counts } of document.severities) {
      count(countsOf(severities, severity), counts);
      count(countsOf(days, document.day), counts);
    }
    for (const { name, ...counts } of document.names) count(countsOf(names, name), counts);
    count(others, document.others);
    count(countsOf(came, document.day), document.came);
  }
  const byBytes = rowsOf(names, "name").sort((a, b) => b.bytes - a.bytes || (a.name < b.name ? -1 : 1));
  for (const rest of byBytes.slice(NAMES_TOLD)) count(others, rest);
  const byDay = rowsOf(days, "day").sort((a, b) => (a.day < b.day ? 1 : -1));
  const since = [...came]
    .filter(([, { entries }]) => entries > 0)
    .map(([day]) => day)
    .sort()[0];
  const whole = Math.min(GROWTH_DAYS, Math.round((Date.parse(today) - Date.parse(since ?? today)) / DAY_MS));
  const growth: Counts = { entries: 0, bytes: 0 };
  for (let back = 1; back <= whole; back += 1) {
    const counts = came.get(dayOf(new Date(Date.parse(today) - back * DAY_MS)));
    if (counts !== undefined) count(growth, counts);
  }
  const counted: Counts = { entries: 0, bytes: 0 };
  for (const counts of severities.values()) count(counted, counts);
  const oldest = byDay.at(-1)?.day;
  const newest = byDay[0]?.day;
  return {
    since,
    counted: shown(counted),
    severities: rowsOf(severities, "severity").sort((a, b) => b.bytes - a.bytes),
    names: byBytes.slice(0, NAMES_TOLD),
    others: shown(others),
    days: byDay,
    ...(oldest === undefined ? {} : { oldest }),
    ...(newest === undefined ? {} : { newest }),
    ...(whole < 1
      ? {}
      : {
          growth_per_day: {
            entries: Math.round(growth.entries / whole),
            bytes: Math.round(growth.bytes / whole),
          },
        }),
  };
}

/** What the server says of the collection. */
async function totalOf(logs: Logs, deadline: Deadline): Promise<LogSizes["total"]> {
  const command = { collStats: logs.collectionName, maxTimeMS: Math.max(1, deadline.remainingMs()) };
  const stats = await deadline.bound(logs.db.command(command), "MongoDB");
  const numberOf = (name: string): number | undefined => {
    const value = Number(stats[name]);
    return Number.isFinite(value) ? Math.round(value) : undefined;
  };
  const disk = numberOf("storageSize");
  const index = numberOf("totalIndexSize");
  const indexSizes = stats["indexSizes"] as Record<string, unknown> | undefined;
  const indexes = Object.entries(indexSizes ?? {}).map(([name, bytes]) => ({ name, bytes: Math.round(Number(bytes)) }));
  return {
    entries: numberOf("count") ?? 0,
    bytes: numberOf("size") ?? 0,
    ...(disk === undefined ? {} : { disk_bytes: disk }),
    ...(index === undefined ? {} : { index_bytes: index }),
    ...(indexes.length === 0 ? {} : { indexes: indexes.sort((a, b) => b.bytes - a.bytes) }),
  };
}

/** Entries that go soon, hour by hour: what is due is asked for by equality. */
async function dueOf(logs: Logs, now: number, deadline: Deadline): Promise<{ due: number; next_24h: number }> {
  const { slots } = retentionOf(logs);
  let due = 0;
  let next = 0;
  for (let hour = hourOf(now) - HOURS_AHEAD; hour <= hourOf(now) + HOURS_AHEAD; hour += 1) {
    const found = slots.find<{ expire_at: Date; entries: number }>(
      { hour },
      { projection: { expire_at: 1, entries: 1 } },
    );
    for (const { expire_at, entries } of await deadline.bound(found.limit(SLOTS_MAX).toArray(), "MongoDB")) {
      if (expire_at.getTime() <= now) due += entries;
      else if (expire_at.getTime() <= now + DAY_MS) next += entries;
    }
  }
  return { due, next_24h: next };
}

export function startSizes({ connection, policy, log, metrics }: SizesOptions): Sizes {
  const stopping = new AbortController();
  const { signal } = stopping;
  let known: Known | undefined;
  let looking: Promise<Known> | undefined;

  const find = async (): Promise<Known> => {
    const { logs } = connection;
    if (logs === undefined) throw new Failure("unavailable", "MongoDB is unavailable", { retryAfterS: 1 });
    const deadline = Deadline.after(LOOK_MS, signal);
    const now = Date.now();
    const total = await totalOf(logs, deadline);
    const documents = await deadline.bound(sizesOf(logs).find().limit(COUNTS_MAX).toArray(), "MongoDB");
    const { due, next_24h } = await dueOf(logs, now, deadline);
    const rules = policy.rules.map(({ text }) => text);
    return {
      as_of: new Date(now).toISOString(),
      total,
      ...sumOf(documents, dayOf(new Date(now))),
      retention: { rules, due, next_24h },
    };
  };
  /** One look at a time, for all who wait. */
  const look = (): Promise<Known> => {
    looking ??= find()
      .then((found) => {
        known = found;
        return found;
      })
      .finally(() => {
        looking = undefined;
      });
    return looking;
  };

  const live = async (): Promise<void> => {
    while (!signal.aborted) {
      try {
        if (connection.logs !== undefined) await look();
      } catch (error) {
        if (!signal.aborted) log.debug("how much is stored could not be found out", { error });
      }
      await pause((known === undefined ? 1_000 : EVERY_MS) * (0.75 + Math.random() / 2), signal);
    }
  };
  const life = live();

  // Whatever a scrape reads is known already: nothing is asked for it, and before anything is known nothing is told.
  const perSeverity = (pick: (counts: Counts) => number) => (gauge: ReturnType<typeof metrics.gauge<"severity">>) => {
    for (const row of known?.severities ?? []) gauge.set({ severity: row.severity }, pick(row));
  };
  const ofCounted = "as far as they are counted, approximate, once a minute.";
  const entriesAbout = `Entries that are stored, ${ofCounted}`;
  metrics.gauge(
    "logger_stored_entries",
    entriesAbout,
    ["severity"],
    perSeverity(({ entries }) => entries),
  );
  const bytesAbout = `Bytes of entries that are stored, as they came in, ${ofCounted}`;
  metrics.gauge(
    "logger_stored_bytes",
    bytesAbout,
    ["severity"],
    perSeverity(({ bytes }) => bytes),
  );
  const storageAbout = "Bytes of the collection of entries, as the server tells, once a minute.";
  metrics.gauge("logger_storage_bytes", storageAbout, ["part"], (gauge) => {
    const { total } = known ?? {};
    if (total === undefined) return;
    gauge.set({ part: "documents" }, total.disk_bytes ?? total.bytes);
    if (total.index_bytes !== undefined) gauge.set({ part: "indexes" }, total.index_bytes);
  });

  return {
    async report(days, { deadline }) {
      try {
        const { since: _, ...found } = known ?? (await deadline.bound(look(), "MongoDB"));
        return ok({ ...found, days: found.days.slice(0, days) });
      } catch (error) {
        if (error instanceof Failure) return { ok: false, error };
        connection.suspect();
        return {
          ok: false,
          error: new Failure("unavailable", "MongoDB is unavailable", { cause: failureOf(error), retryAfterS: 1 }),
        };
      }
    },
    countedOf({ name, severity, stored_at: storedAt }) {
      if (storedAt === undefined || known?.since === undefined || dayOf(storedAt) < known.since) return undefined;
      const row = known.severities.find((one) => one.severity === severity);
      const bytes = row === undefined || row.entries === 0 ? 0 : row.bytes / row.entries;
      return { name, severity, storedAt, bytes };
    },
    async [Symbol.asyncDispose]() {
      stopping.abort(new Error("the logger is stopping"));
      await life;
    },
  };
}
