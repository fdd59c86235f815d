import { expect, test } from "bun:test";
import { makeKept } from "./kept.ts";

test("the highest numbers are kept, as many as fit, in whatever order they come and are asked for", () => {
  let full = 0;
  const kept = makeKept<{ bytes: number; name: string }>(100, () => (full += 1));
  const put = (number: number, bytes = 30) => kept.set(number, { bytes, name: String(number) });
  const there = () => [1, 2, 3, 4, 5].filter((number) => kept.get(number) !== undefined);
  for (const number of [5, 2, 3]) put(number);
  expect([there(), full]).toEqual([[2, 3, 5], 0]);
  kept.get(2);
  put(4);
  expect([there(), full]).toEqual([[3, 4, 5], 1]);
  put(1);
  expect([there(), full]).toEqual([[3, 4, 5], 1]);
  // In place of itself.
  put(3, 40);
  expect(there()).toEqual([3, 4, 5]);
  put(3, 41);
  expect(there()).toEqual([4, 5]);
  kept.delete(5);
  put(2);
  put(1);
  expect(there()).toEqual([1, 2, 4]);
  // One that fits nowhere takes nobody's room.
  put(5, 101);
  expect(there()).toEqual([1, 2, 4]);
  kept.clear();
  put(1);
  expect(kept.get(1)?.name).toBe("1");
});
