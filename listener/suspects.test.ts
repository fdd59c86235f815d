import { expect, test } from "bun:test";
import { makeSuspects } from "./suspects.ts";

test("the third worker that a message ends is the verdict on it, with the reason", () => {
  const suspects = makeSuspects();
  expect(suspects.ended("a", "boom")).toBeUndefined();
  expect(suspects.ended("b", "boom")).toBeUndefined();
  expect(suspects.ended("a", "boom")).toBeUndefined();
  expect(suspects.ended("a", "out of memory")).toBe("it ended the worker 3 times: out of memory");
  expect([...suspects.condemned.keys()]).toEqual(["a"]);
  suspects.acquit("a");
  expect(suspects.condemned.size).toBe(0);
});

test("a message that was dealt with is innocent of what came before", () => {
  const suspects = makeSuspects();
  for (let round = 0; round < 5; round += 1) {
    expect(suspects.ended("a", "")).toBeUndefined();
    expect(suspects.ended("a", "")).toBeUndefined();
    suspects.acquit("a");
  }
});

test("twenty verdicts with nothing handled between them speak against our code: the next one takes far more", () => {
  const verdictAfter = (suspects: ReturnType<typeof makeSuspects>, name: string): number => {
    for (let deaths = 1; ; deaths += 1) if (suspects.ended(name, "") !== undefined) return deaths;
  };
  const broken = makeSuspects();
  const deaths = Array.from({ length: 22 }, (_, index) => verdictAfter(broken, `m${index}`));
  expect(deaths).toEqual([...Array.from({ length: 20 }, () => 3), 20, 20]);
  expect(broken.hopeless).toBe(true);
  broken.handled();
  expect(broken.hopeless).toBe(false);
  expect(verdictAfter(broken, "next")).toBe(3);
});
