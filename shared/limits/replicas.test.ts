/** Replicas that count together in a real Redis, and alone while it is away. */
import { expect, test } from "bun:test";
import { HAS_REDIS, NEEDS_REDIS, startRedis, until } from "#shared/redis-testing";
import { makeMetrics } from "#shared/telemetry";
import { makeDelays } from "./delays.ts";
import { type Limiter, makeLimiter } from "./limiter.ts";

const withRedis = test.skipIf(!HAS_REDIS);

interface Outcome {
  readonly admitted: number;
  readonly asked: number;
  /** Whether something was decided without Redis. */
  readonly alone: boolean;
}

const second = { name: "*", key: "somebody", limit: { quota: 100, windowMs: 1_000 } };

function limiterOver(redis: Parameters<typeof makeLimiter>[0]["redis"]): Limiter {
  const metrics = makeMetrics("test", "0");
  metrics[Symbol.dispose]();
  return makeLimiter({ name: "test", redis, metrics });
}

withRedis(`three processes at 100/s let in 100 ± 5 a second together ${NEEDS_REDIS}`, async () => {
  await using server = await startRedis();
  const from = Date.now() + 2_000;
  const seconds = 3;
  const replicas = Array.from({ length: 3 }, () =>
    Bun.spawn([process.execPath, `${import.meta.dir}/flood.fixture.ts`], {
      env: { ...process.env, REDIS: server.url, FROM: String(from), UNTIL: String(from + seconds * 1_000) },
      stdout: "pipe",
    }),
  );
  const outcomes = await Promise.all(
    replicas.map(async (replica) => JSON.parse(await new Response(replica.stdout).text()) as Outcome),
  );
  const sum = (name: "admitted" | "asked"): number => outcomes.reduce((all, outcome) => all + outcome[name], 0);
  expect(outcomes.map(({ alone }) => alone)).toEqual([false, false, false]);
  expect(sum("asked")).toBeGreaterThan(seconds * 150);
  // What was asked at the very end may be decided a moment later.
  expect(Math.abs(sum("admitted") / seconds - 100)).toBeLessThanOrEqual(5);
});

withRedis(`300 at once over three replicas: 100 are let in, and each is told the same ${NEEDS_REDIS}`, async () => {
  await using server = await startRedis();
  const replicas = await Promise.all(
    Array.from({ length: 3 }, async () => limiterOver(await server.connect({ answerMs: 10_000 }))),
  );
  const day = { ...second, limit: { quota: 100, windowMs: 86_400_000 } };
  const verdicts = await Promise.all(
    Array.from({ length: 300 }, async (_, index) => replicas[index % 3]?.admit([day, { ...day, key: "his key" }])),
  );
  expect(verdicts.filter((verdict) => verdict?.admitted === true)).toHaveLength(100);
  const told = verdicts.filter((verdict) => verdict?.admitted === false).map((verdict) => verdict?.nearest?.remaining);
  expect(new Set(told)).toEqual(new Set([0]));
  const last = await replicas[0]?.admit([day]);
  expect(last?.nearest?.resetS).toBeGreaterThan(86_000);
  expect(last?.nearest?.resetS).toBeLessThanOrEqual(86_400 * 1.02);
});

withRedis(
  `Redis killed: the next is decided here, without a failure, knowing what this replica let in; then together again ${NEEDS_REDIS}`,
  async () => {
    await using server = await startRedis();
    const redis = await server.connect();
    const limiter = limiterOver(redis);
    const day = { ...second, limit: { quota: 10, windowMs: 86_400_000 } };
    for (let asked = 0; asked < 8; asked += 1) expect((await limiter.admit([day])).admitted).toBe(true);
    await server.kill();
    const verdicts = await Promise.all(Array.from({ length: 50 }, () => limiter.admit([day])));
    expect(verdicts.filter(({ admitted }) => admitted)).toHaveLength(2);
    await server.up();
    await until("Redis is in use again", () => redis.up);
    // It has forgotten everything, and is asked.
    expect((await limiter.admit([day])).nearest?.remaining).toBe(9);
  },
);

withRedis(`Redis hangs: 200 at once are all decided ${NEEDS_REDIS}`, async () => {
  await using server = await startRedis();
  const redis = await server.connect();
  const limiter = limiterOver(redis);
  server.hang();
  const verdicts = await Promise.all(Array.from({ length: 200 }, () => limiter.admit([second])));
  expect(verdicts.filter(({ admitted }) => admitted)).toHaveLength(100);
  expect(redis.up).toBe(false);
  server.goOn();
});

withRedis(`delays are shared: what one replica saw fail is slow at the other too ${NEEDS_REDIS}`, async () => {
  await using server = await startRedis();
  const delay = { free: 5, firstMs: 60_000, maxMs: 3_600_000, forgetMs: 7_200_000 };
  const [here, there] = await Promise.all(
    Array.from({ length: 2 }, async () =>
      makeDelays({ name: "test", redis: await server.connect({ answerMs: 10_000 }) }),
    ),
  );
  const tries = [{ key: "a", delay }];
  const outcomes = await Promise.all(
    Array.from({ length: 40 }, async (_, index) => (index % 2 === 0 ? here : there)?.admit(tries)),
  );
  const admitted = outcomes.flatMap((outcome) =>
    outcome !== undefined && "attempt" in outcome ? [outcome.attempt] : [],
  );
  expect(admitted).toHaveLength(5);
  const refused = await there?.admit(tries);
  expect(refused).toHaveProperty("retryAfterS");
  if (refused !== undefined && "retryAfterS" in refused) expect(refused.retryAfterS).toBeWithin(50, 60.001);
  // It was none that counts: the next may come at once.
  await admitted[0]?.takeBack();
  expect(await there?.admit(tries)).toHaveProperty("attempt");
  expect(await here?.admit(tries)).toHaveProperty("retryAfterS");
  await admitted[1]?.takeBack(["a"]);
  expect(await here?.admit(tries)).toHaveProperty("attempt");
});
