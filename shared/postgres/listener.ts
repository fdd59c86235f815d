/**
 * What others tell with NOTIFY, heard on one connection that is kept for it and comes back for ever. postgres.js has a
 * `listen` of its own, which tries once to come back and then is silent for good (3.4.9).
 */
import type { Log } from "#shared/log";
import { Deadline, keepTrying, reconnectBackoff, sleep } from "#shared/resilience";
import { messageOf } from "#shared/errors";
import { makePool, type Pool, type PoolOptions } from "./pool.ts";

/** How often the connection is asked whether it is still there (ms). */
const CHECK_MS = 10_000;
/** Longest answer to that, and to LISTEN (ms). */
const ANSWER_MS = 2_500;

export interface Listener extends AsyncDisposable {
  /** As `Database.listen`. The first call opens the connection. */
  listen(channel: string, heard: (payload?: string) => void): void;
}

export interface ListenerOptions extends Omit<PoolOptions, "maxConnections" | "kept"> {
  readonly log: Log;
}

export function makeListener({ log, ...poolOptions }: ListenerOptions): Listener {
  const channels = new Map<string, Set<(payload?: string) => void>>();
  const closing = new AbortController();
  let added = Promise.withResolvers<void>();
  let running: Promise<void> | undefined;

  function ring(names: Iterable<string>, payload?: string): void {
    for (const name of names) for (const heard of channels.get(name) ?? []) heard(payload);
  }

  /** Listens until the connection is lost. @throws what was seen of that. */
  async function stay(pool: Pool, lost: Promise<void>): Promise<never> {
    const known = new Set<string>();
    let gone = false;
    void lost.then(() => {
      gone = true;
    });
    for (;;) {
      added = Promise.withResolvers();
      const names = [...channels.keys()];
      for (const name of names) {
        // A second time it changes nothing, and tells whether the server is still there.
        await Deadline.after(ANSWER_MS).bound(pool.sql`LISTEN ${pool.sql(name)}`, "LISTEN");
      }
      // The driver would have opened another connection for it, on which nothing of before was heard.
      if (gone) throw new Error("the connection was closed");
      const fresh = names.filter((name) => !known.has(name));
      for (const name of fresh) known.add(name);
      ring(fresh);
      await Promise.race([lost, added.promise, sleep(CHECK_MS, closing.signal)]);
    }
  }

  async function connection(): Promise<never> {
    const lost = Promise.withResolvers<void>();
    const kept = {
      onNotify: (channel: string, payload: string) => ring([channel], payload),
      onClose: () => lost.resolve(),
    };
    const pool = makePool({ ...poolOptions, maxConnections: 1, kept });
    try {
      return await stay(pool, lost.promise);
    } finally {
      await pool.close(0);
    }
  }

  async function run(): Promise<void> {
    for (;;) {
      await keepTrying(
        async () => {
          const startedAt = performance.now();
          try {
            await connection();
          } catch (error) {
            // One that held for a while is opened again at once; the backoff is for what does not come up.
            if (closing.signal.aborted || performance.now() - startedAt < ANSWER_MS) throw error;
            log.warn("stopped hearing what the database tells, listening again", { reason: messageOf(error) });
          }
        },
        {
          backoff: reconnectBackoff,
          signal: closing.signal,
          onFailure: (error, attempt) => {
            if (attempt === 1)
              log.warn("cannot hear what the database tells, trying again", { reason: messageOf(error) });
          },
        },
      );
    }
  }

  return {
    listen(channel, heard) {
      const others = channels.get(channel);
      if (others === undefined) channels.set(channel, new Set([heard]));
      else others.add(heard);
      added.resolve();
      running ??= run().catch((error: unknown) => {
        if (!closing.signal.aborted) throw error;
      });
    },
    async [Symbol.asyncDispose]() {
      closing.abort(new Error("the database is closed"));
      await running;
    },
  };
}
