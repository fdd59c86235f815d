import postgres from "postgres";
import { withDatabase } from "./addresses.ts";
import { within } from "./probes.ts";

/** Creating a database copies a template: far below a second, but not on a machine that is busy with a build (ms). */
const CREATE_MS = 15_000;
/** SQLSTATE: it exists already, or somebody created it at the very same moment. */
const EXISTS = ["42P04", "23505"];

/** Creates a database where there is none of that name; safe to call again, and at the same time. */
export async function createDatabase(postgresUrl: string, name: string): Promise<void> {
  if (!/^[a-z_][a-z0-9_]{0,62}$/.test(name)) throw new Error(`not a database name: ${JSON.stringify(name)}`);
  const sql = postgres(withDatabase(postgresUrl, "postgres"), {
    max: 1,
    connect_timeout: 5,
    onnotice: () => {},
    fetch_types: false,
  });
  try {
    const found = await within(CREATE_MS, sql`select 1 from pg_database where datname = ${name}`);
    if (found.length === 0) await within(CREATE_MS, sql.unsafe(`create database ${name}`));
  } catch (error) {
    if (!(error instanceof postgres.PostgresError && EXISTS.includes(error.code))) throw error;
  } finally {
    await sql.end({ timeout: 1 });
  }
}
