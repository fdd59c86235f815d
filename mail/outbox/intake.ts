/** Takes a mail into the outbox: its message and a row for each recipient, all at once or not at all. Talks, never decides. */
import { Failure, type Result } from "#shared/errors";
import type { Database, Sql } from "#shared/postgres";
import type { Deadline } from "#shared/resilience";
import {
  type ClaimedMail,
  claimedOf,
  type NewMail,
  type RecipientRow,
  type Standing,
  standingOf,
  SUPPRESSED,
} from "./rows.ts";

export interface Admission {
  /** Under which the first `places` recipients are sent at once; undefined: all wait in the queue. */
  readonly claim: string | undefined;
  readonly places: number;
  readonly leaseMs: number;
  /** Counted from when it may be sent first (ms). */
  readonly expireAfterMs: number;
  /** Recipients that a sender may write to within an hour (UTC); 0: any number. */
  readonly quotaPerHour: number;
}

export interface Stored {
  /** Whether it was stored now, and not before. */
  readonly fresh: boolean;
  /** The hash under which the id was stored first. */
  readonly contentHash: Uint8Array;
  /** Of every recipient, in their order. */
  readonly standings: readonly Standing[];
  /** For us to send at once. */
  readonly claimed: readonly ClaimedMail[];
}

export interface Intake {
  /**
   * Stores a mail under its id, once; a recipient that is suppressed is stored as failed.
   * @returns failures as of the database, and `exhausted` (nothing is stored) where the sender's quota would be passed.
   */
  insert(mail: NewMail, admission: Admission, deadline: Deadline): Promise<Result<Stored>>;
  /** What is stored under an id. */
  find(id: string, deadline: Deadline): Promise<Result<Pick<Stored, "contentHash" | "standings"> | undefined>>;
  /** Where rows of these ids stand; those that are not known are left out. */
  stand(ids: readonly string[], deadline: Deadline): Promise<Result<Standing[]>>;
}

interface FoundRow extends RecipientRow {
  content_hash: Uint8Array;
  created_at: Date;
}

interface InsertedRow extends RecipientRow {
  created_at: Date;
  quota_used: number | null;
  hour_left_s: number;
}

/** Tries against a mail that is deleted (retention) in the moment between its insert that conflicts and the look at it. */
const TRIES = 3;

export function makeIntake(database: Database): Intake {
  /** One statement: a round trip and a commit is all that the way in costs. */
  async function store(sql: Sql, mail: NewMail, admission: Admission): Promise<Stored | undefined> {
    const { claim, places, leaseMs, expireAfterMs, quotaPerHour } = admission;
    const rows = await sql<InsertedRow[]>`
      WITH message AS (
        INSERT INTO mail_messages (id, content_hash, sender, subject, content, message_id, request_id, traceparent,
          list, priority, send_at)
        VALUES (${mail.id}, ${mail.contentHash}, ${mail.sender}, ${mail.subject}, ${sql.json(mail.content as never)},
          ${mail.messageId}, ${mail.requestId}, ${mail.traceparent}, ${mail.list ?? null}, ${mail.priority},
          ${mail.sendAt ?? null})
        ON CONFLICT (id) DO NOTHING
        RETURNING id),
      quota AS (
        INSERT INTO mail_quotas AS q (sender, hour, used)
        SELECT ${mail.sender.toLowerCase()}, date_trunc('hour', now()), ${mail.recipients.length}::int FROM message
        WHERE ${quotaPerHour}::int > 0
        ON CONFLICT (sender, hour) DO UPDATE SET used = q.used + excluded.used
          WHERE q.used + excluded.used <= ${quotaPerHour}::int
        RETURNING used),
      wanted AS (
        SELECT r.*, s.reason, row_number() OVER (PARTITION BY s.reason IS NULL ORDER BY r.ordinal) AS place
        FROM unnest(${mail.recipients.map(({ id }) => id)}::uuid[], ${mail.recipients.map(({ address }) => address)}::text[],
          ${mail.recipients.map(({ kind }) => kind)}::text[]) WITH ORDINALITY AS r (id, recipient, kind, ordinal)
        LEFT JOIN LATERAL (
          SELECT reason FROM mail_suppressions
          WHERE address = lower(r.recipient) AND list IN ('', ${mail.list ?? ""}) ORDER BY list LIMIT 1) s ON true),
      stored AS (
        INSERT INTO mail_outbox (id, mail_id, ordinal, kind, priority, recipient, state, claim, lease_until, next_at,
          expires_at, smtp_text, smtp_command)
        SELECT w.id, message.id, w.ordinal - 1, w.kind, ${mail.priority}, w.recipient,
          CASE WHEN w.reason IS NOT NULL THEN 'failed' WHEN w.place <= ${places}::int THEN 'sending' ELSE 'queued' END,
          CASE WHEN w.reason IS NULL AND w.place <= ${places}::int THEN ${claim ?? null}::uuid END,
          CASE WHEN w.reason IS NULL AND w.place <= ${places}::int THEN now() + ${leaseMs} * interval '1 ms' END,
          greatest(now(), ${mail.sendAt ?? null}::timestamptz),
          greatest(now(), ${mail.sendAt ?? null}::timestamptz) + ${expireAfterMs} * interval '1 ms',
          'suppressed: ' || w.reason, CASE WHEN w.reason IS NOT NULL THEN ${SUPPRESSED} END
        FROM message, wanted w
        RETURNING *),
      noted AS (
        INSERT INTO mail_attempts (outbox_id, outcome, text, command)
        SELECT id, 'suppressed', smtp_text, smtp_command FROM stored WHERE state = 'failed')
      SELECT id, mail_id, recipient, state, claim, attempt, interruptions, created_at, smtp_text, smtp_command,
        (extract(epoch FROM expires_at - now()) * 1000)::float8 AS expires_in_ms,
        (SELECT used FROM quota) AS quota_used,
        extract(epoch FROM date_trunc('hour', now()) + interval '1 hour' - now())::float8 AS hour_left_s
      FROM stored ORDER BY ordinal`;
    const [first] = rows;
    if (first === undefined) return known(sql, mail, claim);
    if (quotaPerHour > 0 && first.quota_used === null) {
      throw new Failure("exhausted", `from has used up its ${quotaPerHour} recipients of this hour`, {
        retryAfterS: Math.max(1, first.hour_left_s),
      });
    }
    return storedOf(mail, mail.contentHash, rows, claim, true);
  }

  /** It was there before; or it was stored by us, and the answer to that was lost: then the claim is ours. */
  async function known(sql: Sql, mail: NewMail, claim: string | undefined): Promise<Stored | undefined> {
    const rows = await rowsOf(sql, mail.id);
    const [first] = rows;
    return first === undefined ? undefined : storedOf(mail, first.content_hash, rows, claim, false);
  }

  function storedOf(
    mail: NewMail,
    contentHash: Uint8Array,
    rows: readonly (RecipientRow & { created_at: Date })[],
    claim: string | undefined,
    fresh: boolean,
  ): Stored {
    const claimed = rows.filter((row) => claim !== undefined && row.state === "sending" && row.claim === claim);
    return {
      fresh: fresh || claimed.length > 0,
      contentHash,
      standings: rows.map(standingOf),
      claimed: claimed.map((row) => {
        const { messageId: message_id, requestId: request_id, sendAt } = mail;
        const list = mail.list ?? null;
        const message = { ...mail, message_id, request_id, list, send_at: sendAt ?? null, created_at: row.created_at };
        return claimedOf(row, message, row.claim ?? "");
      }),
    };
  }

  const rowsOf = (sql: Sql, id: string) => sql<FoundRow[]>`
    SELECT o.id, o.mail_id, o.recipient, o.state, o.claim, o.attempt, o.interruptions, o.smtp_text, o.smtp_command,
      o.created_at, m.content_hash, (extract(epoch FROM o.expires_at - now()) * 1000)::float8 AS expires_in_ms
    FROM mail_outbox o JOIN mail_messages m ON m.id = o.mail_id WHERE o.mail_id = ${id} ORDER BY o.ordinal`;

  return {
    async insert(mail, admission, deadline) {
      async function work(sql: Sql): Promise<Stored> {
        for (let tries = 1; tries < TRIES; tries += 1) {
          const stored = await store(sql, mail, admission);
          if (stored !== undefined) return stored;
        }
        throw new Failure("conflict", "a mail of this id is being deleted");
      }
      // Twice is once: the second insert finds the first by its id, and knows it by its claim. A quota that is
      // passed takes the mail back with it: for that a transaction is needed.
      const options = { deadline, retry: true };
      return admission.quotaPerHour > 0 ? database.transaction(work, options) : database.query(work, options);
    },

    find: (id, deadline) =>
      database.query(
        async (sql) => {
          const rows = await rowsOf(sql, id);
          const [first] = rows;
          return first === undefined ? undefined : { contentHash: first.content_hash, standings: rows.map(standingOf) };
        },
        { deadline, retry: true },
      ),

    stand: (ids, deadline) =>
      database.query(
        async (sql) => {
          const rows = await sql<RecipientRow[]>`
            SELECT id, recipient, state, smtp_text, smtp_command FROM mail_outbox WHERE id = ANY(${ids}::uuid[])`;
          return rows.map(standingOf);
        },
        { deadline, retry: true },
      ),
  };
}
