/** NOTIFY as a service hears it, on a real PostgreSQL (TEST_POSTGRES_URL), also after its connection was killed. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import postgres from "postgres";
import { Secret } from "#shared/config";
import { makeRuntime } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { makeDatabase } from "#shared/postgres";
import { Deadline } from "#shared/resilience";

setDefaultTimeout(30_000);

const SERVER = process.env["TEST_POSTGRES_URL"];
const databaseName = `test_listener_${process.pid}_${Date.now()}`;

describe.skipIf(SERVER === undefined)("what the database tells (needs TEST_POSTGRES_URL)", () => {
  const url = new URL(SERVER ?? "postgres://localhost:5432");
  const admin = postgres(url.href, { max: 1, onnotice: () => undefined });
  const within = Object.assign(new URL(url.href), { pathname: `/${databaseName}` }).href;
  let sql: postgres.Sql;
  beforeAll(async () => {
    await admin`create database ${admin(databaseName)}`;
    sql = postgres(within, { max: 2, onnotice: () => undefined });
  });
  afterAll(async () => {
    await sql.end();
    await admin`drop database if exists ${admin(databaseName)} with (force)`;
    await admin.end();
  });

  async function start(name: string) {
    const runtime = makeRuntime(name, silentLog, () => undefined);
    const database = makeDatabase({
      url: new Secret(within),
      name,
      log: silentLog,
      metrics: runtime.metrics,
      dependency: runtime.health.dependency("postgres"),
      migrations: [],
    });
    expect((await database.ready(Deadline.after(10_000))).ok).toBe(true);
    return database;
  }
  async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
    const end = performance.now() + 10_000;
    while (!(await holds())) {
      if (performance.now() > end) throw new Error(`waited in vain: ${what}`);
      await Bun.sleep(10);
    }
  }
  const listening = (name: string) => sql<{ pid: number }[]>`
    SELECT pid FROM pg_stat_activity WHERE application_name = ${name} AND query LIKE 'LISTEN%'`;

  test("is heard on the channel that was asked for, on one connection for all of them", async () => {
    await using database = await start("one");
    const heard = { a: 0, "it's": 0 };
    database.listen("a", () => {
      heard.a += 1;
    });
    await until("listening", () => heard.a === 1);
    database.listen("it's", () => {
      heard["it's"] += 1;
    });
    await until("listening to both", () => heard["it's"] === 1);
    expect(heard.a).toBe(1);
    await sql`SELECT pg_notify('a', '')`;
    await until("told of a", () => heard.a === 2);
    await sql`SELECT pg_notify('it''s', 'with a text')`;
    await until("told of the other", () => heard["it's"] === 2);
    expect(heard.a).toBe(2);
    expect(await listening("one")).toHaveLength(1);
  });

  test("is heard again after the connection was killed, and the return is told as well", async () => {
    await using database = await start("killed");
    let heard = 0;
    database.listen("a", () => {
      heard += 1;
    });
    for (const round of [1, 2, 3]) {
      await until("listening", async () => heard > 0 && (await listening("killed")).length === 1);
      heard = 0;
      for (const { pid } of await listening("killed")) await sql`SELECT pg_terminate_backend(${pid})`;
      await until(`told of the return, round ${round}`, () => heard === 1);
      await sql`SELECT pg_notify('a', '')`;
      await until("told", () => heard === 2);
    }
  });

  test("ends with the database, and its connection with it; nothing is told any more", async () => {
    const database = await start("closed");
    let heard = 0;
    database.listen("a", () => {
      heard += 1;
    });
    await until("listening", () => heard === 1);
    await database[Symbol.asyncDispose]();
    await until("no connection", async () => (await listening("closed")).length === 0);
    await sql`SELECT pg_notify('a', '')`;
    expect(heard).toBe(1);
  });
});
