/** Decisions of the report, over a store of plain objects. */
import { expect, test } from "bun:test";
import type { GapsReport } from "#contracts/logs";
import { Failure, ok } from "#shared/errors";
import { newContext } from "#shared/telemetry";
import { type GapsLimits, type GapsQuery, makeGaps } from "./gaps.ts";
import type { GapsStore } from "./gaps-store.ts";
import { BLOCK_NUMBERS, BlockNumbers, blockOf } from "./numbers.ts";

interface Held {
  id: string;
  at: number;
  stored: number[];
  voided?: number[];
  /** Blocks that are known, and the highest number that came of each. */
  marks?: [block: number, last: number][];
}

const day = (at: number): Date => new Date(Date.UTC(2026, 0, at));

function storeOf(held: Held[]): GapsStore {
  const of = (id: string): Held => held.find((one) => one.id === id) ?? { id, at: 0, stored: [] };
  return {
    async producers({ place, only }, limit) {
      return held
        .filter(({ id }) => only === undefined || id === only)
        .map(({ id, at }) => ({ _id: id, first_stored_at: day(at) }))
        .sort((a, b) => b.first_stored_at.getTime() - a.first_stored_at.getTime() || (a._id < b._id ? -1 : 1))
        .filter(({ _id, first_stored_at }) => {
          if (place === undefined || first_stored_at < place.firstStoredAt) return true;
          const isEqual = first_stored_at.getTime() === place.firstStoredAt.getTime();
          return isEqual && (place.included ? _id >= place.id : _id > place.id);
        })
        .slice(0, limit);
    },
    async blocks(id, first, limit) {
      const { stored, at, marks = [] } = of(id);
      const lasts = new Map<number, number>();
      for (const number of stored) lasts.set(blockOf(number), Math.max(number, lasts.get(blockOf(number)) ?? 0));
      for (const [block, last] of marks) lasts.set(block, last);
      return [...lasts]
        .filter(([block]) => block >= first)
        .sort(([a], [b]) => a - b)
        .slice(0, limit)
        .map(([block, last]) => ({ block, last, last_stored_at: day(at + 1) }));
    },
    async numbers(id, block) {
      const numbers = new BlockNumbers(block);
      for (const number of of(id).stored) numbers.add(number);
      for (const number of of(id).voided ?? []) numbers.void(number);
      return numbers;
    },
    async entries(id, block, sequences) {
      return of(id)
        .stored.map((sequence, index) => ({ sequence, event_id: `${id}-${index}` }))
        .filter(({ sequence }) => blockOf(sequence) === block && sequences.includes(sequence));
    },
  };
}

async function report(held: Held[], query: GapsQuery = {}, limits?: GapsLimits): Promise<GapsReport> {
  const result = await makeGaps(storeOf(held), limits).report(query, newContext());
  if (!result.ok) throw result.error;
  return result.value;
}

const upTo = (last: number, without: readonly number[] = []): number[] =>
  Array.from({ length: last }, (_, index) => index + 1).filter((number) => !without.includes(number));

test("a producer of which nothing is missing", async () => {
  expect(await report([{ id: "a", at: 1, stored: upTo(5) }])).toEqual({
    items: [
      {
        producer: "a",
        last: 5,
        stored: 5,
        missing: 0,
        missing_ranges: [],
        duplicates: [],
        first_stored_at: day(1).toISOString(),
        last_stored_at: day(2).toISOString(),
      },
    ],
    entries: 5,
    missing: 0,
  });
});

test("what is missing is named across blocks, and a voided number is not missing", async () => {
  const edge = BLOCK_NUMBERS;
  const gone = [1, 7, edge, edge + 1, edge + 2, 2 * edge];
  const { items, missing } = await report([
    { id: "a", at: 1, stored: upTo(2 * edge + 3, [...gone, 9, edge + 5]), voided: [9, edge + 5] },
  ]);
  expect(items[0]?.missing_ranges).toEqual([
    [1, 1],
    [7, 7],
    [edge, edge + 2],
    [2 * edge, 2 * edge],
  ]);
  expect([items[0]?.missing, missing, items[0]?.last, items[0]?.stored]).toEqual([
    6,
    6,
    2 * edge + 3,
    2 * edge + 3 - 8,
  ]);
});

test("blocks of which nothing ever came are missing as a whole, however many", async () => {
  const far = Number.MAX_SAFE_INTEGER;
  const { items } = await report([{ id: "a", at: 1, stored: [1, far] }]);
  expect(items[0]).toMatchObject({ last: far, stored: 2, missing: far - 2, missing_ranges: [[2, far - 1]] });
});

test("the highest number counts though its entry is gone, and so does a producer of whom all is gone", async () => {
  const [known, all] = (
    await report([
      { id: "known", at: 2, stored: upTo(5), marks: [[0, 8]] },
      { id: "all gone", at: 1, stored: [], marks: [[0, 3]] },
    ])
  ).items;
  expect(known).toMatchObject({ last: 8, stored: 5, missing: 3, missing_ranges: [[6, 8]] });
  expect(all).toMatchObject({ last: 3, stored: 0, missing: 3, missing_ranges: [[1, 3]] });
});

test("numbers that more than one entry has are named with the ids of those entries", async () => {
  const { items } = await report([{ id: "a", at: 1, stored: [1, 2, 2, 3, 4, 4, 4] }]);
  expect(items[0]).toMatchObject({ stored: 7, missing: 0, last: 4 });
  expect(items[0]?.duplicates).toEqual([
    { sequence: 2, event_ids: ["a-1", "a-2"] },
    { sequence: 4, event_ids: ["a-4", "a-5", "a-6"] },
  ]);
});

test("a hundred ranges and a hundred duplicates are listed, and it is said that there are more", async () => {
  const everySecond = upTo(250).map((number) => number * 2);
  const ranges = (await report([{ id: "a", at: 1, stored: everySecond }])).items[0];
  expect([ranges?.missing_ranges.length, ranges?.missing, ranges?.cut]).toEqual([100, 250, true]);
  const twice = (await report([{ id: "a", at: 1, stored: [...upTo(101), ...upTo(101)] }])).items[0];
  expect([twice?.duplicates.length, twice?.missing, twice?.cut]).toEqual([100, 0, true]);
  const exactly = (await report([{ id: "a", at: 1, stored: [...upTo(100), ...upTo(100)] }])).items[0];
  expect([exactly?.duplicates.length, exactly?.cut]).toEqual([100, undefined]);
});

test("pages go on where the last one ended, newest first, whoever comes meanwhile", async () => {
  const held: Held[] = ["a", "b", "c", "d", "e"].map((id, index) => ({ id, at: (index >> 1) + 1, stored: [1, 3] }));
  const seen: string[] = [];
  let cursor: string | undefined;
  for (let pages = 0; pages < 10; pages += 1) {
    const page: GapsReport = await report(held, { limit: 2, ...(cursor === undefined ? {} : { cursor }) });
    seen.push(...page.items.map(({ producer }) => producer));
    held.push({ id: `later ${pages}`, at: 20 + pages, stored: [1] });
    cursor = page.next_cursor;
    if (cursor === undefined) break;
  }
  expect(seen).toEqual(["e", "c", "d", "a", "b"]);
  expect((await report(held, { producer: "c" })).items.map(({ producer }) => producer)).toEqual(["c"]);
  expect(await report(held, { producer: "nobody" })).toEqual({ items: [], entries: 0, missing: 0 });
});

test("a producer with more than one page looks at is told over several, without a hole and without a repetition", async () => {
  const last = 5 * BLOCK_NUMBERS + 10;
  const gone = [5, BLOCK_NUMBERS, BLOCK_NUMBERS + 1, 3 * BLOCK_NUMBERS + 2, last - 1];
  const held = [
    { id: "big", at: 2, stored: upTo(last, gone) },
    { id: "small", at: 1, stored: [1, 3] },
  ];
  for (const limits of [
    { entries: BLOCK_NUMBERS, blocks: 100 },
    { entries: 1_000_000, blocks: 2 },
  ]) {
    const found: number[] = [];
    let at = 1;
    let pages = 0;
    let stored = 0;
    for (let cursor: string | undefined; ; pages += 1) {
      const page: GapsReport = await report(held, cursor === undefined ? {} : { cursor }, limits);
      for (const item of page.items.filter(({ producer }) => producer === "big")) {
        expect(item.from ?? 1).toBe(at);
        at = (item.to ?? item.last) + 1;
        stored += item.stored;
        for (const [first, until] of item.missing_ranges) for (let n = first; n <= until; n += 1) found.push(n);
      }
      cursor = page.next_cursor;
      if (cursor !== undefined) continue;
      expect(page.items.at(-1)).toMatchObject({ producer: "small", missing_ranges: [[2, 2]] });
      break;
    }
    expect(pages).toBeGreaterThan(1);
    expect([found, stored, at]).toEqual([gone, last - gone.length, last + 1]);
  }
});

test("a page ends early, rather than fails, where the time may not be enough for more", async () => {
  const store = storeOf([{ id: "a", at: 1, stored: upTo(20 * BLOCK_NUMBERS) }]);
  const slow: GapsStore = {
    ...store,
    async numbers(...asked) {
      await Bun.sleep(100);
      return store.numbers(...asked);
    },
  };
  const result = await makeGaps(slow).report({}, newContext(1_000));
  if (!result.ok) throw result.error;
  const [item] = result.value.items;
  expect(item?.to ?? 0).toBeGreaterThanOrEqual(BLOCK_NUMBERS);
  expect(item?.to ?? 0).toBeLessThan(20 * BLOCK_NUMBERS);
  expect([item?.stored, item?.last]).toEqual([item?.to, 20 * BLOCK_NUMBERS]);
  const rest = await makeGaps(store).report({ cursor: result.value.next_cursor ?? "" }, newContext());
  expect(rest).toMatchObject({ ok: true, value: { items: [{ from: (item?.to ?? 0) + 1, missing: 0 }] } });
});

test.each([
  "x",
  "e30",
  "W10",
  Buffer.from('[1,"a",-1]').toString("base64url"),
  Buffer.from('["1","a",0]').toString("base64url"),
])("a cursor of somebody's own (%s) is invalid", async (cursor) => {
  const result = await makeGaps(storeOf([])).report({ cursor }, newContext());
  expect(result).toMatchObject({ ok: false, error: { code: "invalid", message: expect.stringContaining("cursor") } });
});

test("one report at a time: a second one hears when to come again, and a failed one leaves the way free", async () => {
  const { promise, reject } = Promise.withResolvers<never>();
  const store = { ...storeOf([]), producers: () => promise };
  const gaps = makeGaps(store);
  const first = gaps.report({}, newContext());
  expect(await gaps.report({}, newContext())).toMatchObject({
    ok: false,
    error: { code: "exhausted", retryAfterS: 2 },
  });
  reject(new Failure("unavailable", "MongoDB is unavailable"));
  expect(await first).toMatchObject({ ok: false, error: { code: "unavailable" } });
  store.producers = () => Promise.resolve([]) as never;
  expect(await gaps.report({}, newContext())).toEqual(ok({ items: [], entries: 0, missing: 0 }));
});

test("a block that cannot be read fails the report, and not the process", async () => {
  const store = storeOf([{ id: "a", at: 1, stored: upTo(3 * BLOCK_NUMBERS) }]);
  const gaps = makeGaps({ ...store, numbers: () => Promise.reject(new Failure("unavailable")) });
  expect(await gaps.report({}, newContext())).toMatchObject({ ok: false, error: { code: "unavailable" } });
});
