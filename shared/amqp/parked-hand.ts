/** What a look at a queue has in hand: taken in order from the head, and given back to where it was. */
import type { Channel, ConsumeMessage, Message } from "amqplib";
import { type Deadline, sleep } from "#shared/resilience";

/** A first helping is small, since a look often needs no more; the later ones cost a round trip each. */
const FIRST_TAKE = 100;
const MAX_TAKE = 10_000;
/** RabbitMQ sends a helping as fast as it can: its size goes by the mean of what came before (bytes). */
const TAKE_BYTES = 32 * 1_048_576;
/** What is ready comes in milliseconds; after this somebody else has it, or the queue is not well (ms). */
const SILENCE_MS = 2_000;
const WATCH_MS = 100;
/**
 * RabbitMQ gives back at most so many messages in the order that they had: more become a hash map (3.10,
 * rabbit_fifo:return/5), and their order is gone.
 */
const RETURNED_IN_ORDER = 32;
/**
 * Commands of a channel that its queue has not done. From 32 on they are kept back (quorum_commands_soft_limit), and
 * forgotten where the channel closes first: acknowledgements without effect.
 */
const COMMANDS_UNDER_WAY = 16;
/** How long a command may take to show (ms): somebody else may have taken what came back. */
const SHOWS_MS = 1_000;

/** Messages of one channel that does nothing else, by their delivery tags: 1, 2, 3, … */
export interface Hand {
  /** Messages that were taken. */
  readonly size: number;
  /**
   * Takes a helping of what is ready, `most` at the most, each told to `onMessage`.
   * @returns false where not all of it came: before the deadline, or because somebody else has it.
   */
  take(most: number, deadline: Deadline, onMessage: (raw: ConsumeMessage) => void): Promise<boolean>;
  /** Takes `removed` (tags) out of the queue, puts the rest back in its old order, and waits until that is seen. Ends the hand. */
  settle(removed: ReadonlySet<number>): Promise<void>;
}

/** @param ready messages of the queue that are ready, asked on a channel that outlives this one. */
export function makeHand(channel: Channel, queue: string, ready: () => Promise<number>): Hand {
  let size = 0;
  let bytes = 0;
  let helping = FIRST_TAKE;
  /** The last tag of each consumer: a command is about messages of one. */
  const ends: number[] = [];
  const ended = Promise.withResolvers<never>();
  ended.promise.catch(() => undefined); // Told to whoever waits at that moment.
  const end = (reason: unknown): void =>
    ended.reject(reason instanceof Error ? reason : new Error("the channel closed"));
  channel.on("error", end);
  channel.on("close", end);

  /** Waits until the queue shows at least `count` messages that are ready. */
  async function shown(count: number): Promise<void> {
    const until = performance.now() + SHOWS_MS;
    while ((await ready()) < count && performance.now() < until) await sleep(2);
  }

  return {
    get size() {
      return size;
    },
    async take(most, deadline, onMessage) {
      const fitting = Math.floor(TAKE_BYTES / Math.max(1, bytes / Math.max(1, size)));
      const count = Math.max(1, Math.min(most, helping, fitting));
      helping = Math.min(helping * 10, MAX_TAKE);
      const before = size;
      const full = Promise.withResolvers<void>();
      let heardAt = performance.now();
      await channel.prefetch(count);
      // A channel that closes gives back by the order of these names.
      const consumerTag = `look-${String(ends.length).padStart(6, "0")}`;
      const accept = (raw: ConsumeMessage | null): void => {
        if (raw === null) {
          end(new Error(`RabbitMQ cancelled the look at ${queue}: it was deleted or has moved`));
          return;
        }
        heardAt = performance.now();
        size += 1;
        bytes += raw.content.byteLength;
        onMessage(raw);
        if (size - before === count) full.resolve();
      };
      await channel.consume(queue, accept, { consumerTag });
      const watch = setInterval(() => {
        if (deadline.passed || performance.now() - heardAt > SILENCE_MS) full.resolve();
      }, WATCH_MS);
      try {
        await Promise.race([full.promise, ended.promise]);
      } finally {
        clearInterval(watch);
      }
      // What goes back must not come again.
      await channel.cancel(consumerTag);
      ends.push(size);
      return size - before === count;
    },
    async settle(removed) {
      const before = await ready();
      // A channel that closes gives everything back in order, consumer by consumer, as long as these are few.
      if (removed.size > 0 || ends.length > RETURNED_IN_ORDER) await settleInRuns(removed, before);
      channel.removeListener("close", end);
      await channel.close();
      await shown(before + size - removed.size);
    },
  };

  /** Run by run from the first tag on: a run has one fate and one consumer. */
  async function settleInRuns(removed: ReadonlySet<number>, before: number): Promise<void> {
    let returned = 0;
    let consumer = 0;
    for (let from = 1, commands = 1; from <= size; commands += 1) {
      const removing = removed.has(from);
      while ((ends[consumer] ?? size) < from) consumer += 1;
      const last = Math.min(ends[consumer] ?? size, removing ? size : from + RETURNED_IN_ORDER - 1);
      let to = from;
      while (to < last && removed.has(to + 1) === removing) to += 1;
      // All before it is settled: "multiple" is this run.
      if (removing) channel.ack(tagged(to), true);
      else channel.nack(tagged(to), true, true);
      if (!removing) returned += to - from + 1;
      // Commands are done in order: when what goes back is seen, what was removed before it is gone.
      if (commands % COMMANDS_UNDER_WAY === 0) await shown(before + returned);
      from = to + 1;
    }
    await shown(before + returned);
  }
}

/** amqplib takes a message where only its tag matters. */
function tagged(deliveryTag: number): Message {
  return { fields: { deliveryTag } } as Message;
}
