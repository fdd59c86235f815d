/** The table of API keys. Talks SQL, decides nothing. */
import { scopesOf } from "#contracts/access";
import { isScope, type Role, type Scope } from "#contracts/scopes";
import { Failure, type Result } from "#shared/errors";
import type { Database, Sql, WorkContext } from "#shared/postgres";

/** Whose it is. */
export type Owner = { readonly userId: number } | { readonly service: string };

export interface StoredApiKey {
  readonly id: string;
  readonly owner: Owner;
  readonly name: string;
  readonly prefix: string;
  readonly scopes: readonly Scope[];
  readonly createdAt: Date;
  readonly expiresAt: Date | null;
  readonly lastUsedAt: Date | null;
  readonly revokedAt: Date | null;
  readonly rotatedTo: string | null;
}

export interface NewApiKeyRow {
  readonly id: string;
  readonly owner: Owner;
  readonly name: string;
  readonly prefix: string;
  readonly hash: Uint8Array;
  readonly scopes: readonly Scope[];
  readonly createdBy: string;
  readonly expiresAt: Date | null;
  /** By which session, where it is by one: it has to live still when the key is there. */
  readonly sessionId?: string;
}

/** A key that counts, and what its owner may now: undefined for a service. */
export interface HeldKey {
  readonly key: StoredApiKey;
  readonly ownersScopes: readonly Scope[] | undefined;
}

/** What goes with a change, in its transaction. */
export type AndTell = (sql: Sql) => Promise<void>;

export interface ApiKeyStore {
  /** @returns failure `conflict` where the owner has `most` that count, `unauthenticated` where the session has ended. Given twice with the same id it is added once. */
  add(row: NewApiKeyRow, most: number, andTell: AndTell, context: WorkContext): Promise<Result<StoredApiKey>>;
  find(id: string, context: WorkContext): Promise<Result<StoredApiKey | undefined>>;
  /** Newest first. @param of undefined: those of all services. @param after id of the last one of the page before. */
  list(
    of: Owner | undefined,
    page: { readonly limit: number; readonly after: string | undefined },
    context: WorkContext,
  ): Promise<Result<StoredApiKey[]>>;
  /** By the hash of the whole key: only one that counts, of a user who is active. */
  findHeld(hash: Uint8Array, context: WorkContext): Promise<Result<HeldKey | undefined>>;
  /** @returns the key as it is then; `andTell` is left out where it had been revoked before. */
  revoke(id: string, andTell: AndTell, context: WorkContext): Promise<Result<StoredApiKey | undefined>>;
  /**
   * Adds `next`, and ends the one that it follows after `overlapMs` (0: at once).
   * @returns the new one; failure `unauthenticated` where the session has ended, `conflict` where the old one counts no longer, has one already, or the owner has `most`.
   */
  rotate(
    id: string,
    next: NewApiKeyRow,
    options: { readonly overlapMs: number; readonly most: number },
    andTell: AndTell,
    context: WorkContext,
  ): Promise<Result<StoredApiKey>>;
  /** Times of use; an earlier one than is there changes nothing. */
  markUsed(used: ReadonlyMap<string, Date>, context: WorkContext): Promise<Result<void>>;
}

interface Row {
  id: string;
  user_id: number | null;
  service: string | null;
  name: string;
  prefix: string;
  scopes: string[];
  created_at: Date;
  expires_at: Date | null;
  last_used_at: Date | null;
  revoked_at: Date | null;
  rotated_to: string | null;
}

/** First key of the advisory locks on owners. "keyo" in ASCII. */
const OWNER_LOCK = 0x6b65796f;
/** Of an owner's keys that count no longer, the newest this many are kept. */
const KEPT = 100;

/** Within a transaction: revokes those of a user that count. @returns their ids. */
export async function revokeKeysOf(sql: Sql, userId: number): Promise<string[]> {
  const revoked = await sql<{ id: string }[]>`
    update api_keys k set revoked_at = now() where ${isOf(sql, { userId })} and ${counts(sql)} returning k.id`;
  return revoked.map(({ id }) => id);
}

export function makeApiKeyStore(database: Database): ApiKeyStore {
  async function one(sql: Sql, id: string): Promise<StoredApiKey | undefined> {
    const [row] = await sql<Row[]>`select ${columns(sql)} from api_keys k where k.id = ${id}`;
    return row === undefined ? undefined : keyOf(row);
  }

  /** Ends after us, or has ended before: what goes with its end (flows/confirm.ts) sees the key. @throws Failure `unauthenticated`. */
  async function mustLive(sql: Sql, { sessionId }: NewApiKeyRow): Promise<void> {
    if (sessionId === undefined) return;
    const lives = await sql`select 1 from sessions where id = ${sessionId} and ended_at is null for share`;
    if (lives.length === 0) throw new Failure("unauthenticated", "the session has ended");
  }

  /** Under a lock, so that two at a time do not both find room. @throws Failure `conflict` without it. */
  async function makeRoom(sql: Sql, owner: Owner, most: number): Promise<void> {
    const name = "userId" in owner ? `user:${owner.userId}` : `service:${owner.service}`;
    await sql`select pg_advisory_xact_lock(${OWNER_LOCK}, hashtext(${name}))`;
    const [held] = await sql<{ count: number }[]>`
      select count(*)::int as count from api_keys k where ${isOf(sql, owner)} and ${counts(sql)}`;
    if ((held?.count ?? 0) >= most) {
      throw new Failure("conflict", `there are ${most} API keys already: revoke one that is not needed`);
    }
    await sql`
      delete from api_keys where id in (
        select id from api_keys k where ${isOf(sql, owner)} and not (${counts(sql)}) order by id desc offset ${KEPT})`;
  }

  async function insert(sql: Sql, row: NewApiKeyRow): Promise<void> {
    const { id, owner, name, prefix, hash, scopes, createdBy, expiresAt } = row;
    await sql`
      insert into api_keys (id, user_id, service, name, prefix, key_hash, scopes, created_by, expires_at)
      values (${id}, ${"userId" in owner ? owner.userId : null}, ${"service" in owner ? owner.service : null},
        ${name}, ${prefix}, ${hash}, ${[...scopes]}::text[], ${createdBy}, ${expiresAt})`;
  }

  async function inserted(sql: Sql, id: string): Promise<StoredApiKey> {
    const key = await one(sql, id);
    if (key === undefined) throw new Error("what was inserted is not there");
    return key;
  }

  return {
    add: (row, most, andTell, context) =>
      database.transaction(
        async (sql) => {
          const before = await one(sql, row.id);
          if (before !== undefined) return before;
          await mustLive(sql, row);
          await makeRoom(sql, row.owner, most);
          await insert(sql, row);
          await andTell(sql);
          return inserted(sql, row.id);
        },
        { ...context, retry: true },
      ),
    find: (id, context) => database.query((sql) => one(sql, id), { ...context, retry: true }),
    list: (of, { limit, after }, context) =>
      database.query(
        async (sql) => {
          const rows = await sql<Row[]>`
            select ${columns(sql)} from api_keys k
            where ${of === undefined ? sql`k.service is not null` : isOf(sql, of)}
              ${after === undefined ? sql`` : sql`and k.id < ${after}`}
            order by k.id desc limit ${limit}`;
          return rows.map(keyOf);
        },
        { ...context, retry: true },
      ),
    findHeld: (hash, context) =>
      database.query(
        async (sql) => {
          const [row] = await sql<(Row & { role: Role | null; extra_scopes: string[] | null; verified: boolean })[]>`
            select ${columns(sql)}, u.role, to_json(u.extra_scopes) as extra_scopes,
              u.email_verified_at is not null as verified
            from api_keys k left join users u on u.id = k.user_id
            where k.key_hash = ${hash} and ${counts(sql)} and (k.user_id is null or u.user_active = 1)`;
          if (row === undefined) return undefined;
          const ownersScopes =
            row.role === null ? undefined : scopesOf(row.role, (row.extra_scopes ?? []).filter(isScope), row);
          return { key: keyOf(row), ownersScopes };
        },
        { ...context, retry: true },
      ),
    revoke: (id, andTell, context) =>
      database.transaction(
        async (sql) => {
          const revoked = await sql`
            update api_keys set revoked_at = now() where id = ${id} and revoked_at is null returning 1`;
          if (revoked.length > 0) await andTell(sql);
          return one(sql, id);
        },
        { ...context, retry: true },
      ),
    rotate: (id, next, { overlapMs, most }, andTell, context) =>
      database.transaction(
        async (sql) => {
          const before = await one(sql, next.id);
          if (before !== undefined) return before;
          await mustLive(sql, next);
          await makeRoom(sql, next.owner, most);
          await insert(sql, next);
          const followed = await sql`
            update api_keys k set rotated_to = ${next.id}, ${
              overlapMs === 0
                ? sql`revoked_at = now()`
                : sql`expires_at = least(expires_at, now() + ${overlapMs} * interval '1 millisecond')`
            }
            where k.id = ${id} and k.rotated_to is null and ${counts(sql)} returning 1`;
          if (followed.length === 0) throw new Failure("conflict", "this key is over, or has been rotated already");
          await andTell(sql);
          return inserted(sql, next.id);
        },
        { ...context, retry: true },
      ),
    markUsed: (used, context) =>
      database.query(
        async (sql) => {
          await sql`
            update api_keys k set last_used_at = u.at
            from unnest(${[...used.keys()]}::uuid[], ${[...used.values()].map((at) => at.toISOString())}::text[]::timestamptz[])
              as u (id, at)
            where k.id = u.id and (k.last_used_at is null or k.last_used_at < u.at)`;
        },
        { ...context, retry: true },
      ),
  };
}

/** Neither revoked nor over. */
function counts(sql: Sql) {
  return sql`k.revoked_at is null and (k.expires_at is null or k.expires_at > now())`;
}

function isOf(sql: Sql, owner: Owner) {
  return "userId" in owner ? sql`k.user_id = ${owner.userId}` : sql`k.service = ${owner.service}`;
}

function columns(sql: Sql) {
  return sql`k.id, k.user_id, k.service, k.name, k.prefix, to_json(k.scopes) as scopes, k.created_at, k.expires_at,
    k.last_used_at, k.revoked_at, k.rotated_to`;
}

function keyOf(row: Row): StoredApiKey {
  return {
    id: row.id,
    owner: row.user_id === null ? { service: row.service ?? "" } : { userId: row.user_id },
    name: row.name,
    prefix: row.prefix,
    scopes: row.scopes.filter(isScope),
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    lastUsedAt: row.last_used_at,
    revokedAt: row.revoked_at,
    rotatedTo: row.rotated_to,
  };
}
