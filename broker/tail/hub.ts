/** Who follows the log through this broker: how many may, what each is given, and that each still may. */
import { Failure, ok, type Result } from "#shared/errors";
import type { Secret } from "#shared/config";
import type { Endpoint } from "#shared/discovery";
import type { Log } from "#shared/log";
import { eventBytes, makeOutlet, type Outlet } from "#shared/sse";
import type { Metrics } from "#shared/telemetry";
import { type After, type Group, makeGroup } from "./group.ts";

/** Who follows at once: all of them, one caller, and how many different filters there may be, each a connection a logger. */
const SUBSCRIBERS_MAX = 200;
const PER_CALLER_MAX = 20;
const FILTERS_MAX = 50;
const RETRY_AFTER_S = 5;
/** Of each: entries and bytes that may wait, and how long they may without anything being taken (ms). */
const LIMITS = { maxEntries: 1_000, maxBytes: 1_048_576, stallMs: 30_000, heartbeatMs: 5_000 };
/** When a client that lost its connection comes back (ms). */
const RETRY_MS = 2_000;
/** How often it is looked whether each still may, and which loggers there are (ms). */
const LOOK_MS = 2_000;

export interface Following {
  /** The filter as a query, in one order, so that the same is the same. */
  readonly query: string;
  readonly after?: After | undefined;
  readonly caller: string;
  /** Whether he still may: asked every 2 s. */
  readonly may: () => Promise<boolean>;
  /** Over when the client goes away. */
  readonly signal: AbortSignal;
  readonly hurry: () => void;
}

export interface BrokerTail extends Disposable {
  /**
   * @returns failure `invalid` as the logger says, `exhausted` where the caller has as many as he may, `overloaded` where all
   * together do or this broker is stopping, `unavailable` where no logger tells.
   */
  subscribe(following: Following): Promise<Result<Outlet>>;
  /** Says good-bye to all, and takes nobody more. Idempotent. */
  [Symbol.dispose](): void;
}

export interface BrokerTailOptions {
  /** The loggers there are now. Asked anew every 2 s. */
  readonly loggers: () => readonly Endpoint[];
  readonly key: Secret | undefined;
  readonly log: Log;
  readonly metrics: Metrics;
}

interface Shared {
  readonly group: Group;
  /** Those who are being let in, and are none of its size yet. */
  waiting: number;
}

interface Subscriber {
  readonly outlet: Outlet;
  readonly may: () => Promise<boolean>;
}

export function makeBrokerTail({ loggers, key, log, metrics }: BrokerTailOptions): BrokerTail {
  const subscribers = new Set<Subscriber>();
  const perCaller = new Map<string, number>();
  const groups = new Map<string, Shared>();
  /** Those too that are being let in. */
  let taken = 0;
  let isStopping = false;
  let isLooking = false;
  metrics.gauge("broker_tail_subscribers", "Clients that follow the log.", [], (gauge) => gauge.set(subscribers.size));
  metrics.gauge("broker_tail_upstreams", "Connections to loggers for them.", [], (gauge) => {
    gauge.set([...groups.values()].reduce((sum, { group }) => sum + group.upstreams, 0));
  });
  const sent = metrics.counter("broker_tail_sent_total", "Entries given to those who follow.");
  const dropped = metrics.counter("broker_tail_dropped_total", "Entries that they were too slow for.");
  const ended = metrics.counter("broker_tail_ended_total", "Followings by why they ended.", ["reason"]);

  function bye(reason: string): Uint8Array {
    return eventBytes({ event: "bye", data: JSON.stringify({ reason }), retryMs: RETRY_MS });
  }

  async function look(): Promise<void> {
    const known = loggers();
    for (const { group } of groups.values()) group.follow(known);
    // Side by side: that it takes long for one holds up no other.
    await Promise.all(
      [...subscribers].map(async ({ outlet, may }) => {
        if (!(await may())) outlet.end("access", bye("the credential no longer counts"));
      }),
    );
  }

  const looking = setInterval(() => {
    if (isLooking) return;
    isLooking = true;
    void look().finally(() => {
      isLooking = false;
    });
  }, LOOK_MS);

  function refusal(caller: string): Failure | undefined {
    const retry = { retryAfterS: RETRY_AFTER_S };
    if (isStopping) return new Failure("overloaded", "the broker is stopping", retry);
    if ((perCaller.get(caller) ?? 0) >= PER_CALLER_MAX)
      return new Failure(
        "exhausted",
        `no more than ${PER_CALLER_MAX} at once may follow the log for one caller`,
        retry,
      );
    if (taken >= SUBSCRIBERS_MAX) return new Failure("overloaded", "too many follow the log just now", retry);
    return undefined;
  }

  function take(caller: string): () => void {
    taken += 1;
    perCaller.set(caller, (perCaller.get(caller) ?? 0) + 1);
    return () => {
      taken -= 1;
      const left = (perCaller.get(caller) ?? 1) - 1;
      if (left === 0) perCaller.delete(caller);
      else perCaller.set(caller, left);
    };
  }

  function sharedOf(query: string): Shared | undefined {
    const known = groups.get(query);
    if (known !== undefined || groups.size >= FILTERS_MAX) return known;
    const shared = { group: makeGroup({ query, loggers: loggers(), key, log }), waiting: 0 };
    groups.set(query, shared);
    return shared;
  }

  function leaveGroup(query: string, shared: Shared): void {
    const { group, waiting } = shared;
    if (waiting > 0 || group.size > 0 || groups.get(query) !== shared) return;
    groups.delete(query);
    group.close();
  }

  return {
    async subscribe({ query, after, caller, may, signal, hurry }) {
      const refused = refusal(caller);
      if (refused !== undefined) return { ok: false, error: refused };
      const shared = sharedOf(query);
      if (shared === undefined) {
        const message = "too many different filters are followed just now";
        return { ok: false, error: new Failure("overloaded", message, { retryAfterS: RETRY_AFTER_S }) };
      }
      const giveBack = take(caller);
      const { group } = shared;
      shared.waiting += 1;
      const ready = await group.ready;
      shared.waiting -= 1;
      if (!ready.ok || signal.aborted || isStopping) {
        giveBack();
        leaveGroup(query, shared);
        return ready.ok ? { ok: false, error: new Failure("overloaded", "the broker is stopping") } : ready;
      }
      const outlet = makeOutlet({
        ...LIMITS,
        hurry,
        position: () => group.place(),
        onSent: (entries) => sent.inc(entries),
        onDropped: (entries) => dropped.inc(entries),
        onEnd: (reason) => {
          subscribers.delete(subscriber);
          signal.removeEventListener("abort", leave);
          group.leave(outlet);
          leaveGroup(query, shared);
          giveBack();
          ended.inc({ reason });
        },
      });
      const subscriber: Subscriber = { outlet, may };
      const leave = (): void => outlet.end("client");
      subscribers.add(subscriber);
      signal.addEventListener("abort", leave, { once: true });
      outlet.tell(eventBytes({ retryMs: RETRY_MS }));
      group.join(outlet, after);
      return ok(outlet);
    },
    [Symbol.dispose]() {
      isStopping = true;
      clearInterval(looking);
      for (const { outlet } of subscribers) outlet.end("stopping", bye("stopping"));
    },
  };
}
