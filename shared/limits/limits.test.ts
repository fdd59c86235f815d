/** Rules, windows and what a client is told, with a clock of the test's own. */
import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { makeMetrics } from "#shared/telemetry";
import { policyHeader, stateHeader } from "./headers.ts";
import { type Count, makeLimiter } from "./limiter.ts";
import { parseLimits, ruleFits } from "./rules.ts";

function limiterAt(start = 1_000_000, maxKeys?: number) {
  const clock = { now: start };
  const metrics = makeMetrics("test", "0");
  metrics[Symbol.dispose]();
  const limiter = makeLimiter({
    name: "test",
    redis: undefined,
    metrics,
    now: () => clock.now,
    ...(maxKeys === undefined ? {} : { maxKeys }),
  });
  return { clock, limiter };
}

const one = (key: string, quota: number, windowMs: number, name = "*"): Count => ({
  name,
  key,
  limit: { quota, windowMs },
});

test("RATE_LIMITS: rules, off, and what is neither", () => {
  expect(parseLimits("off")).toEqual([]);
  expect(parseLimits("*=200/s, POST /v1/sessions = 10/min,/v1/logs/*=5/10s,GET /v1/mails/:id=1/d")).toEqual([
    { name: "*", quota: 200, windowMs: 1_000 },
    {
      name: "POST /v1/sessions",
      method: "POST",
      path: { segments: ["v1", "sessions"], open: false },
      quota: 10,
      windowMs: 60_000,
    },
    { name: "/v1/logs/*", path: { segments: ["v1", "logs"], open: true }, quota: 5, windowMs: 10_000 },
    {
      name: "GET /v1/mails/:id",
      method: "GET",
      path: { segments: ["v1", "mails", "*"], open: false },
      quota: 1,
      windowMs: 86_400_000,
    },
  ]);
  for (const bad of [
    "",
    "*",
    "*=0/s",
    "*=1/0s",
    "*=1/2d",
    "*=1/ms",
    "x=1/s",
    "post /a=1/s",
    "*=1/s,*=2/s",
    "*=1/s,",
    "*=-1/s",
    "*=2000000/s",
  ])
    expect(parseLimits(bad)).toBeUndefined();
});

test("a rule counts the requests that the router takes for its route", () => {
  const [rule] = parseLimits("GET /v1/mails/:id=1/s") ?? [];
  const [open] = parseLimits("/v1/logs/*=1/s") ?? [];
  if (rule === undefined || open === undefined) throw new Error("not rules");
  for (const path of ["/v1/mails/7", "/v1/mails/7/"]) expect(ruleFits(rule, "GET", path)).toBe(true);
  expect(ruleFits(rule, "HEAD", "/v1/mails/7")).toBe(true);
  for (const path of ["/v1/mails", "/v1/mails/7/content", "/V1/mails/7"])
    expect(ruleFits(rule, "GET", path)).toBe(false);
  expect(ruleFits(rule, "POST", "/v1/mails/7")).toBe(false);
  for (const path of ["/v1/logs", "/v1/logs/gaps", "/v1/logs/a/b"]) expect(ruleFits(open, "POST", path)).toBe(true);
  expect(ruleFits(open, "POST", "/v1/logsx")).toBe(false);
});

test("no window of any place ever holds more than the quota, and nearly all of it is to be had", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 40 }),
      fc.integer({ min: 1, max: 120 }).map((seconds) => seconds * 1_000),
      fc.array(fc.double({ min: 0, max: 0.3, noNaN: true }), { minLength: 1, maxLength: 300 }),
      async (quota, windowMs, gaps) => {
        const { clock, limiter } = limiterAt();
        const times: number[] = [];
        for (const gap of gaps) {
          clock.now += gap * windowMs;
          const { admitted, nearest } = await limiter.admit([one("a", quota, windowMs)]);
          const held = times.filter((time) => time > clock.now - windowMs).length;
          const nearby = times.filter((time) => time > clock.now - windowMs * (51 / 50)).length;
          if (admitted) times.push(clock.now);
          expect(held + (admitted ? 1 : 0)).toBeLessThanOrEqual(quota);
          // Refused only where a window that is longer by a part is full.
          if (!admitted) expect(nearby).toBeGreaterThanOrEqual(quota);
          expect(nearest?.remaining).toBeLessThan(quota);
        }
      },
    ),
    { numRuns: 300 },
  );
});

test("who comes back when he is told to is let in, and not a part earlier", async () => {
  const { clock, limiter } = limiterAt(1_234_567);
  const counts = [one("a", 3, 60_000)];
  for (let asked = 0; asked < 3; asked += 1) expect((await limiter.admit(counts)).admitted).toBe(true);
  const { admitted, nearest } = await limiter.admit(counts);
  expect(admitted).toBe(false);
  expect(nearest?.remaining).toBe(0);
  const waitMs = (nearest?.resetS ?? 0) * 1_000;
  expect(waitMs).toBeGreaterThan(60_000);
  expect(waitMs).toBeLessThanOrEqual(61_200);
  clock.now += waitMs - 1;
  expect((await limiter.admit(counts)).admitted).toBe(false);
  clock.now += 1;
  expect((await limiter.admit(counts)).admitted).toBe(true);
});

test("of several limits all are counted or none; the answer is of the one that is nearest to its end", async () => {
  const { limiter } = limiterAt();
  const wide = one("a", 10, 1_000, "wide");
  const narrow = one("a", 2, 60_000, "narrow");
  expect((await limiter.admit([wide, narrow])).nearest).toMatchObject({ name: "narrow", remaining: 1 });
  await limiter.admit([wide, narrow]);
  for (let asked = 0; asked < 20; asked += 1) expect((await limiter.admit([wide, narrow])).admitted).toBe(false);
  // What was refused is counted nowhere: eight are left.
  expect((await limiter.admit([wide])).nearest).toMatchObject({ name: "wide", remaining: 7 });
});

test("keys are bounded: whoever was counted longest ago begins anew, and who goes on asking does not", async () => {
  const { limiter } = limiterAt(1_000_000, 100);
  const busy = one("busy", 1, 86_400_000);
  const idle = one("idle", 1, 86_400_000);
  for (const counts of [busy, idle]) expect((await limiter.admit([counts])).admitted).toBe(true);
  for (let other = 0; other < 1_000; other += 1) {
    await limiter.admit([one(`other ${other}`, 1, 1_000)]);
    expect((await limiter.admit([busy])).admitted).toBe(false);
  }
  expect((await limiter.admit([idle])).admitted).toBe(true);
});

test("headers are structured fields", () => {
  const limits = parseLimits("*=200/s,POST /v1/sessions=10/min") ?? [];
  expect(policyHeader(limits)).toBe('"*";q=200;w=1, "POST /v1/sessions";q=10;w=60');
  expect(stateHeader("*", 3, 0.02)).toBe('"*";r=3;t=1');
});
