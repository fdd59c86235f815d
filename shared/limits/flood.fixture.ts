/** One replica of several: asks as fast as it can between two moments, and prints how often it was let in. */
import { Secret } from "#shared/config";
import { makeRedis } from "#shared/redis";
import { makeMetrics } from "#shared/telemetry";
import { makeLimiter } from "./limiter.ts";

const { REDIS = "", FROM = "0", UNTIL = "0", QUOTA = "100" } = process.env;
const metrics = makeMetrics("flood", "0");
const dependency = { up: () => undefined, down: () => undefined };
const redis = makeRedis({ url: new Secret(REDIS), name: "flood", metrics, dependency, answerMs: 10_000 });
const limiter = makeLimiter({ name: "flood", redis, metrics });
while (!redis.up || Date.now() < Number(FROM)) await Bun.sleep(1);
let admitted = 0;
let asked = 0;
await Promise.all(
  Array.from({ length: 16 }, async () => {
    while (Date.now() < Number(UNTIL)) {
      const verdict = await limiter.admit([
        { name: "*", key: "somebody", limit: { quota: Number(QUOTA), windowMs: 1_000 } },
      ]);
      asked += 1;
      if (verdict.admitted) admitted += 1;
    }
  }),
);
const text = await metrics.text();
const alone = /rate_limit_decisions_total\{[^}]*by="process"/.test(text);
console.log(JSON.stringify({ admitted, asked, alone }));
await redis[Symbol.asyncDispose]();
metrics[Symbol.dispose]();
