/** A client's calls that wait for their answers: a dense table, ids that are used again but never confused. */
import { RPC_CEILING_MS } from "#shared/resilience";
import type { Result } from "#shared/errors";
import type { CallContext, Trace } from "#shared/telemetry";
import type { MethodTally } from "./tally.ts";

const INDEX_BITS = 12;
const INDEX_MASK = (1 << INDEX_BITS) - 1;
const GENERATIONS = 2 ** (32 - INDEX_BITS);

/** A call until it has ended. */
export interface Pending {
  readonly method: string;
  readonly params: readonly unknown[];
  readonly context: CallContext;
  /** What the server's part is a part of: the caller's own span, or one of the call, which is then told of at its end. */
  readonly trace: Trace;
  readonly tally: MethodTally;
  /** By `performance.now()`. */
  readonly startedAt: number;
  readonly endsAt: number;
  readonly resolve: (result: Result<unknown>) => void;
  sent: boolean;
  /** Given by `PendingCalls.add`. */
  id: number;
}

/**
 * The low 12 bits of an id are the call's place in the table, the others count how often that place was used: an answer
 * that comes after its call has ended finds another count there, and is nobody's.
 */
export class PendingCalls {
  readonly #slots: (Pending | undefined)[] = [];
  readonly #uses: number[] = [];
  readonly #free: number[] = [];
  #size = 0;

  /** Calls that have not ended; at most 4,096 fit. */
  get size(): number {
    return this.#size;
  }

  add(pending: Pending): void {
    const index = this.#free.pop() ?? this.#slots.length;
    const uses = ((this.#uses[index] ?? -1) + 1) % GENERATIONS;
    this.#uses[index] = uses;
    this.#slots[index] = pending;
    pending.id = ((uses << INDEX_BITS) | index) >>> 0;
    this.#size += 1;
  }

  /** Takes the call with `id` out; `undefined` where it has ended, or never was. */
  take(id: number): Pending | undefined {
    const index = id & INDEX_MASK;
    const pending = this.#slots[index];
    if (pending === undefined || pending.id !== id) return undefined;
    this.#slots[index] = undefined;
    this.#free.push(index);
    this.#size -= 1;
    return pending;
  }

  /** Each call, in no order that means anything; `visit` may take calls out. */
  each(visit: (pending: Pending) => void): void {
    for (const pending of this.#slots) if (pending !== undefined) visit(pending);
  }
}

/** Whether nobody waits for the call any more. */
export function isOver(pending: Pending, now: number): boolean {
  return now >= pending.endsAt || pending.context.deadline.passed;
}

/** When a call that starts now has to be over; `undefined` where there is no time left. */
export function endOf(context: CallContext, now: number): number | undefined {
  const leftMs = context.deadline.remainingMs();
  return leftMs === 0 ? undefined : now + Math.min(leftMs, RPC_CEILING_MS);
}
