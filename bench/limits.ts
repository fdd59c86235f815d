/**
 * What a rate limit costs a request, and how long anybody waits when Redis goes: `bun bench/limits.ts`. Needs
 * `redis-server`, of which it starts one of its own.
 */
import { setImmediate } from "node:timers/promises";
import { makeLimiter } from "#shared/limits";
import { startRedis } from "#shared/redis-testing";
import { makeMetrics } from "#shared/telemetry";

const MEASURE_MS = 3_000;
const CALLERS = 64;

interface Row {
  per_second: number;
  worst_ms: number;
  /** Longest time that a 1 ms timer was late meanwhile: the machine, not Redis. */
  loop_late_ms: number;
}

/** Decides for `ms` as fast as it can. */
async function load(limiter: ReturnType<typeof makeLimiter>, ms: number): Promise<Row> {
  let decided = 0;
  let worstMs = 0;
  let lateMs = 0;
  let due = performance.now() + 1;
  const ticker = setInterval(() => {
    const now = performance.now();
    lateMs = Math.max(lateMs, now - due);
    due = now + 1;
  }, 1);
  const end = performance.now() + ms;
  await Promise.all(
    Array.from({ length: CALLERS }, async (_, caller) => {
      while (performance.now() < end) {
        const from = performance.now();
        const limit = { quota: 100, windowMs: 1_000 };
        await limiter.admit([
          { name: "*", key: `address ${caller}`, limit },
          { name: "*", key: `credential ${caller}`, limit },
        ]);
        decided += 1;
        worstMs = Math.max(worstMs, performance.now() - from);
        // As between two requests: whoever waits for something gets his turn.
        await setImmediate();
      }
    }),
  );
  clearInterval(ticker);
  return {
    per_second: Math.round(decided / (ms / 1_000)),
    worst_ms: Math.round(worstMs),
    loop_late_ms: Math.round(lateMs),
  };
}

function limiterOver(name: string, redis: Parameters<typeof makeLimiter>[0]["redis"]) {
  const own = makeMetrics(name, "0");
  own[Symbol.dispose]();
  return makeLimiter({ name, redis, metrics: own });
}

await using server = await startRedis();
const redis = await server.connect();
const rows: Record<string, Row> = {
  "in the process": await load(limiterOver("alone", undefined), MEASURE_MS),
  "over Redis": await load(limiterOver("shared", redis), MEASURE_MS),
};
const dying = load(limiterOver("dying", redis), MEASURE_MS);
await Bun.sleep(MEASURE_MS / 3);
await server.kill();
rows["Redis killed meanwhile"] = await dying;
await server.up();
while (!redis.up) await Bun.sleep(10);
const hanging = load(limiterOver("hanging", redis), MEASURE_MS);
await Bun.sleep(MEASURE_MS / 3);
server.hang();
rows["Redis hangs meanwhile"] = await hanging;
server.goOn();
console.table(rows);
