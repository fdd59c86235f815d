import { describe, expect, test } from "bun:test";
import { RPC_LOG_INFO } from "#contracts/logs";
import { messageOf } from "#shared/errors";
import {
  connectRpc,
  type Database,
  type Logger,
  makeDatabase,
  makeProxy,
  mongoUrl,
  NEEDS_MONGODB,
  startLogger,
  TEST_MONGODB_URL,
  until,
} from "./testing.ts";
import { TEXT_INDEX } from "./prepare.ts";

const NUMBERS = "producer_id_1_sequence_block_1_sequence_1";
/** FerretDB is asked by segments, MongoDB by an index for each way to ask. */
async function expectedIndexes({ client }: Database): Promise<string[]> {
  const own = "ferretdbVersion" in (await client.db().admin().buildInfo()) ? ["segment_1"] : [...ASKED, TEXT_INDEX];
  return ["_id_", "event_id_1", "stored_slot_1", NUMBERS, ...own].sort();
}
const ASKED = ["created_at", "name", "severity", "producer_id", "trace_id", "request_id"]
  .map((field) => (field === "created_at" ? "created_at_-1__id_-1" : `${field}_1_created_at_-1__id_-1`))
  .concat("data.$**_1");

/** Those that only queries need are made while entries are stored already. */
async function untilIndexed(database: Database): Promise<void> {
  const expected = await expectedIndexes(database);
  await until(async () => Bun.deepEquals(await indexesOf(database), expected), "all indexes stand");
}

async function indexesOf({ logs }: Database): Promise<string[]> {
  return (await logs.listIndexes().toArray()).map(({ name }) => String(name)).sort();
}

const entry = (name: string) => ({ name, data: 1 });

async function timed<T>(work: () => Promise<T>): Promise<{ value: T; ms: number }> {
  const startedAt = performance.now();
  const value = await work();
  return { value, ms: performance.now() - startedAt };
}

/** MongoDB is known to be away: 503, when to come again, at once; alive all the same; and /ready says why. */
async function expectAway(logger: Logger): Promise<void> {
  const { value: answer, ms } = await timed(() => logger.post(entry("away")));
  expect(answer.status).toBe(503);
  expect(answer.headers.get("retry-after")).toBe("1");
  expect(await answer.json()).toEqual({ error: true, message: "MongoDB is unavailable" });
  expect(ms).toBeLessThan(500);
  expect((await fetch(`${logger.app.url}/ping`)).status).toBe(200);
  const ready = await fetch(`${logger.app.url}/ready`);
  expect(ready.status).toBe(503);
  expect(await ready.json()).toMatchObject({
    error: true,
    data: { dependencies: [{ name: "mongodb", last_error: expect.any(String) }] },
  });
}

test("a MONGODB_URL that the driver does not take stops the start, without showing the password", async () => {
  const starting = startLogger("mongodb://user:s3cret@localhost/logs?nonsense=1");
  const message = await starting.then(String, (error: unknown) => messageOf(error));
  expect(message).toMatch(/^MONGODB_URL cannot be used: .*nonsense/);
  expect(message).not.toContain("s3cret");
});

describe.skipIf(TEST_MONGODB_URL === undefined)(`MongoDB comes and goes ${NEEDS_MONGODB}`, () => {
  test("away at the start: served meanwhile, in use within 5 s of its coming", async () => {
    await using database = await makeDatabase();
    using proxy = await makeProxy();
    proxy.cut();
    await using logger = await startLogger(mongoUrl(database.name, proxy.host));
    await until(() => logger.lines.some(({ message }) => message === "MongoDB cannot be reached"), "a failed try");
    await expectAway(logger);
    await using client = await connectRpc(logger);
    const call = await client.call(RPC_LOG_INFO, [entry("away")]);
    expect(call).toMatchObject({ ok: false, error: { code: "unavailable" } });
    await proxy.heal();
    const { ms } = await timed(() => logger.ready());
    expect(ms).toBeLessThan(5_000);
    expect((await logger.post(entry("back"))).status).toBe(202);
    expect(await database.logs.countDocuments({})).toBe(1);
    await untilIndexed(database);
  }, 20_000);

  test("lost later: refused at once, and in use within 5 s of its return, again and again", async () => {
    await using database = await makeDatabase();
    using proxy = await makeProxy();
    await using logger = await startLogger(mongoUrl(database.name, proxy.host));
    await logger.ready();
    for (const name of ["one", "two"]) {
      expect((await logger.post(entry(name))).status).toBe(202);
      proxy.cut();
      await until(() => !logger.runtime.health.ready, "the loss is noticed", 3_000);
      await expectAway(logger);
      await proxy.heal();
      const { ms } = await timed(() => logger.ready());
      expect(ms).toBeLessThan(5_000);
    }
    expect((await logger.post(entry("three"))).status).toBe(202);
    expect(await database.logs.countDocuments({ name: { $in: ["one", "two", "three"] } })).toBe(3);
  }, 30_000);

  test("it hangs: callers hear of it within 5 s, later ones at once, and it heals", async () => {
    await using database = await makeDatabase();
    using proxy = await makeProxy();
    await using logger = await startLogger(mongoUrl(database.name, proxy.host));
    await logger.ready();
    proxy.hold();
    const { value: answer, ms } = await timed(() => logger.post(entry("hung")));
    expect(answer.status).toBe(503);
    expect(ms).toBeLessThan(5_000);
    await until(() => !logger.runtime.health.ready, "the loss is noticed", 4_000);
    await expectAway(logger);
    await proxy.heal();
    expect((await timed(() => logger.ready())).ms).toBeLessThan(5_000);
    expect((await logger.post(entry("healed"))).status).toBe(202);
  }, 30_000);

  test("slow by 5 s: callers hear in time, and what they repeat is stored once though it arrives late", async () => {
    await using database = await makeDatabase();
    using proxy = await makeProxy();
    await using logger = await startLogger(mongoUrl(database.name, proxy.host));
    await logger.ready();
    await using client = await connectRpc(logger);
    const ids = Array.from({ length: 50 }, (_, index) => `slow-${index}`);
    const store = (event_id: string) => client.call(RPC_LOG_INFO, [{ ...entry("slow"), event_id }]);
    const calls = ids.map(async (id) => timed(() => store(id)));
    // On their way, and not there yet.
    await until(() => proxy.sent().includes("slow-49"), "the entries left for MongoDB");
    proxy.stall();
    const first = await Promise.all(calls);
    for (const { value, ms } of first) {
      expect(ms).toBeLessThan(5_500);
      if (!value.ok) expect(value.error.code).toBeOneOf(["unavailable", "deadline"]);
    }
    await Bun.sleep(1_000);
    proxy.goOn();
    await logger.ready();
    for (const id of ids) await until(async () => (await store(id)).ok, `${id} is stored`);
    const stored = (await database.logs.find({ name: "slow" }).toArray()).map((document) =>
      String(document["event_id"]),
    );
    expect(stored.sort()).toEqual(ids.toSorted());
  }, 40_000);

  test("every write asks for the journal of the majority, and has its answer before the caller has his", async () => {
    await using database = await makeDatabase();
    using proxy = await makeProxy();
    await using logger = await startLogger(mongoUrl(database.name, proxy.host));
    await logger.ready();
    expect((await logger.post(entry("journal"))).status).toBe(202);
    const writes = proxy
      .sent()
      .toString("latin1")
      .split("insert\0")
      .filter((command) => command.includes("journal"));
    // As BSON has it: element type, name, value.
    const asks = (command: string) => command.includes("majority\0") && command.includes("\u0008j\0\u0001");
    expect(writes.map(asks)).toEqual([true]);
    proxy.hold();
    expect((await logger.post(entry("held"), "/log", { "x-request-timeout-ms": "1000" })).status).toBeOneOf([503, 504]);
    await proxy.heal();
    await logger.ready();
  }, 20_000);

  test("a caller in a hurry hears at his deadline", async () => {
    await using database = await makeDatabase();
    using proxy = await makeProxy();
    await using logger = await startLogger(mongoUrl(database.name, proxy.host));
    await logger.ready();
    proxy.hold();
    const { value: answer, ms } = await timed(() =>
      logger.post(entry("hasty"), "/log", { "x-request-timeout-ms": "300" }),
    );
    expect(answer.status).toBe(504);
    expect(ms).toBeLessThan(1_000);
    await proxy.heal();
    await logger.ready();
  }, 20_000);

  test("a password that is refused at the first connection ends the process with exit code 2", async () => {
    const url = new URL(mongoUrl("logs"));
    [url.username, url.password] = ["nobody", "s3cret"];
    await using logger = await startLogger(url.href);
    await until(() => logger.stops.length > 0, "the stop");
    expect(logger.stops[0]).toEqual({ code: 2, reason: expect.stringContaining("MONGODB_URL") });
    expect(JSON.stringify([logger.lines, logger.runtime.health.report()])).not.toContain("s3cret");
  });

  test("under load with outages, every entry that was answered is stored once", async () => {
    await using database = await makeDatabase();
    using proxy = await makeProxy();
    await using logger = await startLogger(mongoUrl(database.name, proxy.host));
    await logger.ready();
    await using client = await connectRpc(logger);
    const answered = new Set<string>();
    let refused = 0;
    const load = { going: true };
    const caller = async (id: number): Promise<void> => {
      for (let index = 0; load.going; index += 1) {
        const event_id = `${id}-${index}`;
        // As a caller should: the same id until it is known to be stored.
        for (;;) {
          const result = await client.call(RPC_LOG_INFO, [{ ...entry("load"), event_id }]);
          if (result.ok) break;
          refused += 1;
          if (!load.going) return;
          await Bun.sleep(50);
        }
        answered.add(event_id);
      }
    };
    const callers = Array.from({ length: 8 }, (_, id) => caller(id));
    for (let outage = 0; outage < 2; outage += 1) {
      await Bun.sleep(300);
      proxy.cut();
      await until(() => !logger.runtime.health.ready, "the loss is noticed");
      await proxy.heal();
      await logger.ready();
    }
    await Bun.sleep(300);
    load.going = false;
    await Promise.all(callers);
    const documents = await database.logs.find({}).toArray();
    const ids = documents.map((document) => String(document["event_id"]));
    expect(refused).toBeGreaterThan(0);
    expect(new Set(ids).size).toBe(ids.length);
    expect([...answered].filter((id) => !ids.includes(id))).toEqual([]);
  }, 40_000);
});

describe.skipIf(TEST_MONGODB_URL === undefined)(`the collection is made ready ${NEEDS_MONGODB}`, () => {
  test("indexes are made in an empty database, and made again when it was emptied meanwhile", async () => {
    await using database = await makeDatabase();
    await using logger = await startLogger(mongoUrl(database.name));
    await logger.ready();
    await untilIndexed(database);
    const expected = await expectedIndexes(database);
    await database.logs.drop();
    await until(
      async () => Bun.deepEquals(await indexesOf(database).catch(() => []), expected),
      "the indexes are back",
    );
    await until(async () => (await logger.post(entry("after"))).status === 202, "in use again");
  }, 20_000);

  test("older documents get an id of their own, a severity and a time, and keep the rest", async () => {
    await using database = await makeDatabase();
    const created_at = new Date("2020-05-06T07:08:09Z");
    const updated_at = new Date("2020-05-07T00:00:00Z");
    await database.logs.insertMany([
      ...Array.from({ length: 150 }, (_, index) => ({ name: "old", data: `${index}`, created_at, updated_at })),
      { name: "bare", data: { when: created_at } },
    ]);
    // Several replicas at once.
    const loggers = await Promise.all([startLogger(mongoUrl(database.name)), startLogger(mongoUrl(database.name))]);
    // FerretDB needs some 20 ms for an update.
    for (const logger of loggers) await logger.ready(20_000);
    await untilIndexed(database);
    for (const logger of loggers) await logger[Symbol.asyncDispose]();
    const documents = await database.logs.find({}).toArray();
    expect(documents).toHaveLength(151);
    expect(new Set(documents.map((document) => document["event_id"])).size).toBe(151);
    for (const document of documents) {
      expect(document["event_id"]).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-/);
      expect(document["severity"]).toBe("INFO");
      expect(document["created_at"]).toBeInstanceOf(Date);
    }
    expect(documents.find(({ name }) => name === "old")).toMatchObject({ created_at, updated_at });
  }, 40_000);

  test("documents that share an event_id are parted: the first keeps it, nothing is lost", async () => {
    await using database = await makeDatabase();
    for (const data of [1, 2, 3]) await database.logs.insertOne({ name: "shared", data, event_id: "same" });
    await using logger = await startLogger(mongoUrl(database.name));
    await logger.ready();
    const documents = await database.logs.find({ name: "shared" }).sort({ _id: 1 }).toArray();
    expect(documents.map(({ data }) => Number(data))).toEqual([1, 2, 3]);
    expect(documents[0]).toMatchObject({ event_id: "same" });
    expect(documents.slice(1)).toMatchObject([{ duplicate_of: "same" }, { duplicate_of: "same" }]);
    expect(new Set(documents.map((document) => document["event_id"])).size).toBe(3);
  }, 20_000);

  test("a second start changes nothing", async () => {
    await using database = await makeDatabase();
    await database.logs.insertOne({ name: "old", data: 1 });
    const found: unknown[] = [];
    for (let start = 0; start < 2; start += 1) {
      await using logger = await startLogger(mongoUrl(database.name));
      await logger.ready();
      found.push(await database.logs.find({}).toArray());
    }
    expect(found[1]).toEqual(found[0]);
  }, 20_000);
});
