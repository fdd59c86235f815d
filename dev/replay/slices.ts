/** Entries in the order in which they happened, out of an export that begins with the newest. */
import type { LogItem } from "#contracts/log-queries";

/** The entries that were made from `from` to before `to` (ms since 1970), in any order. Throws where it breaks off. */
export type Export = (from: number, to: number, signal: AbortSignal) => AsyncIterable<LogItem>;

export interface SliceOptions {
  readonly from: number;
  /** Not included. */
  readonly to: number;
  /** Entries that are in memory at a time (default 5,000). */
  readonly most?: number;
}

const MOST = 5_000;
const FIRST_MS = 3_600_000;
/** Of one millisecond, which cannot be parted, so many times `most` are taken. */
const UNPARTED = 20;

/** By when it happened; of one producer by its numbers where the time is the same. */
export function inOrder(a: LogItem, b: LogItem): number {
  const time = Date.parse(a.created_at) - Date.parse(b.created_at);
  if (time !== 0) return time;
  if (a.producer !== undefined && a.producer.id === b.producer?.id) return a.producer.sequence - b.producer.sequence;
  return a.event_id < b.event_id ? -1 : Number(a.event_id > b.event_id);
}

/**
 * Reads slice after slice of the time, each as long as gives a handful of entries: a slice that has too many is given up and
 * read again in parts.
 */
export async function* oldestFirst(
  read: Export,
  { from, to, most = MOST }: SliceOptions,
  signal: AbortSignal,
): AsyncGenerator<LogItem> {
  let lengthMs = Math.min(FIRST_MS, Math.max(1, to - from));
  for (let at = from; at < to; ) {
    signal.throwIfAborted();
    const end = Math.min(to, at + lengthMs);
    const items: LogItem[] = [];
    const tooMany = end - at > 1 ? most : most * UNPARTED;
    const enough = new AbortController();
    for await (const item of read(at, end, AbortSignal.any([signal, enough.signal]))) {
      items.push(item);
      if (items.length > tooMany) break;
    }
    enough.abort(new Error("the slice is over"));
    if (items.length > tooMany) {
      if (end - at <= 1)
        throw new Error(`more than ${tooMany} entries in the millisecond ${new Date(at).toISOString()}`);
      lengthMs = Math.max(1, Math.floor((end - at) / 4));
      continue;
    }
    yield* items.sort(inOrder);
    at = end;
    if (items.length < most / 4) lengthMs *= 4;
  }
}
