/** So many at once, some that wait for their turn, and no more. */
import { Failure } from "#shared/errors";
import type { Deadline } from "#shared/resilience";

export interface TurnsOptions {
  readonly atOnce: number;
  /** That wait; without it as many as come, where their number has another limit. */
  readonly waiting?: number;
  /** What is told to one more. */
  readonly message?: string;
}

export interface Turns {
  /** @throws Failure `exhausted` where too many wait already, `deadline`, and what `work` throws. */
  take<T>(deadline: Deadline, work: () => Promise<T>): Promise<T>;
}

const RETRY_S = 1;

export function makeTurns({ atOnce, waiting = Number.POSITIVE_INFINITY, message }: TurnsOptions): Turns {
  let busy = 0;
  const queue = new Set<() => void>();

  /** Whoever has ended hands its place to the one that has waited longest. */
  const leave = (): void => {
    const [next] = queue;
    if (next === undefined) busy -= 1;
    else {
      queue.delete(next);
      next();
    }
  };

  const enter = async (deadline: Deadline): Promise<void> => {
    if (busy < atOnce) {
      busy += 1;
      return;
    }
    if (queue.size >= waiting) throw new Failure("exhausted", message, { retryAfterS: RETRY_S });
    const { promise, resolve } = Promise.withResolvers<void>();
    queue.add(resolve);
    try {
      await deadline.bound(promise, "waiting for others");
    } catch (error) {
      // The turn may have come in the same moment.
      if (!queue.delete(resolve)) leave();
      throw error;
    }
  };

  return {
    async take(deadline, work) {
      await enter(deadline);
      try {
        return await work();
      } finally {
        leave();
      }
    },
  };
}
