/** What was stored since a place in the stream, by all loggers: read from the collection, oldest first. */
import type { Filter } from "mongodb";
import type { LogFilter, LogItem } from "#contracts/log-queries";
import { positionText, sinceText, type TailGap, type TailPlace, type TailPosition, tailId } from "#contracts/log-tail";
import { Deadline, pause, reconnectBackoff } from "#shared/resilience";
import { eventBytes, type OutletEntry } from "#shared/sse";
import { type LogDocument, SLOT_MS, slotOf } from "../documents.ts";
import type { MongoConnection } from "../mongo.ts";
import { makeMatcher } from "../query/filter.ts";
import { bytesOf, itemOf } from "../query/item.ts";
import { entryEvent, type Known } from "./items.ts";
import { positionOf } from "./writer.ts";

/** How far back it is looked (ms). */
const BACK_MS = 10 * 60_000;
/** Most that is given, and most documents that are looked at for it. */
const GIVEN_MAX = 5_000;
const LOOKED_AT_MAX = 50_000;
/** Most that is kept of one slot, whose entries are put into order before they are given (bytes). */
const FOUND_MIB = 32;
/** For one slot, which the server reads at one go (ms). */
const SLOT_QUERY_MS = 10_000;
/** How often a slot is asked for before it is given up. */
const TRIES = 4;
/** Longest from making a document to its being seen by a question (ms): the store's own patience, and loggers' clocks apart. */
const SETTLE_MS = 5_000;
/** Of a logger that is not in a place: since when it may have begun to store, before the newest of those that are (ms). */
const UNKNOWN_MS = 10_000;
const COUNT_MAX = 2 ** 24 - 1;

export interface SinceOptions {
  readonly connection: Pick<MongoConnection, "logs" | "suspect">;
  readonly filter: LogFilter;
  readonly place: TailPlace;
  /** Of the logger that is asked: what it has stored up to here can be seen, and what comes after is told by its tail. */
  readonly own: TailPosition;
  /** Only what was stored by those: for a client that has the others from themselves. Default: all. */
  readonly writers?: ReadonlySet<string>;
  readonly signal: AbortSignal;
}

/** The part of a filter that every server can look up by equality; the rest is decided here. */
function equalities(filter: LogFilter): Filter<LogDocument> {
  const { name = [], severity = [], producer, trace_id, request_id, event_id } = filter;
  const [onlyName] = name;
  const [onlySeverity] = severity;
  return {
    ...(name.length === 1 && onlyName !== undefined ? { name: onlyName } : {}),
    ...(severity.length === 1 && onlySeverity !== undefined ? { severity: onlySeverity } : {}),
    ...(producer === undefined ? {} : { producer_id: producer }),
    ...(trace_id === undefined ? {} : { trace_id }),
    ...(request_id === undefined ? {} : { request_id }),
    ...(event_id === undefined ? {} : { event_id }),
  };
}

interface Bounds {
  /** Nothing that was stored before is of interest (ms). */
  readonly from: number;
  isAfter(position: TailPosition): boolean;
}

function boundsOf(place: TailPlace): Bounds {
  if ("since" in place) {
    const { since } = place;
    return { from: since, isAfter: ({ storedAt }) => storedAt >= since };
  }
  const known = new Map(place.positions.map((position) => [position.writer, position]));
  const times = place.positions.map(({ storedAt }) => storedAt);
  const newest = Math.max(...times);
  const unknownFrom = newest - UNKNOWN_MS;
  return {
    from: Math.min(...times, unknownFrom),
    isAfter({ writer, storedAt, count }) {
      const before = known.get(writer);
      if (before === undefined) return storedAt >= unknownFrom;
      return storedAt > before.storedAt || (storedAt === before.storedAt && count > before.count);
    },
  };
}

function gap(from: number, to: number, reason: string): Uint8Array {
  const told: TailGap = { from: new Date(from).toISOString(), to: new Date(to).toISOString(), reason };
  return eventBytes({ event: "gap", data: JSON.stringify(told) });
}

function isUpTo({ storedAt, count }: TailPosition, position: TailPosition): boolean {
  return storedAt < position.storedAt || (storedAt === position.storedAt && count <= position.count);
}

/**
 * Where a client is that is given entry after entry, in the order of their storing. Whether something older may still
 * appear is known of the logger that is asked; of others all is there after a while, and until then their entries leave the
 * client where it was: rather twice than not at all.
 */
function makeProgress(place: TailPlace, own: TailPosition): (given: TailPosition, settledAt: number) => string {
  if ("since" in place) {
    return ({ storedAt }, settledAt) => sinceText(Math.max(place.since, Math.min(storedAt, settledAt)));
  }
  const positions = new Map(place.positions.map((position) => [position.writer, position]));
  return (given, settledAt) => {
    const before = { storedAt: Math.min(given.storedAt, settledAt) - 1, count: COUNT_MAX };
    for (const [writer, position] of positions) {
      if (isUpTo(position, { writer, ...before })) positions.set(writer, { writer, ...before });
    }
    if (given.writer === own.writer || given.storedAt <= settledAt) positions.set(given.writer, given);
    return [...positions.values()].map(positionText).join(".");
  };
}

interface Found {
  readonly document: Known;
  readonly item: LogItem;
  readonly position: TailPosition;
}

/** Entries, and where it cannot be whole an event `gap`. It ends early with the signal; what fails is told as a gap. */
export async function* storedSince(options: SinceOptions): AsyncGenerator<OutletEntry | Uint8Array> {
  const { connection, filter, place, own, writers, signal } = options;
  const progress = makeProgress(place, own);
  const now = Date.now();
  const bounds = boundsOf(place);
  const matches = makeMatcher(filter);
  const from = Math.max(bounds.from, now - BACK_MS);
  if (from > bounds.from) yield gap(bounds.from, from, `no more than ${BACK_MS / 60_000} minutes are looked back`);
  let given = 0;
  let lookedAt = 0;
  let foundBytes = 0;

  const isTooLarge = (): boolean => foundBytes > FOUND_MIB * 1_048_576;

  async function inSlot(slot: number): Promise<Found[]> {
    const { logs } = connection;
    if (logs === undefined) throw new Error("MongoDB is away");
    const deadline = Deadline.after(SLOT_QUERY_MS, signal);
    const cursor = logs
      .find<Known>({ stored_slot: slot, ...equalities(filter) }, { maxTimeMS: SLOT_QUERY_MS, signal: deadline.signal })
      .limit(LOOKED_AT_MAX - lookedAt + 1);
    const found: Found[] = [];
    foundBytes = 0;
    for await (const document of cursor) {
      lookedAt += 1;
      const position = positionOf(document);
      if (position === undefined || !bounds.isAfter(position)) continue;
      if (position.writer === own.writer && !isUpTo(position, own)) continue;
      if (writers !== undefined && !writers.has(position.writer)) continue;
      const item = itemOf(document);
      if (!matches(item)) continue;
      found.push({ document, item, position });
      foundBytes += bytesOf(document);
      if (isTooLarge()) break;
    }
    return found.sort((a, b) => a.position.storedAt - b.position.storedAt || a.position.count - b.position.count);
  }

  /** Undefined where the store does not answer. */
  async function tried(slot: number): Promise<Found[] | undefined> {
    const before = lookedAt;
    for (let attempt = 0; attempt < TRIES && !signal.aborted; attempt += 1) {
      lookedAt = before;
      try {
        return await inSlot(slot);
      } catch {
        // Nothing but the store can fail in it: what it says is told by those who watch the connection.
        await pause(reconnectBackoff(attempt), signal);
      }
    }
    return undefined;
  }

  // Clocks of other loggers may be ahead.
  for (let slot = slotOf(from); slot <= slotOf(now + SLOT_MS) && !signal.aborted; slot += 1) {
    const slotFrom = Math.max(from, slot * SLOT_MS);
    const settledAt = Date.now() - SETTLE_MS;
    const found = await tried(slot);
    if (signal.aborted) return;
    if (found === undefined) {
      connection.suspect();
      yield gap(slotFrom, Math.max(now, slotFrom), "the store did not answer");
      return;
    }
    if (lookedAt > LOOKED_AT_MAX) {
      yield gap(slotFrom, now, `no more than ${LOOKED_AT_MAX} entries are looked at`);
      return;
    }
    if (isTooLarge()) {
      yield gap(slotFrom, now, `no more than ${FOUND_MIB} MiB of ${SLOT_MS / 1_000} s are given`);
      return;
    }
    for (const { document, item, position } of found) {
      if (given === GIVEN_MAX) {
        yield gap(position.storedAt, now, `no more than ${GIVEN_MAX} entries are given at once`);
        return;
      }
      given += 1;
      yield { key: item.event_id, bytes: entryEvent(document, item, progress(position, settledAt)) };
    }
  }
}

/** In an event of its own: where a client is that has been given all before. */
export function placeEvent(place: string): Uint8Array {
  return eventBytes({ id: tailId("", place) });
}
