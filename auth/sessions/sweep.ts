/** Removes what is over, a little at a time, at every replica: sessions, tokens, revocations, keys. */
import type { Log } from "#shared/log";
import type { Database, Sql } from "#shared/postgres";
import { Deadline, makeBell } from "#shared/resilience";

const EVERY_MS = 3_600_000;
const BATCH = 1_000;
const BATCH_MS = 3_000;
/** Batches of a table in one go: the rest waits for the next. */
const BATCHES = 100;

/**
 * Ended sessions are kept 90 days, since where they came from tells a new place from a known one. A refresh token is kept
 * until its own time is over: until then, using it again ends its session.
 */
const STATEMENTS: readonly ((sql: Sql) => Promise<{ readonly count: number }>)[] = [
  (sql) => sql`delete from refresh_tokens where token_hash in (
    select token_hash from refresh_tokens where expires_at < now() limit ${BATCH})`,
  (sql) => sql`delete from sessions where id in (
    select id from sessions where expires_at < now() - interval '90 days' limit ${BATCH})`,
  (sql) => sql`delete from revocations where id in (
    select id from revocations where expires_at < now() limit ${BATCH})`,
  (sql) => sql`delete from one_time_tokens where token_hash in (
    select token_hash from one_time_tokens where expires_at < now() - interval '1 day' limit ${BATCH})`,
  (sql) => sql`delete from signing_keys where retired_at < now() - interval '1 day'`,
];

/** Begins at once. @returns disposing waits for the statement in hand. */
export function startSweep(options: { database: Database; log: Log; everyMs?: number }): AsyncDisposable {
  const { database, log, everyMs = EVERY_MS } = options;
  const bell = makeBell();
  const closing = new AbortController();

  async function sweep(): Promise<void> {
    for (const statement of STATEMENTS) {
      for (let batch = 0; batch < BATCHES && !closing.signal.aborted; batch += 1) {
        const swept = await database.query(async (sql) => (await statement(sql)).count, {
          deadline: Deadline.after(BATCH_MS),
          retry: true,
        });
        if (!swept.ok) log.warn("what is over was not removed, trying again in an hour", { reason: swept.error });
        if (!swept.ok || swept.value < BATCH) break;
      }
    }
  }

  async function work(): Promise<void> {
    // The first one when the database is there, the others by the clock.
    await bell.wait(Math.min(everyMs, 60_000));
    while (!closing.signal.aborted) {
      if (database.up) await sweep();
      await bell.wait(everyMs);
    }
  }

  const working = work();
  return {
    async [Symbol.asyncDispose]() {
      closing.abort();
      bell.ring();
      await working;
    },
  };
}
