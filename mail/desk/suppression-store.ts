/** The suppression list in PostgreSQL, and what bounces change. Talks, never decides. Addresses are in small letters here. */
import type { MailState } from "#contracts/mail";
import type { Result } from "#shared/errors";
import type { Database, Sql } from "#shared/postgres";
import type { Deadline } from "#shared/resilience";
import type { Place } from "./cursor.ts";

export interface StoredSuppression {
  readonly address: string;
  /** '': all mail. */
  readonly list: string;
  readonly reason: string;
  readonly created_at: Date;
}

export interface NewSuppression {
  readonly address: string;
  readonly list: string;
  readonly reason: string;
}

export interface SuppressionsPage {
  readonly items: readonly StoredSuppression[];
  readonly next: Place | undefined;
}

export interface SuppressionStore {
  /** Puts an address on the list, once: what is there already stays as it is. */
  add(
    suppression: NewSuppression,
    deadline: Deadline,
  ): Promise<Result<{ readonly stored: StoredSuppression; readonly isNew: boolean }>>;
  /** @returns whether it was there. */
  remove(address: string, list: string, deadline: Deadline): Promise<Result<boolean>>;
  /** Newest first, from `after` on. */
  page(
    address: string | undefined,
    after: Place | undefined,
    limit: number,
    deadline: Deadline,
  ): Promise<Result<SuppressionsPage>>;
}

/** What a notification says of a mail to one address. */
export interface BounceWrite {
  /** Of the mail, and its Message-ID as it was sent (small letters, without brackets). */
  readonly mailId: string;
  readonly messageId: string;
  readonly address: string;
  readonly code: number | undefined;
  readonly text: string;
}

export interface BounceStore {
  /**
   * A mail that had been taken (or may have been) has come back.
   * @param suppressFor puts the address on the list for this reason, where this notification is what changed the mail.
   * @returns the state before of each row of ours that it is about (none: not ours), and whether the address is on
   *   the list because of this mail.
   */
  bounced(
    bounce: BounceWrite,
    suppressFor: string | undefined,
    deadline: Deadline,
  ): Promise<Result<{ readonly states: readonly MailState[]; readonly suppressed: boolean }>>;
  /** Notes that it is still on its way, once for the same words. @returns whether it is a mail of ours. */
  delayed(bounce: BounceWrite, deadline: Deadline): Promise<Result<boolean>>;
}

export function makeSuppressionStore(database: Database): SuppressionStore {
  return {
    add: ({ address, list, reason }, deadline) =>
      database.query(
        async (sql) => {
          // An update that changes nothing: with DO NOTHING the row of somebody else would not be returned.
          const [row] = await sql<(StoredSuppression & { is_new: boolean })[]>`
            INSERT INTO mail_suppressions AS s (address, list, reason) VALUES (${address}, ${list}, ${reason})
            ON CONFLICT (address, list) DO UPDATE SET reason = s.reason
            RETURNING s.address, s.list, s.reason, s.created_at, s.xmax = 0 AS is_new`;
          if (row === undefined) throw new Error("an upsert gave no row");
          return { stored: row, isNew: row.is_new };
        },
        { deadline, retry: true },
      ),

    remove: (address, list, deadline) =>
      database.query(
        async (sql) => {
          const gone = await sql`
            DELETE FROM mail_suppressions WHERE address = ${address} AND list = ${list} RETURNING address`;
          return gone.length > 0;
        },
        { deadline, retry: false },
      ),

    page: (address, after, limit, deadline) =>
      database.query(
        async (sql) => {
          const [keyAddress = "", keyList = ""] = after?.key.split(" ") ?? [];
          const rows = await sql<(StoredSuppression & { at: string })[]>`
            SELECT address, list, reason, created_at, (extract(epoch FROM created_at) * 1000000)::bigint::text AS at
            FROM mail_suppressions
            WHERE ${address === undefined ? sql`true` : sql`address = ${address}`}
              AND ${
                after === undefined
                  ? sql`true`
                  : sql`(created_at, address, list) <
                      (timestamptz 'epoch' + ${after.at}::bigint * interval '1 microsecond', ${keyAddress}, ${keyList})`
              }
            ORDER BY created_at DESC, address DESC, list DESC LIMIT ${limit + 1}`;
          const items = rows.slice(0, limit);
          const last = items.at(-1);
          const more = rows.length > limit && last !== undefined;
          return { items, next: more ? { at: last.at, key: `${last.address} ${last.list}` } : undefined };
        },
        { deadline, retry: true },
      ),
  };
}

interface BouncedRow {
  readonly id: string;
  readonly state: MailState;
}

/** The rows that a notification is about, kept from others until the transaction ends. */
function rowsOf(sql: Sql, { mailId, messageId, address }: BounceWrite): Promise<readonly BouncedRow[]> {
  return sql<BouncedRow[]>`
    SELECT o.id, o.state FROM mail_outbox o JOIN mail_messages m ON m.id = o.mail_id
    WHERE m.id = ${mailId} AND lower(m.message_id) = ${messageId} AND lower(o.recipient) = ${address}
    ORDER BY o.ordinal FOR UPDATE OF o`;
}

export function makeBounceStore(database: Database): BounceStore {
  return {
    bounced: (bounce, suppressFor, deadline) =>
      database.transaction(
        async (sql) => {
          const { mailId, address, code = null, text } = bounce;
          const rows = await rowsOf(sql, bounce);
          const changed = await sql`
            WITH changed AS (
              UPDATE mail_outbox SET state = 'bounced', claim = NULL, data_at = NULL, updated_at = now(),
                smtp_code = ${code}, smtp_text = ${text}, smtp_command = NULL
              WHERE id = ANY(${rows.map(({ id }) => id)}::uuid[]) AND state IN ('sent', 'ambiguous') RETURNING id)
            INSERT INTO mail_attempts (outbox_id, outcome, code, text)
            SELECT id, 'bounced', ${code}, ${text} FROM changed RETURNING id`;
          if (changed.length > 0 && suppressFor !== undefined) {
            await sql`
              INSERT INTO mail_suppressions (address, reason, mail_id) VALUES (${address}, ${suppressFor}, ${mailId})
              ON CONFLICT (address, list) DO NOTHING`;
          }
          const [found] = await sql<{ suppressed: boolean }[]>`
            SELECT EXISTS (SELECT FROM mail_suppressions
              WHERE address = ${address} AND list = '' AND mail_id = ${mailId}) AS suppressed`;
          return { states: rows.map(({ state }) => state), suppressed: rows.length > 0 && found?.suppressed === true };
        },
        { deadline, retry: true },
      ),

    delayed: (bounce, deadline) =>
      database.transaction(
        async (sql) => {
          const { code = null, text } = bounce;
          const rows = await rowsOf(sql, bounce);
          await sql`
            INSERT INTO mail_attempts (outbox_id, outcome, code, text)
            SELECT o.id, 'delayed', ${code}, ${text} FROM unnest(${rows.map(({ id }) => id)}::uuid[]) AS o (id)
            WHERE NOT EXISTS (SELECT FROM mail_attempts a
              WHERE a.outbox_id = o.id AND a.outcome = 'delayed' AND a.text = ${text})`;
          return rows.length > 0;
        },
        { deadline, retry: true },
      ),
  };
}
