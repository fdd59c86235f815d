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
