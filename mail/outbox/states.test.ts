/** What an answer does to a mail. Classes of answers over the wire: smtp.test.ts. */
import { expect, test } from "bun:test";
import * as fc from "fast-check";
import type { SmtpResult } from "../smtp/smtp.ts";
import { type Outcome, outcomeOf, type Progress, sumOf, transitionOf } from "./states.ts";

const MINUTE = 60_000;
const SCHEDULE = [MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE];
const DAYS_5 = 5 * 24 * 60 * MINUTE;
const fresh: Progress = { attempt: 0, interruptions: 0, expiresInMs: DAYS_5 };

test("without content on its way no answer is ambiguous, and with it only silence and nonsense are", () => {
  const results = fc.record({
    ok: fc.constant(false as const),
    stage: fc.constantFrom("session", "envelope", "content"),
    code: fc.option(fc.integer({ min: 200, max: 599 }), { nil: undefined }),
    text: fc.string(),
    command: fc.constant(undefined),
    withheld: fc.constant(false),
  });
  fc.assert(
    fc.property(results as fc.Arbitrary<SmtpResult & { ok: false }>, (result) => {
      const refusal = result.code !== undefined && result.code >= 400;
      expect(outcomeOf(result) === "ambiguous").toBe(result.stage === "content" && !refusal);
    }),
    { numRuns: 1_000 },
  );
});

test("put off again and again, a mail follows the schedule, whose last wait repeats, until it is too old", () => {
  const waits: number[] = [];
  let mail = fresh;
  for (;;) {
    const next = transitionOf(mail, "deferred", SCHEDULE);
    expect(next.attempt).toBe(mail.attempt + 1);
    if (next.state === "expired") break;
    expect(next.state).toBe("deferred");
    waits.push(next.waitMs / MINUTE);
    mail = { attempt: next.attempt, interruptions: 0, expiresInMs: mail.expiresInMs - next.waitMs };
  }
  expect(waits.slice(0, 5)).toEqual([1, 5, 15, 30, 30]);
  const total = waits.reduce((sum, wait) => sum + wait, 0) * MINUTE;
  expect(total).toBeLessThanOrEqual(DAYS_5);
  expect(total + 30 * MINUTE).toBeGreaterThan(DAYS_5);
});

test.each(["away", "withheld"] satisfies Outcome[])("%s: no attempt is spent and it may go at once", (outcome) => {
  expect(transitionOf(fresh, outcome, SCHEDULE)).toEqual({ state: "queued", attempt: 0, interruptions: 0, waitMs: 0 });
  const second = { ...fresh, attempt: 2 };
  expect(transitionOf(second, outcome, SCHEDULE)).toMatchObject({ state: "deferred", attempt: 2, waitMs: 0 });
});

test("a mail that the server leaves in the middle of waits 3 s at most, and after twenty times it counts", () => {
  let mail = fresh;
  for (let times = 1; times < 20; times += 1) {
    const next = transitionOf(mail, "interrupted", SCHEDULE);
    expect(next).toMatchObject({ state: "queued", attempt: 0, interruptions: times });
    expect(next.waitMs).toBeLessThanOrEqual(3_000);
    mail = { ...mail, interruptions: next.interruptions };
  }
  expect(transitionOf(mail, "interrupted", SCHEDULE)).toEqual({
    state: "deferred",
    attempt: 1,
    interruptions: 0,
    waitMs: MINUTE,
  });
});

test.each(["sent", "failed", "ambiguous"] satisfies Outcome[])("%s ends the mail's way", (outcome) => {
  expect(transitionOf(fresh, outcome, SCHEDULE)).toMatchObject({ state: outcome, attempt: 1 });
});

test("an ambiguous mail is held, or sent again after the first wait where that is not too late", () => {
  const held = { state: "ambiguous", attempt: 1, interruptions: 0, waitMs: 0 } as const;
  expect(transitionOf(fresh, "ambiguous", SCHEDULE, "hold")).toEqual(held);
  expect(transitionOf({ ...fresh, expiresInMs: MINUTE - 1 }, "ambiguous", SCHEDULE, "resend")).toEqual(held);
  const second = { ...fresh, attempt: 2, interruptions: 3 };
  expect(transitionOf(second, "ambiguous", SCHEDULE, "resend")).toEqual({
    state: "deferred",
    attempt: 3,
    interruptions: 0,
    waitMs: MINUTE,
  });
});

test.each([
  [["sent"], "sent"],
  [["cancelled", "cancelled"], "cancelled"],
  [["sent", "failed"], "partial"],
  [["sent", "bounced", "expired"], "partial"],
  [["bounced", "failed"], "failed"],
  [["sent", "failed", "ambiguous"], "ambiguous"],
  [["sent", "ambiguous", "deferred"], "deferred"],
  [["sent", "deferred", "queued"], "queued"],
  [["queued", "sending", "failed"], "sending"],
] as const)("recipients who are %p make a mail that is %s", (states, sum) => {
  expect(sumOf(states)).toBe(sum);
});
