/** Entries as they are stored, for a page: drawn in batches, so that however many come the page can be used. */
import type { EventSourceMessage } from "eventsource-parser";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Trouble } from "./api.ts";
import { type LiveEntries, type LiveEntry, makeLiveEntries } from "./live-entries.ts";
import { follow } from "./stream.ts";

/** How often what has come is drawn (ms). */
const DRAW_MS = 250;
const NOTES = 5;

/** What else is to be known of the stream, in words. */
export interface Note {
  readonly id: number;
  readonly text: string;
  /** Stored between these times (RFC 3339) some may be missing. */
  readonly between?: { readonly from: string; readonly to: string };
}

export interface Live extends Pick<LiveEntries, "shown" | "waiting" | "count" | "dropped" | "clear"> {
  /** The newest last, at most five. */
  readonly notes: readonly Note[];
  /** How many loggers are not followed. */
  readonly missing: number;
  readonly state: "connecting" | "live" | "broken";
  /** Why it is broken, and when it is tried again (ms); never where that is undefined. */
  readonly trouble: Trouble | undefined;
  readonly againInMs: number | undefined;
}

type Told = Omit<Live, "clear">;
const NOTHING: Told = {
  shown: [],
  waiting: 0,
  count: 0,
  dropped: 0,
  notes: [],
  missing: 0,
  state: "connecting",
  trouble: undefined,
  againInMs: undefined,
};

/** @param path of the stream. @param held nothing more is shown meanwhile. */
export function useLive(path: string, held: boolean): Live {
  const [told, setTold] = useState(NOTHING);
  const isHeld = useRef(held);
  isHeld.current = held;
  const clear = useRef<() => void>(() => undefined);

  useEffect(() => {
    const ended = new AbortController();
    const entries = makeLiveEntries();
    let notes = 0;
    setTold(NOTHING);
    const tell = (change: Partial<Told>): void => setTold((before) => ({ ...before, ...change }));
    const note = (text: string, more: Pick<Note, "between"> = {}): void => {
      notes += 1;
      const one = { id: notes, text, ...more };
      setTold((before) => ({ ...before, notes: [...before.notes, one].slice(-NOTES) }));
    };

    const onEvent = ({ event, data }: EventSourceMessage): void => {
      const said: unknown = JSON.parse(data);
      switch (event) {
        case "entry":
          return entries.add(said as LiveEntry);
        case "dropped":
          return entries.leaveOut((said as { count: number }).count);
        case "gap": {
          const { from, to, reason } = said as { from: string; to: string; reason: string };
          return note(`Some may be missing: ${reason}`, { between: { from, to } });
        }
        case "partial":
        case "whole":
          return tell({ missing: (said as { missing: number }).missing });
        case "bye":
          return note(`The broker has ended the stream: ${(said as { reason: string }).reason}`);
        default:
      }
    };

    const draw = (): void => {
      if (!isHeld.current) entries.show();
      const { shown, waiting, count, dropped } = entries;
      setTold((before) =>
        before.shown === shown && before.waiting === waiting && before.count === count && before.dropped === dropped
          ? before
          : { ...before, shown, waiting, count, dropped },
      );
    };
    clear.current = () => {
      entries.clear();
      tell({ notes: [] });
      draw();
    };
    const timer = setInterval(draw, DRAW_MS);
    void follow(path, {
      signal: ended.signal,
      onEvent,
      onOpen: () => tell({ state: "live", trouble: undefined, missing: 0 }),
      onTrouble: (trouble, againInMs) => tell({ state: "broken", trouble, againInMs }),
    });
    return () => {
      ended.abort();
      clearInterval(timer);
    };
  }, [path]);

  return { ...told, clear: () => clear.current() };
}
