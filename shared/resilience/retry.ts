/** Waiting between tries: backoff with jitter, bounded sleep, and the loop that every connection is opened by. */

/** Milliseconds to wait before try `attempt` + 1; attempts count from 0. */
export type Backoff = (attempt: number) => number;

export interface BackoffOptions {
  /** Upper bound of the first wait (ms). */
  firstMs: number;
  /** Upper bound of every wait (ms). */
  maxMs: number;
  /** A number in [0, 1); default `Math.random`. */
  random?: () => number;
}

/**
 * Exponential backoff with equal jitter: half of the doubling bound is certain, half is random, so that
 * clients that lost the same server do not come back in step and none comes back at once.
 * Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
 */
export function exponential({ firstMs, maxMs, random = Math.random }: BackoffOptions): Backoff {
  return (attempt) => {
    const bound = Math.min(maxMs, firstMs * 2 ** Math.min(attempt, 30));
    return bound / 2 + (bound / 2) * random();
  };
}

/**
 * A database as designed: five tries 2 s apart, then on with jitter for ever, never more than 3 s apart,
 * so that a database that returns is in use again within 5 s.
 */
export const databaseBackoff: Backoff = (attempt) =>
  attempt < 5 ? 2_000 : exponential({ firstMs: 2_000, maxMs: 3_000 })(attempt);

/** A neighbour that is not a database: quick at first, never more than 1.5 s apart, so that it is in use again within 2 s. */
export const reconnectBackoff: Backoff = exponential({ firstMs: 200, maxMs: 1_500 });

/** Resolves after `ms`, or rejects with the signal's reason as soon as it fires; leaves no timer and no listener. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason as Error);
      return;
    }
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/** `sleep` that a signal ends early instead of failing it: for loops that look at the signal themselves. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

export interface KeepTryingOptions {
  backoff: Backoff;
  /** Ends the loop: the promise rejects with the signal's reason. */
  signal: AbortSignal;
  /** After each failed try, before the wait. `attempt` counts from 1. */
  onFailure: (error: unknown, attempt: number, waitMs: number) => void;
}

/** Tries until `open` succeeds or the signal fires; never gives up by itself, because what is away comes back. */
export async function keepTrying<T>(open: () => Promise<T>, options: KeepTryingOptions): Promise<T> {
  const { backoff, signal, onFailure } = options;
  for (let attempt = 0; ; attempt += 1) {
    signal.throwIfAborted();
    try {
      return await open();
    } catch (error) {
      signal.throwIfAborted();
      const waitMs = backoff(attempt);
      onFailure(error, attempt + 1, waitMs);
      await sleep(waitMs, signal);
    }
  }
}
