/** The tables of auth. Talks SQL, decides nothing. */
import type { RegistrationState } from "#contracts/auth";
import { ok, type Result } from "#shared/errors";
import type { Database, Sql } from "#shared/postgres";
import type { Deadline } from "#shared/resilience";

export interface StoredUser {
  id: number;
  email: string;
  firstName: string;
  lastName: string;
  passwordHash: string;
  active: number;
  createdAt: Date;
  updatedAt: Date;
}

export interface SessionUser {
  user: StoredUser;
  registration: RegistrationState | undefined;
}

/** A refresh token as it is stored. */
export interface NewSession {
  /** UUID. */
  id: string;
  userId: number;
  /** UUID that all tokens of one login share. */
  family: string;
  /** SHA-256 of the token. */
  tokenHash: Uint8Array;
  expiresAt: Date;
}

export interface StoredKey {
  kid: string;
  publicJwk: Record<string, unknown>;
  /** Sealed. */
  privateJwk: Uint8Array;
  retiredAt: Date | null;
}

export interface Store {
  /** By address, without regard to case; where several differ in case only, the one that is spelt the same comes first. */
  findUser(email: string, deadline: Deadline): Promise<Result<StoredUser | undefined>>;
  /** The user of a session (`sessions.family`) that has not expired, and how far his registration is, where he has one. */
  findSessionUser(userId: number, family: string, deadline: Deadline): Promise<Result<SessionUser | undefined>>;
  /** Puts a new hash in the place of `from`, unless the password was changed meanwhile. */
  replaceHash(userId: number, from: string, to: string, deadline: Deadline): Promise<Result<void>>;
  addSession(session: NewSession, deadline: Deadline): Promise<Result<void>>;
  /** Newest first; those that were retired before `since` are left out. */
  findKeys(since: Date, deadline: Deadline): Promise<Result<StoredKey[]>>;
  /** Adds the first key: of several replicas that try at once, one does, and the others leave it at that. */
  addFirstKey(key: StoredKey, deadline: Deadline): Promise<Result<void>>;
}

/** Key of the advisory lock under which the first signing key is made. "keys" in ASCII. */
const KEYS_LOCK = 0x6b657973;

export interface UserRow {
  id: number;
  email: string;
  first_name: string | null;
  last_name: string | null;
  password: string;
  user_active: number | null;
  created_at: Date;
  updated_at: Date;
}

interface KeyRow {
  kid: string;
  public_jwk: Record<string, unknown>;
  private_jwk: Uint8Array;
  retired_at: Date | null;
}

export function makeStore(database: Database): Store {
  return {
    findUser: (email, deadline) =>
      database.query(
        async (sql) => {
          const [row] = await sql<UserRow[]>`
            select ${userColumns(sql)} from users
            where lower(email) = lower(${email})
            order by (email = ${email}) desc, id
            limit 1`;
          return row === undefined ? undefined : userOf(row);
        },
        { deadline, retry: true },
      ),
    findSessionUser: (userId, family, deadline) =>
      database.query(
        async (sql) => {
          const [row] = await sql<(UserRow & { registration: RegistrationState | null })[]>`
            select ${userColumns(sql)},
              (select state from registrations where user_id = users.id) as registration
            from users
            where id = ${userId} and exists (
              select 1 from sessions where user_id = users.id and family = ${family} and expires_at > now())`;
          return row === undefined ? undefined : { user: userOf(row), registration: row.registration ?? undefined };
        },
        { deadline, retry: true },
      ),
    replaceHash: (userId, from, to, deadline) =>
      database.query(
        async (sql) => {
          await sql`update users set password = ${to} where id = ${userId} and password = ${from}`;
        },
        { deadline, retry: true },
      ),
    addSession: ({ id, userId, family, tokenHash, expiresAt }, deadline) =>
      database.query(
        async (sql) => {
          await sql`
            insert into sessions (id, user_id, family, token_hash, expires_at)
            values (${id}, ${userId}, ${family}, ${tokenHash}, ${expiresAt})
            on conflict (id) do nothing`;
        },
        { deadline, retry: true },
      ),
    async findKeys(since, deadline) {
      const rows = await database.query(
        (sql) => sql<KeyRow[]>`
          select kid, public_jwk, private_jwk, retired_at from signing_keys
          where retired_at is null or retired_at > ${since}
          order by created_at desc, kid`,
        { deadline, retry: true },
      );
      return rows.ok ? ok(rows.value.map(keyOf)) : rows;
    },
    addFirstKey: ({ kid, publicJwk, privateJwk }, deadline) =>
      database.transaction(
        async (sql) => {
          await sql`select pg_advisory_xact_lock(${KEYS_LOCK})`;
          const [held] = await sql`select 1 from signing_keys where retired_at is null limit 1`;
          if (held !== undefined) return;
          const jwk = JSON.stringify(publicJwk);
          await sql`
            insert into signing_keys (kid, public_jwk, private_jwk)
            values (${kid}, ${jwk}::text::jsonb, ${privateJwk})`;
        },
        { deadline, retry: true },
      ),
  };
}

/** The columns are TIMESTAMP without a zone, written in UTC; older rows may have none. */
export function userColumns(sql: Sql) {
  return sql`id, email, first_name, last_name, password, user_active,
    coalesce(created_at, 'epoch') at time zone 'UTC' as created_at,
    coalesce(updated_at, created_at, 'epoch') at time zone 'UTC' as updated_at`;
}

export function userOf(row: UserRow): StoredUser {
  return {
    id: row.id,
    email: row.email,
    firstName: row.first_name ?? "",
    lastName: row.last_name ?? "",
    passwordHash: row.password,
    active: row.user_active ?? 0,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

function keyOf(row: KeyRow): StoredKey {
  return { kid: row.kid, publicJwk: row.public_jwk, privateJwk: row.private_jwk, retiredAt: row.retired_at };
}
