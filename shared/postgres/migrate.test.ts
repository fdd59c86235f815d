/** Migrations on a real PostgreSQL (TEST_POSTGRES_URL): once, in order, whole or not at all. */
import { afterAll, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import postgres, { type Sql as Connections } from "postgres";
import { messageOf } from "#shared/errors";
import { type Log, makeLog, silentLog } from "#shared/log";
import { checksumOf, migrate } from "./migrate.ts";
import type { Migration } from "./types.ts";

// Bounds a hang; a busy machine is allowed to be slow.
setDefaultTimeout(30_000);

const SERVER = process.env["TEST_POSTGRES_URL"];
const withServer = test.skipIf(SERVER === undefined);
const NEEDS = "(needs TEST_POSTGRES_URL)";
const server = SERVER ?? "postgres://localhost:5432";
const databaseName = `test_migrate_${process.pid}_${Date.now()}`;
const quiet = { onnotice: () => undefined };
const admin = postgres(server, { max: 1, ...quiet });

function connections(max: number): Connections {
  const url = new URL(server);
  url.pathname = `/${databaseName}`;
  return postgres(url.href, { max, ...quiet });
}

/** Why these migrations are refused. */
const refusal = (sql: Connections, migrations: Migration[]): Promise<string> =>
  migrate(sql, migrations, silentLog).then(
    () => "",
    (error: unknown) => messageOf(error),
  );

const FIRST: Migration = { version: 1, name: "first", sql: "create table a (n int); insert into a values (1);" };
const SECOND: Migration = {
  version: 2,
  name: "second",
  sql: "alter table a add column m int;\ninsert into a values (2, 2);",
};
const BROKEN: Migration = { version: 2, name: "broken", sql: "insert into a values (99); select nonsense;" };

beforeEach(async () => {
  if (SERVER === undefined) return;
  await admin`drop database if exists ${admin(databaseName)} with (force)`;
  await admin`create database ${admin(databaseName)}`;
});
afterAll(async () => {
  if (SERVER !== undefined) await admin`drop database if exists ${admin(databaseName)} with (force)`;
  await admin.end();
});

withServer(`five replicas at once: each migration is applied once, in order ${NEEDS}`, async () => {
  const replicas = Array.from({ length: 5 }, () => connections(2));
  await Promise.all(replicas.map((sql) => migrate(sql, [SECOND, FIRST], silentLog)));
  const sql = connections(1);
  expect([...(await sql`select n, m from a order by n`)]).toEqual([
    { n: 1, m: null },
    { n: 2, m: 2 },
  ]);
  expect([...(await sql`select version, name, checksum from schema_migrations order by version`)]).toEqual([
    { version: 1, name: "first", checksum: checksumOf(FIRST.sql) },
    { version: 2, name: "second", checksum: checksumOf(SECOND.sql) },
  ]);
  await Promise.all([sql, ...replicas].map((one) => one.end()));
});

withServer(`one that fails is rolled back whole, those before it stay, mended it goes on ${NEEDS}`, async () => {
  const sql = connections(2);
  expect(await refusal(sql, [FIRST, BROKEN])).toMatch('migration 2 "broken" failed and was rolled back');
  expect([...(await sql`select n from a`)]).toEqual([{ n: 1 }]);
  expect([...(await sql`select version from schema_migrations`)]).toEqual([{ version: 1 }]);
  await migrate(sql, [FIRST, SECOND], silentLog);
  expect((await sql`select 1 from a`).length).toBe(2);
  await sql.end();
});

withServer(`one that was changed after it was applied is refused; line ends are no change ${NEEDS}`, async () => {
  const sql = connections(2);
  await migrate(sql, [FIRST, SECOND], silentLog);
  await migrate(sql, [FIRST, { ...SECOND, sql: SECOND.sql.replaceAll("\n", "\r\n") }], silentLog);
  expect(await refusal(sql, [{ ...FIRST, sql: `${FIRST.sql} --` }, SECOND])).toMatch(
    /migration 1 "first" was changed after it was applied on \d{4}-.*: restore its text/,
  );
  expect(await refusal(sql, [{ ...FIRST, name: "mails" }])).toMatch("the database of another service?");
  await sql.end();
});

withServer(`a database newer than the program is left alone, and said so ${NEEDS}`, async () => {
  const sql = connections(2);
  await migrate(sql, [FIRST, SECOND], silentLog);
  const lines: string[] = [];
  const log: Log = makeLog({ service: "test", write: (line) => void lines.push(line) });
  await migrate(sql, [FIRST], log);
  expect(lines.join("")).toContain("the database is newer than this program");
  await sql.end();
});
