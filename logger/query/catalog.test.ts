/** The index of entries against what comes in between: plain doors to a real server that wait where they are told to. */
import { describe, expect, test } from "bun:test";
import { makeLog } from "#shared/log";
import { Deadline } from "#shared/resilience";
import type { LogRecord } from "../entries.ts";
import type { Logs, MongoConnection } from "../mongo.ts";
import { type Database, makeDatabase, NEEDS_MONGODB, TEST_MONGODB_URL, until } from "../testing.ts";
import { type Catalog, makeCatalog } from "./catalog.ts";

const ENTRIES = 1_024;
const soon = (): Deadline => Deadline.after(20_000);

function recordsOf(): LogRecord[] {
  return Array.from({ length: ENTRIES }, (_, index) => ({
    eventId: Bun.randomUUIDv7(),
    name: "n",
    severity: "INFO",
    content: { data: `entry ${index}` },
    createdAt: new Date(1_000 + index),
  })) as unknown as LogRecord[];
}

/** A replica's catalog. `reading` is called when the summaries have been read, and before they are looked at. */
function replica(database: Database, reading: () => Promise<void> = () => Promise.resolve()) {
  const real = database.logs as unknown as Logs;
  const db = database.client.db(database.name);
  const collection = (name: string) => {
    const one = db.collection(name);
    if (name !== "log_summaries") return one;
    return {
      insertOne: one.insertOne.bind(one),
      findOne: one.findOne.bind(one),
      updateOne: one.updateOne.bind(one),
      deleteOne: one.deleteOne.bind(one),
      async *find() {
        const found = await one.find().toArray();
        await reading();
        yield* found;
      },
    };
  };
  const logs = { find: real.find.bind(real), db: { collection } } as unknown as Logs;
  const connection = { logs, isFerretdb: true, epoch: 1 } as unknown as MongoConnection;
  return { logs, catalog: makeCatalog(connection, makeLog({ service: "test", level: "silent" }), 1_048_576) };
}

/** Fills a segment, and waits until its summary is stored. */
async function fill(database: Database, catalog: Catalog, logs: Logs, records = recordsOf()): Promise<number> {
  const number = (await catalog.enter(logs, records.length, soon())) ?? 0;
  catalog.took(number, records);
  const summaries = database.client.db(database.name).collection<{ _id: number }>("log_summaries");
  await until(async () => (await summaries.findOne({ _id: number })) !== null, "the summary is stored");
  return number;
}

describe.skipIf(TEST_MONGODB_URL === undefined)(`the index of entries ${NEEDS_MONGODB}`, () => {
  test("a segment that is begun and completed while the index is read is listed", async () => {
    await using database = await makeDatabase();
    let meanwhile: (() => Promise<unknown>) | undefined;
    const { logs, catalog } = replica(database, async () => {
      const work = meanwhile;
      meanwhile = undefined;
      await work?.();
    });
    await using _ = catalog;
    const numbers: number[] = [];
    meanwhile = async () => numbers.push(await fill(database, catalog, logs), await fill(database, catalog, logs));
    const listed = await catalog.list(logs, soon());
    expect(numbers).toEqual([1, 2]);
    expect(listed.map(({ number }) => number).sort((a, b) => a - b)).toEqual(numbers);
  }, 60_000);

  test("what one replica has removed is not brought back by another that did not know of it", async () => {
    await using database = await makeDatabase();
    const [one, other, third] = [replica(database), replica(database), replica(database)];
    const records = recordsOf();
    const number = await fill(database, one.catalog, one.logs, records);
    for (const { catalog, logs } of [one, other]) expect((await catalog.list(logs, soon()))[0]?.rows).toBe(ENTRIES);
    const goneOf = (from: number, to: number) =>
      records.slice(from, to).map(({ eventId }) => ({ event_id: eventId, segment: number }));
    await one.catalog.removed(one.logs, goneOf(0, 100), soon());
    await other.catalog.removed(other.logs, goneOf(100, 200), soon());
    expect((await third.catalog.list(third.logs, soon()))[0]?.rows).toBe(ENTRIES - 200);
    expect((await other.catalog.list(other.logs, soon()))[0]?.rows).toBe(ENTRIES - 200);
  }, 60_000);

  test("what is removed of a segment that is still being filled is neither listed nor counted later", async () => {
    await using database = await makeDatabase();
    const { catalog, logs } = replica(database);
    await using _ = catalog;
    const records = recordsOf().slice(0, 10);
    const number = (await catalog.enter(logs, records.length, soon())) ?? 0;
    catalog.took(number, records);
    expect((await catalog.list(logs, soon()))[0]?.rows).toBe(10);
    // None of them is in the store: as if they were removed just now.
    const gone = records.map(({ eventId }) => ({ event_id: eventId, segment: number }));
    await catalog.removed(logs, gone, soon());
    expect(await catalog.list(logs, soon())).toEqual([]);
    expect(await catalog.enter(logs, 1, soon())).toBe(number + 1);
  }, 60_000);

  test("a replica that others have left far behind finds the next number at once", async () => {
    await using database = await makeDatabase();
    const { catalog, logs } = replica(database);
    await using _ = catalog;
    const first = (await catalog.enter(logs, ENTRIES, soon())) ?? 0;
    catalog.took(first, []);
    const markers = database.client.db(database.name).collection<{ _id: number; opened_at: Date }>("log_segments");
    await markers.insertMany(
      Array.from({ length: 2_000 }, (_, at) => ({ _id: first + 1 + at, opened_at: new Date() })),
    );
    const began = performance.now();
    expect(await catalog.enter(logs, 1, soon())).toBe(first + 2_001);
    expect(performance.now() - began).toBeLessThan(2_000);
  }, 60_000);
});
