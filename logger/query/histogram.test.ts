import { expect, test } from "bun:test";
import { bucketsOf, Histogram, intervalOf } from "./histogram.ts";

const HOUR = 3_600_000;

test.each([
  ["1ms", 1],
  ["30s", 30_000],
  ["5m", 300_000],
  ["1d", 86_400_000],
  ["0s", undefined],
  ["5", undefined],
  ["-5m", undefined],
  ["5 m", undefined],
])("the interval %j is %p ms", (text, ms) => {
  expect(intervalOf(text)).toBe(ms);
});

test("without times it is the day before now, in about 60 buckets", () => {
  expect(bucketsOf({}, 1_000 * HOUR)).toMatchObject({
    ok: true,
    value: { from: 976 * HOUR, to: 1_000 * HOUR, intervalMs: 1_800_000 },
  });
});

test.each([
  [{ from: 5, to: 5 }, "from must be before to"],
  [{ interval: "nonsense" }, "interval must be a number"],
  [{ interval: "1s" }, "interval must be longer"],
])("%j is refused", (asked, message) => {
  const refused = bucketsOf(asked, 1_000 * HOUR);
  expect(refused.ok ? "" : refused.error.message).toContain(message);
});

test("counts by severity and name; names beyond the ten most frequent are others; empty buckets are there", () => {
  const histogram = new Histogram({ from: HOUR / 2, to: 3 * HOUR, intervalMs: HOUR });
  for (let index = 0; index < 12; index += 1) histogram.add(HOUR, `n${index}`, "INFO", 12 - index);
  histogram.add(0, "__proto__", "ERROR", 100);
  const { total, names, buckets } = histogram.report();
  expect(total).toBe(178);
  expect(names).toEqual(["__proto__", "n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8"]);
  expect(buckets.map(({ at, total: all }) => [Date.parse(at), all])).toEqual([
    [0, 100],
    [HOUR, 78],
    [2 * HOUR, 0],
  ]);
  expect(buckets[0]).toMatchObject({ severities: { ERROR: 100 }, others: 0 });
  expect(buckets[1]).toMatchObject({ severities: { INFO: 78 }, names: [0, 12, 11, 10, 9, 8, 7, 6, 5, 4], others: 6 });
});
