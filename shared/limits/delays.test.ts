/** Tries that grow slower, with a clock of the test's own. */
import { expect, test } from "bun:test";
import { type Attempt, makeDelays } from "./delays.ts";

const delay = { free: 3, firstMs: 1_000, maxMs: 8_000, forgetMs: 60_000 };

function delaysAt(maxKeys?: number) {
  const clock = { now: 1_000 };
  const delays = makeDelays({
    name: "test",
    redis: undefined,
    now: () => clock.now,
    ...(maxKeys === undefined ? {} : { maxKeys }),
  });
  /** The wait (s); 0 where it was let in. */
  async function attempt(...keys: string[]): Promise<{ waitS: number; attempt?: Attempt }> {
    const outcome = await delays.admit(keys.map((key) => ({ key, delay })));
    return "attempt" in outcome ? { waitS: 0, attempt: outcome.attempt } : { waitS: outcome.retryAfterS };
  }
  return { clock, attempt };
}

test("the delay doubles up to its longest, and is no lock: waiting it out lets one in", async () => {
  const { clock, attempt } = delaysAt();
  for (let asked = 0; asked < 3; asked += 1) expect((await attempt("a")).waitS).toBe(0);
  const waits: number[] = [];
  for (let round = 0; round < 6; round += 1) {
    const { waitS } = await attempt("a");
    waits.push(waitS);
    clock.now += waitS * 1_000;
    expect((await attempt("a")).waitS).toBe(0);
  }
  expect(waits).toEqual([1, 2, 4, 8, 8, 8]);
});

test("a hundred at once are no way around", async () => {
  const { attempt } = delaysAt();
  const outcomes = await Promise.all(Array.from({ length: 100 }, () => attempt("a")));
  expect(outcomes.filter(({ waitS }) => waitS === 0)).toHaveLength(3);
});

test("one of two keys is waited for: neither is counted", async () => {
  const { clock, attempt } = delaysAt();
  for (let asked = 0; asked < 3; asked += 1) await attempt("a");
  for (let asked = 0; asked < 10; asked += 1) expect((await attempt("a", "b")).waitS).toBe(1);
  clock.now += 1_000;
  for (let asked = 0; asked < 3; asked += 1) expect((await attempt("b")).waitS).toBe(0);
  expect((await attempt("b")).waitS).toBe(1);
});

test("what turns out to be none is taken back; what is forgotten begins anew", async () => {
  const { attempt } = delaysAt();
  for (let asked = 0; asked < 50; asked += 1) {
    const taken = await attempt("a");
    expect(taken.waitS).toBe(0);
    await taken.attempt?.takeBack();
  }
  await attempt("a", "b");
  await attempt("a", "b");
  const last = await attempt("a", "b");
  await last.attempt?.takeBack(["a"]);
  for (let asked = 0; asked < 3; asked += 1) expect((await attempt("a")).waitS).toBe(0);
  // Of b only the last was taken back.
  expect((await attempt("b")).waitS).toBe(0);
  expect((await attempt("b")).waitS).toBe(1);
});

test("without a failure for long enough it begins anew, and keys are bounded", async () => {
  const { clock, attempt } = delaysAt(10);
  for (let asked = 0; asked < 3; asked += 1) await attempt("a");
  expect((await attempt("a")).waitS).toBe(1);
  clock.now += 60_001;
  for (let asked = 0; asked < 3; asked += 1) expect((await attempt("a")).waitS).toBe(0);
  expect((await attempt("a")).waitS).toBe(1);
  for (let other = 0; other < 20; other += 1) await attempt(`other ${other}`);
  expect((await attempt("a")).waitS).toBe(0);
});
