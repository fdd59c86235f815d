/** Numbers of a producer: each once, and none that stands for nothing is left unexplained. */
import { afterEach, expect, test } from "bun:test";
import { Value } from "@sinclair/typebox/value";
import { array, assert, constantFrom, property } from "fast-check";
import { Producer } from "#contracts/logs";
import { makeMetrics, type Metrics } from "#shared/telemetry";
import { makeNumbers } from "./producer.ts";

const open: Metrics[] = [];
const metrics = (): Metrics => {
  const made = makeMetrics("broker", "0");
  open.push(made);
  return made;
};
afterEach(() => {
  for (const made of open.splice(0)) made[Symbol.dispose]();
});

test("a process is a producer of its own and counts from 1", () => {
  const [one, two] = [makeNumbers(metrics()), makeNumbers(metrics())];
  const first = one.take();
  expect(first).toEqual({ id: expect.stringMatching(/^broker-[0-9a-f-]{36}$/), sequence: 1 });
  expect(one.take()).toEqual({ id: first.id, sequence: 2 });
  expect(two.take()).toMatchObject({ sequence: 1 });
  expect(two.take().id).not.toBe(first.id);
});

test("what came to nothing is voided by the next entry, and comes back when that came to nothing, too", () => {
  const numbers = makeNumbers(metrics(), "p");
  const [one, two] = [numbers.take(), numbers.take()];
  numbers.giveBack(two);
  const three = numbers.take();
  expect(three).toEqual({ id: "p", sequence: 3, voided: [2] });
  expect(numbers.take()).toEqual({ id: "p", sequence: 4 });
  numbers.giveBack(one);
  numbers.giveBack(three);
  expect(numbers.take()).toEqual({ id: "p", sequence: 5, voided: [1, 2, 3] });
});

test("whatever ends well or not, every number is stored, voided, or waits to be voided", () => {
  assert(
    property(array(constantFrom("well", "badly", "later"), { maxLength: 400 }), (outcomes) => {
      const numbers = makeNumbers(metrics(), "p");
      const known = new Set<number>();
      const underWay: Producer[] = [];
      const stored = ({ sequence, voided = [] }: Producer) => [sequence, ...voided].forEach((n) => known.add(n));
      for (const outcome of outcomes) {
        const numbered = numbers.take();
        expect(Value.Check(Producer, numbered)).toBe(true);
        if (outcome === "well") stored(numbered);
        else if (outcome === "badly") numbers.giveBack(numbered);
        else underWay.push(numbered);
      }
      for (const numbered of underWay) numbers.giveBack(numbered);
      for (let more = 0; more <= outcomes.length / 100 + 1; more += 1) stored(numbers.take());
      expect([...known].toSorted((a, b) => a - b)).toEqual(Array.from({ length: known.size }, (_, at) => at + 1));
    }),
    { numRuns: 50 },
  );
});

test("what cannot be kept for voiding is counted", async () => {
  const told = metrics();
  const numbers = makeNumbers(told, "p", 2);
  for (const numbered of [numbers.take(), numbers.take(), numbers.take()]) numbers.giveBack(numbered);
  expect(numbers.take()).toEqual({ id: "p", sequence: 4, voided: [1, 2] });
  expect(await told.text()).toMatch(/broker_numbers_forgotten_total\{[^}]*\} 1/);
});
