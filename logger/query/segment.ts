/** A segment: some thousand entries, and what tells without reading them which of them are what is asked for. */
import type { LogItem } from "#contracts/log-queries";
import { termsOf } from "./terms.ts";

/** What a segment has to know of an entry. */
export type Indexed = Pick<LogItem, "event_id" | "name" | "severity" | "data"> &
  Partial<Pick<LogItem, "trace_id" | "request_id" | "producer">> & { readonly at: number };

export interface Label {
  readonly name: string;
  readonly severity: string;
}

/** A row is a place in a segment, from 0. */
export interface Segment {
  readonly rows: number;
  /** Of `created_at` (ms since 1970), by row. */
  readonly times: Float64Array;
  /** Name and severity, by row: places in `labels`. */
  readonly labelled: Uint16Array;
  readonly labels: readonly Label[];
  /** Rows with more terms than are kept: they may be anything. */
  readonly open: Uint16Array;
  /** About what it takes in memory. */
  readonly bytes: number;
  eventId(row: number): string;
  /** Rows that have of each list of terms one, ascending; those in `open` always. */
  matching(asked: readonly (readonly number[])[]): Iterable<number>;
}

export interface SegmentBuilder {
  readonly rows: number;
  add(entry: Indexed): void;
  /** The segment as it is now. */
  build(): Segment;
}

/** All that a segment is made of; kept as bytes. */
interface Parts {
  readonly labels: readonly Label[];
  /** 16 bytes a row; zeros where the id is no UUID and stands in `names`. */
  readonly uuids: Uint8Array;
  readonly names: Readonly<Record<number, string>>;
  readonly times: Float64Array;
  readonly labelled: Uint16Array;
  readonly open: Uint16Array;
  /** Terms of one row only, which most are; ascending, and the row of each. */
  readonly singles: Uint32Array;
  readonly singleRows: Uint16Array;
  /** The others, ascending; those of `terms[i]` are `postings` from `starts[i]` to `starts[i + 1]`, ascending rows. */
  readonly terms: Uint32Array;
  readonly starts: Uint32Array;
  readonly postings: Uint16Array;
}
type Terms = Pick<Parts, "singles" | "singleRows" | "terms" | "starts" | "postings">;

/** @param rowsOf ascending rows by term, none without any. */
function packTerms(rowsOf: ReadonlyMap<number, readonly number[]>): Terms {
  const isSingle = (term: number): boolean => rowsOf.get(term)?.length === 1;
  const all = Uint32Array.from(rowsOf.keys()).sort();
  const singles = all.filter(isSingle);
  const terms = all.filter((term) => !isSingle(term));
  const starts = new Uint32Array(terms.length + 1);
  const postings: number[] = [];
  for (const [place, term] of terms.entries()) {
    postings.push(...(rowsOf.get(term) ?? []));
    starts[place + 1] = postings.length;
  }
  const singleRows = Uint16Array.from(singles, (term) => rowsOf.get(term)?.[0] ?? 0);
  return { singles, singleRows, terms, starts, postings: Uint16Array.from(postings) };
}

function* eachTerm({ singles, singleRows, terms, starts, postings }: Terms): Generator<readonly [number, Uint16Array]> {
  for (const [place, term] of singles.entries()) yield [term, singleRows.subarray(place, place + 1)];
  for (const [place, term] of terms.entries()) yield [term, postings.subarray(starts[place], starts[place + 1])];
}

/** Where a term stands in an ascending list; -1 where it does not. */
function placeOf(terms: Uint32Array, term: number): number {
  let low = 0;
  let high = terms.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const there = terms[middle] ?? 0;
    if (there === term) return middle;
    if (there < term) low = middle + 1;
    else high = middle - 1;
  }
  return -1;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const EMPTY = new Uint16Array();

function uuidText(bytes: Uint8Array, row: number): string {
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset + row * 16, 16).toString("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

function segmentOf(parts: Parts): Segment & { readonly parts: Parts } {
  const { labels, uuids, names, times, labelled, open, singles, singleRows, terms, starts, postings } = parts;

  const rowsWith = (term: number): Uint16Array => {
    const single = placeOf(singles, term);
    if (single >= 0) return singleRows.subarray(single, single + 1);
    const place = placeOf(terms, term);
    return place < 0 ? EMPTY : postings.subarray(starts[place], starts[place + 1]);
  };

  return {
    parts,
    rows: times.length,
    times,
    labelled,
    labels,
    open,
    bytes: 512 + labels.length * 100 + ARRAYS.reduce((sum, name) => sum + parts[name].byteLength, 0),
    eventId: (row) => names[row] ?? uuidText(uuids, row),
    matching(asked) {
      if (asked.length === 0) return times.keys();
      const counts = new Uint8Array(times.length);
      for (const [place, anyOf] of asked.entries()) {
        let some = false;
        for (const term of anyOf) {
          // A row has one name and one severity: of several it cannot be counted twice but for equal hashes.
          for (const row of rowsWith(term)) {
            if (counts[row] !== place) continue;
            counts[row] = place + 1;
            some = true;
          }
        }
        if (!some) return open;
      }
      for (const row of open) counts[row] = asked.length;
      const found: number[] = [];
      for (let row = 0; row < counts.length; row += 1) if (counts[row] === asked.length) found.push(row);
      return found;
    },
  };
}

export function makeSegmentBuilder(): SegmentBuilder {
  const times: number[] = [];
  const ids: string[] = [];
  const labelled: number[] = [];
  const open: number[] = [];
  const labels: Label[] = [];
  const labelPlaces = new Map<string, number>();
  const rowsOf = new Map<number, number[]>();
  let built: Segment | undefined;

  return {
    get rows() {
      return ids.length;
    },
    add(entry) {
      built = undefined;
      const row = ids.length;
      ids.push(entry.event_id);
      times.push(entry.at);
      const key = `${entry.severity}\0${entry.name}`;
      let place = labelPlaces.get(key);
      if (place === undefined) {
        place = labels.push({ name: entry.name, severity: entry.severity }) - 1;
        labelPlaces.set(key, place);
      }
      labelled.push(place);
      const { hashes, cut } = termsOf(entry);
      if (cut) open.push(row);
      for (const term of hashes) {
        const rows = rowsOf.get(term);
        if (rows === undefined) rowsOf.set(term, [row]);
        else rows.push(row);
      }
    },
    build() {
      if (built !== undefined) return built;
      const uuids = new Uint8Array(ids.length * 16);
      const names: Record<number, string> = {};
      for (const [row, id] of ids.entries()) {
        if (UUID.test(id)) uuids.set(Buffer.from(id.replaceAll("-", ""), "hex"), row * 16);
        else names[row] = id;
      }
      built = segmentOf({
        labels: [...labels],
        uuids,
        names,
        times: Float64Array.from(times),
        labelled: Uint16Array.from(labelled),
        open: Uint16Array.from(open),
        ...packTerms(rowsOf),
      });
      return built;
    },
  };
}

const FORM = 2;
const ARRAYS = ["times", "singles", "terms", "starts", "uuids", "labelled", "open", "singleRows", "postings"] as const;
const KINDS = {
  times: Float64Array,
  singles: Uint32Array,
  terms: Uint32Array,
  starts: Uint32Array,
  uuids: Uint8Array,
  labelled: Uint16Array,
  open: Uint16Array,
  singleRows: Uint16Array,
  postings: Uint16Array,
} as const;

/** A segment as bytes: the length of a JSON header, the header, then arrays in the order of `ARRAYS` (little-endian). */
export function encodeSegment(segment: Segment): Uint8Array {
  const { parts } = segment as Segment & { parts: Parts };
  const lengths = ARRAYS.map((name) => parts[name].length);
  const header = Buffer.from(JSON.stringify({ form: FORM, labels: parts.labels, names: parts.names, lengths }));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(header.byteLength);
  const bytes = ARRAYS.map((name) => {
    const { buffer, byteOffset, byteLength } = parts[name];
    return new Uint8Array(buffer, byteOffset, byteLength);
  });
  return Buffer.concat([length, header, ...bytes]);
}

/** The inverse; undefined for what is of another form. */
export function decodeSegment(bytes: Uint8Array): Segment | undefined {
  const headerEnd = 4 + Buffer.from(bytes.buffer, bytes.byteOffset, 4).readUInt32LE();
  const header = JSON.parse(Buffer.from(bytes.subarray(4, headerEnd)).toString("utf8")) as {
    form: number;
    labels: Label[];
    names: Record<number, string>;
    lengths: number[];
  };
  if (header.form !== FORM) return undefined;
  let at = headerEnd;
  const arrays = Object.fromEntries(
    ARRAYS.map((name, place) => {
      const Kind = KINDS[name];
      const size = (header.lengths[place] ?? 0) * Kind.BYTES_PER_ELEMENT;
      // A copy: the bytes may lie at any offset, and arrays of numbers may not.
      const copy = new Uint8Array(size);
      copy.set(bytes.subarray(at, at + size));
      at += size;
      return [name, new Kind(copy.buffer)];
    }),
  ) as unknown as Pick<Parts, (typeof ARRAYS)[number]>;
  return segmentOf({ labels: header.labels, names: header.names, ...arrays });
}

/** The segment without some of its rows. */
export function withoutRows(segment: Segment, gone: ReadonlySet<number>): Segment {
  const { parts } = segment as Segment & { parts: Parts };
  const kept = [...segment.times.keys()].filter((row) => !gone.has(row));
  const places = new Map(kept.map((row, place) => [row, place]));
  const again = (rows: Uint16Array): number[] => [...rows].flatMap((row) => places.get(row) ?? []);
  const uuids = new Uint8Array(kept.length * 16);
  for (const [place, row] of kept.entries()) uuids.set(parts.uuids.subarray(row * 16, row * 16 + 16), place * 16);
  const rowsOf = new Map<number, number[]>();
  for (const [term, rows] of eachTerm(parts)) {
    const left = again(rows);
    if (left.length > 0) rowsOf.set(term, left);
  }
  return segmentOf({
    labels: parts.labels,
    uuids,
    names: Object.fromEntries(
      kept.flatMap((row, place) => (row in parts.names ? [[place, parts.names[row]]] : [])),
    ) as Record<number, string>,
    times: Float64Array.from(kept, (row) => segment.times[row] ?? 0),
    labelled: Uint16Array.from(kept, (row) => segment.labelled[row] ?? 0),
    open: Uint16Array.from(again(parts.open)),
    ...packTerms(rowsOf),
  });
}
