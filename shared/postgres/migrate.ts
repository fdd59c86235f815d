/** Brings a schema up to date, once, whatever number of replicas start together. */
import type { Sql as Connections } from "postgres";
import type { Log } from "#shared/log";
import type { Migration } from "./types.ts";

/** Key of the advisory lock that a migration is done under; locks are of one database each. "migr" in ASCII. */
const LOCK_KEY = 0x6d696772;
/** Longest wait for another replica's migration, and longest that one statement of a migration may take. */
const LOCK_TIMEOUT = "60s";
const STATEMENT_TIMEOUT = "300s";

interface Applied {
  version: number;
  name: string;
  checksum: string;
  applied_at: Date;
}

/** SHA-256 of the text in hexadecimal; how lines end does not count. */
export function checksumOf(sql: string): string {
  return new Bun.CryptoHasher("sha256").update(sql.replaceAll("\r\n", "\n")).digest("hex");
}

/**
 * Applies what is missing of `migrations`, in the order of their versions, each in a transaction of its own that
 * holds the lock and writes the row in `schema_migrations`: either both are there afterwards, or neither.
 * A database that is newer than the program is left as it is: the replica before the last roll-back did that.
 * @throws where an applied migration differs from the program's, and what PostgreSQL says to a migration that fails.
 */
export async function migrate(sql: Connections, migrations: readonly Migration[], log: Log): Promise<void> {
  const ordered = [...migrations].sort((a, b) => a.version - b.version);
  while (await applyNext(sql, ordered, log));
}

/** Applies the first one that is missing. @returns whether there may be more. */
function applyNext(sql: Connections, ordered: readonly Migration[], log: Log): Promise<boolean> {
  return sql.begin(async (tx) => {
    await tx`select set_config('lock_timeout', ${LOCK_TIMEOUT}, true), set_config('statement_timeout', ${STATEMENT_TIMEOUT}, true)`;
    await tx`select pg_advisory_xact_lock(${LOCK_KEY})`;
    await tx`create table if not exists schema_migrations (
      version integer primary key,
      name text not null,
      checksum text not null,
      applied_at timestamptz not null default now()
    )`;
    const applied = await tx<
      Applied[]
    >`select version, name, checksum, applied_at from schema_migrations order by version`;
    check(ordered, applied);
    const next = ordered.find(({ version }) => !applied.some((row) => row.version === version));
    if (next === undefined) {
      const newest = applied.at(-1)?.version ?? 0;
      const known = ordered.at(-1)?.version ?? 0;
      if (newest > known) log.warn("the database is newer than this program", { database: newest, program: known });
      return false;
    }
    const { version, name, sql: statements } = next;
    try {
      await tx.unsafe(statements);
    } catch (cause) {
      throw new MigrationError(`migration ${version} "${name}" failed and was rolled back`, cause);
    }
    await tx`insert into schema_migrations (version, name, checksum) values (${version}, ${name}, ${checksumOf(statements)})`;
    log.info("migration applied", { version, migration: name });
    return true;
  });
}

/** A migration that cannot be applied. It has its cause's code, so that a lost connection is told from a wrong statement. */
class MigrationError extends Error {
  override readonly name = "MigrationError";
  readonly code: string | undefined;
  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = cause instanceof Error && "code" in cause ? String(cause.code) : undefined;
  }
}

function check(ordered: readonly Migration[], applied: readonly Applied[]): void {
  for (const row of applied) {
    const ours = ordered.find(({ version }) => version === row.version);
    if (ours === undefined) continue;
    if (ours.name !== row.name) {
      throw new MigrationError(
        `migration ${row.version} of this database is "${row.name}", the program's is "${ours.name}": is it the database of another service?`,
      );
    }
    if (checksumOf(ours.sql) !== row.checksum) {
      throw new MigrationError(
        `migration ${row.version} "${row.name}" was changed after it was applied on ${row.applied_at.toISOString()}: restore its text and put the change into a new migration`,
      );
    }
  }
}
