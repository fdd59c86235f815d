import { expect, test } from "bun:test";
import { BLOCK_NUMBERS, BlockNumbers, blockOf, firstOf, Ranges } from "./numbers.ts";

/** The gaps of a block that has these numbers. */
function gapsOf(block: number, stored: readonly number[], from: number, to: number, voided: readonly number[] = []) {
  const numbers = new BlockNumbers(block);
  for (const number of stored) numbers.add(number);
  for (const number of voided) numbers.void(number);
  const gaps: [number, number][] = [];
  numbers.gaps(from, to, (first, last) => gaps.push([first, last]));
  return gaps;
}

test("numbers begin with 1, and blocks follow one another without overlap", () => {
  expect([blockOf(1), blockOf(BLOCK_NUMBERS), blockOf(BLOCK_NUMBERS + 1)]).toEqual([0, 0, 1]);
  expect([firstOf(0), firstOf(1)]).toEqual([1, BLOCK_NUMBERS + 1]);
  for (const sequence of [1, 99, BLOCK_NUMBERS, 10 * BLOCK_NUMBERS + 1, Number.MAX_SAFE_INTEGER]) {
    const first = firstOf(blockOf(sequence));
    expect(first).toBeLessThanOrEqual(sequence);
    expect(sequence - first).toBeLessThan(BLOCK_NUMBERS);
  }
});

test.each([
  ["nothing missing", [1, 2, 3], 1, 3, []],
  ["all missing", [], 1, 3, [[1, 3]]],
  [
    "the first, one within and the last",
    [2, 4, 5],
    1,
    6,
    [
      [1, 1],
      [3, 3],
      [6, 6],
    ],
  ],
  ["neighbours are one range", [1, 5], 1, 5, [[2, 4]]],
  ["only what is asked for", [], 3, 4, [[3, 4]]],
] as [string, number[], number, number, [number, number][]][])("gaps: %s", (_, stored, from, to, gaps) => {
  expect(gapsOf(0, stored, from, to)).toEqual(gaps);
  const shift = 7 * BLOCK_NUMBERS;
  const shifted = stored.map((number) => number + shift);
  expect(gapsOf(7, shifted, from + shift, to + shift)).toEqual(gaps.map(([a, b]) => [a + shift, b + shift]));
});

test("a voided number is no gap, whether stored or not", () => {
  expect(gapsOf(0, [1, 4], 1, 5, [2, 4])).toEqual([
    [3, 3],
    [5, 5],
  ]);
});

test("a block ends where it ends, and what belongs to another is ignored", () => {
  const last = BLOCK_NUMBERS;
  expect(gapsOf(0, [last, last + 1, 0, -5, 1.5], last - 1, last + 9)).toEqual([[last - 1, last - 1]]);
});

test("numbers that came more than once are kept, each once, up to a hundred", () => {
  const numbers = new BlockNumbers(0);
  for (const number of [3, 1, 3, 3, 2, 1]) numbers.add(number);
  expect([numbers.entries, numbers.last, numbers.repeated, numbers.repeatedCut]).toEqual([6, 3, [1, 3], false]);
  for (let number = 1; number <= 200; number += 1) numbers.add(number + 100);
  for (let number = 1; number <= 98; number += 1) numbers.add(number + 100);
  expect([numbers.repeated.length, numbers.repeatedCut]).toEqual([100, false]);
  numbers.add(101);
  expect(numbers.repeatedCut).toBe(false);
  numbers.add(250);
  expect([numbers.repeated.length, numbers.repeatedCut]).toEqual([100, true]);
});

test("ranges that touch are one, and all are counted though not all are kept", () => {
  const ranges = new Ranges(2);
  ranges.add(1, 2);
  ranges.add(3, 3);
  ranges.add(5, 5);
  expect([ranges.list, ranges.count, ranges.cut]).toEqual([
    [
      [1, 3],
      [5, 5],
    ],
    4,
    false,
  ]);
  ranges.add(6, 9);
  expect([ranges.list, ranges.cut]).toEqual([
    [
      [1, 3],
      [5, 9],
    ],
    false,
  ]);
  ranges.add(11, 11);
  ranges.add(12, 20);
  expect([ranges.list, ranges.count, ranges.cut]).toEqual([
    [
      [1, 3],
      [5, 9],
    ],
    18,
    true,
  ]);
});
