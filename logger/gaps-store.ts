/** Producers and their numbers out of MongoDB: talks, never decides. */
import { Failure } from "#shared/errors";
import type { Deadline } from "#shared/resilience";
import { boundsOf } from "./driver.ts";
import type { Logs, MongoConnection } from "./mongo.ts";
import { BlockNumbers } from "./numbers.ts";
import { retentionOf } from "./retention/documents.ts";
import { bytesOf } from "./retention/removed.ts";
import { type BlockDocument, type ProducerDocument, registryOf } from "./registry.ts";

/** Where the list of producers goes on: after this one, or with it. */
export interface Place {
  readonly firstStoredAt: Date;
  readonly id: string;
  readonly included: boolean;
}

export type Block = Pick<BlockDocument, "block" | "last" | "last_stored_at">;

/** All of it throws Failure `unavailable` and `deadline`. */
export interface GapsStore {
  /** Newest first, from `place` on. */
  producers(
    which: { place?: Place | undefined; only?: string | undefined },
    limit: number,
    deadline: Deadline,
  ): Promise<ProducerDocument[]>;
  /** Blocks of numbers that a producer has used, ascending, from `first` on. */
  blocks(producer: string, first: number, limit: number, deadline: Deadline): Promise<Block[]>;
  /** What is stored of a block, and voided. */
  numbers(producer: string, block: number, deadline: Deadline): Promise<BlockNumbers>;
  /** The entries that have these numbers of a block. */
  entries(
    producer: string,
    block: number,
    sequences: readonly number[],
    limit: number,
    deadline: Deadline,
  ): Promise<{ sequence: number; event_id: string }[]>;
}

/** Numbers that are decoded at one go: a few milliseconds, in which nobody else is served. */
const BATCH = 2_000;

export function makeGapsStore(connection: MongoConnection): GapsStore {
  const ask = async <T>(deadline: Deadline, question: (logs: Logs) => Promise<T>): Promise<T> => {
    const { logs } = connection;
    if (logs === undefined) throw new Failure("unavailable", "MongoDB is unavailable", { retryAfterS: 1 });
    try {
      return await deadline.bound(question(logs), "the report");
    } catch (error) {
      if (deadline.passed)
        throw new Failure("deadline", "the report took too long: ask for fewer producers", { cause: error });
      if (error instanceof Failure) throw error;
      connection.suspect();
      throw new Failure("unavailable", "MongoDB is unavailable", { cause: error, retryAfterS: 1 });
    }
  };

  return {
    producers: ({ place, only }, limit, deadline) =>
      ask(deadline, (logs) => {
        const own = only === undefined ? {} : { _id: only };
        const rest =
          place === undefined
            ? {}
            : {
                $or: [
                  { first_stored_at: { $lt: place.firstStoredAt } },
                  {
                    first_stored_at: place.firstStoredAt,
                    _id: place.included ? { $gte: place.id } : { $gt: place.id },
                  },
                ],
              };
        return registryOf(logs)
          .producers.find({ ...own, ...rest }, boundsOf(deadline))
          .sort({ first_stored_at: -1, _id: 1 })
          .limit(limit)
          .toArray();
      }),

    blocks: (producer, first, limit, deadline) =>
      ask(deadline, (logs) => {
        const projection = { _id: 0, block: 1, last: 1, last_stored_at: 1 } as const;
        return registryOf(logs)
          .blocks.find<Block>({ producer_id: producer, block: { $gte: first } }, { projection, ...boundsOf(deadline) })
          .sort({ block: 1 })
          .limit(limit)
          .toArray();
      }),

    numbers: (producer, block, deadline) =>
      ask(deadline, async (logs) => {
        const numbers = new BlockNumbers(block);
        const stored = logs.find<{ sequence: number }>(
          { producer_id: producer, sequence_block: block },
          { projection: { _id: 0, sequence: 1 }, batchSize: BATCH, ...boundsOf(deadline) },
        );
        for await (const { sequence } of stored) numbers.add(sequence);
        const voids = registryOf(logs).voids.find<{ numbers: number[] }>(
          { producer_id: producer, block },
          { projection: { _id: 0, numbers: 1 }, batchSize: BATCH, ...boundsOf(deadline) },
        );
        for await (const voided of voids) for (const number of voided.numbers) numbers.void(number);
        // Last: what is removed while this is read is written down before.
        const removed = retentionOf(logs).removed.find(
          { producer_id: producer, block },
          { batchSize: BATCH, ...boundsOf(deadline) },
        );
        for await (const part of removed) numbers.remove(part.offset, bytesOf(part));
        return numbers;
      }),

    entries: (producer, block, sequences, limit, deadline) =>
      ask(deadline, (logs) => {
        const filter = { producer_id: producer, sequence_block: block, sequence: { $in: [...sequences] } };
        const projection = { _id: 0, sequence: 1, event_id: 1 } as const;
        return logs
          .find<{ sequence: number; event_id: string }>(filter, { projection, ...boundsOf(deadline) })
          .limit(limit)
          .toArray();
      }),
  };
}
