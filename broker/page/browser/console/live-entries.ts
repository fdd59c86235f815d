/** Entries that come as they are stored, as far as a page keeps them: the newest, each once. Pure. */
import type { Schema } from "./words.ts";

/** Shown, and as many again that wait to be. */
export const KEPT = 1_000;

export interface LiveEntry extends Schema<"LogItem"> {
  /** Size of `data` as JSON (characters) where only its beginning was sent. */
  readonly data_cut?: number;
}

export interface LiveEntries {
  /** An entry that is here already, such as after a connection was lost, is not taken twice. */
  add(entry: LiveEntry): void;
  /** So many were left out by whoever sends them. */
  leaveOut(count: number): void;
  /** What waits is shown. */
  show(): void;
  /** What is shown is forgotten; what waits is not. */
  clear(): void;
  /** Newest first; another array where it has changed. */
  readonly shown: readonly LiveEntry[];
  readonly waiting: number;
  /** All that have come since it was cleared. */
  readonly count: number;
  /** Left out by the sender, or let go before they were shown. */
  readonly dropped: number;
}

export function makeLiveEntries(): LiveEntries {
  let shown: readonly LiveEntry[] = [];
  /** Oldest first. */
  let waiting: LiveEntry[] = [];
  const ids = new Set<string>();
  let count = 0;
  let dropped = 0;
  return {
    add(entry) {
      if (ids.has(entry.event_id)) return;
      ids.add(entry.event_id);
      waiting.push(entry);
      count += 1;
      if (waiting.length <= KEPT) return;
      ids.delete(waiting.shift()?.event_id ?? "");
      dropped += 1;
    },
    leaveOut(more) {
      dropped += more;
    },
    show() {
      if (waiting.length === 0) return;
      const all = [...waiting.toReversed(), ...shown];
      for (const { event_id } of all.slice(KEPT)) ids.delete(event_id);
      shown = all.slice(0, KEPT);
      waiting = [];
    },
    clear() {
      for (const { event_id } of shown) ids.delete(event_id);
      shown = [];
      count = waiting.length;
      dropped = 0;
    },
    get shown() {
      return shown;
    },
    get waiting() {
      return waiting.length;
    },
    get count() {
      return count;
    },
    get dropped() {
      return dropped;
    },
  };
}
