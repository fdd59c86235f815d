/** All who follow the same: one connection to each logger, however many they are. */
import { LRUCache } from "lru-cache";
import { positionText, sinceText, type TailGap, TailItem, tailId, type TailPlace } from "#contracts/log-tail";
import type { Secret } from "#shared/config";
import type { Endpoint } from "#shared/discovery";
import { fail, ok, type Result } from "#shared/errors";
import type { Log } from "#shared/log";
import { eventBytes, eventsOf, type Outlet, type OutletEntry, type ReceivedEvent } from "#shared/sse";
import { makeUpstream, openTail, SILENCE_MS, type Upstream } from "./upstream.ts";

/** Event ids that are remembered, so that an entry is told once. */
const REMEMBERED = 10_000;
/** How long the first of the followers waits for all loggers; any one is enough after that (ms). */
const ALL_MS = 1_000;
/** Longest that a logger stores before it is known here: it registers, and is looked for every 2 s (ms). */
const NEW_MS = 10_000;

/** Where a client comes back to, and how it was written. */
export interface After {
  readonly place: TailPlace;
  readonly text: string;
}

export interface Group {
  /** Settled once it is known whether the filter is one, and whether any logger tells. */
  readonly ready: Promise<Result<void>>;
  readonly size: number;
  /** Tells `outlet` what the loggers tell; first what was stored since, if that is asked for. */
  join(outlet: Outlet, after?: After): void;
  leave(outlet: Outlet): void;
  /** In an event of its own: where those are that have been told all. */
  place(): Uint8Array;
  /** Loggers come and go. */
  follow(loggers: readonly Endpoint[]): void;
  readonly upstreams: number;
  close(): void;
}

export interface GroupOptions {
  readonly query: string;
  readonly loggers: readonly Endpoint[];
  readonly key: Secret | undefined;
  readonly log: Log;
}

function isoOf(ms: number): string {
  return new Date(ms).toISOString();
}

function oldestOf(place: TailPlace): number {
  return "since" in place ? place.since : Math.min(...place.positions.map(({ storedAt }) => storedAt));
}

function eventIdOf(id: string): string {
  return decodeURIComponent(id.slice(0, id.lastIndexOf("~")));
}

export function makeGroup({ query, loggers, key, log }: GroupOptions): Group {
  const outlets = new Set<Outlet>();
  const upstreams = new Map<string, Upstream>();
  const seen = new LRUCache<string, true>({ max: REMEMBERED });
  let missing = 0;
  let isOpen = false;

  function placeNow(): string {
    const known = [...upstreams.values()].flatMap(({ position }) => (position === undefined ? [] : [position]));
    return known.length === 0 ? sinceText(Date.now()) : known.map(positionText).join(".");
  }

  function tellAll(bytes: Uint8Array): void {
    for (const outlet of outlets) outlet.tell(bytes);
  }

  function onEvent({ event, data, id }: ReceivedEvent): void {
    if (event === "entry") {
      const eventId = eventIdOf(id);
      if (seen.has(eventId)) return;
      seen.set(eventId, true);
      const bytes = eventBytes({ id: tailId(eventId, placeNow()), event, data });
      for (const outlet of outlets) outlet.offer(eventId, bytes);
    } else if (event === "dropped" || event === "gap") {
      tellAll(eventBytes({ event, data }));
    }
  }

  function stateEvent(): Uint8Array {
    const data = JSON.stringify({ loggers: upstreams.size, missing });
    return eventBytes({ event: missing === 0 ? "whole" : "partial", data });
  }

  function look(): void {
    const now = [...upstreams.values()].filter(({ isConnected }) => !isConnected).length;
    if (now === missing) return;
    missing = now;
    if (isOpen) tellAll(stateEvent());
  }

  function add(logger: Endpoint): Upstream {
    // Of one that is new: what it stored before it was known here. What was told already is told once.
    const since = isOpen ? { since: Date.now() - NEW_MS } : {};
    const upstream = makeUpstream({ logger, query, key, log, onEvent, onState: look, ...since });
    upstreams.set(logger.url, upstream);
    return upstream;
  }

  /** Any logger that tells is enough; where none does it is said why. */
  async function open(): Promise<Result<void>> {
    const all = loggers.map((logger) => add(logger).first);
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, ALL_MS);
    await Promise.race([Promise.all(all), late.promise]);
    clearTimeout(timer);
    const isAny = (): boolean => [...upstreams.values()].some(({ isConnected }) => isConnected);
    const firsts = isAny() ? [] : await Promise.all(all);
    isOpen = true;
    look();
    if (isAny()) return ok();
    const refusals = firsts.filter((result) => !result.ok);
    return (
      refusals.find(({ error }) => error.code === "invalid") ??
      refusals[0] ??
      fail("unavailable", "no logger is known", { retryAfterS: 1 })
    );
  }

  async function* since(place: TailPlace, text: string, signal: AbortSignal): AsyncGenerator<OutletEntry | Uint8Array> {
    let from = isoOf(oldestOf(place));
    const gap = (reason: string): Uint8Array => {
      const told: TailGap = { from, to: isoOf(Date.now()), reason };
      return eventBytes({ event: "gap", data: JSON.stringify(told) });
    };
    const asked = `${query}&follow=false&after=${encodeURIComponent(`~${text}`)}`;
    const one = [...upstreams.values()].find(({ isConnected }) => isConnected);
    const opened = one === undefined ? fail("unavailable") : await openTail(one.logger, asked, key, signal);
    if (!opened.ok) {
      yield gap("no logger could be asked");
      return;
    }
    try {
      for await (const { events } of eventsOf(opened.value, SILENCE_MS)) {
        for (const { event, data, id } of events) {
          if (event === "end") return;
          if (event === "entry") {
            from = (JSON.parse(data) as TailItem).stored_at ?? from;
            yield { key: eventIdOf(id), bytes: eventBytes({ id, event, data }) };
          } else if (event === "gap") yield eventBytes({ event, data });
        }
      }
    } catch (error) {
      if (signal.aborted) return;
      log.debug("a logger's answer to what was stored since broke off", { error });
    }
    yield gap("a logger broke off");
  }

  async function give(outlet: Outlet, after: After): Promise<void> {
    await outlet.precede(since(after.place, after.text, outlet.signal));
    outlet.tell(placeEvent());
  }

  const placeEvent = (): Uint8Array => eventBytes({ id: tailId("", placeNow()) });
  const ready = open();

  return {
    ready,
    get size() {
      return outlets.size;
    },
    join(outlet, after) {
      outlets.add(outlet);
      if (missing > 0) outlet.tell(stateEvent());
      if (after === undefined) outlet.tell(placeEvent());
      // What fails in it is told there; anything else is a bug, and ends the process as such.
      else void give(outlet, after);
    },
    leave: (outlet) => void outlets.delete(outlet),
    place: placeEvent,
    follow(now) {
      if (!isOpen) return;
      const urls = new Set(now.map(({ url }) => url));
      for (const [url, upstream] of upstreams) {
        if (urls.has(url)) continue;
        upstreams.delete(url);
        upstream.close();
      }
      for (const logger of now) if (!upstreams.has(logger.url)) add(logger);
      look();
    },
    get upstreams() {
      return upstreams.size;
    },
    close() {
      for (const upstream of upstreams.values()) upstream.close();
      upstreams.clear();
    },
  };
}
