/** How long a circuit stays open. */
import type { IBackoff, IBackoffFactory } from "cockatiel";
import type { Backoff } from "./retry.ts";

/**
 * Cockatiel compares `duration` with what the wall clock has advanced since the circuit opened, so that a clock set back by
 * an hour keeps a circuit open for an hour. This duration is one that no reading of the wall clock passes, until the
 * time has passed on a clock that never steps; from then on every reading does.
 */
export function openTime(wait: Backoff, now: () => number = () => performance.now()): IBackoffFactory<unknown> {
  const after = (attempt: number): IBackoff<unknown> => {
    const endsAt = now() + wait(attempt);
    return {
      get duration() {
        return now() < endsAt ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;
      },
      next: () => after(attempt + 1),
    };
  };
  return { next: () => after(0) };
}
