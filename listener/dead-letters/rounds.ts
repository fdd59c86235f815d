/**
 * Sends messages again, or drops them, in rounds: each takes a second's worth out of the queue, and others can look
 * between two rounds.
 */
import type { DeadLetterChoice, Parked } from "#contracts/dead-letters";
import type { ParkedMessage, ParkedQueues, Resender, Topology } from "#shared/amqp";
import { type Failure, ok, type Result } from "#shared/errors";
import { type Deadline, pause } from "#shared/resilience";
import type { Trace } from "#shared/telemetry";
import { destinationOf, fingerprintOf, isEverything, matcherOf, parkedQueues } from "./view.ts";

const ROUND_MS = 1_000;
/** A round that has to look at much before it finds what is meant does more of it then: this many times as long (ms). */
const WORTH = 4;
const MAX_ROUND = 1_000;
const MAX_DROPPED_A_ROUND = 5_000;
/** Between two rounds (ms): longer than others wait between two tries to look. */
const GAP_MS = 80;
/** A send that was late is made good at once up to this (ms); what is later than that stays late. */
const CATCH_UP_MS = 100;

export interface Acting {
  readonly action: "replay" | "drop";
  readonly filter: DeadLetterChoice;
  /** Messages a second, of a replay. */
  readonly rate: number | undefined;
}

export interface Rounds extends Acting {
  readonly by: string;
  /** Of the request for it. */
  readonly trace: Trace;
  readonly parked: Parked;
  /** Messages that are dealt with, at the most. */
  readonly most: number;
  /** Messages that were there when it was counted: what came later is not meant. */
  readonly total: number;
}

export interface RoundsEnded {
  readonly done: number;
  /** Why it ended before its end, where that is not the time or a message that cannot be sent. */
  readonly reason?: Failure;
}

export interface RoundsOptions {
  readonly topology: Topology;
  readonly open: () => Promise<Result<ParkedQueues>>;
  readonly openResender: () => Promise<Result<Resender>>;
}

export function makeRounds({ topology, open, openResender }: RoundsOptions) {
  const queueOf = parkedQueues(topology);

  return async (rounds: Rounds, deadline: Deadline, tell: (done: number) => void): Promise<RoundsEnded> => {
    const { action, filter, rate, parked, by, trace, most, total } = rounds;
    const opened = await open();
    if (!opened.ok) return { done: 0, reason: opened.error };
    await using queues = opened.value;
    const sending = action === "replay" ? await openResender() : undefined;
    if (sending?.ok === false) return { done: 0, reason: sending.error };
    await using resender = sending?.value;

    const isMeant = matcherOf(filter, topology, new Date());
    const turn = makePacer(rate ?? Number.POSITIVE_INFINITY, deadline);
    /** Without a place to go: not tried again in every round. */
    const homeless = new Set<string>();
    let done = 0;
    let reason: Failure | undefined;
    let roundMs = ROUND_MS;

    async function sendAll(messages: readonly ParkedMessage[]): Promise<boolean[]> {
      const sent = messages.map(async () => false);
      for (const [index, message] of messages.entries()) {
        await turn();
        if (deadline.passed || reason !== undefined) break;
        sent[index] = sendOne(message);
      }
      return Promise.all(sent);
    }

    async function sendOne(message: ParkedMessage): Promise<boolean> {
      const result = (await resender?.send(message, destinationOf(message, parked, topology, by), { trace })) ?? ok();
      if (result.ok) return true;
      if (result.error.code === "not_found") homeless.add(fingerprintOf(message));
      else reason ??= result.error;
      return false;
    }

    while (done < most && !deadline.passed) {
      const share = rate === undefined ? MAX_DROPPED_A_ROUND : Math.min(MAX_ROUND, (rate * roundMs) / 1_000);
      const size = Math.min(most - done, Math.max(1, Math.floor(share)));
      let chosen = 0;
      let actedMs = 0;
      // Before it takes anything: others may look while it waits for its turn.
      await turn.soon();
      const beganAt = performance.now();
      const looked = await queues.look({
        queue: queueOf.get(parked) ?? "",
        deadline,
        // All is meant: nothing is taken that would have to go back.
        max: isEverything(filter) && homeless.size === 0 ? size : Math.max(0, total - done),
        choose(message) {
          const wanted = isMeant(message, parked) && (homeless.size === 0 || !homeless.has(fingerprintOf(message)));
          if (wanted) chosen += 1;
          return wanted;
        },
        enough: () => chosen >= size,
        async act(messages) {
          const actingAt = performance.now();
          const fates = action === "drop" ? messages.map(() => true) : await sendAll(messages);
          actedMs = performance.now() - actingAt;
          return fates;
        },
      });
      if (!looked.ok) return { done, reason: looked.error };
      done += looked.value.removed;
      tell(done);
      if (reason !== undefined) return { done, reason };
      if (chosen === 0) break;
      roundMs = Math.max(ROUND_MS, WORTH * (performance.now() - beganAt - actedMs));
      if (done < most) await pause(GAP_MS, deadline.signal);
    }
    return { done };
  };
}

interface Pacer {
  /** Resolves when it is the next one's turn, or the deadline has passed. */
  (): Promise<void>;
  /** Resolves when there is a turn, and takes none. */
  soon(): Promise<void>;
}

/** Turns at a steady rate, so that a replay does not come as a flood. */
export function makePacer(rate: number, deadline: Deadline): Pacer {
  const everyMs = 1_000 / rate;
  let nextAt = performance.now();
  const soon = async (): Promise<void> => {
    const waitMs = Math.min(nextAt - performance.now(), deadline.remainingMs());
    // Timers are no finer than this.
    if (waitMs >= 1) await pause(waitMs, deadline.signal);
  };
  const turn = async (): Promise<void> => {
    await soon();
    nextAt = Math.max(nextAt, performance.now() - CATCH_UP_MS) + everyMs;
  };
  return Object.assign(turn, { soon });
}
