/**
 * How many entries of which day, severity and name there are, counted as they come and go: nothing is scanned for it.
 * Every process has documents of its own, so that no two of them write the same one; their sum is what there is.
 */
import type { Log } from "#shared/log";
import { Deadline } from "#shared/resilience";
import type { Logs, MongoConnection } from "../mongo.ts";

export interface Counts {
  entries: number;
  bytes: number;
}

/** What one process has stored and removed of one day: collection `log_sizes`. */
export interface SizeDocument {
  _id: string;
  /** By when the logger stored it: `2026-01-31`, in UTC. */
  day: string;
  /** What came; what was removed since is in the lists only. */
  came: Counts;
  severities: ({ severity: string } & Counts)[];
  /** Of further names the counts are in `others`. */
  names: ({ name: string } & Counts)[];
  others: Counts;
}

export const sizesOf = ({ db }: Logs) => db.collection<SizeDocument>("log_sizes");

/** An entry that is counted. */
export interface Counted {
  readonly name: string;
  readonly severity: string;
  readonly storedAt: Date;
  readonly bytes: number;
}

export interface Counters extends AsyncDisposable {
  added(entry: Counted): void;
  removed(entry: Counted): void;
}

/** Names that are told apart on a day by one process. */
const NAMES_MAX = 500;
/** Days in hand: today, and those of which something is removed. */
const DAYS_MAX = 400;
const WRITE_EVERY_MS = 10_000;
const WRITES_AT_ONCE = 10;
const WRITE_MS = 2_000;
const LAST_WRITES_MS = 1_000;

interface Day {
  readonly id: string;
  readonly came: Counts;
  readonly severities: Map<string, Counts>;
  readonly names: Map<string, Counts>;
  readonly others: Counts;
  changed: boolean;
}

export const dayOf = (at: Date): string => at.toISOString().slice(0, 10);

const none = (): Counts => ({ entries: 0, bytes: 0 });

export function count(to: Counts, { entries, bytes }: Counts, sign: 1 | -1 = 1): void {
  to.entries += sign * entries;
  to.bytes += sign * bytes;
}

/** The counts under `key`, new ones where there are none. */
export function countsOf(map: Map<string, Counts>, key: string): Counts {
  const known = map.get(key);
  if (known !== undefined) return known;
  const counts = none();
  map.set(key, counts);
  return counts;
}

export function makeCounters(connection: MongoConnection, log: Log): Counters {
  const days = new Map<string, Day>();
  let epoch = -1;
  let writing: Promise<void> | undefined;

  const dayFor = (key: string): Day => {
    const known = days.get(key);
    if (known !== undefined) return known;
    for (const [oldest, { changed }] of days) {
      if (days.size < DAYS_MAX) break;
      // What is written is in its document; of that day another one is begun when there is more of it.
      if (!changed || days.size >= 2 * DAYS_MAX) days.delete(oldest);
    }
    const id = `${key}/${Bun.randomUUIDv7()}`;
    const day = { id, came: none(), severities: new Map(), names: new Map(), others: none(), changed: false };
    days.set(key, day);
    return day;
  };

  const change = ({ name, severity, storedAt, bytes }: Counted, sign: 1 | -1): void => {
    const day = dayFor(dayOf(storedAt));
    const one = { entries: 1, bytes };
    if (sign === 1) count(day.came, one);
    count(countsOf(day.severities, severity), one, sign);
    const isTold = day.names.has(name) || day.names.size < NAMES_MAX;
    count(isTold ? countsOf(day.names, name) : day.others, one, sign);
    day.changed = true;
  };

  const write = async (deadline: Deadline): Promise<void> => {
    const { logs } = connection;
    if (logs === undefined) return;
    if (connection.epoch !== epoch) {
      // The database was emptied, or is another one: what is counted anew is all that is there.
      if (epoch >= 0 && (await deadline.bound(sizesOf(logs).findOne({}), "MongoDB")) === null) days.clear();
      ({ epoch } = connection);
    }
    const changed = [...days].filter(([, day]) => day.changed).slice(0, WRITES_AT_ONCE);
    for (const [key, day] of changed) {
      const { id, came, severities, names, others } = day;
      day.changed = false;
      const document = {
        day: key,
        came,
        severities: [...severities].map(([severity, counts]) => ({ severity, ...counts })),
        names: [...names].map(([name, counts]) => ({ name, ...counts })),
        others,
      };
      try {
        await deadline.bound(sizesOf(logs).replaceOne({ _id: id }, document, { upsert: true }), "MongoDB");
      } catch (error) {
        day.changed = true;
        throw error;
      }
    }
  };
  const tryToWrite = async (ms: number): Promise<void> => {
    try {
      await write(Deadline.after(ms));
    } catch (error) {
      log.debug("the counts of entries could not be written", { error });
    }
  };
  const timer = setInterval(() => {
    writing ??= tryToWrite(WRITE_MS).then(() => {
      writing = undefined;
    });
  }, WRITE_EVERY_MS);
  timer.unref();

  return {
    added: (entry) => change(entry, 1),
    removed: (entry) => change(entry, -1),
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      await writing;
      await tryToWrite(LAST_WRITES_MS);
    },
  };
}
