/** Makes the collection ready: every document has an event_id of its own, and the indexes stand. Storing waits for no index that only queries need. */
import { type Collection, type IndexDescription, MongoServerError, ObjectId } from "mongodb";
import type { Log } from "#shared/log";
import { databaseBackoff, Deadline, pause } from "#shared/resilience";
import type { LogDocument } from "./documents.ts";
import { forgetSummaries, migrateSegments } from "./query/catalog.ts";
import { registryOf } from "./registry.ts";
import { prepareTraces } from "./traces/store.ts";

const UNIQUE: IndexDescription = { name: "event_id_1", key: { event_id: 1 }, unique: true };

/** Covers the numbers of a block. */
const NUMBERS: IndexDescription = {
  name: "producer_id_1_sequence_block_1_sequence_1",
  key: { producer_id: 1, sequence_block: 1, sequence: 1 },
  sparse: true,
};

/** What was stored since: see tail/since.ts. */
const SLOTS: IndexDescription = { name: "stored_slot_1", key: { stored_slot: 1 }, sparse: true };

/** Of words, in the name and wherever in the data: no language, so that words are what they are. */
export const TEXT_INDEX = "words_text";

/** Each way to ask (query/indexed.ts): newest first, with `_id` so that a page can go on where the last one ended. */
const ASKED: IndexDescription[] = [
  { name: "created_at_-1__id_-1", key: { created_at: -1, _id: -1 } },
  { name: "name_1_created_at_-1__id_-1", key: { name: 1, created_at: -1, _id: -1 } },
  { name: "severity_1_created_at_-1__id_-1", key: { severity: 1, created_at: -1, _id: -1 } },
  { name: "producer_id_1_created_at_-1__id_-1", key: { producer_id: 1, created_at: -1, _id: -1 }, sparse: true },
  { name: "trace_id_1_created_at_-1__id_-1", key: { trace_id: 1, created_at: -1, _id: -1 } },
  { name: "request_id_1_created_at_-1__id_-1", key: { request_id: 1, created_at: -1, _id: -1 } },
  { name: "data.$**_1", key: { "data.$**": 1 } },
];
/** Of before, when entries were asked for by the server's indexes alone. */
const FORMER = ["name_1_created_at_-1", "severity_1_created_at_-1"];

/** FerretDB answers all but equality by reading everything: it is asked by the catalog (query/catalog.ts) instead. */
const SEGMENTS: IndexDescription = { name: "segment_1", key: { segment: 1 } };

/** What every document has. */
const NEEDED = ["event_id", "severity", "created_at"] as const;
const CHUNK = 1_000;
const CHUNK_FERRETDB = 10;
const NAMESPACE_NOT_FOUND = 26;
const INDEX_NOT_FOUND = 27;
/** Indexes over a large collection of older entries take their time. */
const QUERIES_MS = 30 * 60_000;

type Logs = Collection<LogDocument>;

async function indexNames(logs: Logs): Promise<Set<string>> {
  try {
    return new Set((await logs.listIndexes().toArray()).map((index) => String(index["name"])));
  } catch (error) {
    if (error instanceof MongoServerError && error.code === NAMESPACE_NOT_FOUND) return new Set();
    throw error;
  }
}

/** Whether nothing is left to `prepare`, what only queries need aside; asks the server, so it also tells whether that answers. */
export async function isPrepared(logs: Logs, isFerretdb: boolean): Promise<boolean> {
  const names = await indexNames(logs);
  return [UNIQUE, ...indexesFor(isFerretdb)].every(({ name }) => name !== undefined && names.has(name));
}

function indexesFor(isFerretdb: boolean): readonly IndexDescription[] {
  return isFerretdb ? [NUMBERS, SLOTS, SEGMENTS] : [NUMBERS, SLOTS];
}

/** When an older document was made: as it says, else by its `_id`. */
function timeOf({ _id, created_at: createdAt }: Partial<LogDocument>): Date {
  if (createdAt instanceof Date) return createdAt;
  return _id instanceof ObjectId ? _id.getTimestamp() : new Date();
}

/** An id of the time at which the document was made, so that ids sort by time for older entries too. */
function eventIdFor(document: Partial<LogDocument>): string {
  return Bun.randomUUIDv7("hex", Math.max(0, timeOf(document).getTime()));
}

function lackOf(document: Partial<LogDocument>): Partial<LogDocument> {
  return {
    ...(document.event_id === undefined ? { event_id: eventIdFor(document) } : {}),
    ...(document.severity === undefined ? { severity: "INFO" } : {}),
    ...(document.created_at === undefined ? { created_at: timeOf(document) } : {}),
  };
}

/**
 * Gives older documents what they lack. Each is changed only while it lacks it, so several replicas may do this at once.
 * FerretDB 1.24 holds a connection of its own for every update of a command, has 50 of them, and hangs for ever beyond.
 */
async function complete(logs: Logs, chunk: number): Promise<number> {
  let given = 0;
  const lacking = { $or: NEEDED.map((field) => ({ [field]: { $exists: false } })) };
  const give = async (documents: readonly Partial<LogDocument>[]): Promise<void> => {
    const updates = documents.map((document) => ({
      updateOne: { filter: { _id: document._id, ...lacking }, update: { $set: lackOf(document) } },
    }));
    if (updates.length > 0) given += (await logs.bulkWrite(updates as never, { ordered: false })).modifiedCount;
  };
  let documents: Partial<LogDocument>[] = [];
  for await (const document of logs.find(lacking, { projection: { event_id: 1, severity: 1, created_at: 1 } })) {
    documents.push(document);
    if (documents.length < chunk) continue;
    await give(documents);
    documents = [];
  }
  await give(documents);
  return given;
}

/** An event_id that several documents have (they were written without the unique index) stays with the first of them. */
async function partRepeated(logs: Logs): Promise<number> {
  let parted = 0;
  for (;;) {
    const repeated = await logs
      .aggregate<{ _id: string }>([
        { $group: { _id: "$event_id", documents: { $sum: 1 } } },
        { $match: { documents: { $gt: 1 } } },
        { $limit: CHUNK },
      ])
      .toArray();
    if (repeated.length === 0) return parted;
    for (const { _id: eventId } of repeated) {
      const all = await logs
        .find({ event_id: eventId }, { projection: { created_at: 1 } })
        .sort({ _id: 1 })
        .toArray();
      for (const document of all.slice(1)) {
        const update = { $set: { event_id: eventIdFor(document), duplicate_of: eventId } };
        parted += (await logs.updateOne({ _id: document._id, event_id: eventId }, update)).modifiedCount;
      }
    }
  }
}

/** Not every server has such an index: words are looked for without it then. @throws where it does not answer. */
async function indexWords(logs: Logs, log: Log): Promise<void> {
  try {
    // A document's own field `language` would be taken for its language, by default.
    const options = { default_language: "none", language_override: "no_language" };
    await logs.createIndexes([{ name: TEXT_INDEX, key: { "$**": "text" }, ...options }]);
  } catch (error) {
    if (!(error instanceof MongoServerError)) throw error;
    log.warn("this server has no text index: words are looked for in each entry", { error });
  }
}

/**
 * Migrates older documents and makes the indexes that are missing, without which nothing is stored. Idempotent, and safe in several replicas at once.
 * Does without partial indexes, which not every server that speaks MongoDB's protocol has.
 */
export async function prepare(logs: Logs, { isFerretdb, log }: { isFerretdb: boolean; log: Log }): Promise<void> {
  const names = await indexNames(logs);
  // The collection was dropped, and what it held with it.
  if (isFerretdb && names.size === 0) await forgetSummaries(logs);
  if (!names.has("event_id_1")) {
    const given = await complete(logs, isFerretdb ? CHUNK_FERRETDB : CHUNK);
    const parted = await partRepeated(logs);
    if (given + parted > 0) log.info("older entries migrated", { completed: given, parted_event_id: parted });
  }
  // Also where it is listed: another replica may still be building it, and this call waits for that.
  await logs.createIndexes([UNIQUE]);
  // One by one: FerretDB 1.24 breaks the connection where some indexes of one command exist already.
  for (const index of indexesFor(isFerretdb)) {
    if (index.name === undefined || names.has(index.name)) continue;
    if (index === SEGMENTS) {
      const segmented = await migrateSegments(logs);
      if (segmented > 0) log.info("older entries indexed", { entries: segmented });
    }
    await logs.createIndexes([index]);
  }
}

/** Tries of what only queries need: after the last one it is left until MongoDB is connected to again. */
const TRIES = 5;

/**
 * Makes the indexes that only queries need; storing goes on meanwhile, and also without them. Idempotent.
 * @param signal ends it early. @returns when they stand, or it was given up, which is told in the log.
 */
export async function prepareQueries(
  logs: Logs,
  { isFerretdb, log, signal }: { isFerretdb: boolean; log: Log; signal: AbortSignal },
): Promise<void> {
  for (let attempt = 1; !signal.aborted; attempt += 1) {
    try {
      await Deadline.after(QUERIES_MS, signal).bound(indexQueries(logs, isFerretdb, log), "making indexes for queries");
      return;
    } catch (error) {
      if (signal.aborted) return;
      log.warn("indexes for queries could not be made: entries are stored, and asking for them may be slow", {
        attempt,
        of: TRIES,
        error,
      });
      if (attempt === TRIES) return;
      await pause(databaseBackoff(attempt), signal);
    }
  }
}

async function indexQueries(logs: Logs, isFerretdb: boolean, log: Log): Promise<void> {
  const names = await indexNames(logs);
  if (!isFerretdb) {
    for (const index of ASKED) if (!names.has(String(index.name))) await logs.createIndexes([index]);
  }
  const needless = isFerretdb ? [...FORMER, ...ASKED.map(({ name }) => String(name))] : FORMER;
  for (const name of needless) if (names.has(name)) await dropIndex(logs, name);
  if (!isFerretdb && !names.has(TEXT_INDEX)) await indexWords(logs, log);
  const { producers, blocks, voids } = registryOf(logs);
  await producers.createIndexes([{ name: "first_stored_at_-1__id_1", key: { first_stored_at: -1, _id: 1 } }]);
  await blocks.createIndexes([{ name: "producer_id_1_block_1", key: { producer_id: 1, block: 1 } }]);
  await voids.createIndexes([{ name: "producer_id_1_block_1", key: { producer_id: 1, block: 1 } }]);
  await prepareTraces(logs);
}

async function dropIndex(logs: Logs, name: string): Promise<void> {
  try {
    await logs.dropIndex(name);
  } catch (error) {
    // Another replica was first.
    if (!(error instanceof MongoServerError && error.code === INDEX_NOT_FOUND)) throw error;
  }
}
