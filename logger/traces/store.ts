/** Traces in MongoDB: talks, never decides. Spans lie as text, since nobody looks for what is in them; what one looks for lies beside. */
import type { AnyBulkWriteOperation, Collection } from "mongodb";
import type { TraceQuery } from "#contracts/traces";
import { Failure } from "#shared/errors";
import type { Deadline } from "#shared/resilience";
import { boundsOf } from "../driver.ts";
import type { Logs, MongoConnection } from "../mongo.ts";
import type { KeptSpan } from "./otlp.ts";

/** What is known of one trace. */
export interface TraceDocument {
  /** The id of the trace. */
  readonly _id: string;
  /** Milliseconds since 1970, with fractions: of its first span, and the end of its last one. */
  readonly start: number;
  readonly end: number;
  /** Of its longest span (ms). */
  readonly longest: number;
  readonly spans: number;
  readonly services?: Readonly<Record<string, true>>;
  readonly error?: true;
  /** More came than is kept of one trace. */
  readonly cut?: true;
  /** Of the span that it began with. */
  readonly name?: string;
  readonly service?: string;
}

/** Spans of one trace that came at a time. */
interface SpansDocument {
  readonly trace_id: string;
  /** JSON of `KeptSpan[]`. */
  readonly spans: string;
}

/** Of one trace, what is written at a time. */
export interface Part {
  readonly traceId: string;
  readonly spans: readonly KeptSpan[];
  /** Spans of it that are not kept. */
  readonly isCut: boolean;
}

/** Where the list goes on. */
export interface TracePlace {
  readonly start: number;
  readonly id: string;
}

/** All of it throws Failure `unavailable` and `deadline`. */
export interface TraceStore {
  write(parts: readonly Part[], deadline: Deadline): Promise<void>;
  /** Newest first, from `place` on. */
  list(query: TraceQuery, place: TracePlace | undefined, limit: number, deadline: Deadline): Promise<TraceDocument[]>;
  /** What is known of a trace, and its spans as they came. */
  read(traceId: string, deadline: Deadline): Promise<{ trace: TraceDocument; spans: KeptSpan[] } | undefined>;
  count(deadline: Deadline): Promise<number>;
  /** The oldest. */
  oldest(limit: number, deadline: Deadline): Promise<Pick<TraceDocument, "_id" | "start">[]>;
  remove(traceIds: readonly string[], deadline: Deadline): Promise<void>;
}

/** FerretDB 1.24 holds a connection of its own for every part of a command, and has 50 of them, which logs need, too. */
const AT_A_TIME = 8;
/** Spans come again where they are lost: no reason to wait for a disk. */
const WRITE = { ordered: false, writeConcern: { w: 1 as const } };

function collectionsOf({ db }: Logs): { traces: Collection<TraceDocument>; spans: Collection<SpansDocument> } {
  return { traces: db.collection<TraceDocument>("traces"), spans: db.collection<SpansDocument>("trace_spans") };
}

/** Makes the indexes that are missing. Idempotent. */
export async function prepareTraces(logs: Logs): Promise<void> {
  const { traces, spans } = collectionsOf(logs);
  await traces.createIndexes([{ name: "start_-1__id_-1", key: { start: -1, _id: -1 } }]);
  await spans.createIndexes([{ name: "trace_id_1", key: { trace_id: 1 } }]);
}

/** The first one: without a parent, or with one that is not ours. */
function firstOf(spans: readonly KeptSpan[]): KeptSpan | undefined {
  return spans.find(({ parentId, fromOutside }) => parentId === undefined || fromOutside === true);
}

function updateOf({ traceId, spans, isCut }: Part): AnyBulkWriteOperation<TraceDocument> {
  if (spans.length === 0) return { updateOne: { filter: { _id: traceId }, update: { $set: { cut: true } } } };
  const first = firstOf(spans);
  const set: Record<string, unknown> = {
    ...Object.fromEntries(spans.map(({ service }) => [`services.${service}`, true])),
    ...(spans.some(({ error }) => error !== undefined) ? { error: true } : {}),
    ...(isCut ? { cut: true } : {}),
    ...(first === undefined ? {} : { name: first.name, service: first.service }),
  };
  const update = {
    $min: { start: Math.min(...spans.map(({ start }) => start)) },
    $max: {
      end: Math.max(...spans.map(({ end }) => end)),
      longest: Math.max(...spans.map(({ start, end }) => end - start)),
    },
    $inc: { spans: spans.length },
    $set: set,
  };
  return { updateOne: { filter: { _id: traceId }, update, upsert: true } };
}

function* chunksOf<T>(items: readonly T[]): Generator<T[]> {
  for (let at = 0; at < items.length; at += AT_A_TIME) yield items.slice(at, at + AT_A_TIME);
}

export function makeTraceStore(connection: MongoConnection): TraceStore {
  type Collections = ReturnType<typeof collectionsOf>;
  const ask = async <T>(deadline: Deadline, question: (collections: Collections) => Promise<T>): Promise<T> => {
    const { logs } = connection;
    if (logs === undefined) throw new Failure("unavailable", "MongoDB is unavailable", { retryAfterS: 1 });
    if (deadline.passed) throw new Failure("deadline", "no time left to look for traces");
    try {
      return await deadline.bound(question(collectionsOf(logs)), "looking for traces");
    } catch (error) {
      if (error instanceof Failure) throw error;
      if (deadline.passed) throw new Failure("deadline", "looking for traces took too long", { cause: error });
      connection.suspect();
      throw new Failure("unavailable", "MongoDB is unavailable", { cause: error, retryAfterS: 1 });
    }
  };

  return {
    write: (parts, deadline) =>
      ask(deadline, async ({ traces, spans }) => {
        // First what they are found and removed by: spans alone would stay for ever.
        for (const chunk of chunksOf(parts)) await traces.bulkWrite(chunk.map(updateOf), WRITE);
        const documents = parts
          .filter((part) => part.spans.length > 0)
          .map((part) => ({ trace_id: part.traceId, spans: JSON.stringify(part.spans) }));
        if (documents.length > 0) await spans.insertMany(documents, WRITE);
      }),

    list: (query, place, limit, deadline) =>
      ask(deadline, ({ traces }) => {
        const { min_duration_ms: longest, error, name, service } = query;
        const filter: Record<string, unknown> = {
          ...(longest === undefined ? {} : { longest: { $gte: longest } }),
          ...(error === undefined ? {} : { error: error ? true : { $exists: false } }),
          ...(name === undefined ? {} : { name: { $eq: name } }),
          ...(service === undefined ? {} : { [`services.${service}`]: true }),
          ...(place === undefined
            ? {}
            : { $or: [{ start: { $lt: place.start } }, { start: place.start, _id: { $lt: place.id } }] }),
        };
        return traces.find(filter, boundsOf(deadline)).sort({ start: -1, _id: -1 }).limit(limit).toArray();
      }),

    read: (traceId, deadline) =>
      ask(deadline, async ({ traces, spans }) => {
        const trace = await traces.findOne({ _id: traceId }, boundsOf(deadline));
        if (trace === null) return undefined;
        const parts = await spans
          .find({ trace_id: traceId }, { projection: { _id: 0, spans: 1 }, ...boundsOf(deadline) })
          .toArray();
        return { trace, spans: parts.flatMap((part) => JSON.parse(part.spans) as KeptSpan[]) };
      }),

    count: (deadline) => ask(deadline, ({ traces }) => traces.countDocuments({}, boundsOf(deadline))),

    oldest: (limit, deadline) =>
      ask(deadline, ({ traces }) =>
        traces
          .find({}, { projection: { start: 1 }, ...boundsOf(deadline) })
          .sort({ start: 1, _id: 1 })
          .limit(limit)
          .toArray(),
      ),

    remove: (traceIds, deadline) =>
      ask(deadline, async ({ traces, spans }) => {
        // Each by its id, which is all that FerretDB 1.24 hands on to its PostgreSQL.
        for (const chunk of chunksOf(traceIds)) {
          await spans.bulkWrite(
            chunk.map((id) => ({ deleteMany: { filter: { trace_id: id } } })),
            WRITE,
          );
          await traces.bulkWrite(
            chunk.map((id) => ({ deleteOne: { filter: { _id: id } } })),
            WRITE,
          );
        }
      }),
  };
}
