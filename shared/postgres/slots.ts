/** A fixed number of places, and a bounded line in front of them. */
import { fail, ok, type Result } from "#shared/errors";
import type { Deadline } from "#shared/resilience";
import { RETRY_AFTER_S } from "./failures.ts";

export interface Slots {
  readonly used: number;
  readonly waiting: number;
  /**
   * A place, first come first served; call what is returned to give it back, once.
   * @returns failure `unavailable` when the line is full, `deadline` when the time is up first.
   */
  acquire(deadline: Deadline): Promise<Result<() => void>>;
}

/** @param count places. @param line how many may wait for one. */
export function makeSlots(count: number, line: number): Slots {
  let used = 0;
  const waiters = new Set<() => void>();

  function release(): void {
    const [next] = waiters;
    if (next === undefined) {
      used -= 1;
      return;
    }
    // The place is handed on: nobody who comes now can take it before the one who waited.
    waiters.delete(next);
    next();
  }

  return {
    get used() {
      return used;
    },
    get waiting() {
      return waiters.size;
    },
    async acquire(deadline) {
      if (used < count) {
        used += 1;
        return ok(release);
      }
      if (waiters.size >= line) {
        return fail("unavailable", "the database is busy", { retryAfterS: RETRY_AFTER_S });
      }
      const turn = Promise.withResolvers<void>();
      waiters.add(turn.resolve);
      try {
        await deadline.bound(turn.promise, "waiting for a database connection");
        return ok(release);
      } catch {
        // The turn may have come in the same moment as the end of the time: then the place goes to the next.
        if (!waiters.delete(turn.resolve)) release();
        return fail("deadline", "the database is busy");
      }
    },
  };
}
