/** Webhooks that are to be called, in PostgreSQL: a row an event and receiver. Talks, never decides. Time is the database's. */
import type { Result } from "#shared/errors";
import type { Database } from "#shared/postgres";
import type { Deadline } from "#shared/resilience";
import type { StoredEvent } from "./event.ts";

/** An event for one receiver, in the hands of whoever claimed it, for the length of a lease. */
export interface ClaimedHook extends StoredEvent {
  /** Name of the receiver. */
  readonly url: string;
  /** Tries that came to an end. */
  readonly attempt: number;
}

/** How a try ended. */
export interface Ending {
  readonly kind: "delivered" | "again" | "gave_up";
  /** Until the next one (ms), where there is one. */
  readonly waitMs: number;
  readonly status: number | undefined;
  readonly error: string | undefined;
}

export interface WebhookStore {
  /** Makes the rows of up to `limit` events, the oldest first, for these receivers. @returns how many events it were. */
  fanOut(
    urls: readonly string[],
    types: readonly string[],
    limit: number,
    deadline: Deadline,
  ): Promise<Result<{ readonly events: number; readonly hooks: number }>>;
  /** Takes up to `limit` of a receiver's that are due, the longest due first. */
  claim(url: string, limit: number, leaseMs: number, deadline: Deadline): Promise<Result<ClaimedHook[]>>;
  /** Ends a try. A delivery is written in any case; anything else only where nobody else ended the same try meanwhile. */
  settle(hook: ClaimedHook, ending: Ending, deadline: Deadline): Promise<Result<void>>;
  /** Gives back one whose call we cut ourselves: no try is spent. */
  release(hook: ClaimedHook, deadline: Deadline): Promise<Result<void>>;
  /** Gives up what is for other receivers than these and that nobody has tried for so long. @returns how many. */
  abandon(urls: readonly string[], dueForMs: number, deadline: Deadline): Promise<Result<number>>;
  /** Not delivered and not given up, of each receiver; up to 100,000, more is 100,000. */
  counts(urls: readonly string[], deadline: Deadline): Promise<Result<ReadonlyMap<string, number>>>;
}

const COUNTED = 100_000;
const ABANDONED_AT_ONCE = 1_000;

interface HookRow {
  url: string;
  attempt: number;
  id: string;
  type: string;
  created_at: Date;
  mail_id: string;
  payload: StoredEvent["payload"];
}

export function makeWebhookStore(database: Pick<Database, "query">): WebhookStore {
  return {
    fanOut: (urls, types, limit, deadline) =>
      database.query(
        async (sql) => {
          const [row] = await sql<{ events: number; hooks: number }[]>`
            WITH batch AS (
              SELECT id, type FROM mail_events WHERE hooked_at IS NULL
              ORDER BY created_at LIMIT ${limit} FOR UPDATE SKIP LOCKED),
            hooks AS (
              INSERT INTO mail_webhooks (event_id, url)
                SELECT batch.id, receiver FROM batch CROSS JOIN unnest(${[...urls]}::text[]) receiver
                WHERE batch.type = ANY(${[...types]}::text[])
              ON CONFLICT DO NOTHING RETURNING 1),
            marked AS (
              UPDATE mail_events SET hooked_at = now() FROM batch WHERE mail_events.id = batch.id RETURNING 1)
            SELECT (SELECT count(*)::int FROM marked) AS events, (SELECT count(*)::int FROM hooks) AS hooks`;
          return row ?? { events: 0, hooks: 0 };
        },
        { deadline, retry: true },
      ),

    claim: (url, limit, leaseMs, deadline) =>
      database.query(
        async (sql) => {
          const rows = await sql<HookRow[]>`
            WITH due AS (
              SELECT event_id, url FROM mail_webhooks
              WHERE url = ${url} AND delivered_at IS NULL AND gave_up_at IS NULL AND next_at <= now()
                AND (lease_until IS NULL OR lease_until <= now())
              ORDER BY next_at LIMIT ${limit} FOR UPDATE SKIP LOCKED)
            UPDATE mail_webhooks w SET lease_until = now() + ${leaseMs} * interval '1 ms'
            FROM due, mail_events e
            WHERE w.event_id = due.event_id AND w.url = due.url AND e.id = w.event_id
            RETURNING w.url, w.attempt, e.id, e.type, e.created_at, e.mail_id, e.payload`;
          return rows.map((row) => ({
            url: row.url,
            attempt: row.attempt,
            id: row.id,
            type: row.type,
            at: row.created_at,
            mailId: row.mail_id,
            payload: row.payload,
          }));
        },
        { deadline, retry: false },
      ),

    settle: (hook, { kind, waitMs, status, error }, deadline) =>
      database.query(
        async (sql) => {
          await sql`
            UPDATE mail_webhooks SET lease_until = NULL, next_at = now() + ${waitMs} * interval '1 ms',
              attempt = greatest(attempt, ${hook.attempt + 1}),
              delivered_at = CASE WHEN ${kind === "delivered"} THEN now() END,
              gave_up_at = CASE WHEN ${kind === "gave_up"} THEN now() END,
              status = ${status ?? null}, error = ${error ?? null}
            WHERE event_id = ${hook.id} AND url = ${hook.url} AND delivered_at IS NULL
              AND (${kind === "delivered"} OR (attempt = ${hook.attempt} AND gave_up_at IS NULL))`;
        },
        { deadline, retry: true },
      ),

    release: (hook, deadline) =>
      database.query(
        async (sql) => {
          await sql`
            UPDATE mail_webhooks SET lease_until = NULL
            WHERE event_id = ${hook.id} AND url = ${hook.url} AND attempt = ${hook.attempt}`;
        },
        { deadline, retry: true },
      ),

    abandon: (urls, dueForMs, deadline) =>
      database.query(
        async (sql) => {
          const rows = await sql`
            UPDATE mail_webhooks w SET gave_up_at = now(), error = 'no longer configured'
            FROM (SELECT event_id, url FROM mail_webhooks
              WHERE url <> ALL(${[...urls]}::text[]) AND delivered_at IS NULL AND gave_up_at IS NULL
                AND next_at <= now() - ${dueForMs} * interval '1 ms'
              LIMIT ${ABANDONED_AT_ONCE} FOR UPDATE SKIP LOCKED) old
            WHERE w.event_id = old.event_id AND w.url = old.url RETURNING 1`;
          return rows.length;
        },
        { deadline, retry: true },
      ),

    counts: (urls, deadline) =>
      database.query(
        async (sql) => {
          const rows = await sql<{ url: string; waiting: number }[]>`
            SELECT receiver AS url, (SELECT count(*)::int FROM
                (SELECT 1 FROM mail_webhooks WHERE url = receiver AND delivered_at IS NULL AND gave_up_at IS NULL
                  LIMIT ${COUNTED}) open) AS waiting
            FROM unnest(${[...urls]}::text[]) receiver`;
          return new Map(rows.map(({ url, waiting }) => [url, waiting]));
        },
        { deadline, retry: true },
      ),
  };
}
