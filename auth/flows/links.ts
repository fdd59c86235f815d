/**
 * Links in mails that let somebody do one thing once. A link is 256 random bits; the database has their SHA-256 only.
 * It counts for its purpose, until its time is over, it or another one of that purpose was used, the
 * address that it was sent to is no longer the user's, or he is not active.
 */
import type { Result } from "#shared/errors";
import type { Database, Sql, WorkContext } from "#shared/postgres";
import { hashOf, newToken } from "../keys.ts";
import type { Origin, Outbox } from "../outbox/outbox.ts";
import { type StoredUser, type UserRow, userColumns, userOf } from "../store.ts";
import { type Letterhead, LINK_LIFE_MS, type LinkPurpose, linkLetter } from "./letters.ts";

/** Links of one purpose that an account was sent to its address within an hour: who asks for more gets none, and is told the same. */
const ASKED_PER_HOUR = 3;

export interface Links {
  /**
   * Puts a mail with a new link into the outbox, within a transaction. Links that were sent before go on counting: who
   * asks for somebody else must not make his link worthless.
   */
  send(sql: Sql, purpose: LinkPurpose, user: Pick<StoredUser, "id" | "email">, origin: Origin): Promise<void>;
  /**
   * The same for whoever asks for it, which anybody can.
   * @returns false where he was sent as many as an hour has, and nothing was done.
   */
  sendAsked(sql: Sql, purpose: LinkPurpose, user: Pick<StoredUser, "id" | "email">, origin: Origin): Promise<boolean>;
  /** Whose link it is, if it counts. */
  find(purpose: LinkPurpose, token: string, context: WorkContext): Promise<Result<StoredUser | undefined>>;
  /**
   * Uses it, within a transaction: it and all others of that purpose count no longer.
   * @param from the address of whoever uses it. @returns the user, whose row is locked; undefined where it does not count (any more).
   */
  use(sql: Sql, purpose: LinkPurpose, token: string, from: string | undefined): Promise<StoredUser | undefined>;
}

export interface LinksPorts {
  database: Database;
  outbox: Pick<Outbox, "put">;
  letterhead: Letterhead;
}

/** Makes the links of a user that were not used worth nothing, within a transaction: his password was changed otherwise. */
export async function voidLinks(sql: Sql, purpose: LinkPurpose, userId: number): Promise<void> {
  await sql`
    update one_time_tokens set used_at = now()
    where user_id = ${userId} and purpose = ${purpose} and used_at is null`;
}

async function ownerOf(sql: Sql, purpose: LinkPurpose, token: string, lock: boolean): Promise<StoredUser | undefined> {
  const [row] = await sql<UserRow[]>`
    select ${userColumns(sql)} from users
    where user_active = 1 and exists (
      select 1 from one_time_tokens t
      where t.token_hash = ${hashOf(token)} and t.purpose = ${purpose} and t.user_id = users.id
        and t.used_at is null and t.expires_at > now() and lower(t.email) = lower(users.email))
    ${lock ? sql`for no key update` : sql``}`;
  return row === undefined ? undefined : userOf(row);
}

export function makeLinks({ database, outbox, letterhead }: LinksPorts): Links {
  const send: Links["send"] = async (sql, purpose, { id, email }, origin) => {
    const token = newToken();
    const [row] = await sql<{ expires_at: Date }[]>`
      insert into one_time_tokens (token_hash, purpose, user_id, email, expires_at)
      values (${hashOf(token)}, ${purpose}, ${id}, ${email},
        now() + ${LINK_LIFE_MS[purpose]} * interval '1 millisecond')
      returning expires_at`;
    if (row === undefined) throw new Error("an insert returned nothing");
    const mail = linkLetter(letterhead, purpose, email, token);
    await outbox.put(sql, [{ kind: "mail", mail, until: row.expires_at }], origin);
  };

  return {
    send,
    async sendAsked(sql, purpose, user, origin) {
      // One at a time for each user: the count is looked at and added to in one go.
      await sql`select 1 from users where id = ${user.id} for no key update`;
      const recent = await sql`
        select 1 from one_time_tokens
        where user_id = ${user.id} and purpose = ${purpose} and created_at > now() - interval '1 hour'
          and lower(email) = lower(${user.email})
        limit ${ASKED_PER_HOUR}`;
      if (recent.length >= ASKED_PER_HOUR) return false;
      await send(sql, purpose, user, origin);
      return true;
    },
    find: (purpose, token, context) =>
      database.query((sql) => ownerOf(sql, purpose, token, false), { ...context, retry: true }),
    async use(sql, purpose, token, from) {
      const found = await ownerOf(sql, purpose, token, true);
      if (found === undefined) return undefined;
      // Again, now that nobody else can use one of his: a row that was waited for is looked at as it became, its links are not.
      const used = await sql`
        update one_time_tokens set used_at = now(), used_from = ${from ?? null}
        where token_hash = ${hashOf(token)} and used_at is null returning 1`;
      if (used.length === 0) return undefined;
      await voidLinks(sql, purpose, found.id);
      return found;
    },
  };
}
