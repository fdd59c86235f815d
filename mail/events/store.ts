/** Events of the outbox in PostgreSQL, on their way to RabbitMQ. Talks, never decides. Time is the database's. */
import type { Result } from "#shared/errors";
import type { Database } from "#shared/postgres";
import type { Deadline } from "#shared/resilience";
import type { StoredEvent } from "./event.ts";

/** With what goes along as headers, and the row of the outbox that it is about. */
export interface WaitingEvent extends StoredEvent {
  readonly recipientId: string;
  readonly requestId: string;
  readonly traceparent: string;
}

export interface Handed {
  readonly handed: number;
  /** Marked as told, by type. */
  readonly told: ReadonlyMap<string, number>;
}

export interface EventCounts {
  /** Up to 100,000; more is 100,000. */
  readonly waiting: number;
  /** Age of the oldest (s), 0 without any. */
  readonly oldestS: number;
}

export interface TellOptions {
  readonly limit: number;
  /** Events that are told are done with: no webhook wants them. */
  readonly last: boolean;
  /** Tells them, in this order. @returns the ids of those that are told. Is bounded in time and never throws. */
  readonly tell: (events: readonly WaitingEvent[]) => Promise<readonly string[]>;
}

export interface EventStore {
  /**
   * Hands the oldest events that wait to `tell`, and marks those that are told. In all replicas one does so at a time:
   * the lock is the transaction's, so that it ends with whoever holds it, and with whoever stands still for 5 s.
   * @returns undefined where another one is at it.
   */
  tellOldest(options: TellOptions, deadline: Deadline): Promise<Result<Handed | undefined>>;
  counts(deadline: Deadline): Promise<Result<EventCounts>>;
}

/** Of this database: "mailev" in ASCII. */
const LOCK_KEY = 0x6d61_696c_6576;
const STANDS_STILL = "5s";
const COUNTED = 100_000;

interface EventRow {
  id: string;
  type: string;
  created_at: Date;
  mail_id: string;
  outbox_id: string;
  payload: StoredEvent["payload"];
  request_id: string;
  traceparent: string;
}

export function makeEventStore(database: Pick<Database, "query" | "transaction">): EventStore {
  return {
    tellOldest: ({ limit, last, tell }, deadline) =>
      database.transaction(
        async (sql) => {
          const [lock] = await sql<{ mine: boolean }[]>`
            SELECT pg_try_advisory_xact_lock(${LOCK_KEY}::bigint) AS mine,
              set_config('idle_in_transaction_session_timeout', ${STANDS_STILL}, true)`;
          if (lock?.mine !== true) return undefined;
          const rows = await sql<EventRow[]>`
            SELECT e.id, e.type, e.created_at, e.mail_id, e.outbox_id, e.payload, m.request_id, m.traceparent
            FROM mail_events e JOIN mail_messages m ON m.id = e.mail_id
            WHERE e.published_at IS NULL ORDER BY e.created_at LIMIT ${limit}`;
          if (rows.length === 0) return { handed: 0, told: new Map() };
          const ids = await tell(
            rows.map((row) => ({
              id: row.id,
              type: row.type,
              at: row.created_at,
              mailId: row.mail_id,
              payload: row.payload,
              recipientId: row.outbox_id,
              requestId: row.request_id,
              traceparent: row.traceparent,
            })),
          );
          const marked = await sql<{ type: string }[]>`
            UPDATE mail_events SET published_at = now(),
              hooked_at = CASE WHEN ${last} THEN coalesce(hooked_at, now()) ELSE hooked_at END
            WHERE id = ANY(${[...ids]}::uuid[]) RETURNING type`;
          const told = new Map<string, number>();
          for (const { type } of marked) told.set(type, (told.get(type) ?? 0) + 1);
          return { handed: rows.length, told };
        },
        { deadline, retry: false },
      ),

    counts: (deadline) =>
      database.query(
        async (sql) => {
          const [row] = await sql<{ waiting: number; oldest_s: number | null }[]>`
            SELECT (SELECT count(*)::int FROM
                (SELECT 1 FROM mail_events WHERE published_at IS NULL LIMIT ${COUNTED}) open) AS waiting,
              (SELECT extract(epoch FROM clock_timestamp() - min(created_at))::float8
                FROM mail_events WHERE published_at IS NULL) AS oldest_s`;
          return { waiting: row?.waiting ?? 0, oldestS: Math.max(0, row?.oldest_s ?? 0) };
        },
        { deadline, retry: true },
      ),
  };
}
