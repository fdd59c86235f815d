import { expect, test } from "bun:test";
import { fateOf, WEBHOOK_SCHEDULE_MS } from "./fate.ts";

const answered = (status: number, retryAfterS?: number) => ({ status, retryAfterS });
const HOUR_MS = 3_600_000;

test.each([200, 201, 204, 299])("%d is delivered", (status) => {
  expect(fateOf(answered(status), 0)).toEqual({ kind: "delivered" });
});

test.each([100, 300, 301, 307, 400, 401, 404, 429, 500, 503])("%d is tried again by the schedule", (status) => {
  expect(fateOf(answered(status), 1, [10, 1_000], () => 0.5)).toEqual({ kind: "again", waitMs: 1_000 });
});

test("no answer is tried again, within a tenth of the schedule, until it is over: ten tries in a good three days", () => {
  const silent = { status: undefined, reason: "no answer in time" } as const;
  let total = 0;
  for (const [attempt, scheduled] of WEBHOOK_SCHEDULE_MS.entries()) {
    for (const random of [0, 0.999]) {
      const fate = fateOf(silent, attempt, undefined, () => random);
      if (fate.kind !== "again") throw new Error(fate.kind);
      expect(Math.abs(fate.waitMs - scheduled)).toBeLessThanOrEqual(scheduled / 10);
    }
    total += scheduled;
  }
  expect(WEBHOOK_SCHEDULE_MS).toHaveLength(9);
  expect(total / HOUR_MS).toBeCloseTo(75.6, 1);
  expect(fateOf(silent, 9)).toEqual({ kind: "gave_up" });
});

test("410 is given up at the first try", () => {
  expect(fateOf(answered(410), 0)).toEqual({ kind: "gave_up" });
});

test("Retry-After puts the next try off, by a day at most, and never brings it forward", () => {
  const waitOf = (seconds: number) => {
    const fate = fateOf(answered(429, seconds), 0, [10_000], () => 0.5);
    return fate.kind === "again" ? fate.waitMs : undefined;
  };
  expect([0, 5, 60, 10 * 86_400].map(waitOf)).toEqual([10_000, 10_000, 60_000, 24 * HOUR_MS]);
});
