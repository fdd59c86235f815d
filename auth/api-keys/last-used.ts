/**
 * When keys were last used, to the minute: remembered here, and written for all keys at once, each at most once a minute.
 * What a replica that is killed has not written is lost; one that ends in order has written all.
 */
import type { Log } from "#shared/log";
import { Deadline, pause } from "#shared/resilience";
import type { ApiKeyStore } from "./store.ts";

const MINUTE_MS = 60_000;
const WRITE_MS = 3_000;
/** Keys that are remembered between two writes; the use of others is not noted. */
const MOST = 10_000;

export interface LastUsed extends AsyncDisposable {
  note(keyId: string): void;
}

export interface LastUsedOptions {
  readonly store: Pick<ApiKeyStore, "markUsed">;
  readonly log: Log;
  /** Between two writes (ms). Default 60,000. */
  readonly everyMs?: number;
}

export function keepLastUsed({ store, log, everyMs = MINUTE_MS }: LastUsedOptions): LastUsed {
  const closing = new AbortController();
  let used = new Map<string, Date>();

  async function write(): Promise<void> {
    if (used.size === 0) return;
    const batch = used;
    used = new Map();
    const written = await store.markUsed(batch, { deadline: Deadline.after(WRITE_MS) });
    if (written.ok) return;
    log.warn("last use of API keys not written: tried again later", { keys: batch.size, reason: written.error });
    // Those that were used again meanwhile have a later time.
    for (const [id, at] of batch) if (!used.has(id) && used.size < MOST) used.set(id, at);
  }

  async function work(): Promise<void> {
    while (!closing.signal.aborted) {
      await pause(everyMs, closing.signal);
      await write();
    }
    // What was noted during the last one.
    await write();
  }

  const working = work();
  return {
    note(keyId) {
      if (!used.has(keyId) && used.size >= MOST) return;
      used.set(keyId, new Date(Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS));
    },
    async [Symbol.asyncDispose]() {
      closing.abort();
      await working;
    },
  };
}
