/** The report of gaps, over entries in a real store. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type GapsReport, type Producer, RPC_LOG_BATCH, RPC_LOG_INFO, RPC_LOG_ONCE } from "#contracts/logs";
import { ok } from "#shared/errors";
import { BLOCK_NUMBERS } from "./numbers.ts";
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
} from "./testing.ts";

interface Answer {
  status: number;
  message: string;
  data: GapsReport;
  retryAfter: string | null;
}

describe.skipIf(TEST_MONGODB_URL === undefined)(`the report of gaps ${NEEDS_MONGODB}`, () => {
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

  const ask = async (query: Record<string, string> = {}, of: Logger = logger): Promise<Answer> => {
    const answer = await fetch(`${of.app.url}/logs/gaps?${new URLSearchParams(query).toString()}`);
    const { message, data } = (await answer.json()) as { message: string; data: GapsReport };
    return { status: answer.status, message, data, retryAfter: answer.headers.get("retry-after") };
  };
  const one = async (producer: string) => (await ask({ producer })).data.items[0];

  const entryOf = (producer: Producer, data: unknown = producer.sequence) => ({
    name: "numbered",
    data,
    event_id: `${producer.id}-${producer.sequence}`,
    producer,
  });
  const store = async (entries: readonly object[]): Promise<void> => {
    for (let from = 0; from < entries.length; from += 1_000) {
      const part = entries.slice(from, from + 1_000);
      expect(await client.call(RPC_LOG_BATCH, [part])).toEqual(ok(part.map(() => ({ ok: true }))));
    }
  };
  const numbered = (id: string, sequences: readonly number[]): object[] =>
    sequences.map((sequence) => entryOf({ id, sequence }));
  const upTo = (last: number): number[] => Array.from({ length: last }, (_, index) => index + 1);

  test("deleted documents are named, exactly these, across the blocks that numbers are read in", async () => {
    const gone = [1, 777, BLOCK_NUMBERS];
    await store(numbered("deleted", [...upTo(1_500), ...upTo(1_500).map((n) => BLOCK_NUMBERS - 750 + n)]));
    const filled = await one("deleted");
    expect(filled).toMatchObject({ stored: 3_000, last: BLOCK_NUMBERS + 750 });
    expect(filled?.missing_ranges).toEqual([[1_501, BLOCK_NUMBERS - 750]]);
    for (const sequence of gone) await database.logs.deleteOne({ producer_id: "deleted", sequence });
    const { status, message, data } = await ask({ producer: "deleted" });
    expect([status, message]).toEqual([200, "numbers are missing"]);
    expect(data.items[0]?.missing_ranges).toEqual([
      [1, 1],
      [777, 777],
      [1_501, BLOCK_NUMBERS - 750],
      [BLOCK_NUMBERS, BLOCK_NUMBERS],
    ]);
    expect(data.items[0]?.stored).toBe(2_997);
    expect(data).toMatchObject({ entries: 2_997, missing: BLOCK_NUMBERS - 750 - 1_500 + 3 });
  }, 60_000);

  test("the last entry of a producer is missed too when it is gone", async () => {
    await store(numbered("tail", upTo(5)));
    const blocks = database.client.db(database.name).collection("log_blocks");
    const marked = async (last: number) => (await blocks.countDocuments({ producer_id: "tail", last })) > 0;
    await until(() => marked(5), "the highest number is written");
    await store(numbered("tail", [6, 7]));
    await until(() => marked(7), "the highest number is written again");
    await database.logs.deleteMany({ producer_id: "tail", sequence: { $gt: 5 } });
    expect(await one("tail")).toMatchObject({ last: 7, stored: 5, missing_ranges: [[6, 7]] });
    await database.logs.deleteMany({ producer_id: "tail" });
    expect(await one("tail")).toMatchObject({ last: 7, stored: 0, missing: 7 });
  });

  test("voided numbers are not missing, also those of another block, and they stay so without the entry that voided them", async () => {
    await store([
      ...numbered("voids", [1, 4]),
      entryOf({ id: "voids", sequence: BLOCK_NUMBERS + 1, voided: [2, BLOCK_NUMBERS - 1] }),
    ]);
    const ranges = [
      [3, 3],
      [5, BLOCK_NUMBERS - 2],
      [BLOCK_NUMBERS, BLOCK_NUMBERS],
    ];
    expect((await one("voids"))?.missing_ranges as number[][]).toEqual(ranges);
    expect(await database.logs.findOne({ producer_id: "voids", voided: 2 })).toMatchObject({
      sequence: BLOCK_NUMBERS + 1,
    });
    await database.logs.deleteOne({ producer_id: "voids", sequence: BLOCK_NUMBERS + 1 });
    expect((await one("voids"))?.missing_ranges[0]).toEqual([3, 3]);
  });

  test("two entries under one number are named with their ids", async () => {
    await store([...numbered("twice", upTo(4)), { ...entryOf({ id: "twice", sequence: 3 }), event_id: "another" }]);
    expect(await one("twice")).toMatchObject({
      stored: 5,
      missing: 0,
      duplicates: [{ sequence: 3, event_ids: ["another", "twice-3"] }],
    });
  });

  test("an entry that comes again is no duplicate; under another number, that number is voided", async () => {
    await store([...numbered("again", [1, 2]), ...numbered("again", [2])]);
    const again = { ...entryOf({ id: "again", sequence: 2 }), producer: { id: "again", sequence: 3 } };
    expect(await client.call(RPC_LOG_ONCE, [again])).toEqual(ok("duplicate"));
    await store([{ ...again, producer: { id: "again", sequence: 4 } }, ...numbered("again", [5])]);
    expect(await one("again")).toMatchObject({ stored: 3, last: 5, missing: 0, duplicates: [] });
  });

  test("an entry that lost its id to another one is missing: its content is stored nowhere", async () => {
    await store(numbered("conflict", [1]));
    const other = { ...entryOf({ id: "conflict", sequence: 1 }, "other"), producer: { id: "conflict", sequence: 2 } };
    expect(await client.call(RPC_LOG_ONCE, [other])).toEqual(ok("conflict"));
    await store(numbered("conflict", [3]));
    expect(await one("conflict")).toMatchObject({ missing_ranges: [[2, 2]] });
  });

  test("producers are told apart, a restarted one is another, and entries without one are no matter", async () => {
    await store([...numbered("first run", [1, 2, 3]), ...numbered("second run", [1, 3])]);
    await store([
      { name: "plain", data: 1 },
      { name: "plain", data: 2 },
    ]);
    expect((await logger.post({ name: "plain", data: 3 })).status).toBe(202);
    expect(await one("first run")).toMatchObject({ last: 3, missing: 0 });
    expect(await one("second run")).toMatchObject({ last: 3, missing_ranges: [[2, 2]] });
    expect(await ask({ producer: "nobody" })).toMatchObject({
      status: 200,
      message: "nothing is missing",
      data: { items: [], entries: 0, missing: 0 },
    });
    const { data } = await ask({ limit: "100" });
    const entries = await database.logs.countDocuments({ producer_id: { $exists: true } });
    expect([data.entries, data.items.every(({ producer }) => typeof producer === "string")]).toEqual([entries, true]);
  });

  test("pages hold still while new producers come", async () => {
    for (const id of ["page 1", "page 2", "page 3"]) await store(numbered(id, [1]));
    const all = (await ask({ limit: "100" })).data.items.map(({ producer }) => producer);
    const paged: string[] = [];
    for (let cursor: string | undefined, page = 0; ; page += 1) {
      const { data } = await ask({ limit: "2", ...(cursor === undefined ? {} : { cursor }) });
      paged.push(...data.items.map(({ producer }) => producer));
      await store(numbered(`meanwhile ${page}`, [1]));
      cursor = data.next_cursor;
      if (cursor === undefined) break;
    }
    expect(paged).toEqual(all);
    expect(paged.slice(0, 3)).toEqual(["page 3", "page 2", "page 1"]);
  });

  test.each([
    ["an unknown parameter", "sort=asc"],
    ["a limit of 0", "limit=0"],
    ["a limit of 101", "limit=101"],
    ["a limit that is no number", "limit=ten"],
    ["a limit that is there twice", "limit=1&limit=2"],
    ["an empty producer", "producer="],
    ["a producer of 129 characters", `producer=${"a".repeat(129)}`],
    ["somebody's own cursor", "cursor=abc"],
    ["an operator", "producer[$ne]=1"],
  ])("%s is 422", async (_, query) => {
    const answer = await fetch(`${logger.app.url}/logs/gaps?${query}`);
    expect(answer.status).toBe(422);
    expect(await answer.json()).toEqual({ error: true, message: expect.any(String) });
  });

  test("one report at a time: of many at once, those too many hear when to come again", async () => {
    const answers = await Promise.all(Array.from({ length: 6 }, () => ask()));
    const statuses = new Set(answers.map(({ status }) => status));
    expect(statuses).toContain(200);
    for (const { status, retryAfter } of answers) if (status !== 200) expect([status, retryAfter]).toEqual([429, "2"]);
    expect((await ask()).status).toBe(200);
  });

  test.each([
    ["no number", { id: "bad" }],
    ["number 0", { id: "bad", sequence: 0 }],
    ["half a number", { id: "bad", sequence: 1.5 }],
    ["a number beyond what is exact", { id: "bad", sequence: 2 ** 53 }],
    ["no id", { sequence: 1 }],
    ["an empty id", { id: "", sequence: 1 }],
    ["an id that is no text", { id: { $ne: 1 }, sequence: 1 }],
    ["NUL in the id", { id: "bad\0", sequence: 1 }],
    ["101 voided numbers", { id: "bad", sequence: 200, voided: upTo(101) }],
    ["a voided number that is none", { id: "bad", sequence: 2, voided: ["1"] }],
    ["text", "bad"],
  ])("an entry whose producer has %s is invalid, alone, and nothing of it is kept", async (_, producer) => {
    const bad = { name: "bad producer", data: 1, producer };
    const invalid = { code: "invalid", message: expect.stringContaining("producer") };
    expect(await client.call(RPC_LOG_INFO, [bad])).toMatchObject({ ok: false, error: invalid });
    const batch = await client.call(RPC_LOG_BATCH, [[{ name: "good", data: 1 }, bad, { name: "good", data: 2 }]]);
    expect(batch).toEqual(ok([{ ok: true }, { error: invalid }, { ok: true }]));
    expect(await database.logs.countDocuments({ name: "bad producer" })).toBe(0);
    expect((await ask({ producer: "bad" })).data.items).toEqual([]);
  });

  test("a report that has too little time says so, and leaves the way free", async () => {
    const answer = await fetch(`${logger.app.url}/logs/gaps`, { headers: { "x-request-timeout-ms": "1" } });
    expect(answer.status).toBe(504);
    expect((await ask()).status).toBe(200);
  });
});

describe.skipIf(TEST_MONGODB_URL === undefined)(`numbers outlive a process ${NEEDS_MONGODB}`, () => {
  test("what one logger has stored another one reports, and two at once agree", async () => {
    await using database = await makeDatabase();
    const gone = [12, 40];
    const loggers = [await startLogger(mongoUrl(database.name)), await startLogger(mongoUrl(database.name))];
    for (const [index, logger] of loggers.entries()) {
      await logger.ready(20_000);
      await using client = await connectRpc(logger);
      const entries = Array.from({ length: 50 }, (_, at) => at + 1)
        .filter((sequence) => sequence % 2 === index && !gone.includes(sequence))
        .map((sequence) => ({
          name: "shared",
          data: 1,
          event_id: `s-${sequence}`,
          producer: { id: "shared", sequence },
        }));
      expect(await client.call(RPC_LOG_BATCH, [entries])).toEqual(ok(entries.map(() => ({ ok: true }))));
    }
    for (const logger of loggers) await logger[Symbol.asyncDispose]();
    await using third = await startLogger(mongoUrl(database.name));
    await third.ready(20_000);
    const answer = await fetch(`${third.app.url}/logs/gaps`);
    const { data } = (await answer.json()) as { data: GapsReport };
    expect(data.items).toMatchObject([
      {
        producer: "shared",
        last: 50,
        stored: 48,
        missing_ranges: [
          [12, 12],
          [40, 40],
        ],
      },
    ]);
  }, 60_000);

  test("in a database that was emptied producers are made known again", async () => {
    await using database = await makeDatabase();
    await using logger = await startLogger(mongoUrl(database.name));
    await logger.ready();
    await using client = await connectRpc(logger);
    const entry = (sequence: number) => ({ name: "a", data: 1, producer: { id: "emptied", sequence } });
    expect((await client.call(RPC_LOG_INFO, [entry(1)])).ok).toBe(true);
    for (const name of ["logs", "log_producers", "log_blocks", "log_voids"]) {
      await database.client.db(database.name).dropCollection(name);
    }
    const indexed = async () => (await database.logs.listIndexes().toArray()).length > 2;
    await until(() => indexed().catch(() => false), "the indexes are back");
    await until(async () => (await client.call(RPC_LOG_INFO, [entry(3)])).ok, "in use again");
    const answer = await fetch(`${logger.app.url}/logs/gaps`);
    const { data } = (await answer.json()) as { data: GapsReport };
    expect(data.items).toMatchObject([{ producer: "emptied", last: 3, stored: 1, missing_ranges: [[1, 2]] }]);
  }, 30_000);
});
