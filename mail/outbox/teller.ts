/**
 * Tells the other replicas that a mail waits (NOTIFY), together for all that come within a moment and never in the
 * transaction that stores one: such a commit holds a lock on the whole server until it is on disk, so that no two of
 * them are written together. Measured with 16 clients: 700 in place of 4,900 inserts a second.
 */
import type { Result } from "#shared/errors";
import { Deadline } from "#shared/resilience";
import type { Store } from "./store.ts";

export interface Teller extends AsyncDisposable {
  /** Returns at once. Whatever is lost of it is found by the poll. */
  tell(): void;
}

/** Between two of them (ms). */
const EVERY_MS = 50;
const QUERY_MS = 1_000;

export function makeTeller(store: Pick<Store, "tell">): Teller {
  let telling: Promise<Result<void>> | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let toldAt = Number.NEGATIVE_INFINITY;

  return {
    tell() {
      timer ??= setTimeout(
        () => {
          timer = undefined;
          toldAt = performance.now();
          telling = store.tell(Deadline.after(QUERY_MS));
        },
        Math.max(0, toldAt + EVERY_MS - performance.now()),
      );
    },
    async [Symbol.asyncDispose]() {
      clearTimeout(timer);
      await telling;
    },
  };
}
