/**
 * The time that an operation may still take. It travels as milliseconds left (clocks of machines differ,
 * durations do not) and ends early when whoever asked goes away.
 */
import { Failure } from "#shared/errors";

/** Longest time that a REST request may take (ms). */
export const REST_CEILING_MS = 30_000;
/** Longest time that an RPC call may take (ms). */
export const RPC_CEILING_MS = 5_000;

/** Who may end work early: an `AbortSignal`, or something that makes one only where somebody listens. */
export interface Asker {
  readonly aborted: boolean;
  /** Needed unless this is an `AbortSignal` itself. */
  readonly signal?: AbortSignal;
}

export class Deadline {
  /** By `performance.now()`: steps of the wall clock do not move it. */
  readonly #endsAt: number;
  readonly #parent: Asker | undefined;
  #signal: AbortSignal | undefined;

  private constructor(endsAt: number, parent: Asker | undefined) {
    this.#endsAt = endsAt;
    this.#parent = parent;
  }

  /**
   * @param ms time from now; negative counts as none.
   * @param parent ends the work early, e.g. the signal of a request whose client goes away.
   */
  static after(ms: number, parent?: Asker): Deadline {
    return new Deadline(performance.now() + Math.max(0, ms), parent);
  }

  /** The same deadline, or `ms` from now if that is sooner. */
  within(ms: number): Deadline {
    return new Deadline(Math.min(this.#endsAt, performance.now() + Math.max(0, ms)), this.#parent);
  }

  /** Whole milliseconds left; 0 when it has passed or the asker has gone. */
  remainingMs(): number {
    // A timer may fire a little before its time by this clock: what the signal has told is so.
    if (this.#parent?.aborted || this.#signal?.aborted) return 0;
    return Math.max(0, Math.floor(this.#endsAt - performance.now()));
  }

  get passed(): boolean {
    return this.remainingMs() === 0;
  }

  /** Aborts when the deadline passes or the asker goes away. Made on first use: a timer costs more than most calls. */
  get signal(): AbortSignal {
    if (this.#signal === undefined) {
      const timer = AbortSignal.timeout(this.remainingMs());
      const asker = this.#parent instanceof AbortSignal ? this.#parent : this.#parent?.signal;
      this.#signal = asker === undefined ? timer : AbortSignal.any([timer, asker]);
    }
    return this.#signal;
  }

  /**
   * `work`, or a `deadline` failure when the time is up first. What `work` does then is told by its own signal;
   * its late outcome is dropped.
   * @throws Failure `deadline`, and whatever `work` throws.
   */
  async bound<T>(work: Promise<T>, what: string): Promise<T> {
    const { promise, reject } = Promise.withResolvers<never>();
    const expire = (): void => reject(new Failure("deadline", `${what} took too long`));
    const { signal } = this;
    if (signal.aborted) expire();
    signal.addEventListener("abort", expire, { once: true });
    try {
      return await Promise.race([work, promise]);
    } finally {
      signal.removeEventListener("abort", expire);
      // The loser of the race must not surface as an unhandled rejection: its outcome is no longer of interest.
      promise.catch(() => undefined);
      work.catch(() => undefined);
    }
  }
}
