/** Figures out of what instances told twice. */
import { expect, test } from "bun:test";
import { readExposition } from "./exposition.ts";
import { type Interval, measure, type Reading } from "./measure.ts";

const NAMES = new Set(["process_start_time_seconds", "a_total", "s_bucket", "g"]);
/** What an instance told after so many seconds. */
const told = (atS: number, text: string, startedS = 1_000): Reading => ({
  at: atS * 1_000,
  wallMs: (startedS + atS) * 1_000,
  samples: readExposition(`process_start_time_seconds ${startedS}\n${text}`, NAMES),
});
const over = (seconds: number, before: string, now: string): Interval => ({
  before: told(10, before),
  now: told(10 + seconds, now),
});

test("a counter has a rate from its second time on, also one that was not there before", () => {
  const first = { now: told(10, 'a_total{k="x"} 7'), before: undefined };
  expect(measure([first]).rate("a_total")).toBeNull();
  expect(measure([]).rate("a_total")).toBeNull();
  expect([...measure([first]).rates("a_total", ({ k }) => k)]).toEqual([]);
  const then = measure([over(5, 'a_total{k="x"} 7', 'a_total{k="x"} 17\na_total{k="y"} 5')]);
  expect(then.rate("a_total")).toBe(3);
  expect(then.rate("a_total", ({ k }) => k === "y")).toBe(1);
  expect(then.increase("a_total")).toBe(15);
  expect(then.rate("nobody_counts_total")).toBe(0);
  expect(Object.fromEntries(then.rates("a_total", ({ k }) => k))).toEqual({ x: 2, y: 1 });
});

test("instances are added up, each over its own time; one that is new has no rate yet", () => {
  const both = measure([
    over(5, "a_total 0", "a_total 10"),
    over(2, "a_total 100", "a_total 108"),
    { now: told(12, "a_total 1000"), before: undefined },
  ]);
  expect(both.rate("a_total")).toBe(6);
});

test("a process that began anew, and a thread that did, count from 0: never less than nothing", () => {
  const again = { before: told(100, "a_total 500"), now: { ...told(104, "a_total 600", 1_102), wallMs: 1_104_000 } };
  // It is 2 s old.
  expect(measure([again]).rate("a_total")).toBe(300);
  expect(measure([again]).increase("a_total")).toBe(600);
  const thread = over(
    5,
    'a_total{worker="0"} 50\na_total{worker="1"} 10',
    'a_total{worker="0"} 5\na_total{worker="1"} 10',
  );
  expect(measure([thread]).rate("a_total")).toBe(1);
});

test("gauges are added up, or the largest or smallest of them", () => {
  const all = measure([
    { now: told(1, 'g{q="a"} 1\ng{q="b"} 2'), before: undefined },
    { now: told(1, 'g{q="a"} 5'), before: undefined },
  ]);
  expect([all.sum("g"), all.max("g"), all.min("g"), all.sum("h")]).toEqual([8, 5, 1, null]);
  expect(all.sum("g", ({ q }) => q === "c")).toBeNull();
  expect(Object.fromEntries(all.sums("g", ({ q }) => q))).toEqual({ a: 6, b: 2 });
  expect(Object.fromEntries(all.maxes("g", ({ q }) => q))).toEqual({ a: 5, b: 2 });
});

const buckets = (...upTo: number[]): string =>
  ["0.1", "0.5", "1", "+Inf"].map((bound, index) => `s_bucket{le="${bound}"} ${upTo[index]}`).join("\n");

test("quantiles are of what was observed since the time before, spread within a bucket", () => {
  const since = measure([over(5, buckets(100, 100, 100, 100), buckets(100, 110, 120, 120))]);
  expect(since.quantiles("s", [0.5, 0.75, 1])).toEqual([0.5, 0.75, 1]);
  const low = measure([over(5, buckets(0, 0, 0, 0), buckets(10, 10, 10, 10))]);
  expect(low.quantiles("s", [0.5, 0.95])).toEqual([0.05, 0.095]);
});

test("without an observation there is no quantile; beyond the last bound it is that bound", () => {
  const same = buckets(1, 2, 3, 4);
  expect(measure([over(5, same, same)]).quantiles("s", [0.5, 0.99])).toEqual([null, null]);
  expect(measure([over(5, buckets(0, 0, 0, 0), buckets(0, 0, 0, 9))]).quantiles("s", [0.5])).toEqual([1]);
  expect(measure([]).quantiles("s", [0.5])).toEqual([null]);
});

test("a quantile is of all instances together", () => {
  const none = buckets(0, 0, 0, 0);
  const both = measure([over(5, none, buckets(90, 90, 90, 90)), over(5, none, buckets(0, 0, 10, 10))]);
  const [p50 = null, p95 = null] = both.quantiles("s", [0.5, 0.95]);
  expect(p50).toBeCloseTo(0.0556, 3);
  expect(p95).toBe(0.75);
});
