import { expect, test } from "bun:test";
import type { MeView } from "#contracts/auth";
import { USER } from "../auth.test-kit.ts";
import { SessionCache } from "./cache.ts";

const user = (session: string): MeView => ({ ...USER, session_id: session });

function cacheAt(options: { maxAgeS?: number; size?: number } = {}) {
  const clock = { ms: 1_000_000 };
  const cache = new SessionCache({ maxAgeS: 600, ...options, now: () => clock.ms });
  return { cache, clock };
}

test("what was kept is found with its age, until it is too old", () => {
  const { cache, clock } = cacheAt();
  cache.keep("a", user("a"), cache.now());
  expect(cache.find("a")).toEqual({ user: user("a"), ageS: 0 });
  clock.ms += 599_999;
  expect(cache.find("a")).toEqual({ user: user("a"), ageS: 599 });
  clock.ms += 2;
  expect(cache.find("a")).toBeUndefined();
  expect(cache.find("b")).toBeUndefined();
});

test("it holds so many sessions, and the one that was heard of longest ago goes", () => {
  const { cache } = cacheAt({ size: 3 });
  for (const session of ["a", "b", "c", "a", "d"]) cache.keep(session, user(session), cache.now());
  expect(["a", "b", "c", "d"].map((session) => cache.find(session) !== undefined)).toEqual([true, false, true, true]);
  for (let n = 0; n < 1_000; n += 1) cache.keep(`s${n}`, user("s"), cache.now());
  expect(cache.size).toBe(3);
});

test("what is too old makes room before what is not", () => {
  const { cache, clock } = cacheAt({ size: 100 });
  for (const session of ["a", "b"]) cache.keep(session, user(session), cache.now());
  clock.ms += 601_000;
  cache.keep("c", user("c"), cache.now());
  expect(cache.size).toBe(1);
});

test("a session that was refused is gone, also for an answer that was asked for earlier and comes later", () => {
  const { cache, clock } = cacheAt();
  cache.keep("a", user("a"), cache.now());
  const askedAt = cache.now();
  clock.ms += 10;
  cache.drop("a");
  expect(cache.find("a")).toBeUndefined();
  cache.keep("a", user("a"), askedAt);
  expect(cache.find("a")).toBeUndefined();
  clock.ms += 10;
  cache.keep("a", user("a"), cache.now());
  expect(cache.find("a")).toBeDefined();
});

test("switched off it keeps nothing", () => {
  const { cache } = cacheAt({ maxAgeS: 0 });
  cache.keep("a", user("a"), cache.now());
  expect([cache.find("a"), cache.size]).toEqual([undefined, 0]);
});
