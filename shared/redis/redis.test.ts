/** Redis that dies, hangs, refuses and returns: nobody waits for it. */
import { expect, test } from "bun:test";
import { createServer } from "node:net";
import { Secret } from "#shared/config";
import { makeMetrics } from "#shared/telemetry";
import { makeRedis, script } from "./redis.ts";
import { HAS_REDIS, NEEDS_REDIS, startRedis, until } from "#shared/redis-testing";

const withRedis = test.skipIf(!HAS_REDIS);

withRedis(`commands and scripts are answered ${NEEDS_REDIS}`, async () => {
  await using server = await startRedis();
  const redis = await server.connect();
  expect(await redis.command("SET", "a", "1")).toEqual({ ok: true, value: "OK" });
  const sum = script("return redis.call('GET', KEYS[1]) + ARGV[1]");
  // The server does not know it the first time, and does the second.
  expect(await redis.run(sum, ["a"], [41])).toEqual({ ok: true, value: 42 });
  expect(await redis.run(sum, ["a"], [1])).toEqual({ ok: true, value: 2 });
});

withRedis(
  `scripts are done in the order in which they were asked for, also the first time ${NEEDS_REDIS}`,
  async () => {
    const [count, read] = [script("return redis.call('INCR', KEYS[1])"), script("return redis.call('GET', KEYS[1])")];
    await using server = await startRedis();
    const redis = await server.connect();
    await redis.run(read, ["n"], []);
    const [, seen] = await Promise.all([redis.run(count, ["n"], []), redis.run(read, ["n"], [])]);
    expect(seen).toEqual({ ok: true, value: "1" });
  },
);

withRedis(`a command that is refused is a failure, and Redis is up all the same ${NEEDS_REDIS}`, async () => {
  await using server = await startRedis();
  const redis = await server.connect();
  const refused = await redis.command("NO-SUCH-COMMAND");
  expect(refused).toMatchObject({ ok: false, error: { code: "unavailable" } });
  expect(redis.up).toBe(true);
});

withRedis(
  `killed: what is under way fails, what follows fails at once, and it is in use again by itself ${NEEDS_REDIS}`,
  async () => {
    await using server = await startRedis();
    const redis = await server.connect({ answerMs: 20_000 });
    const underWay = Promise.all(Array.from({ length: 100 }, () => redis.command("BLPOP", "nothing", "20")));
    await server.kill();
    expect((await underWay).every((outcome) => !outcome.ok)).toBe(true);
    await until("it is known", () => !redis.up);
    const failed = await redis.command("GET", "a");
    expect(failed).toMatchObject({ ok: false, error: { code: "unavailable", message: "Redis is away" } });
    await server.up();
    await until("it is back", () => redis.up);
    expect((await redis.command("SET", "a", "1")).ok).toBe(true);
  },
);

withRedis(`hanging: one answer is waited for, then none, until it goes on ${NEEDS_REDIS}`, async () => {
  await using server = await startRedis();
  const redis = await server.connect();
  server.hang();
  expect(await redis.command("GET", "a")).toMatchObject({ ok: false });
  expect(redis.up).toBe(false);
  // Not even a turn of the event loop that waits for something.
  let waited = false;
  const timer = setTimeout(() => {
    waited = true;
  }, 0);
  for (let asked = 0; asked < 1_000; asked += 1) expect((await redis.command("GET", "a")).ok).toBe(false);
  clearTimeout(timer);
  expect(waited).toBe(false);
  server.goOn();
  await until("it is back", () => redis.up);
  // No answer of before is taken for one of now.
  await redis.command("SET", "b", "of now");
  expect(await redis.command("GET", "b")).toEqual({ ok: true, value: "of now" });
});

withRedis(`a server that may not be written to is away ${NEEDS_REDIS}`, async () => {
  await using server = await startRedis();
  const redis = await server.connect();
  await redis.command("CONFIG", "SET", "maxmemory", "1");
  await until("the probe is refused", () => !redis.up);
});

test("a peer that accepts and says nothing, and one that is not there, are away, and closing does not wait for them", async () => {
  const silent = createServer(() => undefined);
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  const address = silent.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  for (const url of [`redis://127.0.0.1:${port}`, "redis://127.0.0.1:1"]) {
    const metrics = makeMetrics("test", "0");
    metrics[Symbol.dispose]();
    const told: unknown[] = [];
    const dependency = { up: () => undefined, down: (error: unknown) => told.push(error) };
    await using redis = makeRedis({ url: new Secret(url), name: "test", metrics, dependency });
    expect((await redis.command("GET", "a")).ok).toBe(false);
    await until("somebody is told", () => told.length > 0);
    expect(redis.up).toBe(false);
  }
  silent.close();
});
