/** What is remembered, for how long, and what a change does while something is being loaded. */
import { expect, test } from "bun:test";
import { fail, ok, type Result } from "#shared/errors";
import { HAS_REDIS, NEEDS_REDIS, startRedis, until } from "#shared/redis-testing";
import { makeMetrics, type Metrics } from "#shared/telemetry";
import { type CacheOptions, makeCache } from "./cache.ts";

const withRedis = test.skipIf(!HAS_REDIS);

interface Thing {
  readonly text: string;
}

const codec = {
  write: (value: Thing) => Buffer.from(JSON.stringify(value)),
  read: (bytes: Buffer) => (bytes.length === 0 ? undefined : (JSON.parse(bytes.toString()) as Thing)),
};

function cacheOf(options: Partial<CacheOptions<Thing>> = {}) {
  const clock = { now: 1_000 };
  const metrics: Metrics = makeMetrics("test", "0");
  metrics[Symbol.dispose]();
  const cache = makeCache<Thing>({
    name: "things",
    maxEntries: 100,
    ttlMs: 1_000,
    metrics,
    now: () => clock.now,
    ...options,
  });
  const loads: string[] = [];
  const load =
    (text: string): (() => Promise<Result<Thing | undefined>>) =>
    async () => {
      loads.push(text);
      return ok({ text });
    };
  const read = async (group: string, item: string, text: string): Promise<string | undefined> => {
    const found = await cache.get(group, item, load(text));
    return found.ok ? found.value?.text : found.error.code;
  };
  return { cache, clock, read, loads, metrics };
}

async function readsOf(metrics: Metrics): Promise<Record<string, number>> {
  const found = (await metrics.text()).matchAll(/cache_reads_total\{[^}]*from="(\w+)"[^}]*\} (\d+)/g);
  return Object.fromEntries(Array.from(found, ([, from, times]) => [from, Number(times)]));
}

/** A load that goes on when it is told to. */
function slow() {
  const { promise, resolve } = Promise.withResolvers<Result<Thing | undefined>>();
  return { load: () => promise, done: (text: string) => resolve(ok({ text })) };
}

test("known until its time is over, counted from when it began to be loaded", async () => {
  const { cache, clock, read, loads } = cacheOf();
  const waiting = slow();
  const first = cache.get("a", "1", waiting.load);
  clock.now += 600;
  waiting.done("old");
  expect(await first).toEqual(ok({ text: "old" }));
  clock.now += 399;
  expect(await read("a", "1", "new")).toBe("old");
  clock.now += 1;
  expect(await read("a", "1", "new")).toBe("new");
  expect(loads).toEqual(["new"]);
});

test("what came after its time is given to who asked, and not kept", async () => {
  const { cache, clock, read } = cacheOf();
  const waiting = slow();
  const first = cache.get("a", "1", waiting.load);
  clock.now += 1_000;
  waiting.done("late");
  expect(await first).toEqual(ok({ text: "late" }));
  expect(await read("a", "1", "new")).toBe("new");
});

test("who asks for the same at the same time is answered together; nothing and failures are not kept", async () => {
  const { cache, read, loads } = cacheOf();
  expect(await Promise.all([read("a", "1", "x"), read("a", "1", "y"), read("a", "2", "z")])).toEqual(["x", "x", "z"]);
  expect(loads).toEqual(["x", "z"]);
  expect(await cache.get("b", "1", async () => ok(undefined))).toEqual(ok(undefined));
  expect((await cache.get("b", "1", async () => fail("unavailable"))).ok).toBe(false);
  const bug = cache.get("b", "1", async () => Promise.reject(new Error("a bug")));
  expect(await bug.catch((error: unknown) => String(error))).toBe("Error: a bug");
  expect(await read("b", "1", "there")).toBe("there");
});

test("a change is forgotten by its group, and no other", async () => {
  const { cache, read } = cacheOf();
  for (const [group, item] of [
    ["1", "a"],
    ["1", "b"],
    ["11", "a"],
    ["2", "1"],
  ] as const)
    await read(group, item, "old");
  cache.forget("1");
  expect(await read("1", "a", "new")).toBe("new");
  expect(await read("1", "b", "new")).toBe("new");
  expect(await read("11", "a", "new")).toBe("old");
  expect(await read("2", "1", "new")).toBe("old");
  cache.forgetItem("1");
  expect(await read("2", "1", "new")).toBe("new");
  expect(await read("11", "a", "new")).toBe("old");
  cache.clear();
  expect(await read("11", "a", "new")).toBe("new");
});

test("what was being loaded when a change was told is not kept, and not given to who asks after the change", async () => {
  for (const change of ["forget", "forgetItem", "clear"] as const) {
    const { cache, read } = cacheOf();
    const waiting = slow();
    const before = cache.get("a", "1", waiting.load);
    if (change === "clear") cache.clear();
    else cache[change](change === "forget" ? "a" : "1");
    expect(await read("a", "1", "new")).toBe("new");
    waiting.done("old");
    expect(await before).toEqual(ok({ text: "old" }));
    expect(await read("a", "1", "newer")).toBe("new");
  }
});

test("entries are bounded: the one that was asked for longest ago goes", async () => {
  const { read } = cacheOf({ maxEntries: 2 });
  await read("a", "1", "old");
  await read("b", "1", "old");
  await read("a", "1", "new");
  await read("c", "1", "old");
  expect(await read("a", "1", "new")).toBe("old");
  expect(await read("b", "1", "new")).toBe("new");
});

test("an item is forgotten in whichever groups it is, and nothing that went by number is remembered of it", async () => {
  const { cache, read } = cacheOf({ maxEntries: 3 });
  await read("a", "1", "old");
  await read("b", "1", "old");
  await read("b", "2", "old");
  cache.forgetItem("1");
  expect([await read("a", "1", "new"), await read("b", "2", "new")]).toEqual(["new", "old"]);
  for (const item of ["3", "4", "5"]) await read("b", item, "old");
  cache.forgetItem("1");
  cache.forget("a");
  expect([await read("b", "5", "new"), await read("a", "1", "newer")]).toEqual(["old", "newer"]);
  cache.clear();
  expect([await read("b", "5", "new"), await read("a", "1", "newest")]).toEqual(["new", "newest"]);
});

test("hits and misses are counted", async () => {
  const { cache, read, metrics } = cacheOf();
  await read("a", "1", "x");
  await read("a", "1", "x");
  cache.forget("a");
  expect(await readsOf(metrics)).toEqual({ source: 1, process: 1 });
  expect(await metrics.text()).toMatch(/cache_invalidations_total\{[^}]*cache="things"[^}]*\} 1\n/);
});

withRedis(
  `shared: another replica's entry is used; a load from before a change is not, whoever made it ${NEEDS_REDIS}`,
  async () => {
    await using server = await startRedis();
    const connect = async () => ({
      shared: { redis: await server.connect({ answerMs: 10_000 }), codec },
      ttlMs: 60_000,
    });
    const [here, there] = [cacheOf(await connect()), cacheOf(await connect())];
    const third = cacheOf(await connect());
    const redis = await server.connect();
    const isThere = (item: string) => async (): Promise<boolean> => {
      const found = await redis.command("EXISTS", `cache:things:a/${item}`);
      return found.ok && found.value === 1;
    };
    expect(await here.read("a", "1", "old")).toBe("old");
    await until("it is shared", isThere("1"));
    expect(await there.read("a", "1", "new")).toBe("old");
    expect(there.loads).toEqual([]);

    // It reads what is from before the change, and writes it after: nobody believes it.
    const waiting = slow();
    const before = there.cache.get("a", "2", waiting.load);
    await until("it has looked", async () => (await readsOf(there.metrics))["source"] === 1);
    here.cache.forget("a");
    await until("the change is told", async () => {
      const generation = await redis.command("GET", "cache:things:a");
      return generation.ok && generation.value === "1";
    });
    waiting.done("old");
    await before;
    await until("it is written", isThere("2"));
    expect(await third.read("a", "2", "new")).toBe("new");
    expect(await third.read("a", "1", "new")).toBe("new");
  },
);

withRedis(
  `a Redis that hangs or is gone costs one wait of 60 ms, and nothing that is known ${NEEDS_REDIS}`,
  async () => {
    await using server = await startRedis();
    const redis = await server.connect();
    const { read } = cacheOf({ shared: { redis, codec } });
    server.hang();
    expect(await read("a", "1", "x")).toBe("x");
    expect(redis.up).toBe(false);
    let waited = false;
    const timer = setTimeout(() => {
      waited = true;
    }, 0);
    for (let asked = 0; asked < 100; asked += 1) expect(await read("b", String(asked), "x")).toBe("x");
    clearTimeout(timer);
    expect(waited).toBe(false);
    server.goOn();
  },
);
