/** What is followed of work on a real PostgreSQL (TEST_POSTGRES_URL). */
import { afterAll, beforeAll, expect, test } from "bun:test";
import postgres from "postgres";
import { Secret } from "#shared/config";
import { Failure } from "#shared/errors";
import { makeRuntime } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { type Database, makeDatabase } from "#shared/postgres";
import { Deadline } from "#shared/resilience";
import { newContext, useSpans } from "#shared/telemetry";
import { collectSpans } from "#shared/telemetry-testing";

const SERVER = process.env["TEST_POSTGRES_URL"];
const withServer = test.skipIf(SERVER === undefined);
const NEEDS = "(needs TEST_POSTGRES_URL)";
const url = new URL(SERVER ?? "postgres://localhost:5432");
const name = `test_postgres_spans_${process.pid}_${Date.now()}`;
const admin = postgres(url.href, { max: 1, onnotice: () => undefined });
let database: Database;

beforeAll(async () => {
  if (SERVER === undefined) return;
  await admin`create database ${admin(name)}`;
  const runtime = makeRuntime(name, silentLog, () => undefined);
  database = makeDatabase({
    url: new Secret(new URL(`/${name}`, url).href),
    name,
    log: silentLog,
    metrics: runtime.metrics,
    dependency: runtime.health.dependency("postgres"),
    migrations: [{ version: 1, name: "things", sql: "create table things (id int primary key, word text)" }],
    maxConnections: 2,
  });
  await database.ready(Deadline.after(10_000));
});
afterAll(async () => {
  if (SERVER === undefined) return;
  await database[Symbol.asyncDispose]();
  await admin`drop database if exists ${admin(name)} with (force)`;
  await admin.end();
});

withServer(`a query is one span of what it is for, told without its values ${NEEDS}`, async () => {
  using collected = collectSpans();
  const context = newContext();
  const word = "canary-value";
  await database.query((sql) => sql`select id from things where word = ${word}`, { ...context, retry: true });
  const [span, ...others] = collected.spans;
  expect(others).toEqual([]);
  expect(span).toMatchObject({
    name: "SELECT things",
    kind: "client",
    trace: { traceId: context.trace.traceId, parentId: context.trace.spanId },
    attributes: {
      "db.system.name": "postgresql",
      "db.namespace": name,
      "db.operation.name": "SELECT",
      "db.query.summary": "SELECT things",
      "server.address": url.hostname,
      "db.client.connection.wait_ms": expect.any(Number),
    },
  });
  expect(span?.endedAt).toBeGreaterThan(span?.startedAt ?? 0);
  expect(JSON.stringify(span)).not.toContain(word);
});

withServer(`a transaction is one span with all its statements, and says how it failed ${NEEDS}`, async () => {
  using collected = collectSpans();
  const context = newContext();
  const done = await database.transaction(
    async (sql) => {
      await sql`insert into things (id, word) values (1, ${"a"}) on conflict do nothing`;
      await sql`update things set word = ${"b"} where ${sql`id = ${1}`}`;
      throw new Failure("conflict", "not so");
    },
    { ...context, retry: false },
  );
  expect(done).toMatchObject({ ok: false, error: { code: "conflict" } });
  expect(collected.spans).toMatchObject([
    {
      name: "INSERT things; UPDATE things",
      error: "conflict",
      attributes: { "db.operation.name": "TRANSACTION", "db.operation.batch.size": 2 },
    },
  ]);
});

withServer(`the wait for a connection is seen on the span ${NEEDS}`, async () => {
  using collected = collectSpans();
  const held = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  const holding = database.query(
    async () => {
      begun.resolve();
      await held.promise;
    },
    { deadline: Deadline.after(5_000), retry: false },
  );
  await begun.promise;
  const waiting = database.query((sql) => sql`select 1 as one`, { ...newContext(), retry: true });
  await Bun.sleep(30);
  held.resolve();
  await Promise.all([holding, waiting]);
  const [span, ...others] = collected.spans;
  expect(others).toEqual([]);
  expect(span?.attributes["db.client.connection.wait_ms"]).toBeGreaterThan(20);
});

withServer(`work of a trace that is not sampled, and work of none, is no span ${NEEDS}`, async () => {
  let told = 0;
  using _sink = useSpans({
    isRootSampled: () => false,
    record: () => {
      told += 1;
    },
  });
  await database.query((sql) => sql`select 1 as one`, { ...newContext(), retry: true });
  await database.query((sql) => sql`select 1 as one`, { deadline: Deadline.after(1_000), retry: true });
  expect(told).toBe(0);
});
