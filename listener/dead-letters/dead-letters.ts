/** Decides about messages that nobody could use: lists them, sends them again, drops them. docs/dead-letters.md. */
import {
  type DeadLetter,
  type DeadLetterChoice,
  type DeadLetterFilter,
  type DeadLetterOutcome,
  type DeadLetterPage,
  type DropRequest,
  PARKED,
  type Parked,
  type QueueList,
  type ReplayRequest,
} from "#contracts/dead-letters";
import type { ParkedMessage, ParkedQueues, Resender, Topology } from "#shared/amqp";
import { fail, ok, type Result } from "#shared/errors";
import type { Log } from "#shared/log";
import type { CallContext } from "#shared/telemetry";
import type { AuditData, StoreAudit } from "./audit.ts";
import type { Counting } from "./counting.ts";
import { makePageReader } from "./page.ts";
import { type Acting, makeRounds } from "./rounds.ts";
import { isEverything, letterOf, matcherOf, parkedQueues } from "./view.ts";

export const DEFAULT_RATE = 100;
export const DEFAULT_LIMIT = 10_000;
/** Messages that one operation looks at in a queue. */
const MAX_LOOKED = 1_000_000;

export interface DeadLettersOptions {
  readonly topology: Topology;
  readonly open: () => Promise<Result<ParkedQueues>>;
  readonly counting: Pick<Counting, "count">;
  readonly openResender: () => Promise<Result<Resender>>;
  readonly audit: StoreAudit;
  readonly log: Log;
  /** What our workers have in hand of a queue; 0 where there are none. */
  readonly inHand?: (queue: string) => { readonly in_hand: number; readonly held: number };
}

/** Who asks, how long it may take, and whom to tell how far it is. */
export interface Asked {
  readonly by: string;
  readonly context: CallContext;
  readonly onProgress?: (done: number, of: number) => void;
}

/** A message whole. */
export interface WholeLetter {
  readonly letter: DeadLetter;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: Uint8Array;
}

/** Failures, all: `unavailable` RabbitMQ is away, or the audit entry could not be stored (nothing is done then); `conflict` another operation is under way. */
export interface DeadLetters {
  queues(): Promise<Result<QueueList>>;
  /** @param options limit: items, from 1; cursor: of the page before, else failure `invalid`. */
  list(
    filter: DeadLetterFilter,
    options: { readonly limit: number; readonly cursor?: string | undefined },
    context: CallContext,
  ): Promise<Result<DeadLetterPage>>;
  /** The oldest that the filter means. */
  peek(filter: DeadLetterFilter, context: CallContext): Promise<Result<WholeLetter | undefined>>;
  /** Stops in order when the time is up: `left` says what it did not come to. */
  replay(request: ReplayRequest, asked: Asked): Promise<Result<DeadLetterOutcome>>;
  /** The same. @returns failure `invalid` without a condition and without `all`. */
  drop(request: DropRequest, asked: Asked): Promise<Result<DeadLetterOutcome>>;
}

export function makeDeadLetters(options: DeadLettersOptions): DeadLetters {
  const { topology, open, counting, audit, log, inHand = () => ({ in_hand: 0, held: 0 }) } = options;
  const queueOf = parkedQueues(topology);
  const rounds = makeRounds({ topology, open, openResender: options.openResender });
  const readPage = makePageReader({ topology, open });

  /** How many of each queue are meant. */
  async function count(filter: DeadLetterChoice, { deadline }: CallContext): Promise<Result<Counted>> {
    const opened = await open();
    if (!opened.ok) return opened;
    await using parked = opened.value;
    const isMeant = matcherOf(filter, topology, new Date());
    const counted: Counted = { perQueue: [], matched: 0, scanned: 0, complete: true };
    for (const name of namesOf(filter)) {
      let matched = 0;
      const choose = (message: ParkedMessage): boolean => {
        if (isMeant(message, name)) matched += 1;
        return false;
      };
      const looked = await parked.look({ queue: queueOf.get(name) ?? "", deadline, max: MAX_LOOKED, choose });
      if (!looked.ok) return looked;
      counted.perQueue.push({ parked: name, matched, total: looked.value.total });
      counted.matched += matched;
      counted.scanned += looked.value.looked;
      counted.complete &&= looked.value.complete;
    }
    return ok(counted);
  }

  async function act(
    acting: Acting & { readonly limit: number; readonly dryRun: boolean },
    { by, context, onProgress }: Asked,
  ): Promise<Result<DeadLetterOutcome>> {
    const { filter, limit, rate } = acting;
    const counted = await count(filter, context);
    if (!counted.ok) return counted;
    const { matched, scanned, complete, perQueue } = counted.value;
    const outcome = { matched, done: 0, left: matched, scanned, complete };
    if (acting.dryRun || matched === 0) return ok(outcome);
    const begin = Bun.randomUUIDv7();
    const entry: AuditData = {
      action: `dead-letters.${acting.action}`,
      phase: "begin",
      by,
      filter,
      dry_run: false,
      matched,
      limit,
      ...(rate === undefined ? {} : { rate }),
    };
    const noted = await audit(begin, entry, context.trace);
    if (!noted.ok) {
      const why = `nothing was done: ${noted.error.message}`;
      return fail("unavailable", why, { cause: noted.error.cause, retryAfterS: 5 });
    }
    let done = 0;
    for (const { parked, ...there } of perQueue) {
      const most = Math.min(there.matched, limit - done);
      if (most === 0) continue;
      const before = done;
      const tell = (further: number): void => onProgress?.(before + further, Math.min(matched, limit));
      const ended = await rounds(
        { ...acting, by, trace: context.trace, parked, most, total: there.total },
        context.deadline,
        tell,
      );
      done += ended.done;
      if (ended.reason === undefined) continue;
      log.warn("dead letters: stopped before the end", { action: acting.action, by, done, reason: ended.reason });
      break;
    }
    const left = Math.max(0, matched - done);
    const told = await audit(Bun.randomUUIDv7(), { ...entry, phase: "end", begin, done, left }, context.trace);
    const fields = { action: acting.action, by, matched, done, left, audit_id: begin };
    if (told.ok) log.info("dead letters: done", fields);
    else log.error("dead letters: done, and the audit has only its beginning", { ...fields, reason: told.error });
    return ok({ ...outcome, done, left, audit_id: begin });
  }

  return {
    async queues() {
      const counts = await counting.count(topology.queues.map(({ name }) => name));
      if (!counts.ok) return counts;
      const items = topology.queues.flatMap(({ name, role }) => {
        const there = counts.value.get(name);
        return there === undefined ? [] : [{ name, role, ...there, ...inHand(name) }];
      });
      return ok({ items });
    },
    list: (filter, { limit, cursor }, context) =>
      readPage(namesOf(filter), matcherOf(filter, topology, new Date()), { limit, cursor }, context.deadline),
    async peek(filter, { deadline }) {
      const opened = await open();
      if (!opened.ok) return opened;
      await using parked = opened.value;
      const isMeant = matcherOf(filter, topology, new Date());
      for (const name of namesOf(filter)) {
        let found = undefined as ParkedMessage | undefined;
        const looked = await parked.look({
          queue: queueOf.get(name) ?? "",
          deadline,
          max: MAX_LOOKED,
          choose(message) {
            if (isMeant(message, name)) found ??= message;
            return false;
          },
          enough: () => found !== undefined,
        });
        if (!looked.ok) return looked;
        if (found === undefined) continue;
        const { headers, body } = found;
        return ok({ letter: letterOf(found, name, topology), headers, body });
      }
      return ok(undefined);
    },
    replay({ rate = DEFAULT_RATE, limit = DEFAULT_LIMIT, dry_run = false, ...filter }, asked) {
      return act({ action: "replay", filter, rate, limit, dryRun: dry_run }, asked);
    },
    async drop({ all, limit = DEFAULT_LIMIT, dry_run = false, ...filter }, asked) {
      if (all !== true && isEverything(filter)) {
        return fail(
          "invalid",
          "drop needs a condition besides parked (id, ids, routing_key, error, age), or all: true",
        );
      }
      return await act({ action: "drop", filter, rate: undefined, limit, dryRun: dry_run }, asked);
    },
  };
}

interface Counted {
  readonly perQueue: { readonly parked: Parked; readonly matched: number; readonly total: number }[];
  matched: number;
  scanned: number;
  complete: boolean;
}

/** What no queue wanted is not a dead letter, and is meant only where it is named. */
function namesOf({ parked }: DeadLetterFilter): Parked[] {
  return parked === undefined ? PARKED.filter((name) => name !== "unrouted") : [parked];
}
