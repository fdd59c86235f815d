/** Reads by the catalog: finds out in memory which entries they are, and fetches only those. */
import type { LogFilter } from "#contracts/log-queries";
import { Failure } from "#shared/errors";
import type { Deadline } from "#shared/resilience";
import { boundsOf } from "../driver.ts";
import type { Logs } from "../mongo.ts";
import type { Catalog, Listed } from "./catalog.ts";
import { makeMatcher } from "./filter.ts";
import { bytesOf, itemOf, type StoredEntry } from "./item.ts";
import { ANSWER_MS, type FoundItem, PAGE_BYTES, type Place, type Reader } from "./reader.ts";
import type { Segment } from "./segment.ts";
import { termsAsked } from "./terms.ts";
import { makeTurns } from "./turns.ts";

/**
 * Look-ups by id at a time, of all that is asked: beyond, FerretDB on two cores becomes hardly faster, and those who store
 * need connections too (mongo.ts has ten).
 */
const FETCHED_AT_ONCE = 6;
/** To look one entry up takes as long as to read so many of a segment. */
const LOOKUP_WORTH = 12;
/** Documents of a segment that come in one message. */
const READ_AT_ONCE = 500;
/** Rows that are kept in hand beyond what a page needs. */
const POOL_FACTOR = 4;
/** Entries that are looked at for their count: see `open` of a segment. */
const VERIFIED_AT_ONCE = 256;

/** Behind every id. */
const LAST_ID = "\u{10ffff}";

interface Row {
  readonly at: number;
  readonly listed: Listed;
  readonly segment: Segment;
  readonly row: number;
}

const idOf = ({ segment, row }: Row): string => segment.eventId(row);

function newestFirst(a: Row, b: Row): number {
  if (a.at !== b.at) return b.at - a.at;
  const [first, second] = [idOf(a), idOf(b)];
  return first < second ? 1 : first > second ? -1 : 0;
}

function timesOf({ from, to }: LogFilter): { from: number; to: number } {
  return {
    from: from === undefined ? Number.NEGATIVE_INFINITY : Date.parse(from),
    to: to === undefined ? Number.POSITIVE_INFINITY : Date.parse(to),
  };
}

/** An entry, and what it takes. */
type Sized = Omit<FoundItem, "place">;

const sized = (document: StoredEntry): Sized => ({ item: itemOf(document), bytes: bytesOf(document) });

/** Reads a whole segment; gives nothing where that is too much at once, or its documents do not name it. */
async function fetchSegment(
  logs: Logs,
  number: number,
  wanted: ReadonlySet<string>,
  deadline: Deadline,
): Promise<Map<string, Sized>> {
  const found = new Map<string, Sized>();
  let bytes = 0;
  const cursor = logs.find({ segment: number }, { ...boundsOf(deadline), batchSize: READ_AT_ONCE });
  try {
    for await (const document of cursor) {
      if (!wanted.has(document.event_id)) continue;
      const entry = sized(document);
      bytes += entry.bytes;
      if (bytes > PAGE_BYTES) return new Map();
      found.set(document.event_id, entry);
    }
  } finally {
    await cursor.close();
  }
  return found;
}

interface Fetched {
  /** The entries that are still there, by their ids. */
  readonly entries: ReadonlyMap<string, Sized>;
  /** Of how many rows, from the first on: it ends where they became too much. */
  readonly rows: number;
}

export function makeCatalogReader(catalog: Catalog): Reader {
  const lookUps = makeTurns({ atOnce: FETCHED_AT_ONCE });

  const fetchOne = (logs: Logs, eventId: string, deadline: Deadline): Promise<Sized | undefined> =>
    lookUps.take(deadline, async () => {
      const found = await deadline.bound(logs.findOne({ event_id: eventId }, boundsOf(deadline)), "MongoDB");
      return found === null ? undefined : sized(found);
    });

  const fetchRows = async (logs: Logs, rows: readonly Row[], deadline: Deadline): Promise<Fetched> => {
    const entries = new Map<string, Sized>();
    const bySegment = Map.groupBy(rows, ({ listed }) => listed.number);
    const read = new Set<number>();
    let bytes = 0;
    for (const [number, some] of bySegment) {
      if (some.length * LOOKUP_WORTH <= (some[0]?.listed.rows ?? 0) || bytes > PAGE_BYTES) continue;
      const wanted = new Set(some.map(idOf));
      const found = await lookUps.take(deadline, () => fetchSegment(logs, number, wanted, deadline));
      if (found.size > 0) read.add(number);
      for (const [id, entry] of found) {
        entries.set(id, entry);
        bytes += entry.bytes;
      }
    }
    let end = rows.length;
    const rest = rows.entries();
    const work = async (): Promise<void> => {
      for (const [index, row] of rest) {
        if (read.has(row.listed.number)) continue;
        // One is always fetched, however large.
        if (bytes > PAGE_BYTES && index > 0) {
          end = Math.min(end, index);
          return;
        }
        const id = idOf(row);
        const entry = await fetchOne(logs, id, deadline);
        if (entry === undefined) continue;
        entries.set(id, entry);
        bytes += entry.bytes;
      }
    };
    await Promise.all(Array.from({ length: FETCHED_AT_ONCE }, work));
    return { entries, rows: end };
  };

  return {
    async page(logs, filter, after, limit, deadline) {
      const isMatch = makeMatcher(filter);
      const text = filter.q === undefined ? {} : { text: "index" as const };
      if (filter.event_id !== undefined) {
        const entry = await fetchOne(logs, filter.event_id, deadline);
        if (entry === undefined || after !== undefined || !isMatch(entry.item)) return { items: [], ...text };
        const { created_at, event_id: id } = entry.item;
        return { items: [{ ...entry, place: { at: Date.parse(created_at), id } }], ...text };
      }
      const asked = termsAsked(filter);
      const { from, to } = timesOf(filter);
      const isAfter = (at: number, segment: Segment, row: number): boolean =>
        after === undefined || at < after.at || (at === after.at && segment.eventId(row) < after.id);
      const segments = await catalog.list(logs, deadline);
      const items: FoundItem[] = [];
      let pool: Row[] = [];
      /** Rows were dropped from the pool, none of which belongs on this page: it ends with those that are kept. */
      let isCut = false;
      let index = 0;
      let last: Place | undefined;
      const horizon = (): number => segments[index]?.newest ?? Number.NEGATIVE_INFINITY;
      const settled = (): number => {
        const limitTime = horizon();
        return pool.reduce((sum, { at }) => (at > limitTime ? sum + 1 : sum), 0);
      };
      const isLate = (): boolean => deadline.remainingMs() < ANSWER_MS;
      while (items.length < limit) {
        const need = limit - items.length;
        while (index < segments.length && !(pool.length >= need && settled() >= need) && !isLate()) {
          const listed = segments[index] as Listed;
          index += 1;
          if (listed.newest < from) {
            index = segments.length;
            break;
          }
          if (listed.oldest >= to || (after !== undefined && listed.oldest > after.at)) continue;
          const segment = await catalog.segment(logs, listed, deadline);
          for (const row of segment.matching(asked)) {
            const at = segment.times[row] ?? 0;
            if (at >= from && at < to && isAfter(at, segment, row)) pool.push({ at, listed, segment, row });
          }
          if (pool.length > need * POOL_FACTOR + 1_024) {
            pool = pool.sort(newestFirst).slice(0, need);
            isCut = true;
          }
        }
        const time = horizon();
        pool.sort(newestFirst);
        const settledRows = pool.filter(({ at }) => at > time).slice(0, need);
        if (settledRows.length === 0) {
          if (index === segments.length) break;
          const place = last ?? after;
          if (index === 0 || (place !== undefined && time >= place.at)) {
            // Nowhere yet to go on from but the same place: a cursor never goes back.
            if (last === undefined) throw new Failure("deadline", "the query took too long: ask again");
            break;
          }
          // All that is newer has been looked at.
          last = { at: time, id: LAST_ID };
          break;
        }
        const fetched = await fetchRows(logs, settledRows, deadline);
        pool = pool.slice(fetched.rows);
        for (const row of settledRows.slice(0, fetched.rows)) {
          const id = idOf(row);
          const isRepeated = last?.at === row.at && last.id === id;
          last = { at: row.at, id };
          const entry = fetched.entries.get(id);
          if (!isRepeated && entry !== undefined && isMatch(entry.item)) items.push({ ...entry, place: last });
        }
        if (isCut || fetched.rows < settledRows.length || isLate()) break;
      }
      const isMore = isCut || pool.length > 0 || index < segments.length;
      return { items, ...(isMore && last !== undefined ? { next: last } : {}), ...text };
    },
    async count(logs, filter, { from, to, intervalMs }, count, deadline) {
      const asked = termsAsked(filter);
      const isMatch = makeMatcher(filter);
      const unsure: Row[] = [];
      const add = (at: number, name: string, severity: string): void =>
        count(Math.floor(at / intervalMs) * intervalMs, name, severity, 1);
      const isMine = (segment: Segment, row: number): boolean =>
        filter.event_id === undefined || segment.eventId(row) === filter.event_id;
      for (const listed of await catalog.list(logs, deadline)) {
        if (listed.newest < from) break;
        if (listed.oldest >= to) continue;
        const segment = await catalog.segment(logs, listed, deadline);
        const open = asked.length === 0 ? new Set<number>() : new Set(segment.open);
        for (const row of segment.matching(asked)) {
          const at = segment.times[row] ?? 0;
          if (at < from || at >= to || !isMine(segment, row)) continue;
          if (open.has(row)) {
            unsure.push({ at, listed, segment, row });
            continue;
          }
          const label = segment.labels[segment.labelled[row] ?? 0];
          if (label !== undefined) add(at, label.name, label.severity);
        }
      }
      for (let first = 0; first < unsure.length; ) {
        const some = unsure.slice(first, first + VERIFIED_AT_ONCE);
        const { entries, rows } = await fetchRows(logs, some, deadline);
        first += rows;
        for (const row of some.slice(0, rows)) {
          const item = entries.get(idOf(row))?.item;
          if (item !== undefined && isMatch(item)) add(row.at, item.name, item.severity);
        }
      }
    },
  };
}
