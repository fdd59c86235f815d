/** Patient waiting, for whoever watches processes. */

/** Between two looks (ms). */
const LOOK_EVERY_MS = 25;

/**
 * Looks every 25 ms until `look` gives something that is not undefined or false; an error of `look` counts as not yet.
 * @throws Error that names `what` after `ms` (default 10,000), or the signal's reason when it fires.
 */
export async function until<T>(
  what: string,
  look: () => Promise<T | undefined | false> | T | undefined | false,
  ms = 10_000,
  signal?: AbortSignal,
): Promise<T> {
  const endsAt = performance.now() + ms;
  let last: unknown;
  while (performance.now() < endsAt) {
    signal?.throwIfAborted();
    try {
      const found = await look();
      if (found !== undefined && found !== false) return found;
      last = undefined;
    } catch (error) {
      last = error;
    }
    await Bun.sleep(LOOK_EVERY_MS);
  }
  throw new Error(`${what}: not within ${ms} ms`, { cause: last });
}
