/** Entries as they are stored, for a page: drawn in batches, so that however many come the page can be used. */
import type { EventSourceMessage } from "eventsource-parser";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Schema, Trouble } from "./api.ts";
import { follow } from "./stream.ts";

/** How often what has come is drawn (ms), and how many are drawn: the newest. */
const DRAW_MS = 250;
export const DRAWN = 100;
/** What waits while the drawing is held: of more the oldest are let go, and counted. */
const WAIT_MAX = 1_000;

export interface LiveEntry extends Schema<"LogItem"> {
  /** Size of `data` as JSON (characters) where only its beginning was sent. */
  readonly data_cut?: number;
}

export interface Live {
  /** Newest first. */
  readonly entries: readonly LiveEntry[];
  /** All that have come since it was begun. */
  readonly count: number;
  /** Come while it is held. */
  readonly waiting: number;
  /** Left out here or by the broker, since more came than can be shown: the log has them. */
  readonly dropped: number;
  /** What else is to be known, in words; the newest last, at most five. */
  readonly notes: readonly string[];
  readonly state: "connecting" | "live" | "broken";
  readonly trouble: Trouble | undefined;
  readonly clear: () => void;
}

type Told = Omit<Live, "clear">;
const NOTHING: Told = {
  entries: [],
  count: 0,
  waiting: 0,
  dropped: 0,
  notes: [],
  state: "connecting",
  trouble: undefined,
};
const NOTES = 5;

/** @param path of the stream. @param held nothing is drawn meanwhile. */
export function useLive(path: string, held: boolean): Live {
  const [told, setTold] = useState(NOTHING);
  const isHeld = useRef(held);
  isHeld.current = held;

  useEffect(() => {
    const ended = new AbortController();
    setTold(NOTHING);
    let come: LiveEntry[] = [];
    let more = 0;
    let dropped = 0;
    const tell = (change: (before: Told) => Partial<Told>): void =>
      setTold((before) => ({ ...before, ...change(before) }));
    const note = (text: string): void => tell(({ notes }) => ({ notes: [...notes, text].slice(-NOTES) }));

    const onEvent = ({ event, data }: EventSourceMessage): void => {
      switch (event) {
        case "entry":
          come.push(JSON.parse(data) as LiveEntry);
          more += 1;
          if (come.length > WAIT_MAX) {
            come.shift();
            dropped += 1;
          }
          return;
        case "dropped":
          dropped += (JSON.parse(data) as { count: number }).count;
          return;
        case "gap": {
          const { from, to, reason } = JSON.parse(data) as { from: string; to: string; reason: string };
          return note(`Between ${shown(from)} and ${shown(to)} some may be missing: ${reason}`);
        }
        case "partial":
          return note(`Not all loggers can be followed: ${(JSON.parse(data) as { missing: number }).missing} missing`);
        case "whole":
          return note("All loggers are followed again");
        case "bye":
          return note(`The broker has ended it: ${(JSON.parse(data) as { reason: string }).reason}`);
        default:
      }
    };

    const draw = (): void => {
      if (isHeld.current) return tell(() => ({ waiting: come.length, count: more, dropped }));
      if (come.length === 0)
        return tell((before) => (before.dropped === dropped && before.waiting === 0 ? {} : { dropped, waiting: 0 }));
      const fresh = come.toReversed().slice(0, DRAWN);
      come = [];
      tell(({ entries }) => ({
        entries: [...fresh, ...entries].slice(0, DRAWN),
        count: more,
        waiting: 0,
        dropped,
      }));
    };
    const timer = setInterval(draw, DRAW_MS);
    void follow(path, {
      signal: ended.signal,
      onEvent,
      onOpen: () => tell(() => ({ state: "live", trouble: undefined })),
      onTrouble: (trouble) => tell(() => ({ state: "broken", trouble })),
    });
    return () => {
      ended.abort();
      clearInterval(timer);
    };
  }, [path]);

  return { ...told, clear: () => setTold((before) => ({ ...before, entries: [], notes: [], dropped: 0 })) };
}

const shown = (at: string): string => new Date(at).toLocaleTimeString();
