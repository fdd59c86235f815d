/** The tables of auth. Talks SQL, decides nothing. */
import { isScope, type Role, type Scope } from "#contracts/scopes";
import type { RegistrationState } from "#contracts/auth";
import type { Result } from "#shared/errors";
import type { Database, Sql, WorkContext } from "#shared/postgres";

export interface StoredUser {
  id: number;
  email: string;
  firstName: string;
  lastName: string;
  passwordHash: string;
  active: number;
  createdAt: Date;
  updatedAt: Date;
  role: Role;
  /** Besides those of the role. */
  extraScopes: Scope[];
  /** Of the row: grows with every change. */
  version: number;
  /** Grows with every change of what he may: claim `av`. */
  accessVersion: number;
  emailVerifiedAt: Date | null;
  lastLoginAt: Date | null;
}

export interface SessionUser {
  user: StoredUser;
  registration: RegistrationState | undefined;
}

export interface Store {
  /** By address, without regard to case; where several differ in case only, the one that is spelt the same comes first. */
  findUser(email: string, context: WorkContext): Promise<Result<StoredUser | undefined>>;
  /** Where the sessions of an account were opened from in the last 90 days, and links in its mails used lately, each once. */
  findAddresses(email: string, context: WorkContext): Promise<Result<string[]>>;
  /** The user of a session that has not ended, and how far his registration is, where he has one. */
  findSessionUser(userId: number, sessionId: string, context: WorkContext): Promise<Result<SessionUser | undefined>>;
  /** Puts a new hash in the place of `from`, unless the password was changed meanwhile. */
  replaceHash(userId: number, from: string, to: string, context: WorkContext): Promise<Result<void>>;
}

export interface UserRow {
  id: number;
  email: string;
  first_name: string | null;
  last_name: string | null;
  password: string;
  user_active: number | null;
  created_at: Date;
  updated_at: Date;
  role: Role;
  extra_scopes: Scope[];
  version: number;
  access_version: number;
  email_verified_at: Date | null;
  last_login_at: Date | null;
}

export function makeStore(database: Database): Store {
  return {
    findUser: (email, context) =>
      database.query(
        async (sql) => {
          const [row] = await sql<UserRow[]>`
            select ${userColumns(sql)} from users
            where lower(email) = lower(${email})
            order by (email = ${email}) desc, id
            limit 1`;
          // PostgreSQL folds more than we do (U+0130 to i): what is counted under another name is another address (throttle.ts).
          const isHis = row?.email.toLowerCase() === email.toLowerCase();
          return row === undefined || !isHis ? undefined : userOf(row);
        },
        { ...context, retry: true },
      ),
    findAddresses: (email, context) =>
      database.query(
        async (sql) => {
          const rows = await sql<{ address: string }[]>`
            select distinct address from users join (
              select user_id, address from sessions where created_at > now() - interval '90 days'
              union all select user_id, used_from from one_time_tokens
            ) places on places.user_id = users.id
            where lower(email) = lower(${email.replaceAll("\0", "")}) and address is not null
            limit 200`;
          return rows.map(({ address }) => address);
        },
        { ...context, retry: true },
      ),
    findSessionUser: (userId, sessionId, context) =>
      database.query(
        async (sql) => {
          const [row] = await sql<(UserRow & { registration: RegistrationState | null })[]>`
            select ${userColumns(sql)},
              (select state from registrations where user_id = users.id) as registration
            from users
            where id = ${userId} and exists (
              select 1 from sessions where id = ${sessionId} and user_id = users.id and ended_at is null and expires_at > now())`;
          return row === undefined ? undefined : { user: userOf(row), registration: row.registration ?? undefined };
        },
        { ...context, retry: true },
      ),
    replaceHash: (userId, from, to, context) =>
      database.query(
        async (sql) => {
          await sql`update users set password = ${to} where id = ${userId} and password = ${from}`;
        },
        { ...context, retry: true },
      ),
  };
}

/** The columns are TIMESTAMP without a zone, written in UTC; older rows may have none. */
export function userColumns(sql: Sql) {
  return sql`id, email, first_name, last_name, password, user_active,
    coalesce(created_at, 'epoch') at time zone 'UTC' as created_at,
    coalesce(updated_at, created_at, 'epoch') at time zone 'UTC' as updated_at,
    role, to_json(extra_scopes) as extra_scopes, version, access_version, email_verified_at, last_login_at`;
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
    role: row.role,
    extraScopes: row.extra_scopes.filter(isScope),
    version: row.version,
    accessVersion: row.access_version,
    emailVerifiedAt: row.email_verified_at,
    lastLoginAt: row.last_login_at,
  };
}
