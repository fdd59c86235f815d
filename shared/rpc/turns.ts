/**
 * Shares the event loop among the connections of a server. A chunk may hold thousands of small frames, and twenty
 * connections that send nothing else would keep everybody waiting for seconds (measured: 4 s; with turns, some 50 ms).
 */

/** Longest that one connection's frames are handled at one go, and those of all in one turn of the event loop (ms). */
const SLICE_MS = 2;
const TURN_MS = 8;
/** Frames between two looks at the clock; so many are always handled, so that a quiet connection never waits. */
export const FRAMES_AT_LEAST = 32;

/** Has frames that are not handled yet. */
export interface Waiting {
  /** Handles some of them, until `until` (`performance.now()`); waits again where some are left. */
  goOn(now: number, until: number): void;
}

export class Turns {
  /** In the order in which they came. */
  readonly #waiting = new Set<Waiting>();
  #endsAt = 0;
  #scheduled = false;

  readonly #turn = (): void => {
    this.#scheduled = false;
    let now = performance.now();
    this.#endsAt = now + TURN_MS;
    // One that waits again is at the end of the line, and reached once more where time is left.
    for (const connection of this.#waiting) {
      if (now >= this.#endsAt) break;
      this.#waiting.delete(connection);
      connection.goOn(now, now + SLICE_MS);
      now = performance.now();
    }
    if (this.#waiting.size > 0) this.#schedule();
  };

  /** Until when frames may be handled that came at `now`. */
  until(now: number): number {
    // Nothing was scheduled: the first of its turn.
    if (!this.#scheduled) {
      this.#endsAt = now + TURN_MS;
      this.#schedule();
    }
    return Math.min(now + SLICE_MS, this.#endsAt);
  }

  /** Its turn comes when those before it have had theirs. */
  wait(connection: Waiting): void {
    this.#waiting.add(connection);
    this.#schedule();
  }

  /** It has gone. */
  leave(connection: Waiting): void {
    this.#waiting.delete(connection);
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#turn);
  }
}
