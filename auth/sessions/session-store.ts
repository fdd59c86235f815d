/** Logins and their refresh tokens in PostgreSQL. Talks SQL, decides nothing. Time is the database's. */
import type { Result } from "#shared/errors";
import type { Database, Sql, WorkContext } from "#shared/postgres";
import type { Place } from "../place.ts";
import { type StoredUser, type UserRow, userColumns, userOf } from "../store.ts";

/** Of a user's sessions that are over, and of a session's tokens that were used, the newest so many are kept: more than ever are of use. */
const SESSIONS_KEPT = 1_000;
const TOKENS_KEPT = 5_000;
/** Sessions removed at a login at most: one is enough to stay there. */
const SESSIONS_REMOVED = 100;
/** Tokens are looked through at each refresh of that number only: it takes milliseconds. */
const TOKENS_EVERY = 500;

/** A login with its first refresh token. */
export interface NewSession {
  /** UUIDv7. */
  readonly id: string;
  /** Who was let in, by which hash: where either has changed meanwhile, there is no session. */
  readonly user: Pick<StoredUser, "id" | "passwordHash">;
  /** SHA-256 of the refresh token. */
  readonly tokenHash: Uint8Array;
  readonly idleMs: number;
  readonly place: Place;
}

/** A session that was just opened. */
export interface Opened {
  readonly user: StoredUser;
  /** Where he has been in the last 90 days, at most 200 places; empty for his first session. */
  readonly earlier: readonly Place[];
}

export interface SessionRow {
  readonly id: string;
  readonly userId: number;
  readonly createdAt: Date;
  readonly usedAt: Date;
  readonly expiresAt: Date;
  readonly address: string | undefined;
  readonly agent: string | undefined;
}

/** A refresh token whose session is locked: nobody else refreshes it meanwhile. */
export interface LockedToken {
  readonly sessionId: string;
  readonly startedAt: Date;
  readonly user: StoredUser;
  /** The session has not ended, neither it nor the token is over. */
  readonly lives: boolean;
  /** How long ago a successor was made (ms); undefined: it is the one that counts. */
  readonly rotatedMs: number | undefined;
}

export interface SessionStore {
  /**
   * Opens a session, if the user is active and his password the one that was verified; `andThen` is done with it.
   * @returns undefined where it is not so any more.
   */
  open(
    session: NewSession,
    andThen: (sql: Sql, opened: Opened) => Promise<unknown>,
    context: WorkContext,
  ): Promise<Result<StoredUser | undefined>>;
  /** `work` in a transaction that may be done twice with the effect of once. */
  atomically<T>(work: (sql: Sql) => Promise<T>, context: WorkContext): Promise<Result<T>>;
  /** Inside it: a refresh token by its SHA-256, its session locked until the end. */
  lockToken(sql: Sql, tokenHash: Uint8Array): Promise<LockedToken | undefined>;
  /** Inside it: a token is followed by another, and the oldest go where there are too many; the session lasts `idleMs` longer, at most `maxMs` from its start. */
  rotate(
    sql: Sql,
    step: { readonly sessionId: string; readonly from: Uint8Array; readonly to: Uint8Array },
    life: { readonly idleMs: number; readonly maxMs: number },
  ): Promise<void>;
  /** Sessions that have not ended, newest first, those before `before` (an id). */
  list(userId: number, page: { limit: number; before?: string }, context: WorkContext): Promise<Result<SessionRow[]>>;
  /** Whose session that has not ended it is. */
  ownerOf(sessionId: string, context: WorkContext): Promise<Result<number | undefined>>;
  /** Inside a transaction: the sessions beyond the newest `max`, the oldest last. */
  beyond(sql: Sql, userId: number, max: number): Promise<string[]>;
  /**
   * Inside a transaction: another hash in the place of `from`.
   * @returns `already` where it was there, since the transaction was done before; `stale` where another one was chosen meanwhile.
   */
  changePassword(sql: Sql, userId: number, from: string, to: string): Promise<"changed" | "already" | "stale">;
}

interface TokenRow extends UserRow {
  session_id: string;
  started_at: Date;
  lives: boolean;
  rotated_ms: number | null;
}

export function makeSessionStore(database: Pick<Database, "query" | "transaction">): SessionStore {
  return {
    open: ({ id, user, tokenHash, idleMs, place }, andThen, context) =>
      database.transaction(
        async (sql) => {
          // Locks the user: logins of one user come one after the other, and none beside a change of his password.
          const [row] = await sql<UserRow[]>`
            update users set last_login_at = now()
            where id = ${user.id} and user_active = 1 and password = ${user.passwordHash}
            returning ${userColumns(sql)}`;
          if (row === undefined) return undefined;
          // Sent together: others who log in as this user wait for fewer round trips.
          const [added, , earlier] = await Promise.all([
            sql`
              with added as (
                insert into sessions (id, user_id, expires_at, address, agent)
                values (${id}, ${user.id}, now() + ${idleMs} * interval '1 millisecond', ${place.address}, ${place.agent ?? null})
                on conflict (id) do nothing returning id, expires_at
              ), token as (
                insert into refresh_tokens (token_hash, session_id, expires_at)
                select ${tokenHash}, id, expires_at from added
              )
              select id from added`,
            sql`
              delete from sessions where id in (
                select id from sessions where user_id = ${user.id} and (ended_at is not null or expires_at < now())
                order by id desc offset ${SESSIONS_KEPT} limit ${SESSIONS_REMOVED})`,
            sql<{ address: string | null; agent: string | null }[]>`
              select address, agent from sessions
              where user_id = ${user.id} and id <> ${id} and created_at > now() - interval '90 days'
              group by address, agent order by max(created_at) desc limit 200`,
          ]);
          // It was done, and the commit's answer lost.
          if (added.length === 0) return userOf(row);
          const opened = { user: userOf(row), earlier: earlier.map(placeOf) };
          await andThen(sql, opened);
          return opened.user;
        },
        { ...context, retry: true },
      ),
    atomically: (work, context) => database.transaction(work, { ...context, retry: true }),
    async lockToken(sql, tokenHash) {
      const [found] = await sql<{ session_id: string }[]>`
        select session_id from refresh_tokens where token_hash = ${tokenHash}`;
      if (found === undefined) return undefined;
      await sql`select 1 from sessions where id = ${found.session_id} for update`;
      // Only now: what another one did meanwhile is seen by a statement that begins after it.
      const [row] = await sql<TokenRow[]>`
        select ${userColumns(sql)}, session_id, started_at, rotated_ms, lives
        from users join (
          select s.user_id, s.id as session_id, s.created_at as started_at,
            s.ended_at is null and s.expires_at > now() and t.expires_at > now() as lives,
            extract(epoch from clock_timestamp() - t.rotated_at)::float8 * 1000 as rotated_ms
          from refresh_tokens t join sessions s on s.id = t.session_id where t.token_hash = ${tokenHash}
        ) held on held.user_id = users.id`;
      if (row === undefined) return undefined;
      return {
        sessionId: row.session_id,
        startedAt: row.started_at,
        user: userOf(row),
        lives: row.lives,
        rotatedMs: row.rotated_ms ?? undefined,
      };
    },
    async rotate(sql, { sessionId, from, to }, { idleMs, maxMs }) {
      await sql`update refresh_tokens set rotated_at = clock_timestamp() where token_hash = ${from}`;
      const [used] = await sql<{ refreshes: number }[]>`
        update sessions set used_at = now(), refreshes = refreshes + 1, expires_at =
          least(now() + ${idleMs} * interval '1 millisecond', created_at + ${maxMs} * interval '1 millisecond')
        where id = ${sessionId} returning refreshes`;
      await sql`
        insert into refresh_tokens (token_hash, session_id, expires_at)
        select ${to}, id, expires_at from sessions where id = ${sessionId}`;
      if ((used?.refreshes ?? 0) % TOKENS_EVERY !== 0) return;
      await sql`
        delete from refresh_tokens where token_hash in (
          select token_hash from refresh_tokens where session_id = ${sessionId} and rotated_at is not null
          order by rotated_at desc offset ${TOKENS_KEPT} limit ${2 * TOKENS_EVERY})`;
    },
    list: (userId, { limit, before }, context) =>
      database.query(
        async (sql) => {
          const rows = await sql<StoredSession[]>`
            select id, user_id, created_at, used_at, expires_at, address, agent from sessions
            where user_id = ${userId} and ended_at is null and expires_at > now()
              ${before === undefined ? sql`` : sql`and id < ${before}`}
            order by id desc limit ${limit}`;
          return rows.map(sessionOf);
        },
        { ...context, retry: true },
      ),
    ownerOf: (sessionId, context) =>
      database.query(
        async (sql) => {
          const [row] = await sql<{ user_id: number }[]>`
            select user_id from sessions where id = ${sessionId} and ended_at is null and expires_at > now()`;
          return row?.user_id;
        },
        { ...context, retry: true },
      ),
    async beyond(sql, userId, max) {
      const rows = await sql<{ id: string }[]>`
        select id from sessions where user_id = ${userId} and ended_at is null and expires_at > now()
        order by created_at desc, id desc offset ${max}`;
      return rows.map(({ id }) => id);
    },
    async changePassword(sql, userId, from, to) {
      const changed = await sql`
        update users set password = ${to}, version = version + 1, updated_at = now() at time zone 'UTC'
        where id = ${userId} and password = ${from} and user_active = 1 returning id`;
      if (changed.length === 1) return "changed";
      const [there] = await sql`select 1 from users where id = ${userId} and password = ${to}`;
      return there === undefined ? "stale" : "already";
    },
  };
}

interface StoredSession {
  id: string;
  user_id: number;
  created_at: Date;
  used_at: Date;
  expires_at: Date;
  address: string | null;
  agent: string | null;
}

function placeOf({ address, agent }: Pick<StoredSession, "address" | "agent">): Place {
  return { address: address ?? "unknown", ...(agent === null ? {} : { agent }) };
}

function sessionOf(row: StoredSession): SessionRow {
  return {
    id: row.id,
    userId: row.user_id,
    createdAt: row.created_at,
    usedAt: row.used_at,
    expiresAt: row.expires_at,
    address: row.address ?? undefined,
    agent: row.agent ?? undefined,
  };
}
