/**
 * The mails in PostgreSQL, for whoever looks at them and decides by hand. Talks, never decides. Time is the database's.
 * What carries mails out is outbox/store.ts; here a mail that is `sending` is never written.
 */
import type { PendingQuery, Row } from "postgres";
import type { MailState } from "#contracts/mail";
import type { Result } from "#shared/errors";
import type { Database, Sql } from "#shared/postgres";
import type { Deadline } from "#shared/resilience";
import { DECIDED } from "../outbox/rows.ts";
import type { Place } from "./cursor.ts";
import type { StoredMail, StoredRecipient, TemplateUsed } from "./view.ts";

/** All that is given has to hold; `state` and `to` of the same recipient. */
export interface Filter {
  readonly state?: MailState;
  readonly to?: string;
  readonly from?: string;
  readonly list?: string;
  /** Its name. */
  readonly template?: string;
  /** Accepted at or after. */
  readonly since?: Date;
  /** Accepted before. */
  readonly until?: Date;
}

export interface StoredPage {
  readonly mails: readonly StoredMail[];
  /** Where the next page begins; undefined where there is none. */
  readonly next: Place | undefined;
}

export interface StoredContent {
  readonly subject: string;
  readonly text: string;
  readonly html: string | null;
  readonly template: TemplateUsed | null;
}

/** What is to become of a mail. */
export interface Decision {
  /** Only in these states. Never `sending`. */
  readonly from: readonly Exclude<MailState, "sending">[];
  readonly to: MailState;
  /** Of the row that it leaves among the attempts. */
  readonly outcome: "resolved" | "cancelled";
  readonly text: string;
  /** Begins anew: due now (or at its `send_at`), no attempt spent, given up so long after (ms). Not for an address that is suppressed. */
  readonly renewedForMs?: number;
}

/** One recipient whom a decision could be for. */
export interface Decided {
  readonly recipient: string;
  /** Before. */
  readonly state: MailState;
  readonly suppressed: boolean;
  readonly changed: boolean;
}

export interface DecidedMail {
  readonly recipients: readonly Decided[];
  /** Afterwards. */
  readonly mail: StoredMail;
}

export interface DeskStore {
  /** A mail with the history of each recipient. */
  look(id: string, deadline: Deadline): Promise<Result<StoredMail | undefined>>;
  /** Newest first, from `after` on; nothing of what mails say is read. */
  page(filter: Filter, after: Place | undefined, limit: number, deadline: Deadline): Promise<Result<StoredPage>>;
  content(id: string, deadline: Deadline): Promise<Result<StoredContent | undefined>>;
  /**
   * Changes those recipients (all, or the one at `to`) that are in the right state, all at once.
   * @returns undefined where there is no such mail, or nobody at `to`.
   */
  decide(
    id: string,
    to: string | undefined,
    decision: Decision,
    deadline: Deadline,
  ): Promise<Result<DecidedMail | undefined>>;
}

/** Of the attempts at one recipient, the latest so many are told. */
const HISTORY_MAX = 300;

type Fragment = PendingQuery<Row[]>;

/** `AND` of conditions. */
const all = (sql: Sql, conditions: readonly Fragment[]): Fragment =>
  conditions.reduce((sum, condition) => sql`${sum} AND ${condition}`, sql`true`);

/** A place's time as PostgreSQL has it. */
const momentOf = (sql: Sql, { at }: Place): Fragment =>
  sql`(timestamptz 'epoch' + ${at}::bigint * interval '1 microsecond')`;

const recipientColumns = (sql: Sql): Fragment => sql`
  'recipient', o.recipient, 'kind', o.kind, 'state', o.state, 'attempt', o.attempt, 'next_at', o.next_at,
  'expires_at', o.expires_at, 'updated_at', o.updated_at, 'code', o.smtp_code, 'text', o.smtp_text,
  'command', o.smtp_command`;

/** One statement, so that what it shows is of one moment. Attachments are measured where they are, not fetched. */
async function lookAt(sql: Sql, id: string): Promise<StoredMail | undefined> {
  const [mail] = await sql<(StoredMail & { recipients: StoredRecipient[] | null })[]>`
    SELECT m.id, m.sender, m.subject, m.list, m.priority, m.created_at, m.content -> 'template' AS template,
      split_part(m.traceparent, '-', 2) AS trace_id,
      (SELECT jsonb_agg(jsonb_build_object('filename', a ->> 'filename', 'content_type', a ->> 'content_type',
          'bytes', length(a ->> 'content') / 4 * 3 - length(a ->> 'content') + length(rtrim(a ->> 'content', '=')))
          ORDER BY nth)
        FROM jsonb_array_elements(m.content -> 'attachments') WITH ORDINALITY AS given (a, nth)) AS attachments,
      (SELECT jsonb_agg(jsonb_build_object(${recipientColumns(sql)}, 'history', h.history) ORDER BY o.ordinal)
        FROM mail_outbox o CROSS JOIN LATERAL (
          SELECT coalesce(jsonb_agg(jsonb_build_object('at', t.at, 'outcome', t.outcome, 'code', t.code,
            'text', t.text, 'command', t.command, 'took_ms', t.took_ms) ORDER BY t.id), '[]') AS history
          FROM (SELECT * FROM mail_attempts WHERE outbox_id = o.id ORDER BY id DESC LIMIT ${HISTORY_MAX}) t
        ) h WHERE o.mail_id = m.id) AS recipients
    FROM mail_messages m WHERE m.id = ${id}`;
  return mail?.recipients ? mail : undefined;
}

/**
 * The ids of a page: from the index that finds the fewest, in the order in which it has them, so that the effort is
 * that of what is looked at. Written out, since the planner, which knows neither the values of a prepared statement
 * nor that mails of one recipient are few, would now and then read a whole table.
 */
function idsOf(sql: Sql, filter: Filter, after: Place | undefined, count: number): Fragment {
  const { state, to, from, list, template, since, until } = filter;
  const ofRecipient = [
    ...(to === undefined ? [] : [sql`lower(o.recipient) = ${to.toLowerCase()}`]),
    ...(state === undefined ? [] : [sql`o.state = ${state}`]),
  ];
  const ofMail = [
    ...(from === undefined ? [] : [sql`lower(m.sender) = ${from.toLowerCase()}`]),
    ...(list === undefined ? [] : [sql`m.list = ${list}`]),
    ...(template === undefined ? [] : [sql`m.content -> 'template' ->> 'name' = ${template}`]),
  ];
  const moment = after === undefined ? undefined : momentOf(sql, after);
  const inTime = (createdAt: Fragment, id: Fragment): Fragment[] => [
    ...(since === undefined ? [] : [sql`${createdAt} >= ${since}`]),
    ...(until === undefined ? [] : [sql`${createdAt} < ${until}`]),
    ...(moment === undefined || after === undefined
      ? []
      : [sql`(${createdAt}, ${id}) < (${moment}, ${after.key}::uuid)`]),
  ];
  // Most mails are sent: of those, a sender's, a list's or a template's are fewer.
  const byRecipient = to !== undefined || (state !== undefined && (state !== "sent" || ofMail.length === 0));
  if (byRecipient) {
    const conditions = [...ofRecipient, ...inTime(sql`o.created_at`, sql`o.mail_id`)];
    const mail =
      ofMail.length === 0
        ? sql``
        : sql`CROSS JOIN LATERAL (SELECT FROM mail_messages m WHERE m.id = o.mail_id AND ${all(sql, ofMail)} LIMIT 1) m`;
    return sql`
      SELECT DISTINCT ON (o.created_at, o.mail_id) o.mail_id AS id, o.created_at AS at
      FROM mail_outbox o ${mail} WHERE ${all(sql, conditions)}
      ORDER BY o.created_at DESC, o.mail_id DESC LIMIT ${count}`;
  }
  const conditions = [...ofMail, ...inTime(sql`m.created_at`, sql`m.id`)];
  const recipient =
    ofRecipient.length === 0
      ? sql``
      : sql`CROSS JOIN LATERAL (SELECT FROM mail_outbox o WHERE o.mail_id = m.id AND ${all(sql, ofRecipient)} LIMIT 1) o`;
  return sql`
    SELECT m.id, m.created_at AS at FROM mail_messages m ${recipient} WHERE ${all(sql, conditions)}
    ORDER BY m.created_at DESC, m.id DESC LIMIT ${count}`;
}

/** The statement of a page, and of one entry more, which tells whether there is another page. */
export function pageStatement(sql: Sql, filter: Filter, after: Place | undefined, limit: number) {
  return sql<(StoredMail & { at: string; recipients: StoredRecipient[] | null })[]>`
    WITH picked AS MATERIALIZED (${idsOf(sql, filter, after, limit + 1)})
    SELECT m.id, m.sender, m.subject, m.list, m.priority, m.created_at,
      (extract(epoch FROM p.at) * 1000000)::bigint::text AS at,
      (SELECT jsonb_agg(jsonb_build_object(${recipientColumns(sql)}) ORDER BY o.ordinal)
        FROM mail_outbox o WHERE o.mail_id = m.id) AS recipients
    FROM picked p CROSS JOIN LATERAL (SELECT * FROM mail_messages WHERE id = p.id LIMIT 1) m
    ORDER BY p.at DESC, p.id DESC`;
}

export function makeDeskStore(database: Database): DeskStore {
  return {
    look: (id, deadline) => database.query((sql) => lookAt(sql, id), { deadline, retry: true }),

    page: (filter, after, limit, deadline) =>
      database.query(
        async (sql) => {
          const rows = await pageStatement(sql, filter, after, limit);
          const mails = rows.slice(0, limit);
          const last = mails.at(-1);
          const next = rows.length > limit && last !== undefined ? { at: last.at, key: last.id } : undefined;
          return { mails, next };
        },
        { deadline, retry: true },
      ),

    content: (id, deadline) =>
      database.query(
        async (sql) => {
          const [row] = await sql<StoredContent[]>`
            SELECT subject, content ->> 'text' AS text, content ->> 'html' AS html, content -> 'template' AS template
            FROM mail_messages WHERE id = ${id}`;
          return row;
        },
        { deadline, retry: true },
      ),

    decide: (id, to, { from, to: state, outcome, text, renewedForMs }, deadline) =>
      // A transaction for its second try after a deadlock, and to see the mail as it was left. The change is one statement.
      database.transaction(
        async (sql) => {
          const renews = renewedForMs !== undefined;
          const recipients = await sql<Decided[]>`
            WITH picked AS MATERIALIZED (
              SELECT o.id, o.ordinal, o.recipient, o.state, greatest(now(), m.send_at) AS due, ${renews} AND EXISTS (
                SELECT FROM mail_suppressions s
                WHERE s.address = lower(o.recipient) AND s.list IN ('', coalesce(m.list, ''))) AS suppressed
              FROM mail_outbox o JOIN mail_messages m ON m.id = o.mail_id
              WHERE o.mail_id = ${id} AND ${to === undefined ? sql`true` : sql`lower(o.recipient) = ${to.toLowerCase()}`}
              ORDER BY o.ordinal FOR UPDATE OF o
            ), changed AS (
              UPDATE mail_outbox o SET state = ${state}, claim = NULL, lease_until = NULL, data_at = NULL,
                updated_at = now(),
                attempt = CASE WHEN ${renews} THEN 0 ELSE o.attempt END,
                interruptions = CASE WHEN ${renews} THEN 0 ELSE o.interruptions END,
                smtp_code = CASE WHEN ${state === "failed"} THEN NULL ELSE o.smtp_code END,
                smtp_text = CASE WHEN ${state === "failed"} THEN 'decided by hand' ELSE o.smtp_text END,
                smtp_command = CASE WHEN ${state === "failed"} THEN ${DECIDED} ELSE o.smtp_command END,
                next_at = CASE WHEN ${renews} THEN p.due ELSE o.next_at END,
                expires_at = CASE WHEN ${renews} THEN p.due + ${renewedForMs ?? 0} * interval '1 ms' ELSE o.expires_at END
              FROM picked p WHERE o.id = p.id AND o.state = ANY(${from}::text[]) AND NOT p.suppressed
              RETURNING o.id
            ), told AS (
              INSERT INTO mail_attempts (outbox_id, outcome, text) SELECT id, ${outcome}, ${text} FROM changed
            )
            SELECT p.recipient, p.state, p.suppressed, p.id IN (SELECT id FROM changed) AS changed
            FROM picked p ORDER BY p.ordinal`;
          if (recipients.length === 0) return undefined;
          // Inserting is told by a trigger; this here is the one other way in which a mail begins to wait.
          if (renews && recipients.some(({ changed }) => changed)) await sql`SELECT pg_notify('mail_outbox', '')`;
          const mail = await lookAt(sql, id);
          if (mail === undefined) throw new Error("a mail that was decided on is gone");
          return { recipients, mail };
        },
        { deadline, retry: false },
      ),
  };
}
