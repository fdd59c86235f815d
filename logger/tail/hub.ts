/** Who follows what this logger stores: each is given what his filter asks for, and none slows down storing. */
import type { LogFilter, LogItem } from "#contracts/log-queries";
import { positionText, type TailPlace } from "#contracts/log-tail";
import { Failure, ok, type Result } from "#shared/errors";
import { eventBytes, makeOutlet, type Outlet } from "#shared/sse";
import type { Metrics } from "#shared/telemetry";
import type { LogDocument } from "../documents.ts";
import type { MongoConnection } from "../mongo.ts";
import { makeMatcher, wordsIn } from "../query/filter.ts";
import { itemOf } from "../query/item.ts";
import { entryEvent } from "./items.ts";
import { placeEvent, storedSince } from "./since.ts";
import { makeTap, type Tap } from "./tap.ts";
import { makeWriter, type Writer } from "./writer.ts";

/** Subscribers of one logger; brokers share theirs, so that each has one a filter. */
const SUBSCRIBERS_MAX = 100;
const RETRY_AFTER_S = 5;
/** Of each: entries and bytes that may wait, and how long they may without anything being taken (ms). */
const LIMITS = { maxEntries: 1_000, maxBytes: 1_048_576, stallMs: 30_000, heartbeatMs: 5_000 };
/** When a client that lost its connection comes back (ms). */
const RETRY_MS = 2_000;

export interface TailRequest {
  readonly filter: LogFilter;
  /** From where on; default: from now. */
  readonly after?: TailPlace | undefined;
  /** Of what was stored since, only that of the loggers in `after` and of this one. */
  readonly own: boolean;
  /** Whether to go on after what was stored since. */
  readonly follow: boolean;
  /** Over when the client goes away. */
  readonly signal: AbortSignal;
  readonly hurry: () => void;
}

export interface TailHub {
  readonly tap: Tap;
  readonly writer: Writer;
  /** @returns failure `overloaded` where there are as many as there may be, or this logger is stopping. */
  subscribe(request: TailRequest): Result<Outlet>;
  /** Says good-bye to all, and takes nobody more. */
  stop(): void;
}

interface Subscriber {
  readonly outlet: Outlet;
  readonly matches: ReturnType<typeof makeMatcher>;
}

export function makeTailHub(connection: Pick<MongoConnection, "logs" | "suspect">, metrics: Metrics): TailHub {
  const subscribers = new Set<Subscriber>();
  let isStopping = false;
  const writer = makeWriter();
  const tap = makeTap({ writer, onStored: tell, isHeard: () => subscribers.size > 0 });
  metrics.gauge("logger_tail_subscribers", "Clients that follow what is stored.", [], (gauge) =>
    gauge.set(subscribers.size),
  );
  const sent = metrics.counter("logger_tail_sent_total", "Entries given to subscribers of the tail.");
  const dropped = metrics.counter("logger_tail_dropped_total", "Entries that subscribers were too slow for.");
  const ended = metrics.counter("logger_tail_ended_total", "Subscriptions by why they ended.", ["reason"]);

  function tell(documents: readonly LogDocument[]): void {
    for (const document of documents) {
      let item: LogItem | undefined;
      let bytes: Uint8Array | undefined;
      let words: Set<string> | undefined;
      for (const { outlet, matches } of subscribers) {
        const told = (item ??= itemOf(document));
        if (!matches(told, () => (words ??= wordsIn(told)))) continue;
        bytes ??= entryEvent(document, told);
        outlet.offer(told.event_id, bytes);
      }
    }
  }

  const place = (): Uint8Array => placeEvent(positionText(tap.position));

  function begin(outlet: Outlet, { filter, after, own, follow }: TailRequest): void {
    const hello = eventBytes({ retryMs: RETRY_MS });
    outlet.tell(hello);
    if (after === undefined) {
      outlet.tell(place());
      return;
    }
    const positions = "positions" in after ? after.positions : [];
    const since = storedSince({
      connection,
      filter,
      place: after,
      own: tap.position,
      signal: outlet.signal,
      ...(own ? { writers: new Set([writer.name, ...positions.map((position) => position.writer)]) } : {}),
    });
    const give = async (): Promise<void> => {
      await outlet.precede(follow ? since : withEnd(since));
      if (follow) outlet.tell(place());
      else outlet.finish("given");
    };
    // What fails in it is told there; anything else is a bug, and ends the process as such.
    void give();
  }

  return {
    tap,
    writer,
    subscribe(request) {
      if (isStopping) return refused("the logger is stopping");
      if (subscribers.size >= SUBSCRIBERS_MAX) return refused("too many follow the log just now");
      const outlet = makeOutlet({
        ...LIMITS,
        hurry: request.hurry,
        position: place,
        onSent: (entries) => sent.inc(entries),
        onDropped: (entries) => dropped.inc(entries),
        onEnd: (reason) => {
          subscribers.delete(subscriber);
          request.signal.removeEventListener("abort", leave);
          ended.inc({ reason });
        },
      });
      const subscriber: Subscriber = {
        outlet,
        matches: request.follow ? makeMatcher(request.filter) : () => false,
      };
      const leave = (): void => outlet.end("client");
      subscribers.add(subscriber);
      request.signal.addEventListener("abort", leave, { once: true });
      begin(outlet, request);
      if (request.signal.aborted) leave();
      return ok(outlet);
    },
    stop() {
      isStopping = true;
      const bye = eventBytes({ event: "bye", data: JSON.stringify({ reason: "stopping" }), retryMs: RETRY_MS });
      for (const { outlet } of subscribers) outlet.end("stopping", bye);
    },
  };
}

const END = eventBytes({ event: "end", data: "{}" });

async function* withEnd<T>(all: AsyncIterable<T>): AsyncGenerator<T | Uint8Array> {
  yield* all;
  yield END;
}

function refused(message: string): Result<never> {
  return { ok: false, error: new Failure("overloaded", message, { retryAfterS: RETRY_AFTER_S }) };
}
