import postgres from "postgres";
import { withDatabase } from "./addresses.ts";
import { within } from "./probes.ts";

/** Creating a database copies a template: far below a second, but not on a machine that is busy with a build (ms). */
const CREATE_MS = 15_000;
/** SQLSTATE: it exists already, or somebody created it at the very same moment. */
const EXISTS = ["42P04", "23505"];

/** A connection for a moment. @throws what PostgreSQL says, and an error where it takes longer than 15 s. */
async function connected<T>(
  postgresUrl: string,
  database: string,
  work: (sql: postgres.Sql) => Promise<T>,
): Promise<T> {
  const sql = postgres(withDatabase(postgresUrl, database), {
    max: 1,
    connect_timeout: 5,
    onnotice: () => {},
    fetch_types: false,
  });
  try {
    return await within(CREATE_MS, work(sql));
  } finally {
    await sql.end({ timeout: 1 });
  }
}

/** Creates a database where there is none of that name; safe to call again, and at the same time. */
export async function createDatabase(postgresUrl: string, name: string): Promise<void> {
  if (!/^[a-z_][a-z0-9_]{0,62}$/.test(name)) throw new Error(`not a database name: ${JSON.stringify(name)}`);
  try {
    await connected(postgresUrl, "postgres", async (sql) => {
      const found = await sql`select 1 from pg_database where datname = ${name}`;
      if (found.length === 0) await sql.unsafe(`create database ${name}`);
    });
  } catch (error) {
    if (!(error instanceof postgres.PostgresError && EXISTS.includes(error.code))) throw error;
  }
}

/** Runs statements in a database, all of them or none. @throws as PostgreSQL says. */
export async function inDatabase(postgresUrl: string, name: string, statements: string): Promise<void> {
  await connected(postgresUrl, name, (sql) => sql.begin((tx) => tx.unsafe(statements)));
}
