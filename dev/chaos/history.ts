/**
 * What clients were told is accepted, and where each of these is at the end. The conservation law:
 *
 *     accepted = stored + dead-lettered + unrouted + queued + spooled
 *
 * checked by comparing sets of names: every accepted thing has one that nothing else has, in its name or subject.
 */
import { UNROUTED_QUEUE, JOBS_DEAD_LETTER_QUEUE, LOGS_DEAD_LETTER_QUEUE } from "#contracts/events";
import { topologyOf } from "#shared/amqp";
import { outgoingTls } from "#shared/tls";
import { until } from "../until.ts";
import type { Grounds } from "./grounds.ts";
import { namesInQueue, namesInSpools } from "./places.ts";
import { waiting } from "./scene.ts";

export type Kind = "log" | "event" | "mail";
const LETTERS: Readonly<Record<Kind, string>> = { log: "l", event: "e", mail: "m" };
const UUID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g;
/** Receipts that a verdict asks for, evenly from all that were given. */
const RECEIPTS = 40;
const RECEIPT_MS = 10_000;

/** What is known of an accepted thing. */
export interface Acceptance {
  /** Its id as the answer gave it, or as its producer gave it to RabbitMQ. */
  readonly id?: string;
  /** Stored at least once is enough: an event of a producer that gave it no id. */
  readonly repeatable?: boolean;
}

export interface Verdict {
  readonly accepted: number;
  /** Names that are nowhere. */
  readonly lost: readonly string[];
  /** Names that are stored, or delivered as a mail, more than once. */
  readonly twice: readonly string[];
  readonly stored: number;
  /** Mails that were handed to the mail server, once or more often. */
  readonly delivered: number;
  /** Mails that were given up, which their receipts say. */
  readonly failed: readonly string[];
  readonly deadLettered: readonly string[];
  readonly unrouted: readonly string[];
  /** Still in RabbitMQ, or in the outbox without an end. */
  readonly queued: readonly string[];
  readonly spooled: readonly string[];
  /** Names of mails whose content was on its way when something died: not sent again by itself, and said so. */
  readonly ambiguous: readonly string[];
  /** Stored or delivered with another id or other content than was accepted. */
  readonly altered: readonly string[];
  /** Receipts, of a sample, that say something else than what is so, in words. */
  readonly wrongReceipts: readonly string[];
  /** Until spool and queues were empty and everything had its end (ms); undefined where the time was over first. */
  readonly drainMs: number | undefined;
}

export interface History {
  /** Begins all names; differs from history to history. */
  readonly tag: string;
  readonly accepted: number;
  /** A name that nothing had before. It is also what is logged or said under it, so that mixed-up content is seen. */
  nextName(kind: Kind): string;
  /** The platform said yes to it: it may not be lost any more. */
  accept(kind: Kind, name: string, how?: Acceptance): void;
  /** The same for an event of the platform's own, which has no name that we chose: its id stands for it. */
  acceptId(id: string): void;
  /** Takes note of what is in the inbox, which keeps the newest 1,000 only: for cases with more mails than that. */
  lookAtInbox(): Promise<void>;
  /**
   * Waits until everything has its end, at most `withinMs` (default 60,000), then says where everything is.
   * All services have to run.
   */
  verdict(options?: VerdictOptions): Promise<Verdict>;
}

export interface VerdictOptions {
  /** Longest that is waited for everything to have its end (ms, default 60,000). */
  readonly withinMs?: number;
  /** Gives up at once: the verdict rejects with its reason. */
  readonly signal?: AbortSignal;
  /** Nothing waits any more, or the time is over: now it is counted. */
  readonly onSettled?: () => void;
}

export interface HistoryOptions {
  /** Begins all names. Default: one of its own. */
  readonly tag?: string;
  /** Entries before this moment are not looked at: in a store that has been filled for days. Default: all are. */
  readonly since?: Date;
  /** Subjects of all mails that were delivered, once for each delivery. Default: the platform's inbox. */
  readonly delivered?: () => Promise<readonly string[]>;
}

const LOOK_EVERY_MS = 100;
/** FerretDB reads some ten thousand entries a second (ms). */
const LOOK_MS = 120_000;
/** Once spool and queues are empty, what is on its way between two parts has this long to arrive (ms). */
const LAST_MS = 3_000;
/** The listener's count of what it has in hand is half a second old: everything is ended when it still is after this (ms). */
const SURE_MS = 700;
const ENDED = new Set(["sent", "failed", "expired", "ambiguous"]);
const WORK = topologyOf().queues.filter(({ role }) => role === "work" || role === "retry");

let histories = 0;

export function makeHistory(platform: Grounds, options: HistoryOptions = {}): History {
  const { tag = `h${process.pid}x${(histories += 1)}`, since } = options;
  const pattern = new RegExp(`${tag}[${Object.values(LETTERS).join("")}]\\d+z`, "g");
  const accepted: Record<Kind, Map<string, Acceptance>> = { log: new Map(), event: new Map(), mail: new Map() };
  /** Of events that have no name of ours. */
  const acceptedIds = new Set<string>();
  let names = 0;
  /** What of ours a text speaks of. */
  const mentioned = (text: string): string[] => [
    ...new Set([
      ...(text.match(pattern) ?? []),
      ...(acceptedIds.size === 0 ? [] : (text.match(UUID) ?? [])).filter((id) => acceptedIds.has(id)),
    ]),
  ];
  /** Ids that the inbox gave deliveries, by subject. */
  const inbox = new Map<string, Set<string>>();

  const size = (): number => accepted.log.size + accepted.event.size + accepted.mail.size + acceptedIds.size;

  async function lookAtInbox(): Promise<void> {
    for (const { ID, Subject } of await platform.inbox()) {
      if (!Subject.startsWith(tag)) continue;
      const ids = inbox.get(Subject) ?? new Set();
      inbox.set(Subject, ids.add(ID));
    }
  }

  async function deliveries(): Promise<Map<string, number>> {
    if (options.delivered === undefined) {
      await lookAtInbox();
      return new Map([...inbox].map(([subject, ids]) => [subject, ids.size]));
    }
    const counted = new Map<string, number>();
    for (const subject of await options.delivered()) counted.set(subject, (counted.get(subject) ?? 0) + 1);
    return counted;
  }

  /** How often each name is stored, and which of them with another id or content than was accepted. */
  async function stored(): Promise<{ times: Map<string, number>; altered: string[] }> {
    const times = new Map<string, number>();
    const altered: string[] = [];
    const count = (key: string): void => void times.set(key, (times.get(key) ?? 0) + 1);
    // One look at everything: FerretDB reads all of it for each range and each list of ids.
    const found = platform.entries.find(since === undefined ? {} : { created_at: { $gte: since } }, {
      projection: { name: 1, event_id: 1, data: 1 },
    });
    for await (const { name, event_id, data } of found) {
      if (acceptedIds.has(event_id)) count(event_id);
      if (!name.startsWith(tag)) continue;
      count(name);
      const known = accepted.log.get(name) ?? accepted.event.get(name);
      if (known === undefined) continue;
      const right = (known.id === undefined || event_id === known.id) && JSON.stringify(data).includes(name);
      if (!right) altered.push(name);
    }
    return { times, altered };
  }

  async function outbox(): Promise<Map<string, string>> {
    const ids = [...accepted.mail.values()].flatMap(({ id }) => (id === undefined ? [] : [id]));
    const states = await platform.outbox(ids);
    const byName = new Map<string, string>();
    for (const [name, { id }] of accepted.mail) {
      const state = id === undefined ? undefined : states.get(id);
      if (state !== undefined) byName.set(name, state);
    }
    return byName;
  }

  async function everythingEnded(): Promise<boolean> {
    const { spooled, queued, inHand } = await waiting(platform);
    if (spooled + queued + inHand > 0) return false;
    if (accepted.mail.size === 0) return true;
    const states = await outbox();
    return [...accepted.mail.keys()].every((name) => ENDED.has(states.get(name) ?? "sent"));
  }

  /** How long it took (ms). */
  async function settle(withinMs: number, signal?: AbortSignal): Promise<number | undefined> {
    const began = performance.now();
    const endsAt = began + withinMs;
    while (performance.now() < endsAt) {
      signal?.throwIfAborted();
      // A part that is just coming back does not answer yet.
      if (await everythingEnded().catch(() => false)) {
        const tookMs = performance.now() - began;
        await Bun.sleep(SURE_MS);
        if (await everythingEnded().catch(() => false)) return tookMs;
      }
      await Bun.sleep(LOOK_EVERY_MS);
    }
    return undefined;
  }

  return {
    tag,
    get accepted() {
      return size();
    },
    nextName: (kind) => `${tag}${LETTERS[kind]}${(names += 1)}z`,
    accept(kind, name, how = {}) {
      if (accepted[kind].has(name)) throw new Error(`${name} was accepted before`);
      accepted[kind].set(name, how);
    },
    acceptId(id) {
      acceptedIds.add(id);
    },
    lookAtInbox,

    async verdict({ withinMs = 60_000, onSettled, signal } = {}) {
      const drainMs = await settle(withinMs, signal);
      onSettled?.();
      const entries = new Map<string, Acceptance>([
        ...accepted.log,
        ...accepted.event,
        ...Array.from(acceptedIds, (id) => [id, { id }] as const),
      ]);
      // What was acknowledged by one part and is not yet seen at the next has a moment to arrive.
      // Connections of ours that ended with a killed server are found out one by one.
      let store = await until("the store is looked through", stored, LOOK_MS, signal);
      await until(
        "all stored",
        async () => {
          if ([...entries.keys()].every((name) => store.times.has(name))) return true;
          store = await stored();
          return false;
        },
        LAST_MS,
      ).catch(() => undefined);

      const deadLettered = new Set([
        ...(await namesInQueue(platform, LOGS_DEAD_LETTER_QUEUE, mentioned)),
        ...(await namesInQueue(platform, JOBS_DEAD_LETTER_QUEUE, mentioned)),
      ]);
      const unrouted = new Set(await namesInQueue(platform, UNROUTED_QUEUE, mentioned));
      const queued = new Set<string>();
      const spooled = new Set<string>();
      const known = (name: string): boolean => deadLettered.has(name) || unrouted.has(name);
      const missing = [...entries.keys()].filter((name) => !store.times.has(name) && !known(name));
      // Looking into queues that are worked on disturbs: only where something has to be found.
      if (missing.length > 0 || drainMs === undefined) {
        for (const { name } of WORK)
          for (const found of await namesInQueue(platform, name, mentioned)) queued.add(found);
        for (const found of await namesInSpools(platform, mentioned)) spooled.add(found);
      }
      const lost = missing.filter((name) => !queued.has(name) && !spooled.has(name));
      const twice = [...store.times.keys()].filter(
        (name) => (store.times.get(name) ?? 0) > 1 && entries.get(name)?.repeatable !== true,
      );

      const ambiguous: string[] = [];
      const failed: string[] = [];
      let arrived = 0;
      if (accepted.mail.size > 0) {
        const states = await outbox();
        const delivered = await deliveries();
        for (const name of accepted.mail.keys()) {
          const state = states.get(name);
          const times = delivered.get(name) ?? 0;
          if (times > 0) arrived += 1;
          if (times > 1) twice.push(name);
          if (state === undefined && !known(name) && !queued.has(name)) lost.push(name);
          if (state === "sent" && times === 0) lost.push(name);
          if (state === "ambiguous") ambiguous.push(name);
          if (times === 0 && (state === "failed" || state === "expired")) failed.push(name);
          if (state !== undefined && !ENDED.has(state)) queued.add(name);
        }
      }
      const ends = new Map<string, string>();
      for (const [name, { id }] of entries) if (id !== undefined && store.times.has(name)) ends.set(id, "stored");
      for (const name of ambiguous) ends.set(accepted.mail.get(name)?.id ?? "", "ambiguous");
      return {
        accepted: size(),
        lost,
        twice,
        stored: [...entries.keys()].filter((name) => store.times.has(name)).length,
        delivered: arrived,
        failed,
        deadLettered: [...deadLettered],
        unrouted: [...unrouted],
        queued: [...queued],
        spooled: [...spooled],
        ambiguous,
        altered: store.altered,
        wrongReceipts: await wrongReceipts(platform, ends),
        drainMs,
      };
    },
  };
}

/** Asks the broker for receipts of things whose end is known, by their ids. */
async function wrongReceipts(platform: Grounds, ends: ReadonlyMap<string, string>): Promise<string[]> {
  const all = [...ends];
  const step = Math.max(1, Math.floor(all.length / RECEIPTS));
  const wrong: string[] = [];
  for (let at = 0; at < all.length; at += step) {
    const [id, end] = all[at]!;
    const answer = await fetch(`${platform.url("broker")}/v1/receipts/${id}`, {
      ...outgoingTls(),
      signal: AbortSignal.timeout(RECEIPT_MS),
    });
    const { data } = (await answer.json()) as { data?: { state?: string } };
    if (data?.state !== end)
      wrong.push(`${id} is ${end}, its receipt says ${answer.status} ${data?.state ?? ""}`.trim());
  }
  return wrong;
}
