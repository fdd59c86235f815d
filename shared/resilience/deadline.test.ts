import { expect, test } from "bun:test";
import { Deadline } from "#shared/resilience";

test("a deadline gets shorter and never longer", () => {
  const outer = Deadline.after(1_000);
  expect(outer.remainingMs()).toBeGreaterThan(900);
  expect(outer.within(50).remainingMs()).toBeLessThanOrEqual(50);
  expect(outer.within(60_000).remainingMs()).toBeLessThanOrEqual(1_000);
  expect(Deadline.after(-5).passed).toBe(true);
});

test("it is over as soon as the asker goes, for all that was made of it", () => {
  const asker = new AbortController();
  const outer = Deadline.after(1_000, asker.signal);
  const inner = outer.within(500);
  const { signal } = inner;
  expect([outer.passed, inner.passed, signal.aborted]).toEqual([false, false, false]);
  asker.abort();
  expect([outer.passed, inner.passed, signal.aborted]).toEqual([true, true, true]);
});

test("when its signal fires, no time is left", async () => {
  for (let round = 0; round < 20; round += 1) {
    const deadline = Deadline.after((round % 5) + 0.9);
    const { promise, resolve } = Promise.withResolvers<number>();
    deadline.signal.addEventListener("abort", () => resolve(deadline.remainingMs()));
    if (deadline.signal.aborted) resolve(deadline.remainingMs());
    expect(await promise).toBe(0);
  }
});

test("bounded work is its outcome, or a deadline when the time is up first; what it does later disturbs nobody", async () => {
  expect(await Deadline.after(1_000).bound(Promise.resolve(7), "work")).toBe(7);
  const thrown = Deadline.after(1_000).bound(Promise.reject(new Error("broken")), "work");
  expect(thrown).rejects.toThrow("broken");
  const late = Promise.withResolvers<never>();
  const bounded = Deadline.after(20).bound(late.promise, "work");
  expect(bounded).rejects.toMatchObject({ code: "deadline", message: "work took too long" });
  await bounded.catch(() => undefined);
  late.reject(new Error("an unhandled rejection would fail this file"));
  await Bun.sleep(0);
  const none = Deadline.after(0).bound(new Promise<never>(() => undefined), "work");
  expect(none).rejects.toMatchObject({ code: "deadline" });
});
