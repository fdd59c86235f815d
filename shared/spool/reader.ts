/** Reads what is durable and not yet delivered, in order, a batch at a time. */
import type { Catalogue, Segment } from "./catalogue.ts";
import { readAt, type SpoolFile, type SpoolFiles } from "./files.ts";
import { decodeRecord, RECORD_MAX_BYTES, scan, SEGMENT_HEADER_BYTES } from "./format.ts";
import type { SpoolRecord } from "./types.ts";

export interface Batch {
  readonly records: readonly SpoolRecord[];
  /** Per record, its sequence. */
  readonly sequences: readonly number[];
  /** Where there is no record left before it: all up to here is passed (damage behind the last record included). */
  readonly upTo: number;
}

export interface Reader extends AsyncDisposable {
  /** The oldest records that are not delivered; undefined where there are none. Rejects when the disk cannot be read. */
  next(maxRecords: number): Promise<Batch | undefined>;
  /** The segment is being removed. */
  forget(segment: Segment): Promise<void>;
}

const CHUNK_BYTES = 256 * 1_024;

/** @param onDamage told of a segment in which something is no longer what was written, once for each. */
export function makeReader(
  files: SpoolFiles,
  catalogue: Catalogue,
  onDamage: (segment: Segment) => Promise<void>,
): Reader {
  let opened: { segment: Segment; file: SpoolFile } | undefined;
  /** By sequence, where the record after it begins: of the batch that is being delivered. */
  let ends = new Map<number, number>();

  async function fileOf(segment: Segment): Promise<SpoolFile> {
    if (opened?.segment !== segment) {
      await close();
      opened = { segment, file: await files.open(segment.path, "r") };
      ends = new Map();
    }
    return opened.file;
  }

  async function close(): Promise<void> {
    const closing = opened;
    opened = undefined;
    await closing?.file.close();
  }

  /** The records of a segment from `from` on: of a chunk, or of all the rest where a chunk is not enough. */
  async function read(segment: Segment, from: number, end: number) {
    const file = await fileOf(segment);
    let atEnd = false;
    for (let size = CHUNK_BYTES; ; size = size === CHUNK_BYTES ? RECORD_MAX_BYTES : end) {
      const bytes = await readAt(file, from, Math.min(size, end - from));
      atEnd = from + size >= end;
      const found = scan(bytes, segment.mark, 0);
      const enough = found.found.length > 0 && !found.damaged;
      if (enough || atEnd) return { bytes, ...found, atEnd };
    }
  }

  async function next(maxRecords: number): Promise<Batch | undefined> {
    const segment = catalogue.segments.find(({ last }) => last > catalogue.delivered);
    if (segment === undefined) return undefined;
    let from = ends.get(catalogue.delivered) ?? SEGMENT_HEADER_BYTES;
    if (opened?.segment !== segment) from = SEGMENT_HEADER_BYTES;

    for (;;) {
      const { last, bytes: durable } = segment; // both may grow while it is read
      const { bytes, found, damaged, end, atEnd } = await read(segment, from, durable);
      if ((damaged || (atEnd && from + end < durable)) && !segment.damaged) {
        segment.damaged = true;
        await onDamage(segment);
      }
      const wanted = found.filter(({ sequence }) => sequence > catalogue.delivered && sequence <= last);
      const batch = wanted.slice(0, maxRecords);
      const newest = batch.at(-1);
      if (newest === undefined && !atEnd) {
        from += end;
        continue;
      }
      ends = new Map(batch.map(({ sequence, end: recordEnd }) => [sequence, from + recordEnd]));
      ends.set(catalogue.delivered, from);
      const complete = newest === undefined || (atEnd && batch.length === wanted.length);
      return {
        records: batch.map(({ payloadAt, end: recordEnd }) => decodeRecord(bytes.subarray(payloadAt, recordEnd))),
        sequences: batch.map(({ sequence }) => sequence),
        upTo: complete ? last : newest.sequence,
      };
    }
  }

  async function forget(segment: Segment): Promise<void> {
    if (opened?.segment === segment) await close();
  }

  return { next, forget, [Symbol.asyncDispose]: close };
}
