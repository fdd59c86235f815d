/** What reading entries is to those who ask: the same over each kind of server. */
import type { LogFilter, LogItem } from "#contracts/log-queries";
import type { Deadline } from "#shared/resilience";
import type { Logs } from "../mongo.ts";

/** Entries are in one order: newest first by `created_at` (ms since 1970), and by `id`, which is the reader's own. */
export interface Place {
  readonly at: number;
  readonly id: string;
}

export interface FoundItem {
  readonly item: LogItem;
  readonly place: Place;
  /** About what it takes in memory and on the wire (bytes). */
  readonly bytes: number;
}

export interface Found {
  readonly items: readonly FoundItem[];
  /** The place of the last entry that was looked at; absent where there are no more. */
  readonly next?: Place;
  /** How words were looked for. */
  readonly text?: "index" | "pattern";
}

/** Told of entries that are what is asked for: how many of a name and severity lie in the bucket from `at` (ms) on. */
export type Count = (at: number, name: string, severity: string, entries: number) => void;

export interface Buckets {
  /** Multiples of `intervalMs`; `to` is not included. */
  readonly from: number;
  readonly to: number;
  readonly intervalMs: number;
}

/** All of it throws what the driver throws, and Failure `deadline`. */
export interface Reader {
  /**
   * Entries after `after`, at most `limit`. There may be fewer, none even, and more to come: where looking took long, and
   * where they are larger than `PAGE_BYTES`.
   */
  page(logs: Logs, filter: LogFilter, after: Place | undefined, limit: number, deadline: Deadline): Promise<Found>;
  count(logs: Logs, filter: LogFilter, buckets: Buckets, count: Count, deadline: Deadline): Promise<void>;
}

/** Time that has to be left to look further (ms): what was found is to be answered yet. */
export const ANSWER_MS = 1_500;

/** What a page has at most, one entry more: the broker takes answers of 8 MiB. */
export const PAGE_BYTES = 2 * 1_048_576;
