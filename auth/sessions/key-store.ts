/** The signing keys in PostgreSQL, shared by all replicas. Talks SQL, decides nothing. Time is the database's. */
import { ok, type Result } from "#shared/errors";
import type { Database, Sql, WorkContext } from "#shared/postgres";

export interface NewKey {
  readonly kid: string;
  readonly publicJwk: Record<string, unknown>;
  /** Sealed. */
  readonly privateJwk: Uint8Array;
}

export interface StoredKey extends NewKey {
  readonly createdAt: Date;
  /** From then on it signs. */
  readonly activatesAt: Date;
  /** From then on it signs nothing; it may lie ahead. */
  readonly retiredAt: Date | null;
}

/** What is done in the same transaction as a change of the keys. */
export type AndTell = (sql: Sql) => Promise<void>;

export interface KeyStore {
  /** Those that sign last come first; those that were retired before `since` are left out. */
  find(since: Date, context: WorkContext): Promise<Result<StoredKey[]>>;
  /** Adds the first key: of several replicas that try at once, one does, and the others leave it at that. */
  addFirst(key: NewKey, context: WorkContext): Promise<Result<void>>;
  /**
   * Adds a key that signs in `leadMs`, when those that sign until then retire.
   * @param unlessSince nothing is done where a key signs, or will, that was not there to sign before that time.
   * @returns false where nothing was done.
   */
  rotate(
    key: NewKey,
    options: { readonly leadMs: number; readonly unlessSince?: Date; readonly andTell: AndTell },
    context: WorkContext,
  ): Promise<Result<boolean>>;
  /**
   * A key signs nothing from now on; `forget`: it verifies nothing either. Where no other one signs now, `next` does.
   * @returns false where there is no such key that has not retired (or, to forget, no such key at all).
   */
  retire(
    kid: string,
    options: { readonly forget: boolean; readonly next: NewKey; readonly andTell: AndTell },
    context: WorkContext,
  ): Promise<Result<boolean>>;
}

/** Of the advisory lock under which keys are added and retired. "keys" in ASCII. */
const KEYS_LOCK = 0x6b657973;
/** Heard by all replicas: read the keys again. */
export const KEYS_CHANNEL = "auth_signing_keys";

interface KeyRow {
  kid: string;
  public_jwk: Record<string, unknown>;
  private_jwk: Uint8Array;
  created_at: Date;
  activates_at: Date;
  retired_at: Date | null;
}

export function makeKeyStore(database: Pick<Database, "query" | "transaction">): KeyStore {
  const lock = (sql: Sql) => sql`select pg_advisory_xact_lock(${KEYS_LOCK})`;
  const insert = (sql: Sql, { kid, publicJwk, privateJwk }: NewKey, inMs: number) => sql`
    insert into signing_keys (kid, public_jwk, private_jwk, activates_at)
    values (${kid}, ${JSON.stringify(publicJwk)}::text::jsonb, ${privateJwk}, now() + ${inMs} * interval '1 millisecond')`;
  const tell = async (sql: Sql, andTell: AndTell): Promise<void> => {
    await andTell(sql);
    await sql`select pg_notify(${KEYS_CHANNEL}, '')`;
  };

  return {
    async find(since, context) {
      const rows = await database.query(
        (sql) => sql<KeyRow[]>`
          select kid, public_jwk, private_jwk, created_at, activates_at, retired_at from signing_keys
          where retired_at is null or retired_at > ${since}
          order by activates_at desc, created_at desc, kid`,
        { ...context, retry: true },
      );
      return rows.ok ? ok(rows.value.map(keyOf)) : rows;
    },
    addFirst: (key, context) =>
      database.transaction(
        async (sql) => {
          await lock(sql);
          const [held] = await sql`select 1 from signing_keys where retired_at is null limit 1`;
          if (held === undefined) await insert(sql, key, 0);
        },
        { ...context, retry: true },
      ),
    rotate: (key, { leadMs, unlessSince, andTell }, context) =>
      database.transaction(
        async (sql) => {
          await lock(sql);
          // Also what this very key has done already, where its transaction was lost after the commit.
          const [held] = await sql`
            select 1 from signing_keys where kid = ${key.kid}
              or (retired_at is null and activates_at > ${unlessSince?.toISOString() ?? "infinity"}::text::timestamptz) limit 1`;
          if (held !== undefined) return false;
          await insert(sql, key, leadMs);
          await sql`
            update signing_keys set retired_at = (select activates_at from signing_keys where kid = ${key.kid})
            where retired_at is null and kid <> ${key.kid}`;
          await tell(sql, andTell);
          return true;
        },
        { ...context, retry: true },
      ),
    retire: (kid, { forget, next, andTell }, context) =>
      database.transaction(
        async (sql) => {
          await lock(sql);
          const gone = forget
            ? await sql`delete from signing_keys where kid = ${kid} returning kid`
            : await sql`
                update signing_keys set retired_at = now()
                where kid = ${kid} and (retired_at is null or retired_at > now()) returning kid`;
          if (gone.length === 0) return false;
          const [signing] = await sql`
            select 1 from signing_keys
            where activates_at <= now() and (retired_at is null or retired_at > now()) limit 1`;
          if (signing === undefined) {
            await insert(sql, next, 0);
            // Until the one signs that was to follow, where there is one.
            await sql`
              update signing_keys set retired_at =
                (select min(activates_at) from signing_keys where activates_at > now() and retired_at is null)
              where kid = ${next.kid}`;
          }
          await tell(sql, andTell);
          return true;
        },
        { ...context, retry: false },
      ),
  };
}

function keyOf(row: KeyRow): StoredKey {
  return {
    kid: row.kid,
    publicJwk: row.public_jwk,
    privateJwk: row.private_jwk,
    createdAt: row.created_at,
    activatesAt: row.activates_at,
    retiredAt: row.retired_at,
  };
}
