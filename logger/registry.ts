/**
 * What is known of producers besides their entries, so that a report of gaps need not search for it: who they are,
 * which blocks of numbers they have used, how far they have come, and which numbers they have voided. It is written
 * before the entries that it speaks of, so nothing is stored that it does not know.
 */
import { type Collection, MongoBulkWriteError } from "mongodb";
import type { Log } from "#shared/log";
import { Deadline } from "#shared/resilience";
import { DUPLICATE_KEY } from "./driver.ts";
import type { LogRecord } from "./entries.ts";
import type { Logs, MongoConnection } from "./mongo.ts";
import { blockOf } from "./numbers.ts";

/** A producer: collection `log_producers`. */
export interface ProducerDocument {
  /** Its id. */
  _id: string;
  first_stored_at: Date;
}

/** Some numbers of a producer: collection `log_blocks`. */
export interface BlockDocument {
  /** `<block>/<producer>` */
  _id: string;
  producer_id: string;
  block: number;
  /** Highest number that came, at most a second behind for each 20 producers at work (more where the logger was killed). */
  last: number;
  last_stored_at: Date;
}

/** Numbers that came to nothing: collection `log_voids`. */
export interface VoidDocument {
  /** `<block>/<number by which they were voided>/<producer>`; of the logger's own: `<block>/=<number>/<producer>` */
  _id: string;
  producer_id: string;
  block: number;
  numbers: number[];
}

export function registryOf({ db }: Logs) {
  return {
    producers: db.collection<ProducerDocument>("log_producers"),
    blocks: db.collection<BlockDocument>("log_blocks"),
    voids: db.collection<VoidDocument>("log_voids"),
  };
}

export interface Registry extends AsyncDisposable {
  /**
   * Makes the producers of these records known, before they are stored.
   * @throws what the driver throws, and Failure `deadline`.
   */
  register(logs: Logs, records: readonly LogRecord[], deadline: Deadline): Promise<void>;
  /** Voids the numbers of records whose entries are stored under another number: they came twice to their producer. */
  voidRepeated(logs: Logs, records: readonly LogRecord[], deadline: Deadline): Promise<void>;
}

/** Blocks that are remembered as known; of others it is found out again. */
const KNOWN_MAX = 10_000;
/** How often the highest numbers are written, and how many a time: FerretDB needs some 20 ms for an update. */
const MARK_EVERY_MS = 1_000;
const MARKS_AT_ONCE = 20;
const MARK_MS = 1_000;
/** Longest for those that are left at the end. */
const LAST_MARKS_MS = 2_000;

interface Mark {
  readonly producerId: string;
  readonly block: number;
  last: number;
  at: Date;
}

/** Inserts those that are not there yet. */
export async function insertNew<T extends { _id: string }>(
  collection: Collection<T>,
  documents: readonly T[],
): Promise<void> {
  if (documents.length === 0) return;
  try {
    await collection.insertMany(documents as never, { ordered: false });
  } catch (error) {
    const isThere =
      error instanceof MongoBulkWriteError &&
      error.result.getWriteConcernError() === undefined &&
      [error.writeErrors].flat().every(({ code }) => code === DUPLICATE_KEY);
    if (!isThere) throw error;
  }
}

export function makeRegistry(connection: MongoConnection, log: Log): Registry {
  const known = new Map<string, Mark>();
  /** Of these, what the store is known to have. */
  const registered = new Set<string>();
  /** Marks that moved since they were written. */
  const moved = new Set<string>();
  let epoch = -1;
  let flushing: Promise<void> | undefined;

  const keyOf = (producerId: string, block: number): string => `${block}/${producerId}`;

  const remember = (key: string, mark: Mark): void => {
    known.set(key, mark);
    if (known.size <= KNOWN_MAX) return;
    for (const oldest of known.keys()) {
      known.delete(oldest);
      registered.delete(oldest);
      moved.delete(oldest);
      if (known.size <= KNOWN_MAX) return;
    }
  };

  /** The marks that these records move or make, by their keys. */
  const marksOf = (records: readonly LogRecord[]): Map<string, Mark> => {
    const at = new Date();
    const marks = new Map<string, Mark>();
    const see = (producerId: string, sequence: number): void => {
      const block = blockOf(sequence);
      const key = keyOf(producerId, block);
      const mark = marks.get(key);
      if (mark === undefined) marks.set(key, { producerId, block, last: sequence, at });
      else mark.last = Math.max(mark.last, sequence);
    };
    for (const { producer } of records) {
      if (producer === undefined) continue;
      see(producer.id, producer.sequence);
      for (const sequence of producer.voided ?? []) see(producer.id, sequence);
    }
    return marks;
  };

  /** @returns false where the store does not take them. */
  const flush = async (): Promise<boolean> => {
    const { logs } = connection;
    if (logs === undefined) return false;
    const { blocks } = registryOf(logs);
    for (const key of [...moved].slice(0, MARKS_AT_ONCE)) {
      const mark = known.get(key);
      moved.delete(key);
      if (mark === undefined) continue;
      const { producerId, block, last, at } = mark;
      try {
        const update = {
          $max: { last, last_stored_at: at },
          $setOnInsert: { producer_id: producerId, block },
        };
        await Deadline.after(MARK_MS).bound(blocks.updateOne({ _id: key }, update, { upsert: true }), "MongoDB");
      } catch (error) {
        moved.add(key);
        // Nothing is lost by it: the next time, or the entries themselves, tell.
        log.debug("the highest number of a producer could not be written", { producer: producerId, error });
        return false;
      }
    }
    return true;
  };
  const timer = setInterval(() => {
    if (moved.size === 0 || flushing !== undefined) return;
    flushing = flush().then(() => {
      flushing = undefined;
    });
  }, MARK_EVERY_MS);
  timer.unref();

  return {
    async register(logs, records, deadline) {
      // The database was emptied, or is another one. How far a producer has come is still to be told, all the more so.
      if (connection.epoch !== epoch) {
        registered.clear();
        ({ epoch } = connection);
      }
      const marks = marksOf(records);
      if (marks.size === 0) return;
      const registry = registryOf(logs);
      const fresh = [...marks].filter(([key]) => !registered.has(key));
      if (fresh.length > 0) {
        const at = new Date();
        const ids = new Set(fresh.map(([, { producerId }]) => producerId));
        const producers = [...ids].map((id) => ({ _id: id, first_stored_at: at }));
        await deadline.bound(insertNew(registry.producers, producers), "MongoDB");
        const blocks = fresh.map(([key, { producerId, block, last }]) => ({
          _id: key,
          producer_id: producerId,
          block,
          last,
          last_stored_at: at,
        }));
        await deadline.bound(insertNew(registry.blocks, blocks), "MongoDB");
      }
      const voids = records.flatMap(({ producer }) => (producer === undefined ? [] : voidsOf(producer)));
      await deadline.bound(insertNew(registry.voids, voids), "MongoDB");
      for (const [key, mark] of marks) {
        registered.add(key);
        const before = known.get(key);
        if (before === undefined) remember(key, mark);
        else {
          before.last = Math.max(before.last, mark.last);
          before.at = mark.at;
        }
        moved.add(key);
      }
    },
    async voidRepeated(logs, records, deadline) {
      const voids = records.flatMap(({ producer }) => {
        if (producer === undefined) return [];
        const { id, sequence } = producer;
        const block = blockOf(sequence);
        return [{ _id: `${block}/=${sequence}/${id}`, producer_id: id, block, numbers: [sequence] }];
      });
      await deadline.bound(insertNew(registryOf(logs).voids, voids), "MongoDB");
    },
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      await flushing;
      const deadline = Deadline.after(LAST_MARKS_MS);
      while (moved.size > 0 && !deadline.passed && (await flush())) {
        // The next ones.
      }
    },
  };
}

/** What an entry voids, block by block. */
function voidsOf({ id, sequence, voided = [] }: NonNullable<LogRecord["producer"]>): VoidDocument[] {
  const blocks = new Map<number, number[]>();
  for (const number of voided) {
    const numbers = blocks.get(blockOf(number));
    if (numbers === undefined) blocks.set(blockOf(number), [number]);
    else numbers.push(number);
  }
  return [...blocks].map(([block, numbers]) => ({
    _id: `${block}/${sequence}/${id}`,
    producer_id: id,
    block,
    numbers,
  }));
}
