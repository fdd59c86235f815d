/** The report of gaps: which numbers of each producer nothing is stored under, and which more than one entry has. */
import { type Static, Type } from "@sinclair/typebox";
import { type GapsReport, Producer, type ProducerGaps } from "#contracts/logs";
import { Failure, fail, failureOf, ok, type Result } from "#shared/errors";
import type { Deadline } from "#shared/resilience";
import type { CallContext } from "#shared/telemetry";
import { decodeCursor, encodeCursor, type GapsCursor } from "./gaps-cursor.ts";
import type { Block, GapsStore } from "./gaps-store.ts";
import { BLOCK_NUMBERS, type BlockNumbers, blockOf, firstOf, Ranges } from "./numbers.ts";
import type { ProducerDocument } from "./registry.ts";
import { inMongo } from "./spans.ts";

export const GapsQuery = Type.Object({
  producer: Type.Optional(Producer.properties.id),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })),
  cursor: Type.Optional(Type.String({ minLength: 1, maxLength: 2_048 })),
});
export type GapsQuery = Static<typeof GapsQuery>;

export interface Gaps {
  /**
   * One page. It ends early, with a cursor to go on by, where it has looked at 5 million entries, or where the time that
   * is left may not be enough for more.
   * Failures: `invalid` (the cursor), `exhausted` (another report is being made), `unavailable`, `deadline`.
   */
  report(query: GapsQuery, context: CallContext): Promise<Result<GapsReport>>;
}

export interface GapsLimits {
  /** What one page looks at, to the next block. */
  readonly entries: number;
  /** Blocks of one producer on a page. */
  readonly blocks: number;
}

const LIMITS: GapsLimits = { entries: 5_000_000, blocks: 10_000 };
const DEFAULT_LIMIT = 20;
/** Below what HTTP gives a request, so that the caller hears of it (ms). */
const REPORT_MS = 28_000;
/** Time for so many blocks has to be left to begin another: two are on their way. */
const BLOCKS_TO_COME = 2;
const RANGES_MAX = 100;
const DUPLICATES_MAX = 100;
/** Ids that are listed of one number, and looked for of all. */
const IDS_MAX = 20;
const IDS_LOOKED_AT = 2_000;
const RETRY_AFTER_S = 2;

interface Budget {
  entries: number;
  /** Of the blocks that were read. */
  slowestMs: number;
  readonly deadline: Deadline;
  /** Whether no other block is to be begun. */
  spent(): boolean;
}

/** What was found out of one producer. */
interface Examined {
  readonly item: ProducerGaps;
  /** Numbers up to this one are told; the rest is for the next page. Undefined where all are. */
  readonly told?: number;
}

export function makeGaps(store: GapsStore, limits: GapsLimits = LIMITS): Gaps {
  let busy = false;

  async function duplicatesOf(
    producer: string,
    block: number,
    numbers: BlockNumbers,
    deadline: Deadline,
  ): Promise<ProducerGaps["duplicates"]> {
    const { repeated } = numbers;
    if (repeated.length === 0) return [];
    const ids = new Map<number, string[]>(repeated.map((sequence) => [sequence, []]));
    for (const { sequence, event_id } of await store.entries(producer, block, repeated, IDS_LOOKED_AT, deadline)) {
      const list = ids.get(sequence);
      if (list !== undefined && list.length < IDS_MAX) list.push(event_id);
    }
    return [...ids].map(([sequence, event_ids]) => ({ sequence, event_ids: event_ids.sort() }));
  }

  /** The numbers of one producer after `after`: two blocks at a time, since one alone leaves the server idle between. */
  async function examine(
    { _id: id, first_stored_at }: ProducerDocument,
    after: number,
    budget: Budget,
  ): Promise<Examined> {
    const { deadline } = budget;
    const found = await store.blocks(id, blockOf(after + 1), limits.blocks + 1, deadline);
    const more = found.length > limits.blocks;
    const blocks = more ? found.slice(0, limits.blocks) : found;
    const ranges = new Ranges(RANGES_MAX);
    const duplicates: ProducerGaps["duplicates"] = [];
    let stored = 0;
    let removed = 0;
    let told = after;
    let cut = false;

    const begin = (block: Block | undefined): Promise<BlockNumbers> | undefined => {
      if (block === undefined) return undefined;
      const startedAt = performance.now();
      const reading = store.numbers(id, block.block, deadline).finally(() => {
        budget.slowestMs = Math.max(budget.slowestMs, performance.now() - startedAt);
      });
      // Where the one before it fails, nobody waits for this one any more.
      reading.catch(() => undefined);
      return reading;
    };
    const account = async ({ block, last }: Block, numbers: BlockNumbers, isLast: boolean): Promise<void> => {
      const first = firstOf(block);
      // Blocks that the producer has not used, though later ones: nothing of theirs ever came.
      if (first > told + 1) ranges.add(told + 1, first - 1);
      const to = isLast ? Math.max(last, numbers.last, numbers.lastRemoved) : first + BLOCK_NUMBERS - 1;
      numbers.gaps(Math.max(first, told + 1), to, (from, until) => ranges.add(from, until));
      told = Math.max(told, to);
      stored += numbers.entries;
      removed += numbers.removed;
      budget.entries += numbers.entries;
      if (duplicates.length < DUPLICATES_MAX) duplicates.push(...(await duplicatesOf(id, block, numbers, deadline)));
      else cut ||= numbers.repeated.length > 0;
      cut ||= numbers.repeatedCut || duplicates.length > DUPLICATES_MAX;
    };

    let index = 0;
    let reading = begin(blocks[0]);
    while (reading !== undefined) {
      const next = budget.spent() ? undefined : begin(blocks[index + 1]);
      const block = blocks[index] as Block;
      await account(block, await reading, index === blocks.length - 1 && !more);
      index += 1;
      reading = next;
    }
    const isWhole = index === blocks.length && !more;
    const last = isWhole ? told : Math.max(told, blocks.at(-1)?.last ?? 0);
    const times = blocks.map((block) => block.last_stored_at.getTime());
    const item: ProducerGaps = {
      producer: id,
      last,
      ...(after > 0 ? { from: after + 1 } : {}),
      ...(isWhole ? {} : { to: told }),
      stored,
      ...(removed > 0 ? { removed } : {}),
      missing: ranges.count,
      missing_ranges: ranges.list,
      duplicates: duplicates.slice(0, DUPLICATES_MAX),
      ...(cut || ranges.cut ? { cut: true } : {}),
      first_stored_at: first_stored_at.toISOString(),
      last_stored_at: new Date(Math.max(first_stored_at.getTime(), ...times)).toISOString(),
    };
    return isWhole ? { item } : { item, told };
  }

  async function page(query: GapsQuery, place: GapsCursor | undefined, deadline: Deadline): Promise<GapsReport> {
    const limit = query.limit ?? DEFAULT_LIMIT;
    const budget: Budget = {
      entries: 0,
      slowestMs: 0,
      deadline,
      spent: () => budget.entries >= limits.entries || budget.slowestMs * BLOCKS_TO_COME > deadline.remainingMs(),
    };
    const from = place === undefined ? undefined : { ...place, included: place.after > 0 };
    const producers = await store.producers({ place: from, only: query.producer }, limit + 1, deadline);
    const items: ProducerGaps[] = [];
    let next: GapsCursor | undefined;
    for (const producer of producers) {
      const at = { firstStoredAt: producer.first_stored_at, id: producer._id };
      const isContinued = items.length === 0 && place !== undefined && place.after > 0 && place.id === producer._id;
      const { item, told } = await examine(producer, isContinued ? place.after : 0, budget);
      items.push(item);
      if (told !== undefined) {
        next = { ...at, after: told };
        break;
      }
      const isFull = items.length === limit || budget.spent();
      if (isFull && items.length < producers.length) {
        next = { ...at, after: 0 };
        break;
      }
    }
    return {
      items,
      ...(next === undefined ? {} : { next_cursor: encodeCursor(next) }),
      entries: budget.entries,
      missing: items.reduce((sum, { missing }) => sum + missing, 0),
    };
  }

  return {
    async report(query, context) {
      const place = query.cursor === undefined ? ok(undefined) : decodeCursor(query.cursor);
      if (!place.ok) return place;
      // One at a time: what is being stored needs the server too.
      if (busy) return fail("exhausted", "another report is being made", { retryAfterS: RETRY_AFTER_S });
      busy = true;
      try {
        return ok(
          // Of several questions about one producer after the other: told as one.
          await inMongo(context, "find", "producers", () =>
            page(query, place.value, context.deadline.within(REPORT_MS)),
          ),
        );
      } catch (error) {
        if (error instanceof Failure) return { ok: false, error };
        return { ok: false, error: failureOf(error) };
      } finally {
        busy = false;
      }
    },
  };
}
