/**
 * Deletes mails that are done with, some time after nothing has changed of them any more, and their history with them.
 * Their Idempotency-Keys are forgotten as well: the same key is another mail from then on.
 */
import type { Log } from "#shared/log";
import { Deadline, pause } from "#shared/resilience";
import type { Store } from "./store.ts";

export interface RetentionOptions {
  readonly store: Pick<Store, "forget">;
  readonly log: Log;
  /** Age from which a mail is deleted (ms); 0: never. */
  readonly retentionMs: number;
  /** Between two looks (ms). Default 60,000. */
  readonly everyMs?: number;
}

/** Mails that are deleted at once, at most. */
const BATCH = 200;
/** Between two batches (ms): others are to be served, too. */
const BREATH_MS = 200;
const QUERY_MS = 3_000;
/** Until the next look while the database is away, or took too long (ms). */
const AWAY_MS = 1_000;

/** Looks at once, then again and again until it is disposed of. */
export function keepRetention({ store, log, retentionMs, everyMs = 60_000 }: RetentionOptions): AsyncDisposable {
  const closing = new AbortController();
  const olderThanMs = retentionMs === 0 ? undefined : retentionMs;
  let batch = BATCH;

  /** @returns how long to wait until the next one. */
  async function round(): Promise<number> {
    const limit = batch;
    const forgotten = await store.forget(olderThanMs, limit, Deadline.after(QUERY_MS));
    if (!forgotten.ok) {
      const { code } = forgotten.error;
      if (code === "unavailable") return AWAY_MS;
      log.warn("old mails not deleted", { reason: forgotten.error, mails: limit });
      // A mail may have many recipients with a long history: as many again would take too long again, for ever.
      batch = code === "deadline" ? Math.max(1, Math.floor(limit / 2)) : limit;
      return batch < limit ? AWAY_MS : everyMs;
    }
    batch = Math.min(BATCH, limit * 2);
    if (forgotten.value > 0) log.debug("old mails deleted", { mails: forgotten.value });
    // At random, so that replicas do not meet over the same mails.
    return forgotten.value === limit ? BREATH_MS : everyMs * (0.75 + Math.random() / 2);
  }

  async function work(): Promise<void> {
    while (!closing.signal.aborted) await pause(await round(), closing.signal);
  }

  const working = work();
  return {
    async [Symbol.asyncDispose]() {
      closing.abort();
      await working;
    },
  };
}
