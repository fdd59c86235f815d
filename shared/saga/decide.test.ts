import { expect, test } from "bun:test";
import { Failure, fail, type FailureCode } from "#shared/errors";
import { MAX_FAULTS, type Standing, transitionOf } from "./decide.ts";
import { again, defineSaga, done, keyOf } from "./define.ts";

const idle = async () => done();
const saga = defineSaga<object>({
  name: "trip",
  steps: [
    { name: "flight", run: idle, undo: idle },
    { name: "note", run: idle },
    { name: "hotel", run: idle, undo: idle, giveUpAfterMs: 60_000 },
    { name: "car", run: idle },
  ],
});
const at = (step: string, more: Partial<Standing> = {}): Standing => ({
  state: "running",
  step,
  ageMs: 0,
  failures: 0,
  faults: 0,
  interruptions: 0,
  ...more,
});
const undoing = (step: string, more: Partial<Standing> = {}) => at(step, { state: "compensating", ...more });

test("forward: step after step, then done", () => {
  expect(transitionOf(saga, at("flight"), done())).toMatchObject({ state: "running", step: "note", entered: true });
  expect(transitionOf(saga, at("car"), done())).toMatchObject({ state: "done", step: undefined });
});

test("not yet: the same step after the time asked for, and earlier failures are forgotten", () => {
  const to = transitionOf(saga, at("hotel", { failures: 5, faults: 3 }), again(750));
  expect(to).toMatchObject({ state: "running", step: "hotel", entered: false, waitMs: 750, failures: 0, faults: 0 });
  expect(transitionOf(saga, at("hotel"), again(-1)).waitMs).toBe(10);
  expect(transitionOf(saga, at("hotel"), again(1e12)).waitMs).toBe(3_600_000);
});

test("refused: the steps before it are undone in reverse, those without an undo are passed over", () => {
  const to = transitionOf(saga, at("car"), fail("invalid", "no cars"));
  expect(to).toMatchObject({ state: "compensating", step: "hotel", entered: true, reason: "car: no cars" });
  expect(transitionOf(saga, undoing("hotel"), done())).toMatchObject({ state: "compensating", step: "flight" });
  expect(transitionOf(saga, undoing("flight"), done())).toMatchObject({ state: "compensated", step: undefined });
  // Refused is not done: the step itself is not undone.
  expect(transitionOf(saga, at("hotel"), fail("forbidden"))).toMatchObject({ step: "flight" });
  expect(transitionOf(saga, at("flight"), fail("not_found"))).toMatchObject({ state: "compensated" });
});

test.each([{ failures: 1 }, { interruptions: 1 }])(
  "refused after a try whose end nobody heard of (%o): that one may have done it, so it is undone, too",
  (earlier) => {
    expect(transitionOf(saga, at("hotel", earlier), fail("forbidden"))).toMatchObject({
      state: "compensating",
      step: "hotel",
      result: "refused",
    });
  },
);

test.each<FailureCode>(["unavailable", "deadline", "bad_gateway", "exhausted"])(
  "%s: held with a growing wait, however often",
  (code) => {
    const first = transitionOf(saga, at("flight"), fail(code));
    expect(first).toMatchObject({ state: "running", step: "flight", failures: 1, faults: 0, result: "held" });
    expect(first.waitMs).toBeLessThanOrEqual(250);
    const later = transitionOf(saga, at("flight", { failures: 50, ageMs: 120_000 }), fail(code));
    expect(later).toMatchObject({ state: "running", failures: 51 });
    expect(later.waitMs).toBeGreaterThanOrEqual(2_500);
    expect(later.waitMs).toBeLessThanOrEqual(5_000);
    expect(transitionOf(saga, at("flight", { failures: 99, ageMs: 600_000 }), fail(code)).waitMs).toBe(10_000);
    expect(transitionOf(saga, at("flight", { failures: 9_999, ageMs: 1e9 }), fail(code)).waitMs).toBe(30_000);
    const asked = fail(code, "later", { retryAfterS: 20 });
    expect(transitionOf(saga, at("flight"), asked).waitMs).toBe(20_000);
  },
);

test("given up at its age: it may have been done, so it is undone, too", () => {
  expect(transitionOf(saga, at("hotel", { ageMs: 59_999 }), fail("unavailable")).state).toBe("running");
  const to = transitionOf(saga, at("hotel", { ageMs: 60_000 }), fail("unavailable", "away"));
  expect(to).toMatchObject({ state: "compensating", step: "hotel", reason: "hotel: away", result: "given_up" });
});

test.each<FailureCode>(["internal", "conflict"])("%s: a few more tries, then stuck where it is", (code) => {
  let standing = at("note");
  for (let tries = 1; tries < MAX_FAULTS; tries += 1) {
    const to = transitionOf(saga, standing, fail(code));
    expect(to).toMatchObject({ state: "running", step: "note", faults: tries, result: "failed" });
    standing = { ...standing, failures: to.failures, faults: to.faults };
  }
  expect(transitionOf(saga, standing, fail(code))).toMatchObject({ state: "stuck", step: "note", result: "stuck" });
});

test("an undo is held without end, and refused it is stuck in the end: half done is not an end", () => {
  expect(transitionOf(saga, undoing("hotel", { ageMs: 1e12 }), fail("unavailable"))).toMatchObject({
    state: "compensating",
    step: "hotel",
  });
  expect(transitionOf(saga, undoing("hotel"), fail("invalid"))).toMatchObject({ state: "compensating", faults: 1 });
  expect(transitionOf(saga, undoing("hotel", { faults: MAX_FAULTS - 1 }), fail("invalid")).state).toBe("stuck");
});

test("a step that this release does not know is held, for one that does", () => {
  const to = transitionOf(saga, at("boat", { ageMs: 1e12 }), fail("unavailable", "no boat in this release"));
  expect(to).toMatchObject({ state: "running", step: "boat", result: "held" });
});

test("what is said of a failure is bounded", () => {
  const to = transitionOf(saga, at("car"), { ok: false, error: new Failure("invalid", "x".repeat(100_000)) });
  expect(to.reason?.length).toBeLessThan(1_100);
});

test("two steps of one name are a mistake of the program", () => {
  expect(() => defineSaga({ name: "twice", steps: [saga.steps[0], saga.steps[0]] })).toThrow("two steps of one name");
});

test("a step's key is a UUID that follows from saga, step and direction", () => {
  const id = "0192f0c4-0000-7000-8000-000000000001";
  expect(keyOf(id, "a")).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(keyOf(id, "a")).toBe(keyOf(id, "a"));
  expect(new Set([keyOf(id, "a"), keyOf(id, "b"), keyOf(id, "a", "undo"), keyOf("x", "a")]).size).toBe(4);
});
