/** The outbox in PostgreSQL. Talks, never decides; what each state means is in states.ts. Time is the database's. */
import type { Result } from "#shared/errors";
import type { Database } from "#shared/postgres";
import type { Deadline } from "#shared/resilience";
import { type Intake, makeIntake } from "./intake.ts";
import {
  type ClaimedMail,
  claimedOf,
  type MessageRow,
  type RecipientRow,
  type Standing,
  standingOf,
  SUPPRESSED,
} from "./rows.ts";
import type { MailState, Outcome, Transition } from "./states.ts";

/** Told by `tell`. */
export const CHANNEL = "mail_outbox";
/** Not done with: never deleted. */
const OPEN: readonly MailState[] = ["queued", "sending", "deferred", "ambiguous"];
const WENT_MISSING = "no answer: the attempt ended without a word after its content began";

/** An attempt that is over, with what the server said last. */
export interface Attempt {
  readonly outcome: Outcome;
  readonly code: number | undefined;
  readonly text: string;
  readonly command: string | undefined;
  readonly tookMs: number;
}

export interface Claimed {
  readonly mails: readonly ClaimedMail[];
  /** Those that were due, too, but must not be sent any more: failed now. */
  readonly suppressed: readonly Standing[];
}

export interface Counts {
  readonly rows: ReadonlyMap<MailState, number>;
  /** Age of the oldest that waits (s), 0 without any. One that is to be sent later does not count yet. */
  readonly oldestQueuedS: number;
}

export interface Swept {
  /** Leases that ran out before the content began. */
  readonly requeued: number;
  /** Those that ran out after that, and how many of them are to be sent again. */
  readonly ambiguous: number;
  readonly resent: number;
  readonly expired: number;
}

/** What to do about leases that ran out, and about mails that are too old. */
export interface Lapse {
  /** Whether those that ran out tell anything. */
  readonly conclusive: boolean;
  /** What may have been sent is sent again after this wait (ms); undefined: never by itself. */
  readonly resendAfterMs: number | undefined;
  /** Mails that are given up at once, at most: a statement that took too long would give up none, for ever. */
  readonly limit: number;
}

export interface Store extends Intake {
  /** Takes up to `limit` mails that are due under one claim: by priority, then those that wait longest. */
  claim(claim: string, limit: number, leaseMs: number, deadline: Deadline): Promise<Result<Claimed>>;
  /** Keeps mails with those who hold them, also where the lease ran out and nobody noticed. */
  renew(
    mails: readonly Pick<ClaimedMail, "id" | "claim">[],
    leaseMs: number,
    deadline: Deadline,
  ): Promise<Result<void>>;
  /** Gives back what claims hold, where its content cannot have begun: for calls whose answer was lost. */
  release(claims: readonly string[], deadline: Deadline): Promise<Result<void>>;
  /** Notes that content begins. @returns whether the claim still holds: only then may it. */
  beginContent(id: string, claim: string, deadline: Deadline): Promise<Result<boolean>>;
  /** Ends an attempt and adds it to the history. @returns whether it was still the claim's to end. */
  settle(
    mail: Pick<ClaimedMail, "id" | "claim">,
    to: Transition,
    attempt: Attempt,
    deadline: Deadline,
  ): Promise<Result<boolean>>;
  /** Deals with mails that are too old, and with leases that ran out. */
  sweep(lapse: Lapse, deadline: Deadline): Promise<Result<Swept>>;
  /** Wakes all replicas: there may be something that is due. */
  tell(deadline: Deadline): Promise<Result<void>>;
  /**
   * Deletes up to `limit` mails that are done with and of which nothing has changed for this long (undefined: none),
   * and what was counted for quotas of hours that are over. @returns how many mails.
   */
  forget(olderThanMs: number | undefined, limit: number, deadline: Deadline): Promise<Result<number>>;
  counts(deadline: Deadline): Promise<Result<Counts>>;
}

export function makeStore(database: Database): Store {
  return {
    ...makeIntake(database),

    claim: (claim, limit, leaseMs, deadline) =>
      database.query(
        async (sql) => {
          // Priority by priority: one look at all of them would pass everything of the first that is due later.
          // An array, since the planner takes its length for short: a join with `due` may read the whole outbox.
          const rows = await sql<(RecipientRow & MessageRow)[]>`
            WITH due AS (
              SELECT o.id FROM (VALUES (0::smallint), (1::smallint), (2::smallint)) p (priority) CROSS JOIN LATERAL (
                SELECT id FROM mail_outbox
                WHERE state IN ('queued', 'deferred') AND priority = p.priority AND next_at <= now() AND expires_at > now()
                ORDER BY next_at LIMIT ${limit} FOR UPDATE SKIP LOCKED) o
              LIMIT ${limit}),
            known AS (
              SELECT o.id AS row_id, m.*, s.reason FROM mail_outbox o JOIN mail_messages m ON m.id = o.mail_id
              LEFT JOIN LATERAL (
                SELECT reason FROM mail_suppressions
                WHERE address = lower(o.recipient) AND list IN ('', coalesce(m.list, '')) ORDER BY list LIMIT 1) s ON true
              WHERE o.id = ANY(ARRAY(SELECT id FROM due))),
            stopped AS (
              UPDATE mail_outbox o SET state = 'failed', smtp_code = NULL, smtp_text = 'suppressed: ' || k.reason,
                smtp_command = ${SUPPRESSED}, updated_at = now()
              FROM known k WHERE o.id = k.row_id AND k.reason IS NOT NULL RETURNING o.*),
            noted AS (
              INSERT INTO mail_attempts (outbox_id, outcome, text, command)
              SELECT id, 'suppressed', smtp_text, smtp_command FROM stopped),
            taken AS (
              UPDATE mail_outbox o SET state = 'sending', claim = ${claim}, data_at = NULL, updated_at = now(),
                lease_until = now() + ${leaseMs} * interval '1 ms'
              FROM known k WHERE o.id = k.row_id AND k.reason IS NULL RETURNING o.*)
            SELECT o.id, o.mail_id, o.recipient, o.state, o.claim, o.attempt, o.interruptions, o.smtp_text, o.smtp_command,
              (extract(epoch FROM o.expires_at - now()) * 1000)::float8 AS expires_in_ms, k.sender, k.subject, k.content,
              k.message_id, k.request_id, k.traceparent, k.list, k.priority, k.send_at, k.created_at
            FROM (SELECT * FROM taken UNION ALL SELECT * FROM stopped) o JOIN known k ON k.row_id = o.id
            ORDER BY o.priority, o.next_at, o.ordinal`;
          return {
            mails: rows.filter((row) => row.state === "sending").map((row) => claimedOf(row, row, claim)),
            suppressed: rows.filter((row) => row.state === "failed").map(standingOf),
          };
        },
        { deadline, retry: false },
      ),

    renew: (mails, leaseMs, deadline) =>
      database.query(
        async (sql) => {
          await sql`
            UPDATE mail_outbox SET lease_until = now() + ${leaseMs} * interval '1 ms'
            WHERE id = ANY(${mails.map(({ id }) => id)}::uuid[])
              AND claim = ANY(${mails.map(({ claim }) => claim)}::uuid[]) AND state = 'sending'`;
        },
        { deadline, retry: true },
      ),

    release: (claims, deadline) =>
      database.query(
        async (sql) => {
          await sql`
            UPDATE mail_outbox SET state = CASE WHEN attempt > 0 THEN 'deferred' ELSE 'queued' END, claim = NULL,
              lease_until = NULL, updated_at = now()
            WHERE state = 'sending' AND claim = ANY(${claims}::uuid[]) AND data_at IS NULL`;
        },
        { deadline, retry: true },
      ),

    beginContent: (id, claim, deadline) =>
      database.query(
        async (sql) => {
          const rows = await sql`
            UPDATE mail_outbox SET data_at = now()
            WHERE id = ${id} AND claim = ${claim} AND state = 'sending' AND lease_until > now() RETURNING id`;
          return rows.length > 0;
        },
        { deadline, retry: true },
      ),

    settle: ({ id, claim }, to, attempt, deadline) =>
      database.query(
        async (sql) => {
          // An ambiguous mail keeps its claim: the answer of that very attempt may still come. What became ambiguous
          // meanwhile, or by a first try of this very statement, is in the history already.
          const waits = to.state === "queued" || to.state === "deferred";
          const counts = attempt.outcome !== "away" && attempt.outcome !== "withheld";
          const rows = await sql`
            WITH held AS (
              SELECT id, state FROM mail_outbox
              WHERE id = ${id} AND claim = ${claim} AND state IN ('sending', 'ambiguous') FOR UPDATE),
            noted AS (
              INSERT INTO mail_attempts (outbox_id, outcome, code, text, command, took_ms)
              SELECT id, ${attempt.outcome}, ${attempt.code ?? null}, ${attempt.text}, ${attempt.command ?? null},
                ${Math.round(attempt.tookMs)}
              FROM held WHERE ${counts} AND state <> ${to.state})
            UPDATE mail_outbox o SET state = ${to.state}, attempt = ${to.attempt}, interruptions = ${to.interruptions},
              next_at = now() + ${to.waitMs} * interval '1 ms', lease_until = NULL, updated_at = now(),
              claim = CASE WHEN ${waits} THEN NULL ELSE claim END, data_at = CASE WHEN ${waits} THEN NULL ELSE data_at END,
              smtp_code = ${attempt.code ?? null}, smtp_text = ${attempt.text}, smtp_command = ${attempt.command ?? null}
            FROM held WHERE o.id = held.id RETURNING o.id`;
          return rows.length > 0;
        },
        { deadline, retry: true },
      ),

    sweep: ({ conclusive, resendAfterMs, limit }, deadline) =>
      database.query(
        async (sql) => {
          const over = await sql<{ begun: boolean; again: boolean }[]>`
            WITH lapsed AS (
              SELECT id, data_at IS NOT NULL AS begun, data_at IS NOT NULL AND ${resendAfterMs !== undefined}
                AND expires_at > now() + ${resendAfterMs ?? 0} * interval '1 ms' AS again
              FROM mail_outbox WHERE ${conclusive} AND state = 'sending' AND lease_until < now() FOR UPDATE SKIP LOCKED),
            noted AS (
              INSERT INTO mail_attempts (outbox_id, outcome, text)
              SELECT id, CASE WHEN begun THEN 'ambiguous' ELSE 'interrupted' END,
                CASE WHEN begun THEN ${WENT_MISSING} ELSE 'the attempt ended without a word before its content began' END
              FROM lapsed)
            UPDATE mail_outbox o SET
              state = CASE WHEN begun AND NOT again THEN 'ambiguous' WHEN begun OR attempt > 0 THEN 'deferred' ELSE 'queued' END,
              attempt = attempt + again::int,
              claim = CASE WHEN begun AND NOT again THEN claim END,
              data_at = CASE WHEN begun AND NOT again THEN data_at END,
              smtp_code = CASE WHEN NOT begun THEN smtp_code END,
              smtp_text = CASE WHEN begun THEN ${WENT_MISSING} ELSE smtp_text END,
              smtp_command = CASE WHEN NOT begun THEN smtp_command END, lease_until = NULL, updated_at = now(),
              next_at = now() + CASE WHEN again THEN ${resendAfterMs ?? 0} ELSE 0 END * interval '1 ms'
            FROM lapsed WHERE o.id = lapsed.id RETURNING begun, again`;
          const expired = await sql`
            UPDATE mail_outbox SET state = 'expired', updated_at = now() WHERE id = ANY(ARRAY(
              SELECT id FROM mail_outbox WHERE state IN ('queued', 'deferred') AND expires_at <= now()
              ORDER BY expires_at LIMIT ${limit} FOR UPDATE SKIP LOCKED)) RETURNING id`;
          const begun = over.filter((row) => row.begun).length;
          const resent = over.filter((row) => row.again).length;
          return { requeued: over.length - begun, ambiguous: begun, resent, expired: expired.length };
        },
        { deadline, retry: true },
      ),

    tell: (deadline) =>
      database.query(
        async (sql) => {
          await sql`SELECT pg_notify(${CHANNEL}, '')`;
        },
        { deadline, retry: true },
      ),

    forget: (olderThanMs, limit, deadline) =>
      database.transaction(
        async (sql) => {
          await sql`DELETE FROM mail_quotas WHERE hour < now() - interval '2 hours'`;
          if (olderThanMs === undefined) return 0;
          // Their rows are held while they are looked at again, so that none comes back to life in between.
          const held = await sql<{ mail_id: string }[]>`
            SELECT o.mail_id FROM mail_outbox o WHERE o.mail_id = ANY(ARRAY(
              SELECT m.id FROM mail_messages m
              WHERE m.created_at < now() - ${olderThanMs} * interval '1 ms' AND NOT EXISTS (
                SELECT FROM mail_outbox r WHERE r.mail_id = m.id
                  AND (r.state = ANY(${[...OPEN]}) OR r.updated_at > now() - ${olderThanMs} * interval '1 ms'))
              ORDER BY m.created_at LIMIT ${limit}))
            ORDER BY o.mail_id, o.ordinal FOR UPDATE`;
          const deleted = await sql`
            DELETE FROM mail_messages m WHERE m.id = ANY(${[...new Set(held.map((row) => row.mail_id))]}::uuid[])
              AND NOT EXISTS (
                SELECT FROM mail_outbox r WHERE r.mail_id = m.id
                  AND (r.state = ANY(${[...OPEN]}) OR r.updated_at > now() - ${olderThanMs} * interval '1 ms'))
            RETURNING m.id`;
          return deleted.length;
        },
        { deadline, retry: true },
      ),

    counts: (deadline) =>
      database.query(
        async (sql) => {
          const rows = await sql<{ state: MailState; rows: number; oldest_s: number }[]>`
            SELECT state, count(*)::int AS rows,
              coalesce(extract(epoch FROM now() - min(created_at) FILTER (WHERE state <> 'queued' OR next_at <= now())),
                0)::float8 AS oldest_s
            FROM mail_outbox WHERE state IN ('queued', 'sending', 'deferred', 'ambiguous') GROUP BY state`;
          const waiting = rows.filter((row) => row.state === "queued" || row.state === "deferred");
          return {
            rows: new Map(rows.map((row) => [row.state, row.rows])),
            oldestQueuedS: Math.max(0, ...waiting.map((row) => row.oldest_s)),
          };
        },
        { deadline, retry: true },
      ),
  };
}
