import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { makeAckWindow } from "./ack-window.ts";

test("nothing is acknowledged before everything that came earlier is settled", () => {
  const window = makeAckWindow();
  for (const tag of [1, 2, 3]) window.open(tag);
  window.settle(3);
  window.settle(2);
  expect(window.advance()).toBeUndefined();
  expect(window.unsettled).toBe(1);
  window.settle(1);
  expect(window.advance()).toBe(3);
  expect(window.advance()).toBeUndefined();
  expect(window.unsettled).toBe(0);
});

test("a window may begin at any tag, since a channel's tags go on after its deliveries were given back", () => {
  const window = makeAckWindow();
  window.settle(4);
  window.open(7);
  window.settle(6);
  expect(window.advance()).toBeUndefined();
  window.settle(7);
  expect(window.advance()).toBe(7);
});

test("whatever the order, a tag is acknowledged exactly when it and all before it are settled", () => {
  const orders = fc.integer({ min: 1, max: 60 }).chain((count) => {
    const tags = Array.from({ length: count }, (_, index) => index + 1);
    return fc.tuple(
      fc.shuffledSubarray(tags, { minLength: count, maxLength: count }),
      fc.array(fc.boolean(), { minLength: count, maxLength: count }),
    );
  });
  fc.assert(
    fc.property(orders, ([order, looks]) => {
      const window = makeAckWindow();
      for (let tag = 1; tag <= order.length; tag += 1) window.open(tag);
      const settled = new Set<number>();
      let acknowledged = 0;
      for (const [index, tag] of order.entries()) {
        window.settle(tag);
        window.settle(tag);
        settled.add(tag);
        if (!looks[index]) continue;
        let upTo = 0;
        while (settled.has(upTo + 1)) upTo += 1;
        expect(window.advance()).toBe(upTo > acknowledged ? upTo : undefined);
        acknowledged = Math.max(acknowledged, upTo);
        expect(window.unsettled).toBe(order.length - settled.size);
      }
      if (acknowledged < order.length) expect(window.advance()).toBe(order.length);
    }),
  );
});

test("what waits for an earlier one can go alone, once, and is never acknowledged again", () => {
  const window = makeAckWindow();
  for (const tag of [1, 2, 3, 4, 5]) window.open(tag);
  for (const tag of [2, 3]) window.settle(tag);
  expect(window.advance()).toBeUndefined();
  expect(window.hasStragglers).toBe(true);
  expect(window.stragglers()).toEqual([2, 3]);
  window.settle(3);
  expect(window.stragglers()).toEqual([]);
  expect(window.hasStragglers).toBe(false);
  expect(window.unsettled).toBe(3);
  window.settle(1);
  expect(window.advance()).toBe(1);
  expect(window.unsettled).toBe(2);
  // All before it went alone: nothing is left to acknowledge together.
  expect(window.advance()).toBeUndefined();
  window.settle(5);
  window.settle(4);
  expect(window.advance()).toBe(5);
  expect(window.unsettled).toBe(0);
});

test("whatever the order, each tag is acknowledged exactly once", () => {
  const step = fc.record({ tag: fc.integer({ min: 1, max: 30 }), look: fc.constantFrom("no", "together", "each") });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const window = makeAckWindow();
      for (let tag = 1; tag <= 30; tag += 1) window.open(tag);
      const settled = new Set<number>();
      const open = new Set(Array.from({ length: 30 }, (_, index) => index + 1));
      const acknowledge = (tag: number): void => {
        expect(settled.has(tag)).toBe(true);
        expect(open.delete(tag)).toBe(true);
      };
      for (const { tag, look } of steps) {
        window.settle(tag);
        settled.add(tag);
        if (look === "no") continue;
        const upTo = window.advance();
        if (upTo !== undefined) {
          expect(open.has(upTo)).toBe(true);
          for (const each of open) if (each <= upTo) acknowledge(each);
        }
        if (look === "each") for (const each of window.stragglers()) acknowledge(each);
        if (look === "each") expect(open.size).toBe(30 - settled.size);
      }
      expect(window.unsettled).toBe(30 - settled.size);
    }),
  );
});
