/**
 * Reads a directory as a crash, a power cut or a sick disk has left it.
 *
 * A segment's header names its first sequence: what an older segment holds from there on was never acknowledged there
 * (its fsync failed and the records were written again) and is void. A sequence missing below it is a loss, and reported.
 */
import { Failure } from "#shared/errors";
import type { Log } from "#shared/log";
import { type Catalogue, hashOf, makeCatalogue, type Segment, segmentNumbers, segmentPath } from "./catalogue.ts";
import { loadCursor } from "./cursor.ts";
import { isUnreadable, READ_TRIES, readWhole, type SpoolFiles } from "./files.ts";
import {
  decodeRecord,
  markOfFirstRecord,
  readSegmentHeader,
  scan,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  VERSION,
} from "./format.ts";
import type { Quarantine } from "./quarantine.ts";

interface Entry {
  readonly sequence: number;
  readonly end: number;
  readonly idHash: number;
  readonly at: string;
}

/** A segment as it was found. */
interface Reading {
  readonly number: number;
  readonly path: string;
  readonly size: number;
  readonly mark: Buffer;
  /** Undefined where it is damaged. */
  readonly header: SegmentHeader | undefined;
  /** Intact records in ascending order. */
  readonly entries: readonly Entry[];
  readonly damaged: boolean;
  /** Where intact or damaged bytes end and those of a torn write begin. */
  readonly end: number;
}

export interface RecoverOptions {
  files: SpoolFiles;
  dir: string;
  log: Log;
  quarantine: Quarantine;
  onCorrupt: () => void;
}

function readingOf(number: number, path: string, bytes: Buffer): Reading {
  const header = readSegmentHeader(bytes);
  if (header !== undefined && header.version !== VERSION) {
    throw new Failure("conflict", `${path} is of format ${header.version}; this version reads ${VERSION}`);
  }
  const mark = header?.mark ?? markOfFirstRecord(bytes);
  const { found, damaged, end } = scan(bytes, mark, SEGMENT_HEADER_BYTES);
  let last = (header?.first ?? 1) - 1;
  const entries: Entry[] = [];
  for (const { sequence, payloadAt, end: recordEnd } of found) {
    if (sequence <= last) continue;
    last = sequence;
    const { id, at } = decodeRecord(bytes.subarray(payloadAt, recordEnd));
    entries.push({ sequence, end: recordEnd, idHash: hashOf(id), at });
  }
  return { number, path, size: bytes.length, mark, header, entries, damaged, end };
}

/** Nothing was ever acknowledged in it: the process died while it was being created. */
function neverWritten(bytes: Buffer, last: boolean): boolean {
  return bytes.length < SEGMENT_HEADER_BYTES || (last && bytes.every((byte) => byte === 0));
}

/** Reads a segment; undefined where there is nothing to read, or nothing that can be read. */
async function readSegment(options: RecoverOptions, number: number, last: boolean): Promise<Reading | undefined> {
  const { files, dir, log, onCorrupt } = options;
  const path = segmentPath(dir, number);
  for (let tries = 1; ; tries += 1) {
    try {
      const bytes = await readWhole(files, path);
      if (bytes === undefined) return undefined;
      if (!neverWritten(bytes, last)) return readingOf(number, path, bytes);
      await files.unlink(path);
      return undefined;
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      log.error("a segment cannot be read", { path, tries, error });
      if (tries < READ_TRIES) continue;
      onCorrupt();
      await files.rename(path, `${path}.bad`);
      return undefined;
    }
  }
}

/** What of a reading counts, given where the next segment begins (undefined: it is the last, or that is not known). */
function judge(reading: Reading, nextFirst: number | undefined, fence: number) {
  const entries = reading.entries.filter(({ sequence }) => sequence < fence);
  const first = reading.header?.first ?? entries[0]?.sequence;
  const last = nextFirst === undefined ? entries.at(-1)?.sequence : nextFirst - 1;
  const missing = first === undefined || last === undefined ? 0 : Math.max(0, last - first + 1 - entries.length);
  // With all sequences there up to the next segment, damage can only lie in what is void.
  const damaged = reading.header === undefined || missing > 0 || (nextFirst === undefined && reading.damaged);
  return { entries, first: first ?? fence, missing, damaged };
}

async function cutTornTail({ files, log }: RecoverOptions, { path, size, end }: Reading): Promise<void> {
  if (size <= end) return;
  log.warn("cut a record that was not written to its end", { path, bytes: size - end });
  const file = await files.open(path, "r+");
  try {
    await file.truncate(end);
    await file.datasync();
  } finally {
    await file.close();
  }
}

/** Cuts a torn tail, keeps damaged segments as `.bad`, removes what is delivered; returns what is left to deliver. */
export async function recover(options: RecoverOptions): Promise<Catalogue> {
  const { files, dir, log, quarantine, onCorrupt } = options;
  const { numbers, next } = segmentNumbers(await files.readdir(dir));
  const catalogue = makeCatalogue();
  catalogue.nextNumber = next;

  const cursor = await loadCursor(files, dir);
  if (cursor === undefined) log.warn("the cursor is damaged; all that is on disk is delivered again", { dir });
  catalogue.delivered = cursor ?? 0;

  const readings: Reading[] = [];
  for (const number of numbers) {
    const reading = await readSegment(options, number, number === numbers.at(-1));
    if (reading !== undefined) readings.push(reading);
  }
  const last = readings.at(-1);
  if (last !== undefined) await cutTornTail(options, last);

  let fence = Number.POSITIVE_INFINITY;
  let nextFirst: number | undefined;
  for (const reading of readings.toReversed()) {
    const { entries, first, missing, damaged } = judge(reading, nextFirst, fence);
    let kept = true;
    if (damaged) {
      onCorrupt();
      log.error("a segment is damaged", { path: reading.path, lost: missing, intact: entries.length });
      kept = await quarantine.keepSegment(reading.path);
    }
    nextFirst = reading.header?.first;
    fence = Math.min(fence, first);
    const left = entries.filter(({ sequence }) => sequence > catalogue.delivered);
    const end = entries.at(-1);
    if (end === undefined || left[0] === undefined) {
      if (kept) await files.unlink(reading.path);
    } else {
      const ids = new Map(entries.map(({ idHash, sequence }) => [idHash, sequence]));
      const { number, path, mark } = reading;
      const times: number[] = [];
      for (const { sequence, at } of entries) times[sequence - first] = Date.parse(at);
      const segment: Segment = { number, path, mark, first, last: end.sequence, bytes: end.end, damaged, ids, times };
      catalogue.segments.unshift(segment);
      catalogue.records += left.length;
      catalogue.oldestAt = new Date(left[0].at);
    }
    catalogue.next = Math.max(catalogue.next, (end?.sequence ?? 0) + 1);
  }
  catalogue.next = Math.max(catalogue.next, catalogue.delivered + 1);
  const oldest = catalogue.segments[0];
  if (cursor !== undefined && oldest !== undefined && oldest.first > cursor + 1) {
    // Also so where delivered segments were removed and the disk was too full for the cursor: no alarm.
    log.warn("sequences before the oldest segment are not known as delivered", {
      from: cursor + 1,
      to: oldest.first - 1,
    });
  }
  return catalogue;
}
