/** Retention on a real store, with a clock that is set forward. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { type GapsReport, RPC_LOG_BATCH } from "#contracts/logs";
import { ok } from "#shared/errors";
import { Deadline } from "#shared/resilience";
import type { Logs } from "../mongo.ts";
import {
  connectRpc,
  type Database,
  type Logger,
  makeDatabase,
  mongoUrl,
  NEEDS_MONGODB,
  startLogger,
  TEST_MONGODB_URL,
  until as untilWithin,
} from "../testing.ts";
import { makeRemoved } from "./removed.ts";

/** Removing rests in between, and ten seconds of each minute: patience, also on a busy machine (ms). */
const PATIENCE_MS = 60_000;
const until = (done: () => boolean | Promise<boolean>, what: string): Promise<void> =>
  untilWithin(done, what, PATIENCE_MS);

const MINUTE = 60_000;
const DAY = 86_400_000;

interface EntryOf {
  readonly name?: string;
  readonly severity?: string;
  readonly producer?: { readonly id: string; readonly sequence: number };
}

describe.skipIf(TEST_MONGODB_URL === undefined)(`retention ${NEEDS_MONGODB}`, () => {
  let database: Database;
  let aheadMs = 0;
  const loggers: Logger[] = [];

  beforeEach(async () => {
    database = await makeDatabase();
    aheadMs = 0;
  });
  afterEach(async () => {
    for (const logger of loggers.splice(0)) await logger[Symbol.asyncDispose]();
    await database[Symbol.asyncDispose]();
  });

  /** Its retention lives `aheadMs` in the future; what it stores is stored now. */
  const start = async (rules: string): Promise<Logger> => {
    const now = (): number => Date.now() + aheadMs;
    const logger = await startLogger(
      mongoUrl(database.name),
      { RETENTION: rules },
      { retention: { now, everyMs: 50 } },
    );
    loggers.push(logger);
    await logger.ready();
    return logger;
  };
  const stop = async (logger: Logger): Promise<void> => {
    loggers.splice(loggers.indexOf(logger), 1);
    await logger[Symbol.asyncDispose]();
  };
  const store = async (logger: Logger, entries: readonly EntryOf[]): Promise<void> => {
    await using client = await connectRpc(logger);
    const full = entries.map((entry) => ({ name: "n", data: "text", ...entry }));
    expect(await client.call(RPC_LOG_BATCH, [full])).toEqual(ok(full.map(() => ({ ok: true }))));
  };
  const gapsOf = async (logger: Logger, producer: string) => {
    const answer = await fetch(`${logger.app.url}/logs/gaps?producer=${producer}`);
    return ((await answer.json()) as { data: GapsReport }).data.items[0];
  };
  const left = (filter: object = {}): Promise<number> => database.logs.countDocuments(filter);
  const numbered = (id: string, from: number, to: number, more: EntryOf = {}): EntryOf[] =>
    Array.from({ length: to - from + 1 }, (_, at) => ({ ...more, producer: { id, sequence: from + at } }));
  const collection = (name: string) => database.client.db(database.name).collection(name);
  const isRetimed = (logger: Logger) =>
    until(() => logger.lines.some(({ message }) => message === "all entries have their time by the rules"), "retimed");

  test("each entry goes when its own rule says so, and what has none stays", async () => {
    const logger = await start("INFO=1h,name:debug*=10m,name:keep=forever");
    await store(logger, [
      { name: "debug.sql" },
      { name: "debug.sql", severity: "ERROR" },
      { name: "payment" },
      { name: "payment", severity: "ERROR" },
      { name: "keep" },
      { name: "audit" },
    ]);
    const debug = await database.logs.findOne({ name: "debug.sql" });
    const timeOf = (field: string): number => Number(debug?.[field]);
    const keptMs = timeOf("expire_at") - timeOf("stored_at");
    expect(keptMs).toBeGreaterThanOrEqual(10 * MINUTE);
    expect(keptMs).toBeLessThanOrEqual(10.5 * MINUTE);
    expect(await database.logs.findOne({ name: "audit" })).not.toHaveProperty("expire_at");
    aheadMs = 12 * MINUTE;
    await until(async () => (await left({ name: "debug.sql" })) === 0, "debug entries go");
    expect(await left()).toBe(4);
    aheadMs = 65 * MINUTE;
    await until(async () => (await left()) === 3, "INFO goes");
    aheadMs = 400 * DAY;
    await until(async () => (await collection("log_slots").countDocuments()) === 0, "no slot is left");
    const names = (await database.logs.find().toArray()).map(({ name, severity }) => `${String(name)} ${severity}`);
    expect(names.sort()).toEqual(["audit INFO", "keep INFO", "payment ERROR"]);
    await until(async () => (await logger.metric("logger_retention_removed_total")) === 3, "all are counted");
  }, 180_000);

  test("a removed entry is not missing, and one that was lost before or after still is", async () => {
    const logger = await start("INFO=1h");
    const errors = { severity: "ERROR" };
    await store(logger, [...numbered("p", 1, 600), ...numbered("p", 601, 603, errors), ...numbered("p", 604, 700)]);
    await database.logs.deleteMany({ producer_id: "p", sequence: { $in: [7, 602] } });
    expect(await gapsOf(logger, "p")).toMatchObject({ stored: 698, missing: 2 });
    aheadMs = 65 * MINUTE;
    await until(async () => (await left({ producer_id: "p" })) === 2, "INFO goes");
    expect(await gapsOf(logger, "p")).toMatchObject({
      last: 700,
      stored: 2,
      removed: 696,
      missing: 2,
      missing_ranges: [
        [7, 7],
        [602, 602],
      ],
    });
    await database.logs.deleteMany({ producer_id: "p", sequence: 601 });
    expect((await gapsOf(logger, "p"))?.missing_ranges).toEqual([
      [7, 7],
      [601, 602],
    ]);
    // It comes again, as after a replay: stored, and no longer counted as removed.
    await store(logger, numbered("p", 20, 20));
    expect(await gapsOf(logger, "p")).toMatchObject({ stored: 2, removed: 695, missing: 3, duplicates: [] });
  }, 180_000);

  test("many removals of one block are written down in few documents, and none is forgotten", async () => {
    const logger = await start("INFO=1d");
    await store(logger, numbered("q", 1, 400));
    const removed = makeRemoved();
    const logs = database.logs as unknown as Logs;
    for (let at = 0; at < 20; at += 1) {
      const sequences = Array.from({ length: 10 }, (_, index) => at * 20 + index * 2 + 1);
      const entries = sequences.map((sequence) => ({ producer_id: "q", sequence }));
      await removed.note(logs, entries, Deadline.after(5_000));
      await database.logs.deleteMany({ producer_id: "q", sequence: { $in: sequences } });
    }
    expect(await collection("log_removed").countDocuments({ producer_id: "q" })).toBeLessThan(6);
    expect(await gapsOf(logger, "q")).toMatchObject({ last: 400, stored: 200, removed: 200, missing: 0 });
  }, 180_000);

  test("other rules hold for what is stored already: sooner, later, for ever, and for what had no rule", async () => {
    const first = await start("INFO=30d,WARNING=1h");
    await store(first, [
      ...numbered("r", 1, 60, { name: "old", severity: "INFO" }),
      ...numbered("r", 61, 80, { name: "kept", severity: "INFO" }),
      ...numbered("r", 81, 90, { severity: "WARNING" }),
      ...numbered("r", 91, 120, { severity: "ERROR" }),
      { name: "audit" },
    ]);
    await isRetimed(first);
    await stop(first);
    // By another minute the lease is another one.
    aheadMs = 2 * MINUTE;
    const second = await start("INFO=2h,name:kept=forever,WARNING=1d,ERROR=1d");
    await isRetimed(second);
    expect(await left({ expire_slot: { $exists: true } })).toBe(100);
    aheadMs = 130 * MINUTE;
    await until(async () => (await left({ name: "old" })) === 0, "sooner");
    expect(await left()).toBe(61);
    aheadMs = 26 * 60 * MINUTE;
    await until(async () => (await left()) === 21, "those that had no rule, and the later ones");
    expect(await gapsOf(second, "r")).toMatchObject({ stored: 20, removed: 100, missing: 0 });
    expect(new Set(await database.logs.distinct("name"))).toEqual(new Set(["audit", "kept"]));
  }, 180_000);

  test("a rule that would remove everything at once leaves ten minutes to take it back", async () => {
    const first = await start("INFO=30d");
    await store(first, numbered("s", 1, 5));
    await isRetimed(first);
    await stop(first);
    aheadMs = 10 * DAY;
    const second = await start("INFO=1m");
    await isRetimed(second);
    expect(await left()).toBe(5);
    await stop(second);
    aheadMs += 2 * MINUTE;
    const third = await start("INFO=30d");
    await isRetimed(third);
    aheadMs += DAY;
    await until(
      async () => (await collection("log_retention").countDocuments({ hour: { $gt: 0 } })) > 0,
      "a sweep is done",
    );
    expect(await left()).toBe(5);
  }, 180_000);

  test("what a replica with former rules still places goes by the rules of now", async () => {
    const logger = await start("INFO=1y");
    await isRetimed(logger);
    await store(logger, numbered("w", 1, 5));
    // As one places it that has not been started anew yet.
    const expire_at = new Date(Date.now() + 60 * MINUTE);
    const hour = Math.floor(expire_at.getTime() / (60 * MINUTE));
    await database.logs.updateMany({}, { $set: { expire_at } });
    await collection("log_slots").updateMany({}, { $set: { expire_at, hour, rules: "former" } });
    aheadMs = 130 * MINUTE;
    await until(async () => (await collection("log_slots").countDocuments({ rules: "former" })) === 0, "looked at");
    expect(await left({ expire_at: { $gt: new Date(Date.now() + 300 * DAY) } })).toBe(5);
  }, 180_000);

  test("of two replicas one removes at a time, and nothing is missed where it stops", async () => {
    const one = await start("INFO=1h");
    const two = await start("INFO=1h");
    await store(one, numbered("t", 1, 300));
    await store(two, numbered("u", 1, 300));
    aheadMs = 65 * MINUTE;
    await until(async () => (await left()) === 0, "all go");
    const counted = (logger: Logger) => logger.metric("logger_retention_removed_total");
    // Each once: counted when it is gone.
    await until(async () => (await counted(one)) + (await counted(two)) === 600, "all are counted");
    for (const producer of ["t", "u"]) {
      expect(await gapsOf(one, producer)).toMatchObject({ removed: 300, missing: 0 });
    }
  }, 180_000);

  test("without rules nothing is written besides the entries", async () => {
    const logger = await start("");
    await store(logger, numbered("v", 1, 3));
    const names = (await database.client.db(database.name).listCollections().toArray()).map(({ name }) => name);
    expect(names.filter((name) => /slots|retention/.test(name))).toEqual([]);
    expect(await left({ expire_at: { $exists: true } })).toBe(0);
  });
});
