/**
 * Who waits for the next attempt of a mail, whoever makes it: what this process attempts is announced; what another
 * replica has in hand is looked up, all of it together and a few times a second at most.
 */
import { Deadline, pause } from "#shared/resilience";
import type { Standing } from "./rows.ts";
import type { Store } from "./store.ts";

export interface Waiting extends AsyncDisposable {
  /** Where a mail stands with a recipient after the next attempt; undefined when the signal fires first. */
  settled(id: string, signal: AbortSignal): Promise<Standing | undefined>;
  /** An attempt is over. */
  announce(standing: Standing): void;
}

export interface WaitingOptions {
  readonly store: Pick<Store, "stand">;
  /** What this process has in hand: it will be announced. */
  readonly inHand: () => ReadonlySet<string>;
}

/** Between two looks at what others have in hand (ms). */
const LOOK_MS = 100;
const QUERY_MS = 1_000;

export function makeWaiting({ store, inHand }: WaitingOptions): Waiting {
  const waiting = new Map<string, Set<(standing: Standing) => void>>();
  const closing = new AbortController();
  let looking: Promise<void> | undefined;

  function announce(standing: Standing): void {
    for (const resolve of waiting.get(standing.id) ?? []) resolve(standing);
  }

  async function look(): Promise<void> {
    for (;;) {
      await pause(LOOK_MS, closing.signal);
      if (waiting.size === 0 || closing.signal.aborted) return;
      const ours = inHand();
      const ids = [...waiting.keys()].filter((id) => !ours.has(id));
      if (ids.length === 0) continue;
      const found = await store.stand(ids, Deadline.after(QUERY_MS));
      // Without an answer they wait on, as long as their callers do.
      if (!found.ok) continue;
      for (const standing of found.value) {
        if (standing.state !== "queued" && standing.state !== "sending") announce(standing);
      }
    }
  }

  return {
    announce,

    settled(id, signal) {
      const { promise, resolve } = Promise.withResolvers<Standing | undefined>();
      const listeners = waiting.get(id) ?? new Set();
      waiting.set(id, listeners.add(resolve));
      const stop = (): void => resolve(undefined);
      signal.addEventListener("abort", stop, { once: true });
      if (signal.aborted) stop();
      looking ??= look().finally(() => {
        looking = undefined;
      });
      return promise.finally(() => {
        signal.removeEventListener("abort", stop);
        listeners.delete(resolve);
        if (listeners.size === 0 && waiting.get(id) === listeners) waiting.delete(id);
      });
    },

    async [Symbol.asyncDispose]() {
      closing.abort();
      await looking;
    },
  };
}
