/**
 * Looks through queues that nobody consumes (dead letters, what no queue wanted), and leaves them as they were but for
 * what is taken out on purpose. One look at a queue at a time, in the whole platform: it has a lock at RabbitMQ (an
 * exclusive queue), which ends with the connection. So every look sees all that is there, and none sees another's hand.
 * Who uses other tools (the management page's "get messages") is not kept out; what these hold is not seen.
 *
 * Nothing is lost where a process dies in the middle: what it had in hand goes back, without the promise of its order.
 * Otherwise the order stays, as long as no more than 20,000 messages have been looked at before.
 * A message counts one delivery more for each look: see x-delivery-limit in topology.ts.
 */
import type { Channel, ChannelModel, ConsumeMessage, MessageProperties } from "amqplib";
import type { Secret } from "#shared/config";
import { fail, ok, type Result } from "#shared/errors";
import { Deadline, sleep } from "#shared/resilience";
import { dial, hangUp } from "./connection.ts";
import { decode, type IncomingMessage } from "./delivery.ts";
import { makeHand } from "./parked-hand.ts";

/** Longest for one answer of RabbitMQ (ms). */
const ANSWER_MS = 5_000;
/** Longest that a look waits for another one (ms). */
const LOCK_MS = 5_000;
/** Between two tries to get the lock (ms): half of it is random. */
const LOCK_RETRY_MS = 60;
/** Most that a look keeps for `act` (bytes of bodies); more is for the next look. */
const HELD_BYTES = 16 * 1_048_576;

/**
 * What was given back is delivered before what was never taken, in the order of giving back: a look that takes a part of it
 * has to take the rest, too, or its part would come behind. Where that is more than this, the order is not kept.
 */
const ORDERED = 20_000;

/** A message as it lies in the queue. */
export interface ParkedMessage extends IncomingMessage {
  /** Its properties as they came, to send it again as it was. */
  readonly raw: MessageProperties;
}

export interface QueueCount {
  /** Ready, not in anybody's hand. */
  readonly messages: number;
  readonly consumers: number;
}

export interface LookOptions {
  readonly queue: string;
  /** Nothing more is taken after it; `act` and giving back have time of their own. */
  readonly deadline: Deadline;
  /** Most messages that are looked at. */
  readonly max: number;
  /** Asked of each message, the oldest first: is it acted on? `position` counts from 0. What is not is not kept in memory. */
  readonly choose: (message: ParkedMessage, position: number) => boolean;
  /** Asked after each: is that enough for now? The messages behind are not looked at. */
  readonly enough?: () => boolean;
  /** Says of each of the chosen whether it is dealt with: then it leaves the queue. Not called where none was chosen. */
  readonly act?: (chosen: readonly ParkedMessage[]) => Promise<readonly boolean[]>;
}

export interface Look {
  /** Messages that were ready when it began. */
  readonly total: number;
  readonly looked: number;
  /** All that were ready have been looked at. */
  readonly complete: boolean;
  /** What `act` has dealt with. */
  readonly removed: number;
}

/** One connection. Disposing closes it, and ends a look that is under way. */
export interface ParkedQueues extends AsyncDisposable {
  /** What is in each of the queues, without those that do not exist. @returns failure `unavailable`. */
  count(queues: Iterable<string>): Promise<Result<ReadonlyMap<string, QueueCount>>>;
  /**
   * One look at a time on one connection.
   * @returns failure `unavailable`: RabbitMQ is away, has no such queue, or went away in the middle (everything that was in
   * hand goes back then, also what `act` dealt with); `conflict` where another look is under way for 5 s, or until the deadline.
   * @throws what `choose` and `act` throw, when everything is back.
   */
  look(options: LookOptions): Promise<Result<Look>>;
}

/**
 * @param name as RabbitMQ's tools show the connection, e.g. `listener dead letters`.
 * @returns failure `unavailable` where RabbitMQ is away.
 */
export async function openParked(url: Secret, name: string): Promise<Result<ParkedQueues>> {
  let model: ChannelModel;
  try {
    model = await dial(url, name);
  } catch (cause) {
    return fail("unavailable", "RabbitMQ is not reachable", { cause });
  }
  // What happened is told by the operation that fails of it.
  model.on("error", () => undefined);
  return ok(onConnection(model));
}

function onConnection(model: ChannelModel): ParkedQueues {
  async function count(queues: Iterable<string>): Promise<Map<string, QueueCount>> {
    const counts = new Map<string, QueueCount>();
    let channel: Channel | undefined;
    for (const queue of queues) {
      channel ??= await openChannel(model);
      try {
        const { messageCount, consumerCount } = await answered(channel.checkQueue(queue));
        counts.set(queue, { messages: messageCount, consumers: consumerCount });
      } catch (error) {
        if (replyCodeOf(error) !== 404) throw error;
        // The server has closed the channel together with its refusal.
        channel = undefined;
      }
    }
    await channel?.close();
    return counts;
  }

  async function look(options: LookOptions): Promise<Result<Look>> {
    const { queue, deadline, choose, enough } = options;
    const watch = await locked(model, queue, deadline.within(LOCK_MS));
    if (watch === undefined) {
      return fail("conflict", `another look at ${queue} is under way`, { retryAfterS: 1 });
    }
    const ready = async (): Promise<number> => (await answered(watch.checkQueue(queue))).messageCount;
    const total = await ready();
    if (total === 0) {
      await unlock(watch, queue);
      return ok({ total, looked: 0, complete: true, removed: 0 });
    }
    const hand = makeHand(await openChannel(model), queue, ready);
    const chosen: { readonly message: ParkedMessage; readonly tag: number }[] = [];
    let heldBytes = 0;
    let looked = 0;
    let done = false;
    let wasTakenBefore = false;
    let thrown: CallersError | undefined;
    const see = (raw: ConsumeMessage): void => {
      wasTakenBefore = raw.fields.redelivered;
      // It is in hand all the same, and goes back with the others.
      if (done) return;
      try {
        const message = { ...decode(raw), raw: raw.properties };
        if (choose(message, looked) && options.act !== undefined) {
          chosen.push({ message, tag: raw.fields.deliveryTag });
          heldBytes += message.body.byteLength;
        }
        looked += 1;
        done = heldBytes >= HELD_BYTES || enough?.() === true;
      } catch (error) {
        thrown = new CallersError(error);
        done = true;
      }
    };
    const want = Math.min(total, options.max);
    for (let more = true; more; ) {
      more = hand.size < want && !deadline.passed && (await hand.take(want - hand.size, deadline, see)) && !done;
    }
    done = true;
    let fates: readonly boolean[] = [];
    if (options.act !== undefined && chosen.length > 0 && thrown === undefined) {
      try {
        fates = await options.act(chosen.map(({ message }) => message));
      } catch (error) {
        thrown = new CallersError(error);
      }
    }
    const removed = new Set(chosen.filter((_, index) => fates[index] === true).map(({ tag }) => tag));
    if (hand.size > removed.size) {
      const patience = Deadline.after(ANSWER_MS);
      const all = Math.min(total, ORDERED);
      for (let more = true; more; ) {
        more = wasTakenBefore && hand.size < all && (await hand.take(all - hand.size, patience, see));
      }
    }
    await hand.settle(removed);
    await unlock(watch, queue);
    if (thrown !== undefined) throw thrown;
    return ok({ total, looked, complete: looked >= total, removed: removed.size });
  }

  return {
    count: (queues) => whileConnected(async () => ok(await count(queues))),
    look: (options) => whileConnected(() => look(options)),
    [Symbol.asyncDispose]: () => hangUp(model),
  };

  /** What RabbitMQ refuses, or does not answer, is a failure; what the caller's functions throw is the caller's. */
  async function whileConnected<T>(work: () => Promise<Result<T>>): Promise<Result<T>> {
    try {
      return await work();
    } catch (cause) {
      if (cause instanceof CallersError) throw cause.cause;
      const missing = replyCodeOf(cause) === 404;
      const why = missing ? "has no such queue: a broker or listener that runs declares it" : "did not do as asked";
      return fail("unavailable", `RabbitMQ ${why}`, { cause });
    }
  }
}

/** Carries what `choose` or `act` threw past everything that has to be put back first. */
class CallersError extends Error {
  constructor(cause: unknown) {
    super("choose or act threw", { cause });
  }
}

const lockOf = (queue: string): string => `${queue}.look`;

/**
 * The lock of a queue, which lasts as long as the connection or until it is deleted; tried for until the deadline.
 * @returns the channel that got it, or undefined where somebody else has it.
 */
async function locked(model: ChannelModel, queue: string, deadline: Deadline): Promise<Channel | undefined> {
  for (;;) {
    const channel = await openChannel(model);
    try {
      const exclusive = { exclusive: true, durable: false, arguments: { "x-queue-type": "classic" } };
      await answered(channel.assertQueue(lockOf(queue), exclusive));
      return channel;
    } catch (error) {
      // 405 RESOURCE_LOCKED: another connection's.
      if (replyCodeOf(error) !== 405) throw error;
    }
    if (deadline.passed) return undefined;
    await sleep(LOCK_RETRY_MS * (0.5 + Math.random() / 2));
  }
}

async function unlock(channel: Channel, queue: string): Promise<void> {
  await answered(channel.deleteQueue(lockOf(queue)));
  await answered(channel.close());
}

async function openChannel(model: ChannelModel): Promise<Channel> {
  const channel = await answered(model.createChannel());
  // What happened is told by the step that fails of it.
  channel.on("error", () => undefined);
  return channel;
}

function answered<T>(work: Promise<T>): Promise<T> {
  return Deadline.after(ANSWER_MS).bound(work, "RabbitMQ");
}

/** Of AMQP 0-9-1. */
function replyCodeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}
