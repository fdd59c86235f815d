/**
 * An index of all entries for servers that have none of their own which a query could use: FerretDB hands on only
 * equality to its PostgreSQL, and reads every document for a range, an order or a field of `data`.
 *
 * Entries are written in segments of some thousand: a document names its segment, and when a segment is full, what its
 * entries can be asked for is written beside it, once. A segment is announced before its first entry is stored, so no
 * entry is unknown: one whose summary is missing (it is being filled, or its writer was killed) is read itself.
 */
import { Binary, type Collection } from "mongodb";
import { Failure } from "#shared/errors";
import type { Log } from "#shared/log";
import { Deadline } from "#shared/resilience";
import { decodeData } from "../data.ts";
import type { LogDocument } from "../documents.ts";
import { boundsOf, isDuplicateKey } from "../driver.ts";
import type { LogRecord } from "../entries.ts";
import type { Logs, MongoConnection } from "../mongo.ts";
import { makeKept } from "./kept.ts";
import {
  decodeSegment,
  encodeSegment,
  type Indexed,
  makeSegmentBuilder,
  type Segment,
  type SegmentBuilder,
  withoutRows,
} from "./segment.ts";

/** Announces a segment: collection `log_segments`. */
interface MarkerDocument {
  /** Counted from 1 over all writers, so that whoever knows one finds the next. */
  _id: number;
  opened_at: Date;
}

/** What the entries of a full segment can be asked for: collection `log_summaries`. */
interface SummaryDocument {
  /** The segment's. */
  _id: number;
  entries: number;
  body: Binary;
}

function collectionsOf({ db }: Logs): { markers: Collection<MarkerDocument>; summaries: Collection<SummaryDocument> } {
  return { markers: db.collection("log_segments"), summaries: db.collection("log_summaries") };
}

/** A segment takes no batch more once it has as many. */
const SEGMENT_ENTRIES = 1_024;
/** Nor once it is this old (ms): ... */
const WRITTEN_MS = 10 * 60_000;
/** ... so that after this time its writer is surely gone, and whoever reads it completes it. */
const ABANDONED_MS = 15 * 60_000;
/** What another replica removes is noticed this late (ms). */
const RELOAD_MS = 10 * 60_000;
/** Markers of removed segments are kept for others, who find the next segment by them. */
const MARKERS_KEPT = 1_000;
const SEAL_MS = 10_000;
/** The same when this process ends (ms). */
const CLOSE_MS = 2_000;
/** Summaries that wait to be written; one beyond is left to whoever reads its segment. */
const SEALING_MAX = 16;
const LOAD_MS = 60_000;
const MIB = 1_048_576;

/** A segment as it is listed: newest first. */
export interface Listed {
  readonly number: number;
  readonly newest: number;
  readonly oldest: number;
  readonly rows: number;
}

/** One being filled by this process. */
interface Writing {
  readonly number: number;
  readonly openedAt: number;
  readonly builder: SegmentBuilder;
  /** Entries of batches that have entered. */
  entered: number;
  inFlight: number;
  /** Of some entries it is not known whether they are stored. */
  isUncertain: boolean;
  isFull: boolean;
}

/** What the store tells. */
export interface SegmentWriter {
  /**
   * The segment of a batch; undefined where the server needs none.
   * @throws what the driver throws, and Failure `deadline`.
   */
  enter(logs: Logs, entries: number, deadline: Deadline): Promise<number | undefined>;
  /** These of a batch are stored. */
  took(segment: number, records: readonly LogRecord[]): void;
  /** What became of a batch is not known. */
  lost(segment: number): void;
}

export interface Catalog extends SegmentWriter, AsyncDisposable {
  /** All segments that are there now, by their newest entries, newest first. @throws as `enter`. */
  list(logs: Logs, deadline: Deadline): Promise<readonly Listed[]>;
  /** @throws as `enter`. */
  segment(logs: Logs, listed: Listed, deadline: Deadline): Promise<Segment>;
  /** These entries are about to be deleted: they are neither found nor counted any more. @throws as `enter`. */
  removed(logs: Logs, entries: readonly { event_id: string; segment?: number }[], deadline: Deadline): Promise<void>;
}

type Older = Pick<LogDocument, "event_id" | "name" | "severity" | "created_at" | "data"> & Partial<LogDocument>;

export function indexedOf(document: Older): Indexed {
  return {
    event_id: document.event_id,
    name: document.name,
    severity: document.severity,
    data: decodeData(document),
    at: document.created_at.getTime(),
    ...(document.trace_id === undefined ? {} : { trace_id: document.trace_id }),
    ...(document.request_id === undefined ? {} : { request_id: document.request_id }),
    ...(document.producer_id === undefined
      ? {}
      : { producer: { id: document.producer_id, sequence: document.sequence ?? 0 } }),
  };
}

function recordIndexed(record: LogRecord): Indexed {
  return {
    event_id: record.eventId,
    name: record.name,
    severity: record.severity,
    data: decodeData(record.content),
    at: record.createdAt.getTime(),
    trace_id: record.traceId,
    request_id: record.requestId,
    ...(record.producer === undefined ? {} : { producer: record.producer }),
  };
}

function listedOf(number: number, { times, rows }: Segment): Listed {
  let newest = Number.NEGATIVE_INFINITY;
  let oldest = Number.POSITIVE_INFINITY;
  for (const time of times) {
    if (time > newest) newest = time;
    if (time < oldest) oldest = time;
  }
  return { number, newest, oldest, rows };
}

/** Writes it where it is not there yet. */
async function insertOnce<T extends { _id: number }>(collection: Collection<T>, document: T): Promise<boolean> {
  try {
    await collection.insertOne(document as never);
    return true;
  } catch (error) {
    if (!isDuplicateKey(error)) throw error;
    return false;
  }
}

async function writeSummary(logs: Logs, number: number, segment: Segment): Promise<void> {
  const body = new Binary(encodeSegment(segment));
  await insertOnce(collectionsOf(logs).summaries, { _id: number, entries: segment.rows, body });
}

/** The segment out of its documents. */
async function readSegment(logs: Logs, number: number, deadline: Deadline): Promise<Segment> {
  const builder = makeSegmentBuilder();
  const documents = await deadline.bound(logs.find({ segment: number }, boundsOf(deadline)).toArray(), "MongoDB");
  for (const document of documents) builder.add(indexedOf(document));
  return builder.build();
}

/** Of no entry is told any more where it is but by itself. The count goes on: others may be writing. */
export async function forgetSummaries(logs: Logs): Promise<void> {
  await collectionsOf(logs).summaries.deleteMany({});
}

/**
 * Makes segments of entries of older writers. It counts them in the order in which the server gives them, so that several
 * replicas, or one that was stopped half-way and begins anew, write the same.
 * @returns how many entries it has read.
 */
export async function migrateSegments(logs: Logs): Promise<number> {
  const { markers, summaries } = collectionsOf(logs);
  let number = 0;
  let entries = 0;
  let builder = makeSegmentBuilder();
  const write = async (): Promise<void> => {
    number += 1;
    const segment = builder.build();
    builder = makeSegmentBuilder();
    await insertOnce(markers, { _id: number, opened_at: new Date(0) });
    if ((await summaries.findOne({ _id: number }, { projection: { _id: 1 } })) === null) {
      await writeSummary(logs, number, segment);
    }
  };
  for await (const document of logs.find({}, { batchSize: SEGMENT_ENTRIES })) {
    if (document.segment !== undefined) continue;
    builder.add(indexedOf(document));
    entries += 1;
    if (builder.rows >= SEGMENT_ENTRIES) await write();
  }
  if (builder.rows > 0) await write();
  return entries;
}

/** @param maxBytes of segments in memory; those beyond are read again where they are asked for. */
export function makeCatalog(connection: MongoConnection, log: Log, maxBytes: number): Catalog {
  const cache = makeKept<Segment>(maxBytes, () =>
    log.warn(
      "the index of entries does not fit into INDEX_MEMORY_MIB: questions for what is rare or old read the rest",
      {
        max_mib: maxBytes / MIB,
      },
    ),
  );
  /** Those with a summary. */
  const listed = new Map<number, Listed>();
  /** Announced, and without a summary as far as is known: when they were. */
  const unsealed = new Map<number, number>();
  const writing = new Map<number, Writing>();
  const sealing = new Map<number, Promise<void>>();
  let current: Writing | undefined;
  let opening: Promise<Writing> | undefined;
  let known = 0;
  let epoch = -1;
  let loading: Promise<void> | undefined;
  let counting: Promise<void> | undefined;
  let loadedAt = Number.NEGATIVE_INFINITY;
  let order: Listed[] | undefined;

  const put = (number: number, segment: Segment): void => {
    unsealed.delete(number);
    listed.set(number, listedOf(number, segment));
    cache.set(number, segment);
    order = undefined;
  };

  /** Nothing of before holds where the database was emptied, or is another one. */
  const forgetOld = (): void => {
    if (connection.epoch === epoch) return;
    ({ epoch } = connection);
    cache.clear();
    listed.clear();
    unsealed.clear();
    writing.clear();
    current = undefined;
    known = 0;
    order = undefined;
    loading = undefined;
    counting = undefined;
    loadedAt = Number.NEGATIVE_INFINITY;
  };

  /** What is announced now. @returns its numbers. */
  const readMarkers = async (logs: Logs): Promise<ReadonlySet<number>> => {
    const began = epoch;
    const numbers = new Set<number>();
    for await (const { _id, opened_at } of collectionsOf(logs).markers.find({}, { maxTimeMS: LOAD_MS })) {
      if (epoch !== began) break;
      numbers.add(_id);
      if (!listed.has(_id) && !writing.has(_id)) unsealed.set(_id, opened_at.getTime());
      known = Math.max(known, _id);
    }
    return numbers;
  };

  /** Nothing is left of it, and no other needs it to find the next one. */
  const isNeedless = (number: number, { rows }: Segment): boolean => rows === 0 && number < known - MARKERS_KEPT;

  const drop = async (logs: Logs, number: number, deadline: Deadline): Promise<void> => {
    const { markers, summaries } = collectionsOf(logs);
    await deadline.bound(markers.deleteOne({ _id: number }), "MongoDB");
    await deadline.bound(summaries.deleteOne({ _id: number }), "MongoDB");
    listed.delete(number);
    unsealed.delete(number);
    cache.delete(number);
    order = undefined;
  };

  const loadAll = async (logs: Logs): Promise<void> => {
    const { summaries } = collectionsOf(logs);
    const began = epoch;
    const before = new Set(listed.keys());
    const numbers = await readMarkers(logs);
    const needless: number[] = [];
    const summarized = new Set<number>();
    for await (const { _id, body } of summaries.find({}, { maxTimeMS: LOAD_MS, batchSize: 50 })) {
      if (epoch !== began) return;
      const segment = decodeSegment(body.value());
      if (segment === undefined) continue;
      summarized.add(_id);
      if (isNeedless(_id, segment)) needless.push(_id);
      else put(_id, segment);
    }
    if (epoch !== began) return;
    for (const number of needless) await drop(logs, number, Deadline.after(SEAL_MS));
    // What another replica has removed since; never what was completed while this was read.
    for (const number of before) {
      if (!listed.has(number) || summarized.has(number) || sealing.has(number)) continue;
      listed.delete(number);
      if (numbers.has(number)) unsealed.set(number, Date.now());
      order = undefined;
    }
    loadedAt = performance.now();
  };

  const load = async (logs: Logs, deadline: Deadline): Promise<void> => {
    if (performance.now() - loadedAt < RELOAD_MS) return;
    if (loading === undefined) {
      const one = loadAll(logs).finally(() => {
        if (loading === one) loading = undefined;
      });
      loading = one;
    }
    const isFirst = loadedAt === Number.NEGATIVE_INFINITY;
    const done = deadline.bound(loading, "the index of entries");
    // Later ones are for what others have removed: nobody waits for that.
    if (isFirst) await done;
    else done.catch(() => undefined);
  };

  /** What others have announced since. */
  const follow = async (logs: Logs): Promise<void> => {
    const { markers } = collectionsOf(logs);
    for (;;) {
      const next = known + 1;
      const marker = await markers.findOne({ _id: next });
      if (marker === null) return;
      if (!writing.has(next) && !listed.has(next)) unsealed.set(next, marker.opened_at.getTime());
      known = Math.max(known, next);
    }
  };

  const seal = (logs: Logs, number: number, segment: Segment): void => {
    put(number, segment);
    if (sealing.size >= SEALING_MAX) return;
    const sealed = Deadline.after(SEAL_MS)
      .bound(writeSummary(logs, number, segment), "MongoDB")
      .catch((error: unknown) => {
        // Whoever needs it reads the segment itself.
        log.warn("a segment's summary could not be written, and is left to the next reader", {
          segment: number,
          error,
        });
      })
      .finally(() => sealing.delete(number));
    sealing.set(number, sealed);
  };

  const finish = (one: Writing, logs: Logs | undefined): void => {
    if (!one.isFull || one.inFlight > 0 || !writing.has(one.number)) return;
    writing.delete(one.number);
    // Also where MongoDB is away: whoever asks for it next reads it.
    if (one.isUncertain || logs === undefined) unsealed.set(one.number, one.openedAt);
    else seal(logs, one.number, one.builder.build());
  };

  const close = (one: Writing | undefined, logs: Logs): void => {
    if (one === undefined) return;
    one.isFull = true;
    if (current === one) current = undefined;
    finish(one, logs);
  };

  /** All that others have announced: goes on where whoever waits for it has no more time, and is there for the next one. */
  const count = async (logs: Logs, deadline: Deadline): Promise<void> => {
    if (counting === undefined) {
      const one = readMarkers(logs)
        .then(() => undefined)
        .finally(() => {
          if (counting === one) counting = undefined;
        });
      counting = one;
    }
    await deadline.bound(counting, "the count of segments");
  };

  const open = async (logs: Logs, deadline: Deadline): Promise<Writing> => {
    const { markers } = collectionsOf(logs);
    const began = epoch;
    // Where the count stands is best known to the server.
    if (known === 0) await count(logs, deadline);
    for (;;) {
      const number = known + 1;
      const openedAt = new Date();
      const isOurs = await deadline.bound(insertOnce(markers, { _id: number, opened_at: openedAt }), "MongoDB");
      if (epoch !== began) throw new Failure("unavailable", "MongoDB was away meanwhile", { retryAfterS: 1 });
      if (!isOurs) {
        // Others may have come far.
        await count(logs, deadline);
        continue;
      }
      known = Math.max(known, number);
      const one: Writing = {
        number,
        openedAt: openedAt.getTime(),
        builder: makeSegmentBuilder(),
        entered: 0,
        inFlight: 0,
        isUncertain: false,
        isFull: false,
      };
      // Whoever looked meanwhile has taken it for another's.
      unsealed.delete(number);
      writing.set(number, one);
      return one;
    }
  };

  const rowsOf = (segment: Segment, ids: ReadonlySet<string>): Set<number> =>
    new Set([...segment.times.keys()].filter((row) => ids.has(segment.eventId(row))));

  /** Takes entries out of a summary as it is stored: another replica may have changed it. One without is read itself. */
  const withdraw = async (logs: Logs, number: number, ids: ReadonlySet<string>, deadline: Deadline): Promise<void> => {
    const { summaries } = collectionsOf(logs);
    await deadline.bound(sealing.get(number) ?? Promise.resolve(), "MongoDB");
    for (;;) {
      const summary = await deadline.bound(summaries.findOne({ _id: number }), "MongoDB");
      const segment = summary === null ? undefined : decodeSegment(summary.body.value());
      if (summary === null || segment === undefined) return;
      const rows = rowsOf(segment, ids);
      const rest = rows.size === 0 ? segment : withoutRows(segment, rows);
      if (isNeedless(number, rest)) return await drop(logs, number, deadline);
      if (rows.size > 0) {
        // Each change leaves fewer: where the number is another one, somebody else came first.
        const which = { _id: number, entries: summary.entries };
        const update = { $set: { entries: rest.rows, body: new Binary(encodeSegment(rest)) } };
        const { matchedCount } = await deadline.bound(summaries.updateOne(which, update), "MongoDB");
        if (matchedCount === 0) continue;
      }
      put(number, rest);
      return;
    }
  };

  const leave = (number: number, how: (one: Writing) => void): void => {
    const one = writing.get(number);
    const { logs } = connection;
    if (one === undefined) return;
    one.inFlight -= 1;
    how(one);
    finish(one, logs);
  };

  return {
    async enter(logs, entries, deadline) {
      if (!connection.isFerretdb) return undefined;
      forgetOld();
      if (current !== undefined && (current.isFull || Date.now() - current.openedAt > WRITTEN_MS)) close(current, logs);
      if (current === undefined) {
        opening ??= open(logs, deadline).finally(() => {
          opening = undefined;
        });
        current = await opening;
      }
      const one = current;
      one.inFlight += 1;
      one.entered += entries;
      if (one.entered >= SEGMENT_ENTRIES) {
        one.isFull = true;
        current = undefined;
      }
      return one.number;
    },
    took(number, records) {
      leave(number, (one) => {
        for (const record of records) one.builder.add(recordIndexed(record));
      });
    },
    lost(number) {
      leave(number, (one) => {
        one.isUncertain = true;
        one.isFull = true;
        if (current === one) current = undefined;
      });
    },
    async list(logs, deadline) {
      forgetOld();
      await load(logs, deadline);
      await deadline.bound(follow(logs), "MongoDB");
      const transient: Listed[] = [];
      for (const { number, builder, isUncertain } of writing.values()) {
        if (isUncertain) {
          const segment = await readSegment(logs, number, deadline);
          cache.set(number, segment);
          transient.push(listedOf(number, segment));
        } else if (builder.rows > 0) transient.push(listedOf(number, builder.build()));
      }
      for (const [number, openedAt] of unsealed) {
        const summary = await deadline.bound(collectionsOf(logs).summaries.findOne({ _id: number }), "MongoDB");
        const sealed = summary === null ? undefined : decodeSegment(summary.body.value());
        if (sealed !== undefined) {
          put(number, sealed);
          continue;
        }
        const segment = await readSegment(logs, number, deadline);
        if (Date.now() - openedAt > ABANDONED_MS) seal(logs, number, segment);
        else {
          cache.set(number, segment);
          transient.push(listedOf(number, segment));
        }
      }
      order ??= [...listed.values()].filter(({ rows }) => rows > 0).sort((a, b) => b.newest - a.newest);
      // Each once, also one that was completed or left while others were looked at.
      const others = new Map(transient.map((one) => [one.number, one]));
      for (const [number, { rows }] of others) if (rows === 0 || listed.has(number)) others.delete(number);
      if (others.size === 0) return order;
      return [...others.values(), ...order].sort((a, b) => b.newest - a.newest);
    },
    async segment(logs, { number }, deadline) {
      const one = writing.get(number);
      if (one !== undefined && !one.isUncertain) return one.builder.build();
      const cached = cache.get(number);
      if (cached !== undefined) return cached;
      const summary = await deadline.bound(collectionsOf(logs).summaries.findOne({ _id: number }), "MongoDB");
      const segment = summary === null ? undefined : decodeSegment(summary.body.value());
      const read = segment ?? (await readSegment(logs, number, deadline));
      cache.set(number, read);
      return read;
    },
    async removed(logs, entries, deadline) {
      if (!connection.isFerretdb || entries.length === 0) return;
      forgetOld();
      const gone = new Set(entries.map(({ event_id }) => event_id));
      const numbers = new Set(entries.map(({ segment }) => segment));
      for (const number of numbers) {
        const one = number === undefined ? undefined : writing.get(number);
        if (one === undefined) continue;
        // What it holds in hand is not what will be there: it is read when it is completed.
        one.isUncertain = true;
        close(one, logs);
      }
      // Completes what writers have left, so that it can be changed.
      const all = await this.list(logs, deadline);
      for (const number of numbers) if (number !== undefined) await withdraw(logs, number, gone, deadline);
      // Those of older writers do not say where they are.
      if (!numbers.has(undefined)) return;
      for (const one of all) {
        if (numbers.has(one.number)) continue;
        const segment = await this.segment(logs, one, deadline);
        if (rowsOf(segment, gone).size > 0) await withdraw(logs, one.number, gone, deadline);
      }
    },
    async [Symbol.asyncDispose]() {
      const { logs } = connection;
      if (logs !== undefined) for (const one of writing.values()) close(one, logs);
      // What is not written by then is left to whoever asks for it next, as after a kill.
      await Deadline.after(CLOSE_MS)
        .bound(Promise.all(sealing.values()), "the last summaries")
        .catch(() => undefined);
    },
  };
}
