import { expect, test } from "bun:test";
import { Failure, fail, ok, type Result } from "#shared/errors";
import { Deadline } from "#shared/resilience";
import { type BatchStore, type GroupCommitOptions, makeGroupCommit, type Stored } from "./group-commit.ts";
import { until } from "./testing.ts";

type Outcomes = Result<readonly Result<Stored>[]>;

/** A store whose batches are answered by the test, one after another. */
function makeStore() {
  const batches: { items: readonly string[]; answer: (outcomes: Outcomes) => void }[] = [];
  let refusal: Failure | undefined;
  const store: BatchStore<string> = {
    refusal: () => refusal,
    insert(items) {
      const { promise, resolve } = Promise.withResolvers<Outcomes>();
      batches.push({ items, answer: resolve });
      return promise;
    },
  };
  return {
    store,
    batches,
    refuse: (failure: Failure | undefined) => {
      refusal = failure;
    },
    /** The batch at `index`, once it has come. */
    async batch(index: number) {
      await until(() => batches.length > index, `batch ${index}`);
      const batch = batches[index];
      if (batch === undefined) throw new Error("no such batch");
      return { items: batch.items, answer: batch.answer, store: () => batch.answer(stored(batch.items)) };
    },
  };
}

const stored = (items: readonly string[]): Outcomes => ok(items.map(() => ok<Stored>("stored")));
const later = (ms = 10_000) => Deadline.after(ms);

function makeCommit(store: BatchStore<string>, options: Partial<GroupCommitOptions<string>> = {}) {
  return makeGroupCommit<string>({
    store,
    batchItems: 500,
    batchBytes: 1_000,
    batchesInFlight: 1,
    queueItems: 1_000,
    queueBytes: 10_000,
    ...options,
  });
}

test("items of one turn leave together, those that come meanwhile form the next batch, in order", async () => {
  const fake = makeStore();
  const sizes: number[] = [];
  const commit = makeCommit(fake.store, { onBatch: (items) => sizes.push(items) });
  const first = ["a", "b", "c"].map((item) => commit.add(item, 1, later()));
  const one = await fake.batch(0);
  expect(one.items).toEqual(["a", "b", "c"]);

  const second = ["d", "e"].map((item) => commit.add(item, 1, later()));
  await Bun.sleep(5);
  expect(fake.batches).toHaveLength(1);
  expect(commit.waiting).toBe(2);
  one.store();
  expect(await Promise.all(first)).toEqual([ok("stored"), ok("stored"), ok("stored")]);
  const two = await fake.batch(1);
  expect(two.items).toEqual(["d", "e"]);
  two.store();
  expect(await Promise.all(second)).toEqual([ok("stored"), ok("stored")]);
  expect(sizes).toEqual([3, 2]);
});

test("nobody is answered before his batch is acknowledged", async () => {
  const fake = makeStore();
  const commit = makeCommit(fake.store);
  let answered = false;
  const added = commit.add("a", 1, later()).then(() => {
    answered = true;
  });
  const batch = await fake.batch(0);
  await Bun.sleep(20);
  expect(answered).toBe(false);
  batch.store();
  await added;
});

test("a batch holds no more items and bytes than it may, and at least one item", async () => {
  const fake = makeStore();
  const commit = makeCommit(fake.store, { batchItems: 3, batchBytes: 100 });
  const sizes: [string, number][] = [
    ["a", 1],
    ["b", 1],
    ["c", 1],
    ["d", 60],
    ["e", 40],
    ["f", 1],
    ["huge", 5_000],
    ["g", 1],
  ];
  const added = sizes.map(([item, bytes]) => commit.add(item, bytes, later()));
  for (const items of [["a", "b", "c"], ["d", "e"], ["f"], ["huge"], ["g"]]) {
    const batch = await fake.batch(fake.batches.length === 0 ? 0 : fake.batches.length - 1);
    expect(batch.items).toEqual(items);
    const count = fake.batches.length;
    batch.store();
    if (items[0] !== "g") await until(() => fake.batches.length > count, "the next batch");
  }
  await Promise.all(added);
});

test("as many batches are on their way at a time as may be", async () => {
  const fake = makeStore();
  const commit = makeCommit(fake.store, { batchItems: 1, batchesInFlight: 2 });
  const added = ["a", "b", "c"].map((item) => commit.add(item, 1, later()));
  const [one, two] = [await fake.batch(0), await fake.batch(1)];
  await Bun.sleep(5);
  expect(fake.batches).toHaveLength(2);
  two.store();
  (await fake.batch(2)).store();
  one.store();
  expect(await Promise.all(added)).toEqual([ok("stored"), ok("stored"), ok("stored")]);
});

test("each item has its own outcome", async () => {
  const fake = makeStore();
  const commit = makeCommit(fake.store);
  const added = ["a", "b", "c"].map((item) => commit.add(item, 1, later()));
  const bad = fail("invalid", "refused");
  (await fake.batch(0)).answer(ok([ok("stored"), bad, ok("conflict")]));
  expect(await Promise.all(added)).toEqual([ok("stored"), bad, ok("conflict")]);
});

test("when the store fails, all of the batch fail, and the next batch is tried", async () => {
  const fake = makeStore();
  const commit = makeCommit(fake.store);
  const first = ["a", "b"].map((item) => commit.add(item, 1, later()));
  const one = await fake.batch(0);
  const next = commit.add("c", 1, later());
  const away = fail("unavailable", "away");
  one.answer(away);
  expect(await Promise.all(first)).toEqual([away, away]);
  (await fake.batch(1)).store();
  expect(await next).toEqual(ok("stored"));
});

test("of a batch that the store refuses, only the item at fault fails", async () => {
  const seen: string[][] = [];
  const bad = fail("invalid", "refused");
  const commit = makeCommit({
    refusal: () => undefined,
    insert: async (items) => {
      seen.push([...items]);
      return items.includes("poison") ? bad : stored(items);
    },
  });
  const items = ["a", "b", "poison", "c", "d"];
  const results = await Promise.all(items.map((item) => commit.add(item, 1, later())));
  expect(results.map((result) => result.ok)).toEqual([true, true, false, true, true]);
  expect(results[2]).toEqual(bad);
  // Halving: nothing is stored twice.
  const storedItems = seen.filter((batch) => !batch.includes("poison")).flat();
  expect(storedItems.sort()).toEqual(["a", "b", "c", "d"]);
});

test("an item whose time is up before its batch leaves is not stored", async () => {
  const fake = makeStore();
  const commit = makeCommit(fake.store);
  const first = commit.add("a", 1, later());
  const one = await fake.batch(0);
  const late = await commit.add("late", 1, later(30));
  expect(late).toMatchObject({ ok: false, error: { code: "deadline" } });
  expect(commit.waiting).toBe(0);
  const next = commit.add("b", 1, later());
  one.store();
  const two = await fake.batch(1);
  expect(two.items).toEqual(["b"]);
  two.store();
  await Promise.all([first, next]);
});

test("an item whose caller has gone before its batch leaves is not stored", async () => {
  const fake = makeStore();
  const commit = makeCommit(fake.store);
  const caller = new AbortController();
  const gone = commit.add("gone", 1, Deadline.after(10_000, caller.signal));
  const here = commit.add("here", 1, later());
  caller.abort();
  const batch = await fake.batch(0);
  expect(batch.items).toEqual(["here"]);
  batch.store();
  expect(await gone).toMatchObject({ ok: false, error: { code: "deadline" } });
  expect(await here).toEqual(ok("stored"));
});

test("an item on its way is answered at its deadline, and its batch goes on", async () => {
  const fake = makeStore();
  const commit = makeCommit(fake.store);
  const hasty = commit.add("hasty", 1, later(30));
  const patient = commit.add("patient", 1, later());
  const batch = await fake.batch(0);
  expect(await hasty).toMatchObject({ ok: false, error: { code: "deadline" } });
  batch.store();
  expect(await patient).toEqual(ok("stored"));
});

test("a full queue refuses with exhausted and when to come again, by items and by bytes", async () => {
  for (const limit of [{ queueItems: 2 }, { queueBytes: 20 }]) {
    const fake = makeStore();
    const commit = makeCommit(fake.store, limit);
    const onItsWay = commit.add("a", 10, later());
    const one = await fake.batch(0);
    const waiting = ["b", "c"].map((item) => commit.add(item, 10, later()));
    const refused = await commit.add("d", 10, later());
    expect(refused).toMatchObject({ ok: false, error: { code: "exhausted", retryAfterS: 1 } });
    one.store();
    (await fake.batch(1)).store();
    expect(await Promise.all([onItsWay, ...waiting])).toHaveLength(3);
    // There is room again.
    const after = commit.add("e", 10, later());
    (await fake.batch(2)).store();
    expect(await after).toEqual(ok("stored"));
  }
});

test("bytes of items whose time was up make room", async () => {
  const fake = makeStore();
  const commit = makeCommit(fake.store, { queueBytes: 20 });
  const onItsWay = commit.add("a", 10, later());
  const one = await fake.batch(0);
  await Promise.all([commit.add("b", 10, later(20)), commit.add("c", 10, later(20))]);
  const fit = ["d", "e"].map((item) => commit.add(item, 10, later()));
  one.store();
  (await fake.batch(1)).store();
  expect(await Promise.all([onItsWay, ...fit])).toEqual([ok("stored"), ok("stored"), ok("stored")]);
});

test("while the store is away nothing is queued", async () => {
  const fake = makeStore();
  const commit = makeCommit(fake.store);
  const away = new Failure("unavailable", "away");
  fake.refuse(away);
  expect(await commit.add("a", 1, later())).toEqual({ ok: false, error: away });
  expect(fake.batches).toHaveLength(0);
  fake.refuse(undefined);
  const added = commit.add("b", 1, later());
  (await fake.batch(0)).store();
  expect(await added).toEqual(ok("stored"));
});

test("draining stores what was taken and takes nothing more", async () => {
  const fake = makeStore();
  const commit = makeCommit(fake.store, { batchItems: 1 });
  const added = ["a", "b"].map((item) => commit.add(item, 1, later()));
  let drained = false;
  const draining = Promise.all([commit.drain(), commit.drain()]).then(() => {
    drained = true;
  });
  expect(await commit.add("c", 1, later())).toMatchObject({ ok: false, error: { code: "unavailable" } });
  (await fake.batch(0)).store();
  const last = await fake.batch(1);
  await Bun.sleep(5);
  expect(drained).toBe(false);
  last.store();
  await draining;
  expect(await Promise.all(added)).toEqual([ok("stored"), ok("stored")]);
  await commit.drain();
});
