/**
 * One message at a time, in a worker that may have a message which ends it: RabbitMQ delivers everything again that
 * a dead worker had in hand, and counts that against each, so nothing else may be in hand next to such a message.
 */
import { createHash } from "node:crypto";
import { sleep } from "#shared/resilience";

/** Delivered so often before, a message is a suspect, in a worker that has reason to look: once is nothing, connections get lost. */
const SUSPECT_DELIVERIES = 2;
/** A queue of which nothing came for so long (ms) has no suspects left. */
const CALM_MS = 1_000;
const LOOK_MS = 250;
/**
 * What was delivered more often than this waits a moment first (random, at most so many ms for each delivery more):
 * where a message ends the whole process, those in other workers' hands get their turn before it, some time.
 */
const PROMPT_DELIVERIES = 4;
const WAIT_MS = 10;
const MAX_WAIT_MS = 250;
/** What others of the worker came to is acknowledged before a message is handled alone; writing that takes a moment (ms). */
const SETTLE_MS = 1;

export interface CautionOptions {
  /** Whether it begins so: the worker before this one crashed. */
  readonly on: boolean;
  /** One for each lane: how much it has in hand. */
  readonly inHand: ReadonlyMap<string, () => number>;
  readonly onChange: (on: boolean) => void;
  /** Before a message is handled alone: acknowledges what is dealt with. */
  readonly flush: () => void;
  readonly calmMs?: number;
}

export interface Caution extends Disposable {
  readonly on: boolean;
  /** Another worker of the process crashed: from now on what is delivered again and again is looked at. */
  warn(): void;
  /** To be told of each delivery, as it comes. @returns whether it is to be handled alone. */
  arrived(queue: string, message: { readonly redelivered: boolean; readonly deliveries: number }): boolean;
  /** Runs beside others. */
  together<T>(work: () => Promise<T>): Promise<T>;
  /** Runs while nothing else does in this worker. @param deliveries how often the suspect was delivered before. */
  alone<T>(deliveries: number, work: () => Promise<T>): Promise<T>;
}

/** What a suspect is known by in every worker: the same for each delivery, and for no other message. */
export function fingerprintOf(message: {
  readonly messageId: string | undefined;
  readonly routingKey: string;
  readonly body: Uint8Array;
}): string {
  const hash = createHash("sha256");
  hash.update(JSON.stringify([message.messageId ?? null, message.routingKey]));
  return hash.update(message.body).digest("base64url");
}

export function makeCaution({ inHand, onChange, flush, calmMs = CALM_MS, ...options }: CautionOptions): Caution {
  let { on } = options;
  /** Queues that had nothing suspicious since caution began, and when something came of the others. */
  const calm = new Set<string>();
  const heardAt = new Map<string, number>();
  /**
   * Queues whose messages may have ended a process: at its start nobody knows how the one before it ended. Where nothing
   * crashed, deliveries are counted by lost connections, and handling these messages one by one would only cost time.
   */
  const wary = new Set(inHand.keys());
  let timer: ReturnType<typeof setInterval> | undefined;
  let running = 0;
  /** Settles when the one that is alone, and all who wait to be, are through. */
  let last: Promise<void> | undefined;
  let idle: (() => void) | undefined;

  function enter(): void {
    calm.clear();
    const now = performance.now();
    for (const queue of inHand.keys()) heardAt.set(queue, now);
    timer ??= setInterval(look, LOOK_MS);
    if (on) return;
    on = true;
    onChange(true);
  }

  function look(): void {
    const now = performance.now();
    for (const [queue, count] of inHand) {
      if (count() > 0) heardAt.set(queue, now);
      else if (now - (heardAt.get(queue) ?? now) >= calmMs) calm.add(queue);
    }
    leaveWhenCalm();
  }

  function leaveWhenCalm(): void {
    if (!on || calm.size < inHand.size) return;
    wary.clear();
    clearInterval(timer);
    timer = undefined;
    on = false;
    onChange(false);
  }

  if (on) enter();

  return {
    get on() {
      return on;
    },
    arrived(queue, { redelivered, deliveries }) {
      heardAt.set(queue, performance.now());
      if (deliveries >= SUSPECT_DELIVERIES && wary.has(queue)) {
        enter();
      } else if (!redelivered) {
        // What was given back comes first: there is no more of it.
        if (!on) wary.delete(queue);
        else calm.add(queue);
        leaveWhenCalm();
      }
      return on;
    },
    warn() {
      for (const queue of inHand.keys()) wary.add(queue);
    },
    async together(work) {
      // Nothing may come between the last look and the count.
      for (let before = last; before !== undefined; before = last) await before;
      running += 1;
      try {
        return await work();
      } finally {
        running -= 1;
        if (running === 0) idle?.();
      }
    },
    async alone(deliveries, work) {
      const before = last;
      const through = Promise.withResolvers<void>();
      const mine = (before ?? Promise.resolve()).then(() => through.promise);
      last = mine;
      try {
        await before;
        if (running > 0) {
          const { promise, resolve } = Promise.withResolvers<void>();
          idle = resolve;
          await promise;
          idle = undefined;
        }
        const waitMs = Math.max(0, Math.min(MAX_WAIT_MS, WAIT_MS * (deliveries - PROMPT_DELIVERIES)));
        await sleep(SETTLE_MS + Math.random() * waitMs);
        flush();
        await sleep(SETTLE_MS);
        return await work();
      } finally {
        through.resolve();
        if (last === mine) last = undefined;
      }
    },
    [Symbol.dispose]() {
      clearInterval(timer);
    },
  };
}
