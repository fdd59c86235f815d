/** Users in PostgreSQL, for whoever manages them. Talks SQL, decides nothing. */
import type { PendingQuery, Row } from "postgres";
import type { Role, Scope } from "#contracts/scopes";
import type { Result } from "#shared/errors";
import type { Database, Sql, WorkContext } from "#shared/postgres";
import { type StoredUser, type UserRow, userColumns, userOf } from "../store.ts";
import { holderOf, lockAddress, mustBeFree } from "./addresses.ts";

/** All that is given has to hold. */
export interface UserQuery {
  /** Part of address or name, without regard to case. */
  readonly q?: string;
  readonly role?: Role;
  readonly active?: boolean;
}

/** What a user gets; what is absent stays. */
export interface UserChange {
  readonly email?: string;
  readonly firstName?: string;
  readonly lastName?: string;
  readonly active?: boolean;
  readonly role?: Role;
  readonly extraScopes?: Scope[];
}

export interface AddedUser {
  readonly email: string;
  readonly firstName: string;
  readonly lastName: string;
  readonly passwordHash: string;
  readonly role: Role;
}

/** What is decided upon: a user, as he cannot change before the decision is written. */
export interface Found {
  readonly user: StoredUser;
  /** He is an active administrator, and there is no other one. */
  readonly isLastAdmin: boolean;
}

/** Within the transaction, after the change. `now` is undefined where he was deleted. */
type After = (sql: Sql, before: StoredUser, now: StoredUser | undefined) => Promise<void>;

export interface UserStore {
  find(id: number, context: WorkContext): Promise<Result<StoredUser | undefined>>;
  /** By address, as a login finds him. */
  findByAddress(email: string, context: WorkContext): Promise<Result<StoredUser | undefined>>;
  /** Adds a user, active, whose address somebody vouches for. @returns failure `conflict` where it is taken. */
  add(
    user: AddedUser,
    after: (sql: Sql, user: StoredUser) => Promise<void>,
    context: WorkContext,
  ): Promise<Result<StoredUser>>;
  /** Newest first, those below the id `before`. */
  page(
    query: UserQuery,
    before: number | undefined,
    limit: number,
    context: WorkContext,
  ): Promise<Result<StoredUser[]>>;
  /**
   * Writes what `decide` says (it may throw a Failure, to leave with it), and what `after` does, all at once or not at
   * all. His version grows, `access_version` where he may something else afterwards; another address is not verified.
   * Where `decide` gives nothing, nothing is written.
   * @returns the user afterwards; undefined where there is none; failure `conflict` where the address is taken.
   */
  change(
    id: number,
    decide: (found: Found) => UserChange | undefined,
    after: After,
    context: WorkContext,
  ): Promise<Result<StoredUser | undefined>>;
  /** Deletes him, unless `decide` throws. @returns who he was. */
  remove(
    id: number,
    decide: (found: Found) => void,
    after: After,
    context: WorkContext,
  ): Promise<Result<StoredUser | undefined>>;
}

/** Under this lock an administrator stops being one: of two who demote each other, one has to stay. "admi" in ASCII. */
const ADMINS_LOCK = 0x61646d69;

type Fragment = PendingQuery<Row[]>;

/** A pattern for text that contains `part`: what LIKE reads as wildcards is meant as it is. */
export const containing = (part: string): string => `%${part.replaceAll(/[\\%_]/g, "\\$&")}%`;

function conditionOf(sql: Sql, { q, role, active }: UserQuery, before: number | undefined): Fragment {
  const conditions: Fragment[] = [];
  if (before !== undefined) conditions.push(sql`id < ${before}`);
  if (role !== undefined) conditions.push(sql`role = ${role}`);
  if (active !== undefined) conditions.push(sql`(coalesce(user_active, 0) = 1) = ${active}`);
  if (q !== undefined) {
    conditions.push(
      sql`(email ilike ${containing(q)} or concat_ws(' ', first_name, last_name) ilike ${containing(q)})`,
    );
  }
  return conditions.reduce((all, condition) => sql`${all} and ${condition}`, sql`true`);
}

async function lockUser(sql: Sql, id: number): Promise<Found | undefined> {
  const [row] = await sql<UserRow[]>`select ${userColumns(sql)} from users where id = ${id} for no key update`;
  if (row === undefined) return undefined;
  const user = userOf(row);
  if (user.role !== "admin" || user.active !== 1) return { user, isLastAdmin: false };
  await sql`select pg_advisory_xact_lock(${ADMINS_LOCK})`;
  // A statement of its own: it sees what was committed while the lock was waited for.
  const others = await sql`select 1 from users where role = 'admin' and user_active = 1 and id <> ${id} limit 1`;
  return { user, isLastAdmin: others.length === 0 };
}

/** What he may, or whether he may anything, is another: also by an address that is not verified. */
const isAccess = ({ role, extraScopes, active, email }: UserChange): boolean =>
  role !== undefined || extraScopes !== undefined || active !== undefined || email !== undefined;

async function write(sql: Sql, user: StoredUser, change: UserChange): Promise<StoredUser> {
  const next = { ...user, ...change };
  const active = change.active === undefined ? user.active : Number(change.active);

  const [row] = await sql<UserRow[]>`
    update users set email = ${next.email}, first_name = ${next.firstName}, last_name = ${next.lastName},
      user_active = ${active}, role = ${next.role}, extra_scopes = ${next.extraScopes}::text[],
      email_verified_at = case when lower(email) = lower(${next.email}) then email_verified_at end,
      version = version + 1, access_version = access_version + ${isAccess(change) ? 1 : 0},
      updated_at = now() at time zone 'UTC'
    where id = ${user.id}
    returning ${userColumns(sql)}`;
  if (row === undefined) throw new Error("a locked row was not there");
  return userOf(row);
}

export function makeUserStore(database: Database): UserStore {
  return {
    find: (id, context) =>
      database.query(
        async (sql) => {
          const [row] = await sql<UserRow[]>`select ${userColumns(sql)} from users where id = ${id}`;
          return row === undefined ? undefined : userOf(row);
        },
        { ...context, retry: true },
      ),
    findByAddress: (email, context) => database.query((sql) => holderOf(sql, email), { ...context, retry: true }),
    // Twice would be a conflict with itself.
    add: (user, after, context) =>
      database.transaction(
        async (sql) => {
          await lockAddress(sql, user.email);
          await mustBeFree(sql, user.email);
          const [row] = await sql<UserRow[]>`
            insert into users (email, first_name, last_name, password, user_active, role, email_verified_at,
              created_at, updated_at)
            values (${user.email}, ${user.firstName}, ${user.lastName}, ${user.passwordHash}, 1, ${user.role}, now(),
              now() at time zone 'UTC', now() at time zone 'UTC')
            returning ${userColumns(sql)}`;
          if (row === undefined) throw new Error("an insert returned nothing");
          const added = userOf(row);
          await after(sql, added);
          return added;
        },
        { ...context, retry: false },
      ),
    page: (query, before, limit, context) =>
      database.query(
        async (sql) => {
          const rows = await sql<UserRow[]>`
            select ${userColumns(sql)} from users where ${conditionOf(sql, query, before)} order by id desc limit ${limit}`;
          return rows.map(userOf);
        },
        { ...context, retry: true },
      ),
    // Not twice: the second time the version would be another.
    change: (id, decide, after, context) =>
      database.transaction(
        async (sql) => {
          const found = await lockUser(sql, id);
          if (found === undefined) return undefined;
          const change = decide(found);
          if (change === undefined) return found.user;
          if (change.email !== undefined) {
            await lockAddress(sql, change.email);
            await mustBeFree(sql, change.email, id);
          }
          const now = await write(sql, found.user, change);
          await after(sql, found.user, now);
          return now;
        },
        { ...context, retry: false },
      ),
    remove: (id, decide, after, context) =>
      database.transaction(
        async (sql) => {
          const found = await lockUser(sql, id);
          if (found === undefined) return undefined;
          decide(found);
          await after(sql, found.user, undefined);
          await sql`delete from users where id = ${id}`;
          return found.user;
        },
        { ...context, retry: false },
      ),
  };
}
