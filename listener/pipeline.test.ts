import { describe, expect, test } from "bun:test";
import { Failure, fail, ok, type Result } from "#shared/errors";
import { type Fate, makePipeline, type PipelineOptions } from "./pipeline.ts";

async function until(condition: () => boolean, ms = 5_000): Promise<void> {
  const endsAt = performance.now() + ms;
  while (!condition()) {
    if (performance.now() > endsAt) throw new Error("it did not come to pass");
    await Bun.sleep(1);
  }
}

function setUp(options: Partial<PipelineOptions<number>> = {}) {
  const seen = {
    batches: [] as number[][],
    fates: [] as number[],
    own: [] as number[],
    held: 0,
    resumed: 0,
    givenBack: 0,
    away: false,
  };
  const pipeline = makePipeline<number>({
    batchItems: 3,
    batchBytes: 100,
    bytesOf: () => 1,
    concurrent: 1,
    work: async (items) => {
      seen.batches.push([...items]);
      await Bun.sleep(1);
      return items.map((): Fate => (seen.away ? { hold: new Failure("unavailable") } : "done"));
    },
    probe: async (): Promise<Result<void>> => (seen.away ? fail("unavailable") : ok()),
    onOwnFault: async (item) => {
      seen.own.push(item);
      return "retried";
    },
    onFate: (item) => seen.fates.push(item),
    onHeld: () => (seen.held += 1),
    onResumed: () => (seen.resumed += 1),
    giveBackMs: 60_000,
    onGiveBack: () => (seen.givenBack += 1),
    backoff: () => 5,
    ...options,
  });
  return { pipeline, seen };
}

test("what comes together goes together, in order and at most so many at a time", async () => {
  const { pipeline, seen } = setUp();
  await until(() => seen.resumed === 1);
  for (let item = 1; item <= 7; item += 1) pipeline.push(item);
  await pipeline.drain(1_000);
  expect(seen.batches).toEqual([[1, 2, 3], [4, 5, 6], [7]]);
  expect(seen.fates).toEqual([1, 2, 3, 4, 5, 6, 7]);
  expect(pipeline.inHand).toBe(0);
  pipeline[Symbol.dispose]();
});

test("a batch has its limit in bytes, and what is larger goes alone", async () => {
  const { pipeline, seen } = setUp({ bytesOf: (item) => item, batchBytes: 10 });
  await until(() => seen.resumed === 1);
  for (const item of [4, 6, 50, 1, 2]) pipeline.push(item);
  await pipeline.drain(1_000);
  expect(seen.batches).toEqual([[4, 6], [50], [1, 2]]);
  pipeline[Symbol.dispose]();
});

test("while the neighbour is away all is kept, one after the other is tried, and the order stays", async () => {
  const { pipeline, seen } = setUp({ concurrent: 2 });
  await until(() => seen.resumed === 1);
  seen.away = true;
  for (let item = 1; item <= 9; item += 1) pipeline.push(item);
  await until(() => pipeline.held);
  for (let item = 10; item <= 12; item += 1) pipeline.push(item);
  await until(() => seen.batches.length >= 20);
  expect(seen.held).toBe(1);
  expect(pipeline.inHand).toBe(12);
  expect(seen.fates).toEqual([]);
  expect(new Set(seen.batches.map(({ length }) => length).slice(2))).toEqual(new Set([1]));
  expect(new Set(seen.batches.slice(-12).flat()).size).toBe(12);
  seen.away = false;
  await until(() => seen.fates.length === 12);
  // The one that came through first was next to be tried.
  const [first, ...others] = seen.fates;
  expect(others).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12].filter((item) => item !== first));
  expect(seen.own).toEqual([]);
  expect(seen.resumed).toBe(2);
  pipeline[Symbol.dispose]();
});

test("begins held, and asks whether the neighbour is there while it has nothing to try", async () => {
  let asked = 0;
  const { pipeline, seen } = setUp({ probe: async () => (++asked < 3 ? fail("unavailable") : ok()) });
  expect(pipeline.held).toBe(true);
  await until(() => seen.resumed === 1);
  expect(asked).toBe(3);
  expect(seen.batches).toEqual([]);
  pipeline[Symbol.dispose]();
});

test("is tried at once when there is reason to believe that the neighbour is back", async () => {
  const { pipeline, seen } = setUp({ backoff: (attempt) => (attempt < 2 ? 1 : 600_000) });
  await until(() => seen.resumed === 1);
  seen.away = true;
  pipeline.push(1);
  await until(() => seen.batches.length === 2);
  pipeline.wake();
  // Still away: short waits again before the long one.
  await until(() => seen.batches.length === 4);
  seen.away = false;
  pipeline.wake();
  await until(() => seen.fates.length === 1);
  expect(seen.resumed).toBe(2);
  // What is not held needs no waking, and is not disturbed by it later.
  pipeline.wake();
  pipeline.push(2);
  await until(() => seen.fates.length === 2);
  pipeline[Symbol.dispose]();
});

test("what was cleared is forgotten, also when its batch comes back", async () => {
  const { pipeline, seen } = setUp();
  await until(() => seen.resumed === 1);
  for (let item = 1; item <= 5; item += 1) pipeline.push(item);
  await until(() => seen.batches.length === 1);
  pipeline.clear();
  pipeline.push(6);
  await until(() => seen.fates.length > 0);
  expect(seen.fates).toEqual([6]);
  expect(pipeline.inHand).toBe(0);
  pipeline[Symbol.dispose]();
});

test("gives back what was held for too long, once each such time", async () => {
  const { pipeline, seen } = setUp({
    giveBackMs: 20,
    onGiveBack: () => {
      seen.givenBack += 1;
      pipeline.clear();
    },
  });
  await until(() => seen.resumed === 1);
  seen.away = true;
  pipeline.push(1);
  await until(() => seen.givenBack === 1);
  await Bun.sleep(60);
  expect(seen.givenBack).toBe(1);
  expect(pipeline.held).toBe(true);
  expect(pipeline.inHand).toBe(0);
  seen.away = false;
  await until(() => seen.resumed === 2);
  pipeline[Symbol.dispose]();
});

test("work that throws keeps its messages in hand: nothing is lost by a bug", async () => {
  let broken = true;
  const { pipeline, seen } = setUp({
    work: async (items) => {
      if (broken) throw new Error("a bug");
      return items.map(() => "done");
    },
  });
  await until(() => seen.resumed === 1);
  for (let item = 1; item <= 3; item += 1) pipeline.push(item);
  await until(() => seen.held === 1);
  expect(pipeline.inHand).toBe(3);
  broken = false;
  await until(() => seen.fates.length === 3);
  expect(seen.own).toEqual([]);
  pipeline[Symbol.dispose]();
});

describe("a failure that may be the message's own or the neighbour's", () => {
  /** Fails for `bad`, and for all while the neighbour is sick. */
  const unsureOf = (bad: readonly number[], state = { sick: false }) => {
    const tried: number[] = [];
    const kit = setUp({
      work: async (items) => {
        tried.push(...items);
        await Bun.sleep(1);
        const unsure = { unsure: new Failure("internal") };
        return items.map((item): Fate => (state.sick || bad.includes(item) ? unsure : "done"));
      },
    });
    return { ...kit, tried, state };
  };

  test("is the message's where another one succeeds beside it: one attempt, and the others lose no time", async () => {
    const { pipeline, seen } = unsureOf([2]);
    await until(() => seen.resumed === 1);
    for (const item of [1, 2, 3]) pipeline.push(item);
    await until(() => seen.fates.length === 3);
    expect(seen.own).toEqual([2]);
    expect(seen.held).toBe(0);
    pipeline[Symbol.dispose]();
  });

  test("is the message's where another one succeeds after it", async () => {
    const { pipeline, seen } = unsureOf([1, 2]);
    await until(() => seen.resumed === 1);
    pipeline.push(1);
    await until(() => pipeline.held);
    for (const item of [2, 3]) pipeline.push(item);
    await until(() => seen.fates.length === 3);
    expect(new Set(seen.own)).toEqual(new Set([1, 2]));
    pipeline[Symbol.dispose]();
  });

  test("is the neighbour's while it breaks at all of them: no attempt is spent, however long it takes", async () => {
    const { pipeline, seen, tried, state } = unsureOf([], { sick: true });
    await until(() => seen.resumed === 1);
    for (const item of [1, 2, 3, 4]) pipeline.push(item);
    await until(() => tried.length > 60);
    expect(seen.own).toEqual([]);
    expect(pipeline.inHand).toBe(4);
    // Each is tried in turn: one of them could be a witness.
    expect(new Set(tried.slice(-4)).size).toBe(4);
    state.sick = false;
    await until(() => seen.fates.length === 4);
    expect(seen.own).toEqual([]);
    pipeline[Symbol.dispose]();
  });

  test("is the message's in the end where no other one comes, and the neighbour says that it is well", async () => {
    const { pipeline, seen, tried } = unsureOf([1]);
    await until(() => seen.resumed === 1);
    pipeline.push(1);
    await until(() => seen.own.length === 1);
    expect(tried.length).toBe(5);
    pipeline[Symbol.dispose]();
  });
});

describe("a message for which alone the neighbour is away", () => {
  const away = { hold: new Failure("unavailable") };

  test.each([1, 3])(
    "keeps no other one waiting, and spends an attempt in the end (batches of %d)",
    async (batchItems) => {
      const { pipeline, seen } = setUp({
        batchItems,
        work: async (items) => {
          await Bun.sleep(1);
          return items.map((item): Fate => (item === 1 ? away : "done"));
        },
      });
      await until(() => seen.resumed === 1);
      for (let item = 1; item <= 4; item += 1) pipeline.push(item);
      await until(() => seen.fates.length >= 3);
      expect(new Set(seen.fates)).toEqual(new Set([2, 3, 4]));
      expect(seen.own).toEqual([]);
      for (let item = 5; seen.own.length === 0; item += 1) {
        pipeline.push(item);
        await until(() => seen.fates.includes(item));
      }
      expect(seen.own).toEqual([1]);
      pipeline[Symbol.dispose]();
    },
  );

  test("spends none while nothing else is handled, nor what was held together with it", async () => {
    let tried = 0;
    const { pipeline, seen } = setUp({
      work: async (items) => {
        tried += items.length;
        await Bun.sleep(1);
        // Whoever asks for all of them hears that it took too long, because of the first.
        return items.map((): Fate => (items.includes(1) ? away : "done"));
      },
    });
    await until(() => seen.resumed === 1);
    pipeline.push(1);
    await until(() => tried > 20);
    expect(seen.own).toEqual([]);
    for (let item = 2; item <= 40; item += 1) pipeline.push(item);
    await until(() => seen.fates.length === 40);
    // Not only those that were tried alone while work was held.
    expect(seen.held).toBeLessThan(10);
    expect(seen.own).toEqual([1]);
    pipeline[Symbol.dispose]();
  });
});

test("a suspect is handled alone, after all that are none", async () => {
  const underWay = new Set<number>();
  const seenAlone: number[] = [];
  const { pipeline, seen } = setUp({
    concurrent: 2,
    work: async (items, alone) => {
      for (const item of items) underWay.add(item);
      if (alone) {
        expect([...underWay]).toEqual([...items]);
        seenAlone.push(...items);
      }
      await Bun.sleep(2);
      for (const item of items) underWay.delete(item);
      return items.map(() => "done");
    },
  });
  await until(() => seen.resumed === 1);
  pipeline.push(100, true);
  pipeline.push(101, true);
  for (let item = 1; item <= 9; item += 1) pipeline.push(item);
  await until(() => seen.fates.length === 11);
  expect(seenAlone).toEqual([100, 101]);
  expect(seen.fates.slice(-2)).toEqual([100, 101]);
  pipeline[Symbol.dispose]();
});

test("a drain ends when nothing is in hand, at once when work is held, and at its time", async () => {
  const { pipeline, seen } = setUp({ work: () => new Promise(() => undefined) });
  await until(() => seen.resumed === 1);
  await pipeline.drain(1_000);
  pipeline.push(1);
  const startedAt = performance.now();
  await pipeline.drain(50);
  expect(performance.now() - startedAt).toBeGreaterThanOrEqual(45);
  expect(pipeline.inHand).toBe(1);
  pipeline[Symbol.dispose]();
});
