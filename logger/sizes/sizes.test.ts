import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { RPC_LOG_BATCH } from "#contracts/logs";
import type { LogSizes } from "#contracts/log-sizes";
import {
  connectRpc,
  type Database,
  type Logger,
  makeDatabase,
  mongoUrl,
  NEEDS_MONGODB,
  startLogger,
  TEST_MONGODB_URL,
  until,
} from "../testing.ts";
import type { SizeDocument } from "./counters.ts";
import { sumOf } from "./sizes.ts";

const dayWith = (day: string, entries: number, more: Partial<SizeDocument> = {}): SizeDocument => ({
  _id: `${day}/${Math.random()}`,
  day,
  came: { entries: Math.max(0, entries), bytes: Math.max(0, entries) * 100 },
  severities: [{ severity: "INFO", entries, bytes: entries * 100 }],
  names: [{ name: "n", entries, bytes: entries * 100 }],
  others: { entries: 0, bytes: 0 },
  ...more,
});

test("the counts of all processes are added up, and days on which nothing is left are left out", () => {
  const sum = sumOf(
    [dayWith("2026-01-01", 10), dayWith("2026-01-01", -10), dayWith("2026-01-02", 4), dayWith("2026-01-02", 6)],
    "2026-01-03",
  );
  expect(sum).toMatchObject({
    since: "2026-01-01",
    counted: { entries: 10, bytes: 1_000 },
    severities: [{ severity: "INFO", entries: 10, bytes: 1_000 }],
    names: [{ name: "n", entries: 10, bytes: 1_000 }],
    days: [{ day: "2026-01-02", entries: 10, bytes: 1_000 }],
    oldest: "2026-01-02",
    newest: "2026-01-02",
    // Of two whole days, whatever was removed of them since.
    growth_per_day: { entries: 10, bytes: 1_000 },
  });
});

test("of many names the largest are told, and the rest together", () => {
  const names = Array.from({ length: 30 }, (_, at) => ({ name: `n${at}`, entries: 1, bytes: at + 1 }));
  const sum = sumOf([dayWith("2026-01-01", 30, { names, others: { entries: 5, bytes: 50 } })], "2026-01-01");
  expect(sum.names).toHaveLength(20);
  expect(sum.names[0]).toEqual({ name: "n29", entries: 1, bytes: 30 });
  expect(sum.others).toEqual({ entries: 15, bytes: 50 + 55 });
  expect(sum).not.toHaveProperty("growth_per_day");
});

test("before anything came nothing is told of days", () => {
  expect(sumOf([], "2026-01-01")).toMatchObject({ counted: { entries: 0, bytes: 0 }, days: [], names: [] });
});

describe.skipIf(TEST_MONGODB_URL === undefined)(`the route of sizes ${NEEDS_MONGODB}`, () => {
  let database: Database;
  let first: Logger;
  let second: Logger;
  const ask = async (logger: Logger, query = "") => {
    const answer = await fetch(`${logger.app.url}/logs/sizes${query}`);
    return { status: answer.status, body: (await answer.json()) as { message: string; data: LogSizes } };
  };

  beforeAll(async () => {
    database = await makeDatabase();
    first = await startLogger(mongoUrl(database.name), { RETENTION: "INFO=1h" });
    await first.ready();
    await using client = await connectRpc(first);
    const entries = Array.from({ length: 300 }, (_, at) => ({
      name: at % 3 === 0 ? "large" : `small ${at % 2}`,
      data: "x".repeat(at % 3 === 0 ? 1_000 : 10),
      severity: at % 10 === 0 ? "ERROR" : "INFO",
      event_id: `size-${at}`,
    }));
    await client.call(RPC_LOG_BATCH, [entries]);
    // The same again is stored once, and counted once.
    await client.call(RPC_LOG_BATCH, [entries.slice(0, 50)]);
    await first[Symbol.asyncDispose]();
    second = await startLogger(mongoUrl(database.name), { RETENTION: "INFO=1h" });
    await second.ready();
  }, 120_000);
  afterAll(async () => {
    await second?.[Symbol.asyncDispose]();
    await database?.[Symbol.asyncDispose]();
  });

  test("tells what another process has stored, in total, by severity, name and day, and what goes next", async () => {
    const { status, body } = await ask(second);
    expect([status, body.message]).toEqual([200, "what is stored"]);
    const { data } = body;
    expect(data.total.entries).toBe(300);
    expect(data.total.bytes).toBeGreaterThan(100_000);
    expect(data.total.indexes?.map(({ name }) => name)).toContain("event_id_1");
    expect(data.severities.map(({ severity, entries }) => [severity, entries])).toEqual([
      ["INFO", 270],
      ["ERROR", 30],
    ]);
    expect(data.names.map(({ name, entries }) => [name, entries])).toEqual([
      ["large", 100],
      ["small 0", 100],
      ["small 1", 100],
    ]);
    const today = new Date().toISOString().slice(0, 10);
    expect(data.days.map(({ day, entries }) => [day, entries])).toEqual([[today, 300]]);
    expect(data.retention).toMatchObject({ rules: ["INFO=1h"], due: 0 });
    // Those that came twice are counted with them: about.
    expect(data.retention.next_24h).toBeWithin(270, 316);
  });

  test("is there for a scrape without asking the server", async () => {
    await until(async () => (await second.metric('logger_stored_entries{severity="INFO"')) === 270, "in /metrics");
    expect(await second.metric('logger_storage_bytes{part="indexes"')).toBeGreaterThan(0);
  });

  test.each(["days=0", "days=367", "days=x", "day=1"])("%s is 422", async (query) => {
    expect((await ask(second, `?${query}`)).status).toBe(422);
  });
});
