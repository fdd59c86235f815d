import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  FIND_MAX,
  LOG_BATCH_MAX,
  LOG_SUCCEEDED,
  RPC_FIND,
  RPC_LOG_BATCH,
  RPC_LOG_INFO,
  RPC_LOG_ONCE,
} from "#contracts/logs";
import { ok } from "#shared/errors";
import { decodeData, type StoredData } from "./data.ts";
import {
  connectRpc,
  type Database,
  type Logger,
  makeDatabase,
  mongoUrl,
  NEEDS_MONGODB,
  startLogger,
  TEST_MONGODB_URL,
} from "./testing.ts";

const succeeded = ok<unknown>(LOG_SUCCEEDED);

describe.skipIf(TEST_MONGODB_URL === undefined)(`the logger over RPC ${NEEDS_MONGODB}`, () => {
  let database: Database;
  let logger: Logger;
  let client: Awaited<ReturnType<typeof connectRpc>>;

  beforeAll(async () => {
    database = await makeDatabase();
    logger = await startLogger(mongoUrl(database.name));
    await logger.ready();
    client = await connectRpc(logger);
  });
  afterAll(async () => {
    await client?.[Symbol.asyncDispose]();
    await logger?.[Symbol.asyncDispose]();
    await database?.[Symbol.asyncDispose]();
  });

  const count = (event_id: string) => database.logs.countDocuments({ event_id });

  test("LogInfo stores an entry with its id and time", async () => {
    const created_at = "2026-01-02T03:04:05.678Z";
    const entry = { name: "info", data: { a: [1, "b"] }, severity: "ERROR", event_id: "info-1", created_at };
    expect(await client.call(RPC_LOG_INFO, [entry])).toEqual(succeeded);
    const document = await database.logs.findOne({ event_id: "info-1" });
    expect(document).toMatchObject({ name: "info", data: { a: [1, "b"] }, severity: "ERROR", source: "rpc" });
    expect(document?.["created_at"]).toEqual(new Date(created_at));
  });

  test("data comes back as it was sent, whatever keys and values it has", async () => {
    const data = [
      [{ $where: 1, "a.b": "\0", "": -0 }],
      5,
      5.5,
      2 ** 53 - 1,
      -(2 ** 31) - 1,
      JSON.parse('{"__proto__":1}'),
    ];
    expect(await client.call(RPC_LOG_INFO, [{ name: "odd", data, event_id: "odd-1" }])).toEqual(succeeded);
    const document = await database.logs.findOne({ event_id: "odd-1" });
    expect(JSON.stringify(decodeData(document as unknown as StoredData))).toBe(JSON.stringify(data));
  });

  test("the same event_id again is success and stores nothing: the first entry wins", async () => {
    const entry = { name: "twice", data: 1, event_id: "twice-1" };
    expect(await client.call(RPC_LOG_INFO, [entry])).toEqual(succeeded);
    expect(await client.call(RPC_LOG_INFO, [entry])).toEqual(succeeded);
    expect(await logger.metric("logger_id_conflicts_total")).toBe(0);
    expect(await client.call(RPC_LOG_INFO, [{ ...entry, data: 2 }])).toEqual(succeeded);
    expect(await logger.metric("logger_duplicates_total")).toBe(2);
    expect(await logger.metric("logger_id_conflicts_total")).toBe(1);
    expect(await database.logs.find({ event_id: "twice-1" }).toArray()).toMatchObject([{ data: 1 }]);
    expect(logger.lines).toContainEqual(expect.objectContaining({ level: "warn", event_id: "twice-1" }));
  });

  test("a hundred callers with the same event_id at once store one entry", async () => {
    const calls = Array.from({ length: 100 }, () =>
      client.call(RPC_LOG_INFO, [{ name: "race", data: 1, event_id: "race-1" }]),
    );
    expect(await Promise.all(calls)).toEqual(Array.from({ length: 100 }, () => succeeded));
    expect(await count("race-1")).toBe(1);
  });

  test("LogBatch answers an entry each, in order, and a bad one fails alone", async () => {
    const entries = [
      { name: "batch", data: 1, event_id: "batch-1" },
      { name: "", data: 2 },
      { name: "batch", data: { $bad: Number.POSITIVE_INFINITY } },
      null,
      { name: "batch", data: 3, event_id: "batch-1" },
      { name: "batch", data: { "a.b": [[]] }, event_id: "batch-2" },
      { name: "batch", data: 4, created_at: "2999-01-01T00:00:00Z" },
    ];
    const result = await client.call(RPC_LOG_BATCH, [entries]);
    const invalid = { error: { code: "invalid", message: expect.any(String) } };
    expect(result).toEqual(ok([{ ok: true }, invalid, invalid, invalid, { ok: true }, { ok: true }, invalid]));
    expect(await database.logs.countDocuments({ name: "batch" })).toBe(2);
  });

  test("a batch of 1,000 is stored, one of 1,001 refused, an empty one is nothing", async () => {
    const batch = (length: number, name: string) => Array.from({ length }, (_, index) => ({ name, data: index }));
    const full = await client.call(RPC_LOG_BATCH, [batch(LOG_BATCH_MAX, "full")]);
    expect(full).toEqual({ ok: true, value: Array.from({ length: LOG_BATCH_MAX }, () => ({ ok: true })) });
    expect(await database.logs.countDocuments({ name: "full" })).toBe(LOG_BATCH_MAX);
    const over = await client.call(RPC_LOG_BATCH, [batch(LOG_BATCH_MAX + 1, "over")]);
    expect(over).toMatchObject({ ok: false, error: { code: "invalid" } });
    expect(await database.logs.countDocuments({ name: "over" })).toBe(0);
    expect(await client.call(RPC_LOG_BATCH, [[]])).toEqual({ ok: true, value: [] });
  });

  test.each([
    [RPC_LOG_INFO, []],
    [RPC_LOG_INFO, [null]],
    [RPC_LOG_INFO, ["text"]],
    [RPC_LOG_INFO, [[]]],
    [RPC_LOG_INFO, [{ name: "bad", data: 1 }, 2]],
    [RPC_LOG_INFO, [{ name: "bad" }]],
    [RPC_LOG_INFO, [{ name: "bad", data: 1, event_id: "" }]],
    [RPC_LOG_INFO, [{ name: "bad", data: 1, event_id: 5 }]],
    [RPC_LOG_INFO, [{ name: "bad", data: 1, created_at: "today" }]],
    [RPC_LOG_INFO, [{ name: "bad", data: Number.NaN }]],
    [RPC_LOG_BATCH, []],
    [RPC_LOG_BATCH, [{ name: "bad", data: 1 }]],
    [RPC_LOG_BATCH, [[], []]],
    [RPC_LOG_ONCE, []],
    [RPC_LOG_ONCE, [{ name: "bad", data: 1 }]],
    [RPC_LOG_ONCE, [{ name: "bad", data: 1, event_id: { $ne: 1 } }]],
    [RPC_FIND, []],
    [RPC_FIND, ["find-1"]],
    [RPC_FIND, [{ $ne: null }]],
    [RPC_FIND, [[{ $ne: null }]]],
    [RPC_FIND, [["find-1", 5]]],
    [RPC_FIND, [["find-1", ""]]],
    [RPC_FIND, [Array.from({ length: FIND_MAX + 1 }, String)]],
  ])("%s with %j is invalid, nothing is stored, and the connection stays", async (method, params) => {
    expect(await client.call(method, params)).toMatchObject({ ok: false, error: { code: "invalid" } });
    expect(await database.logs.countDocuments({ name: "bad" })).toBe(0);
    expect(await client.call(RPC_LOG_INFO, [{ name: "good", data: 1 }])).toEqual(succeeded);
  });

  test("LogOnce stores an entry, and tells a repetition of it from another entry under its id", async () => {
    const entry = { name: "once", data: { a: [1], b: "x" }, event_id: "once-1" };
    expect(await client.call(RPC_LOG_ONCE, [entry])).toEqual(ok("stored"));
    expect(await client.call(RPC_LOG_ONCE, [{ ...entry, created_at: "2026-01-01T00:00:00Z" }])).toEqual(
      ok("duplicate"),
    );
    for (const other of [{ data: 2 }, { name: "other" }, { severity: "ERROR" }]) {
      expect(await client.call(RPC_LOG_ONCE, [{ ...entry, ...other }])).toEqual(ok("conflict"));
    }
    expect(await database.logs.find({ event_id: "once-1" }).toArray()).toMatchObject([
      { name: "once", severity: "INFO" },
    ]);
  });

  test("of a hundred LogOnce with one id at once, one stores it, and the others hear that it was there", async () => {
    const calls = Array.from({ length: 100 }, (_, index) =>
      client.call(RPC_LOG_ONCE, [{ name: "once race", data: index % 2, event_id: "once-race" }]),
    );
    const results = (await Promise.all(calls)).map((result) => (result.ok ? result.value : result.error.code));
    const [document] = await database.logs.find({ event_id: "once-race" }).toArray();
    const same = Number(document?.["data"]);
    expect(results.filter((result) => result === "stored")).toHaveLength(1);
    for (const [index, result] of results.entries()) {
      expect(result).toBeOneOf(index % 2 === same ? ["stored", "duplicate"] : ["conflict"]);
    }
  });

  test("Find gives what is stored under each id, in order, and nil where nothing is", async () => {
    const created_at = "2026-01-02T03:04:05.678Z";
    const entry = { name: "found", data: { secret: 1 }, severity: "WARNING", event_id: "find-1", created_at };
    expect(await client.call(RPC_LOG_INFO, [entry])).toEqual(succeeded);
    const found = { event_id: "find-1", name: "found", severity: "WARNING", created_at, stored_at: expect.any(String) };
    expect(await client.call(RPC_FIND, [["nothing", "find-1", "$ne", "find-1"]])).toEqual(
      ok([null, found, null, found]),
    );
    expect(await client.call(RPC_FIND, [["find-1"]])).toEqual(ok([found]));
    expect(await client.call(RPC_FIND, [[]])).toEqual(ok([]));
    const many = Array.from({ length: FIND_MAX }, (_, index) => (index === 500 ? "find-1" : `no-${index}`));
    const result = await client.call(RPC_FIND, [many]);
    expect(result).toMatchObject({ ok: true, value: { length: FIND_MAX, 500: found } });
  });

  test("an unknown method is not_found", async () => {
    expect(await client.call("RPCServer.Nothing", [])).toMatchObject({ ok: false, error: { code: "not_found" } });
  });

  test("what is larger than a document is refused, and stored by nobody", async () => {
    const entry = { name: "giant", data: "\0".repeat(3 * 1_048_576) };
    expect(await client.call(RPC_LOG_INFO, [entry])).toMatchObject({ ok: false, error: { code: "invalid" } });
    expect(await database.logs.countDocuments({ name: "giant" })).toBe(0);
  });

  test("stopping while calls are in hand stores each one that is answered", async () => {
    await using own = await makeDatabase();
    const stopping = await startLogger(mongoUrl(own.name));
    await stopping.ready();
    const caller = await connectRpc(stopping);
    const calls = Array.from({ length: 2_000 }, (_, index) =>
      caller.call(RPC_LOG_INFO, [{ name: "drain", data: index, event_id: `drain-${index}` }]),
    );
    await calls[0];
    await stopping[Symbol.asyncDispose]();
    const results = await Promise.all(calls);
    await caller[Symbol.asyncDispose]();
    const answered = results.flatMap((result, index) => (result.ok ? [`drain-${index}`] : []));
    const stored = new Set((await own.logs.find({}).toArray()).map((document) => String(document["event_id"])));
    expect(answered.length).toBeGreaterThan(0);
    // What was taken was stored, not given up.
    expect(await stopping.metric('logger_entries_total{result="unavailable"')).toBeNaN();
    expect(answered.filter((id) => !stored.has(id))).toEqual([]);
  });
});

describe.skipIf(TEST_MONGODB_URL === undefined)(`with a token ${NEEDS_MONGODB}`, () => {
  test("calls without it are refused, calls with it are taken", async () => {
    await using database = await makeDatabase();
    await using logger = await startLogger(mongoUrl(database.name), { LOGGER_RPC_TOKEN: "s3cret" });
    await logger.ready();
    await using known = await connectRpc(logger, "s3cret");
    expect(await known.call(RPC_LOG_INFO, [{ name: "a", data: 1 }])).toEqual(succeeded);
    const socket = await openRaw(logger);
    // A request without any token, byte by byte: [0, 1, "RPCServer.LogInfo", []].
    const method = Buffer.from(RPC_LOG_INFO);
    const body = Buffer.concat([Buffer.from([0x94, 0, 1, 0xa0 + method.length]), method, Buffer.from([0x90])]);
    const answer = await socket.ask(body);
    expect(answer.toString("latin1")).toContain("unauthenticated");
    expect(JSON.stringify(logger.lines)).not.toContain("s3cret");
  });
});

/** A bare TCP connection to the RPC. */
async function openRaw(logger: Logger) {
  const { promise, resolve } = Promise.withResolvers<Buffer>();
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: logger.app.rpcPort,
    socket: { data: (_, chunk) => resolve(Buffer.from(chunk)), close: () => resolve(Buffer.alloc(0)) },
  });
  return {
    async ask(body: Buffer): Promise<Buffer> {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(body.length);
      socket.write(Buffer.concat([length, body]));
      const answer = await promise;
      socket.end();
      return answer;
    },
  };
}
