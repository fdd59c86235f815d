/** The outbox in PostgreSQL. Talks, never decides; what each state means is in states.ts. Time is the database's. */
import type { Result } from "#shared/errors";
import type { Database } from "#shared/postgres";
import type { Deadline } from "#shared/resilience";
import type { MailState, Transition } from "./states.ts";

/** A mail as it is accepted. */
export interface NewMail {
  /** UUID. */
  readonly id: string;
  /** SHA-256 of what the caller sent: the same id with another one is another mail. */
  readonly contentHash: Uint8Array;
  readonly sender: string;
  readonly recipient: string;
  readonly subject: string;
  readonly message: string;
  readonly messageId: string;
  readonly requestId: string;
  readonly traceparent: string;
}

/** A mail on its way out, in the hands of whoever holds `claim`. */
export interface ClaimedMail extends Omit<NewMail, "contentHash"> {
  readonly claim: string;
  readonly attempt: number;
  readonly interruptions: number;
  readonly createdAt: Date;
  /** Until it is given up (ms), counted from when it was claimed. */
  readonly expiresInMs: number;
}

/** Where a mail stands. */
export interface Standing {
  readonly id: string;
  readonly recipient: string;
  readonly state: MailState;
  readonly smtpText: string | undefined;
  readonly smtpCommand: string | undefined;
}

/** All that is told of a mail: not its body. */
export interface Progressing extends Standing {
  readonly sender: string;
  readonly subject: string;
  /** Attempts that the server answered. */
  readonly attempt: number;
  readonly smtpCode: number | undefined;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  /** When it may be claimed next, where it waits. */
  readonly nextAt: Date;
  readonly expiresAt: Date;
}

export interface Stored {
  readonly standing: Standing;
  /** The hash under which the id was stored first. */
  readonly contentHash: Uint8Array;
  /** Set where it was stored now, and for us to send at once. */
  readonly claimed: ClaimedMail | undefined;
}

/** What the server said last about a mail. */
export interface LastReply {
  readonly code: number | undefined;
  readonly text: string;
  readonly command: string | undefined;
}

export interface Counts {
  readonly rows: ReadonlyMap<MailState, number>;
  /** Age of the oldest that waits (s), 0 without any. */
  readonly oldestQueuedS: number;
}

export interface Swept {
  readonly requeued: number;
  readonly ambiguous: number;
  readonly expired: number;
}

export interface Store {
  /** Stores a mail under its id, once. @param claim sends it at once under this claim; undefined: it waits in the queue. */
  insert(
    mail: NewMail,
    claim: string | undefined,
    expireAfterMs: number,
    leaseMs: number,
    deadline: Deadline,
  ): Promise<Result<Stored>>;
  find(id: string, deadline: Deadline): Promise<Result<Standing | undefined>>;
  /** The same with all that is told of it. */
  look(id: string, deadline: Deadline): Promise<Result<Progressing | undefined>>;
  /** Takes up to `limit` mails that are due, oldest first, under one claim. */
  claim(claim: string, limit: number, leaseMs: number, deadline: Deadline): Promise<Result<ClaimedMail[]>>;
  /** Keeps mails with those who hold them, also where the lease ran out and nobody noticed. */
  renew(
    mails: readonly Pick<ClaimedMail, "id" | "claim">[],
    leaseMs: number,
    deadline: Deadline,
  ): Promise<Result<void>>;
  /** Gives back what a claim holds, where its content cannot have begun: for a `claim` call whose answer was lost. */
  release(claim: string, deadline: Deadline): Promise<Result<void>>;
  /** Notes that content begins. @returns whether the claim still holds: only then may it. */
  beginContent(id: string, claim: string, deadline: Deadline): Promise<Result<boolean>>;
  /** Ends an attempt. @returns whether it was still the claim's to end. */
  settle(
    mail: Pick<ClaimedMail, "id" | "claim">,
    to: Transition,
    reply: LastReply,
    deadline: Deadline,
  ): Promise<Result<boolean>>;
  /** Deals with mails that are too old and, where wanted, with leases that ran out. */
  sweep(leases: boolean, deadline: Deadline): Promise<Result<Swept>>;
  counts(deadline: Deadline): Promise<Result<Counts>>;
}

interface MailRow {
  id: string;
  claim: string;
  sender: string;
  recipient: string;
  subject: string;
  message: string;
  message_id: string;
  request_id: string;
  traceparent: string;
  attempt: number;
  interruptions: number;
  created_at: Date;
  updated_at: Date;
  next_at: Date;
  expires_at: Date;
  expires_in_ms: number;
  state: MailState;
  content_hash: Uint8Array;
  smtp_code: number | null;
  smtp_text: string | null;
  smtp_command: string | null;
}

function claimedOf(row: MailRow): ClaimedMail {
  return {
    id: row.id,
    claim: row.claim,
    sender: row.sender,
    recipient: row.recipient,
    subject: row.subject,
    message: row.message,
    messageId: row.message_id,
    requestId: row.request_id,
    traceparent: row.traceparent,
    attempt: row.attempt,
    interruptions: row.interruptions,
    createdAt: row.created_at,
    expiresInMs: row.expires_in_ms,
  };
}

function standingOf(row: Pick<MailRow, "id" | "recipient" | "state" | "smtp_text" | "smtp_command">): Standing {
  return {
    id: row.id,
    recipient: row.recipient,
    state: row.state,
    smtpText: row.smtp_text ?? undefined,
    smtpCommand: row.smtp_command ?? undefined,
  };
}

export function makeStore(database: Database): Store {
  return {
    insert: (mail, claim, expireAfterMs, leaseMs, deadline) =>
      // Twice is once: the second insert finds the first by its id, and knows it by its claim.
      database.query(
        async (sql) => {
          const state: MailState = claim === undefined ? "queued" : "sending";
          const inserted = await sql<MailRow[]>`
            INSERT INTO mail_outbox (id, content_hash, sender, recipient, subject, message, message_id, request_id,
              traceparent, state, claim, lease_until, expires_at)
            VALUES (${mail.id}, ${mail.contentHash}, ${mail.sender}, ${mail.recipient}, ${mail.subject},
              ${mail.message}, ${mail.messageId}, ${mail.requestId}, ${mail.traceparent}, ${state}, ${claim ?? null},
              CASE WHEN ${claim !== undefined} THEN now() + ${leaseMs} * interval '1 ms' END,
              now() + ${expireAfterMs} * interval '1 ms')
            ON CONFLICT (id) DO NOTHING
            RETURNING *, (extract(epoch FROM expires_at - now()) * 1000)::float8 AS expires_in_ms`;
          const [row] =
            inserted.length > 0
              ? inserted
              : await sql<MailRow[]>`
                  SELECT *, (extract(epoch FROM expires_at - now()) * 1000)::float8 AS expires_in_ms
                  FROM mail_outbox WHERE id = ${mail.id}`;
          if (row === undefined) throw new Error("a mail that conflicted is gone");
          const isOurs = claim !== undefined && row.state === "sending" && row.claim === claim;
          return {
            standing: standingOf(row),
            contentHash: row.content_hash,
            claimed: isOurs ? claimedOf(row) : undefined,
          };
        },
        { deadline, retry: true },
      ),

    find: (id, deadline) =>
      database.query(
        async (sql) => {
          const [row] = await sql<MailRow[]>`
            SELECT id, recipient, state, smtp_text, smtp_command FROM mail_outbox WHERE id = ${id}`;
          return row === undefined ? undefined : standingOf(row);
        },
        { deadline, retry: true },
      ),

    look: (id, deadline) =>
      database.query(
        async (sql) => {
          const [row] = await sql<MailRow[]>`
            SELECT id, sender, recipient, subject, state, attempt, next_at, smtp_code, smtp_text, smtp_command,
              created_at, updated_at, expires_at
            FROM mail_outbox WHERE id = ${id}`;
          if (row === undefined) return undefined;
          return {
            ...standingOf(row),
            sender: row.sender,
            subject: row.subject,
            attempt: row.attempt,
            smtpCode: row.smtp_code ?? undefined,
            createdAt: row.created_at,
            updatedAt: row.updated_at,
            nextAt: row.next_at,
            expiresAt: row.expires_at,
          };
        },
        { deadline, retry: true },
      ),

    claim: (claim, limit, leaseMs, deadline) =>
      database.query(
        async (sql) => {
          const rows = await sql<MailRow[]>`
            UPDATE mail_outbox SET state = 'sending', claim = ${claim}, data_at = NULL, updated_at = now(),
              lease_until = now() + ${leaseMs} * interval '1 ms'
            WHERE id IN (
              SELECT id FROM mail_outbox
              WHERE state IN ('queued', 'deferred') AND next_at <= now() AND expires_at > now()
              ORDER BY next_at LIMIT ${limit} FOR UPDATE SKIP LOCKED)
            RETURNING *, (extract(epoch FROM expires_at - now()) * 1000)::float8 AS expires_in_ms`;
          return rows.map(claimedOf);
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

    release: (claim, deadline) =>
      database.query(
        async (sql) => {
          await sql`
            UPDATE mail_outbox SET state = CASE WHEN attempt > 0 THEN 'deferred' ELSE 'queued' END, claim = NULL,
              lease_until = NULL, updated_at = now()
            WHERE state = 'sending' AND claim = ${claim} AND data_at IS NULL`;
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

    settle: ({ id, claim }, to, reply, deadline) =>
      database.query(
        async (sql) => {
          // An ambiguous mail keeps its claim: the answer of that very attempt may still come.
          const waits = to.state === "queued" || to.state === "deferred";
          const rows = await sql`
            UPDATE mail_outbox SET state = ${to.state}, attempt = ${to.attempt}, interruptions = ${to.interruptions},
              next_at = now() + ${to.waitMs} * interval '1 ms', lease_until = NULL, updated_at = now(),
              claim = CASE WHEN ${waits} THEN NULL ELSE claim END, data_at = CASE WHEN ${waits} THEN NULL ELSE data_at END,
              smtp_code = ${reply.code ?? null}, smtp_text = ${reply.text}, smtp_command = ${reply.command ?? null}
            WHERE id = ${id} AND claim = ${claim} AND state IN ('sending', 'ambiguous') RETURNING id`;
          return rows.length > 0;
        },
        { deadline, retry: true },
      ),

    sweep: (leases, deadline) =>
      database.query(
        async (sql) => {
          const over = await sql<{ state: MailState }[]>`
            UPDATE mail_outbox SET
              state = CASE WHEN data_at IS NOT NULL THEN 'ambiguous' WHEN attempt > 0 THEN 'deferred' ELSE 'queued' END,
              claim = CASE WHEN data_at IS NOT NULL THEN claim END,
              smtp_text = CASE WHEN data_at IS NOT NULL
                THEN 'no answer: the attempt ended without a word after its content began' ELSE smtp_text END,
              lease_until = NULL, next_at = now(), updated_at = now()
            WHERE ${leases} AND state = 'sending' AND lease_until < now() RETURNING state`;
          const expired = await sql`
            UPDATE mail_outbox SET state = 'expired', updated_at = now()
            WHERE state IN ('queued', 'deferred') AND expires_at <= now() RETURNING id`;
          const ambiguous = over.filter((row) => row.state === "ambiguous").length;
          return { requeued: over.length - ambiguous, ambiguous, expired: expired.length };
        },
        { deadline, retry: true },
      ),

    counts: (deadline) =>
      database.query(
        async (sql) => {
          const rows = await sql<{ state: MailState; rows: number; oldest_s: number }[]>`
            SELECT state, count(*)::int AS rows, extract(epoch FROM now() - min(created_at))::float8 AS oldest_s
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
