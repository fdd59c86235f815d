/** Whether a message is parked, or may still come: what receipts ask. */
import { type DeadLetter, PARKED } from "#contracts/dead-letters";
import type { ParkedQueues, Topology } from "#shared/amqp";
import { Failure, ok, type Result } from "#shared/errors";
import { Deadline } from "#shared/resilience";
import { letterOf, parkedQueues } from "./view.ts";

/** What is known is this old at the most (ms). */
const FRESH_MS = 1_000;
/** Messages of one queue that are looked at. */
const MAX_LOOKED = 10_000;
/** A receipt needs no content. */
const PREVIEW = 200;
/** Longest for one look at everything (ms). */
const REFRESH_MS = 4_000;
/** Memory that nobody asks for is given back (ms). */
const FORGET_MS = 10_000;

/** `data` of `GET /events/messages/:id`. */
export interface Whereabouts {
  readonly found: DeadLetter | null;
  /** Some messages wait in queues of work or retry, or are in our workers' hands: it may be one of them. */
  readonly queued: boolean;
  /** All that is parked was looked at: what was not found is not parked. */
  readonly complete: boolean;
}

export interface MessageIndex extends Disposable {
  /** At most a second old. @returns failure `unavailable` where RabbitMQ is away, `deadline`. */
  find(id: string, deadline: Deadline): Promise<Result<Whereabouts>>;
}

interface Snapshot {
  readonly letters: ReadonlyMap<string, DeadLetter>;
  readonly waiting: boolean;
  readonly complete: boolean;
}

export interface MessageIndexOptions {
  readonly topology: Topology;
  readonly open: () => Promise<Result<ParkedQueues>>;
  readonly inHand: (queue: string) => { readonly in_hand: number };
}

export function makeMessageIndex({ topology, open, inHand }: MessageIndexOptions): MessageIndex {
  const queueOf = parkedQueues(topology);
  const worked = topology.queues.filter(({ role }) => role === "work" || role === "retry").map(({ name }) => name);
  let latest: { readonly since: number; readonly snapshot: Promise<Result<Snapshot>> } | undefined;
  let forgetting: ReturnType<typeof setTimeout> | undefined;

  function snapshot(): Promise<Result<Snapshot>> {
    const now = performance.now();
    // One look at a time, for whoever asks meanwhile; its age counts from its beginning.
    if (latest === undefined || now - latest.since >= FRESH_MS) latest = { since: now, snapshot: take() };
    clearTimeout(forgetting);
    forgetting = setTimeout(() => {
      latest = undefined;
    }, FORGET_MS);
    forgetting.unref();
    return latest.snapshot;
  }

  async function take(): Promise<Result<Snapshot>> {
    // Of its own: what one asker begins is for all of them.
    const deadline = Deadline.after(REFRESH_MS);
    const opened = await open();
    if (!opened.ok) return opened;
    await using parked = opened.value;
    // Work first: what moves from there to the parked ones meanwhile is then seen twice, and not never.
    const counts = await parked.count(worked);
    if (!counts.ok) return counts;
    const letters = new Map<string, DeadLetter>();
    let complete = true;
    for (const name of PARKED) {
      const queue = queueOf.get(name) ?? "";
      // Also where none is ready: somebody who sends them again may have them in hand.
      const choose = (message: Parameters<typeof letterOf>[0]): boolean => {
        const letter = letterOf(message, name, topology, PREVIEW);
        if (letter.id !== "") letters.set(letter.id, letter);
        return false;
      };
      const looked = await parked.look({ queue, deadline, max: MAX_LOOKED, choose });
      if (!looked.ok && looked.error.code !== "conflict") return looked;
      complete &&= looked.ok && looked.value.complete;
    }
    const waiting = worked.some((queue) => (counts.value.get(queue)?.messages ?? 0) > 0);
    return ok({ letters, waiting, complete });
  }

  return {
    async find(id, deadline) {
      const taken = await deadline.bound(snapshot(), "RabbitMQ").catch(failed);
      if (!taken.ok) return taken;
      const { letters, waiting, complete } = taken.value;
      const queued = waiting || worked.some((queue) => inHand(queue).in_hand > 0);
      return ok({ found: letters.get(id) ?? null, queued, complete });
    },
    [Symbol.dispose]() {
      clearTimeout(forgetting);
      latest = undefined;
    },
  };
}

function failed(thrown: unknown): Result<never> {
  if (thrown instanceof Failure) return { ok: false, error: thrown };
  throw thrown;
}
