import { connect, type Socket } from "node:net";
import { expect, test, describe } from "bun:test";
import { RPC_LOG_BATCH } from "#contracts/logs";
import type { LogFilter, LogHistogram, LogItem, LogPage } from "#contracts/log-queries";
import { Failure } from "#shared/errors";
import { Deadline } from "#shared/resilience";
import type { LogDocument } from "../documents.ts";
import type { Logs, MongoConnection } from "../mongo.ts";
import {
  connectRpc,
  type Logger,
  makeDatabase,
  mongoUrl,
  NEEDS_MONGODB,
  startLogger,
  TEST_MONGODB_URL,
} from "../testing.ts";
import type { Catalog } from "./catalog.ts";
import { encodePlace } from "./cursor.ts";
import { makeMatcher } from "./filter.ts";
import { makeIndexReader } from "./indexed.ts";
import { makeQueries } from "./query.ts";
import type { Place } from "./reader.ts";

/** Other tests may keep the machine busy (ms). */
const READY_MS = 60_000;
const T0 = Date.parse("2026-01-01T00:00:00Z");
const timeAt = (ms: number): string => new Date(T0 + ms).toISOString();

interface Entry {
  readonly event_id: string;
  readonly name: string;
  readonly severity: string;
  readonly created_at: string;
  readonly data: unknown;
}

function entry(index: number, more: Partial<Entry> = {}): Entry {
  return {
    event_id: Bun.randomUUIDv7(),
    name: `name_${index % 7}`,
    severity: index % 10 === 0 ? "ERROR" : "INFO",
    // Four have each time.
    created_at: timeAt(Math.floor(index / 4) * 1_000),
    data: { user: { id: index % 50 }, text: `Entry number ${index} of word${index % 100}` },
    ...more,
  };
}

async function store(logger: Logger, entries: readonly Entry[]): Promise<void> {
  await using rpc = await connectRpc(logger);
  for (let first = 0; first < entries.length; first += 200) {
    for (let tries = 1; ; tries += 1) {
      // Sent again it is stored once.
      const result = await rpc.call(RPC_LOG_BATCH, [entries.slice(first, first + 200)]);
      if (result.ok && (result.value as { ok?: true }[]).every(({ ok }) => ok === true)) break;
      if (tries === 10) throw new Error(`not stored: ${JSON.stringify(result)}`);
    }
  }
}

async function get(logger: Logger, path: string): Promise<{ status: number; message: string; data: unknown }> {
  const answer = await fetch(`${logger.app.url}${path}`);
  return { status: answer.status, ...((await answer.json()) as { message: string; data: unknown }) };
}

const getPage = async (logger: Logger, path: string) =>
  (await get(logger, path)) as { status: number; message: string; data: LogPage };
const getHistogram = async (logger: Logger, path: string) => (await get(logger, path)).data as LogHistogram;

/** Begins an export, and reads no further than its head. */
async function begin(logger: Logger): Promise<Socket> {
  const { hostname, port } = new URL(logger.app.url);
  const socket = connect({ host: hostname, port: Number(port) });
  socket.on("error", () => undefined);
  socket.write(`GET /logs/export HTTP/1.1\r\nHost: ${hostname}:${port}\r\n\r\n`);
  await new Promise((resolve) => {
    socket.once("data", resolve);
  });
  socket.pause();
  return socket;
}

const idsOf = (items: readonly { event_id: string }[]): string[] => items.map(({ event_id }) => event_id);

/** All pages; `between` is done after each. */
async function pages(logger: Logger, query: string, between?: (page: number) => Promise<void>): Promise<LogItem[]> {
  const items: LogItem[] = [];
  let cursor: string | undefined;
  for (let page = 0; ; page += 1) {
    const { status, message, data } = await getPage(
      logger,
      `/logs?${query}${cursor === undefined ? "" : `&cursor=${cursor}`}`,
    );
    if (status !== 200) throw new Error(message);
    items.push(...data.items);
    if (data.next_cursor === undefined) return items;
    cursor = data.next_cursor;
    await between?.(page);
  }
}

function isNewestFirst(items: readonly { created_at: string }[]): boolean {
  return items.every(({ created_at }, index) => index === 0 || created_at <= (items[index - 1]?.created_at ?? ""));
}

const FILTERS: LogFilter[] = [
  {},
  { name: ["name_3"] },
  { name: ["name_3", "name_4"], severity: ["ERROR"] },
  { from: timeAt(100_000), to: timeAt(150_000) },
  { data: [{ path: "user.id", equals: 7 }] },
  { data: [{ path: "user.id", equals: 7 }], name: ["name_1"], from: timeAt(50_000) },
  { q: "word42" },
  { q: "ENTRY word42", severity: ["INFO"] },
  { q: "nowhere" },
];

function queryOf({ name = [], severity = [], data = [], ...rest }: LogFilter): string {
  const query = new URLSearchParams(rest as Record<string, string>);
  for (const one of name) query.append("name", one);
  for (const one of severity) query.append("severity", one);
  for (const { path, equals } of data) query.append(`data.${path}`, String(equals));
  return query.toString();
}

test("while MongoDB is away that is said, and not that a cursor is wrong; the head of an export needs no MongoDB", async () => {
  await using logger = await startLogger("mongodb://127.0.0.1:1/nothing");
  const { status } = await get(logger, `/logs?cursor=${encodePlace({ at: 1, id: "x" }, "f")}`);
  expect(status).toBe(503);
  const head = await fetch(`${logger.app.url}/logs/export`, { method: "HEAD" });
  expect([head.status, head.headers.get("content-type")]).toEqual([200, "application/x-ndjson"]);
  expect(await logger.metric("logger_exports_total{")).toBeNaN();
});

test("what ends an export is told by it, and not as a query that took too long", async () => {
  const list = (_: Logs, deadline: Deadline) => deadline.bound(new Promise<never>(() => undefined), "MongoDB");
  const connection = { logs: {}, isFerretdb: true, epoch: 1, suspect: () => undefined };
  const queries = makeQueries(connection as unknown as MongoConnection, { list } as unknown as Catalog);
  const stopping = new AbortController();
  const first = queries.all({}, stopping.signal).next();
  const why = new Failure("unavailable", "the logger is stopping");
  stopping.abort(why);
  expect(await first.catch((error: unknown) => error)).toBe(why);
});

describe.skipIf(TEST_MONGODB_URL === undefined)(`asking for entries ${NEEDS_MONGODB}`, () => {
  test("each filter finds what the matcher would, newest first, page by page, exported and counted", async () => {
    await using database = await makeDatabase();
    await using logger = await startLogger(mongoUrl(database.name));
    await logger.ready(READY_MS);
    const entries = Array.from({ length: 1_300 }, (_, index) => entry(index));
    await store(logger, entries);
    for (const filter of FILTERS) {
      const isMatch = makeMatcher(filter);
      const expected = idsOf(entries.filter((one) => isMatch(one))).sort();
      const query = queryOf(filter);
      const found = await pages(logger, `limit=100&${query}`);
      expect([query, idsOf(found).sort()]).toEqual([query, expected]);
      expect(isNewestFirst(found)).toBe(true);
      const lines = (await (await fetch(`${logger.app.url}/logs/export?${query}`)).text()).trim().split("\n");
      const end = JSON.parse(lines.pop() ?? "") as unknown;
      expect(end).toEqual({ $export: { complete: true, entries: expected.length } });
      expect(lines.map((line) => JSON.parse(line) as LogItem)).toEqual(found);
      const times = `${filter.from === undefined ? `&from=${timeAt(-1)}` : ""}${filter.to === undefined ? `&to=${timeAt(700_000)}` : ""}`;
      const data = await getHistogram(logger, `/logs/histogram?interval=1h&${query}${times}`);
      expect(data.total).toBe(expected.length);
    }
    // The reader for servers whose indexes can be used finds the same, here without a text index.
    const reader = makeIndexReader();
    const logs = database.client.db(database.name).collection<LogDocument>("logs");
    for (const filter of FILTERS) {
      const isMatch = makeMatcher(filter);
      const found: LogItem[] = [];
      let after: Place | undefined;
      do {
        const page = await reader.page(logs, filter, after, 1_000, Deadline.after(20_000));
        expect(page.text).toBe(filter.q === undefined ? undefined : "pattern");
        found.push(...page.items.map(({ item }) => item));
        after = page.next;
      } while (after !== undefined);
      expect(idsOf(found).sort()).toEqual(idsOf(entries.filter((one) => isMatch(one))).sort());
      expect(isNewestFirst(found)).toBe(true);
    }
  }, 120_000);

  test("where the server compares loosely, what it gives is compared again: also for counts, and a page is full", async () => {
    await using database = await makeDatabase();
    const logs = database.client.db(database.name).collection<LogDocument>("logs");
    const tags = [["x"], "x", ["x", "y"], "x", "y"];
    const documents = tags.map((tag, index) => ({
      ...entry(index, { data: { tag } }),
      created_at: new Date(T0 + index),
    }));
    await logs.insertMany(documents as unknown as LogDocument[]);
    const filter: LogFilter = { data: [{ path: "tag", equals: "x" }] };
    const reader = makeIndexReader();
    const { items } = await reader.page(logs, filter, undefined, 2, Deadline.after(20_000));
    expect(items.map(({ item }) => item.created_at)).toEqual([timeAt(3), timeAt(1)]);
    let counted = 0;
    const buckets = { from: T0, to: T0 + 1_000, intervalMs: 1_000 };
    const count = (_at: number, _name: string, _severity: string, entries: number): void => {
      counted += entries;
    };
    await reader.count(logs, filter, buckets, count, Deadline.after(20_000));
    expect(counted).toBe(2);
  }, 60_000);

  test("by a cursor no entry comes twice and none is left out, while others come: new ones, late ones, at equal times", async () => {
    await using database = await makeDatabase();
    await using logger = await startLogger(mongoUrl(database.name));
    await logger.ready(READY_MS);
    const before = Array.from({ length: 300 }, (_, index) =>
      entry(index, { created_at: timeAt(Math.floor(index / 50)) }),
    );
    await store(logger, before);
    const late: Entry[] = [];
    const found = await pages(logger, "limit=20", async (page) => {
      if (page > 8) return;
      // New ones, and late ones behind all that was read so far.
      const older = entry(page, { created_at: timeAt(-1 - page) });
      late.push(older);
      await store(logger, [entry(page, { created_at: timeAt(1_000 + page) }), older]);
    });
    const ids = idsOf(found);
    expect(new Set(ids).size).toBe(ids.length);
    expect([...ids].sort()).toEqual(idsOf([...before, ...late]).sort());
  }, 60_000);

  test("what another replica stores, or a killed one has left, is found at once", async () => {
    await using database = await makeDatabase();
    await using one = await startLogger(mongoUrl(database.name));
    await using other = await startLogger(mongoUrl(database.name));
    await Promise.all([one.ready(READY_MS), other.ready(READY_MS)]);
    for (let round = 0; round < 4; round += 1) {
      await store(
        one,
        Array.from({ length: 400 }, (_, index) => entry(index)),
      );
      expect((await pages(other, "limit=500")).length).toBe((round + 1) * 400 + round);
      await store(other, [entry(round)]);
      expect((await pages(one, "limit=500")).length).toBe((round + 1) * 401);
    }
    // Documents that name a segment without a summary: their writer was killed before it was full.
    const logs = database.client.db(database.name).collection<LogDocument>("logs");
    const summaries = database.client.db(database.name).collection("log_summaries");
    await summaries.deleteMany({});
    await using third = await startLogger(mongoUrl(database.name));
    await third.ready(READY_MS);
    expect((await pages(third, "limit=500")).length).toBe(await logs.countDocuments());
  }, 120_000);

  test("entries of older writers are found, and counted", async () => {
    await using database = await makeDatabase();
    const older = Array.from({ length: 1_500 }, (_, index) => ({
      name: `old_${index % 3}`,
      data: `word${index}`,
      created_at: new Date(T0 + index),
    }));
    await database.logs.insertMany(older);
    await using logger = await startLogger(mongoUrl(database.name));
    await logger.ready(READY_MS);
    await store(logger, [entry(1)]);
    expect((await pages(logger, "limit=500&name=old_1")).length).toBe(500);
    expect((await getPage(logger, "/logs?q=word1234")).data.items).toHaveLength(1);
    const data = await getHistogram(logger, `/logs/histogram?from=${timeAt(-1)}&to=${timeAt(2_000)}`);
    expect(data.total).toBe(1_501);
  }, 120_000);

  test("what cannot be asked is refused by name, and nothing of it reaches MongoDB", async () => {
    await using database = await makeDatabase();
    await using logger = await startLogger(mongoUrl(database.name));
    await logger.ready(READY_MS);
    for (const [path, named] of [
      ["/logs?limit=501", "limit"],
      ["/logs?cursor=abc", "cursor"],
      ["/logs?name[$ne]=x", "name[$ne]"],
      ["/logs?data.$where=1", "path"],
      ["/logs?from=yesterday", "from"],
      ["/logs?severity=DEBUG", "severity"],
      ["/logs?trace_id=x", "trace_id"],
      ["/logs?q=%25%25", "q"],
      ["/logs/histogram?interval=1s&from=2026-01-01T00:00:00Z", "interval"],
      ["/logs/export?limit=1", "limit"],
    ]) {
      const { status, message } = await get(logger, path ?? "");
      expect([path, status]).toEqual([path, 422]);
      expect(message).toContain(named ?? "");
    }
    expect((await get(logger, "/logs/nobody")).status).toBe(404);
    expect((await getPage(logger, "/logs?data.user.id=%7B%22%24gt%22%3A0%7D")).data.items).toEqual([]);
  });

  test("two exports at a time; one that is left makes room", async () => {
    await using database = await makeDatabase();
    await using logger = await startLogger(mongoUrl(database.name));
    await logger.ready(READY_MS);
    const large = Array.from({ length: 100 }, (_, index) => entry(index, { data: "x".repeat(200_000) }));
    for (let first = 0; first < large.length; first += 10) await store(logger, large.slice(first, first + 10));
    // Readers that take what their sockets have room for, and no more.
    const readers = await Promise.all([begin(logger), begin(logger)]);
    const refused = await fetch(`${logger.app.url}/logs/export`);
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "5"]);
    await refused.text();
    for (const reader of readers) reader.destroy();
    for (let tries = 0; ; tries += 1) {
      const again = await fetch(`${logger.app.url}/logs/export?name=nobody`);
      const text = await again.text();
      if (again.status === 200) {
        expect(text).toBe('{"$export":{"complete":true,"entries":0}}\n');
        break;
      }
      expect(tries).toBeLessThan(100);
      await Bun.sleep(50);
    }
    expect(await logger.metric('logger_exports_total{result="left"')).toBe(2);
  }, 60_000);
});
