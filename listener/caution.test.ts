import { expect, test } from "bun:test";
import { fingerprintOf, makeCaution } from "./caution.ts";

async function until(condition: () => boolean): Promise<void> {
  const endsAt = performance.now() + 5_000;
  while (!condition()) {
    if (performance.now() > endsAt) throw new Error("it did not come to pass");
    await Bun.sleep(1);
  }
}

const fresh = { redelivered: false, deliveries: 0 };
const again = (deliveries: number) => ({ redelivered: true, deliveries });

function setUp(on: boolean) {
  const inHand = { a: 0, b: 0 };
  const changes: boolean[] = [];
  const seen = { flushed: 0 };
  const caution = makeCaution({
    on,
    inHand: new Map([
      ["a", () => inHand.a],
      ["b", () => inHand.b],
    ]),
    onChange: (now) => changes.push(now),
    flush: () => (seen.flushed += 1),
    calmMs: 50,
  });
  return { caution, inHand, changes, seen };
}

test("a second delivery is nothing, a third one is a suspect and makes the worker careful with all that follow", () => {
  const { caution, changes } = setUp(false);
  expect(caution.arrived("a", again(1))).toBe(false);
  expect(caution.arrived("a", again(2))).toBe(true);
  expect(caution.arrived("b", again(1))).toBe(true);
  expect(changes).toEqual([true]);
  caution[Symbol.dispose]();
});

test("where no worker crashed, deliveries are counted by lost connections: nobody is a suspect", () => {
  const { caution, changes } = setUp(false);
  expect(caution.arrived("a", fresh)).toBe(false);
  expect(caution.arrived("a", again(40))).toBe(false);
  // Of the other queue nothing new has come: how the process before this one ended is not known.
  expect(caution.arrived("b", again(2))).toBe(true);
  expect(changes).toEqual([true]);
  caution[Symbol.dispose]();
});

test("care ends when every queue gave something new, or nothing for a while", async () => {
  const { caution, inHand, changes } = setUp(true);
  inHand.b = 1;
  expect(caution.arrived("a", again(1))).toBe(true);
  expect(caution.arrived("a", fresh)).toBe(true);
  await Bun.sleep(400);
  // One of the other queue is still in hand.
  expect(caution.on).toBe(true);
  inHand.b = 0;
  await until(() => !caution.on);
  expect(changes).toEqual([false]);
  expect(caution.arrived("a", again(1))).toBe(false);
  caution.warn();
  expect(caution.arrived("b", again(2))).toBe(true);
  expect(caution.arrived("b", fresh)).toBe(true);
  expect(caution.arrived("a", fresh)).toBe(false);
  expect(changes).toEqual([false, true, false]);
  caution[Symbol.dispose]();
});

test("who is alone is alone: others finish first, later ones wait, and what they came to is acknowledged before", async () => {
  const { caution, seen } = setUp(false);
  const order: string[] = [];
  let beside = 0;
  const work = (name: string, isAlone: boolean) => async (): Promise<void> => {
    beside += 1;
    if (isAlone) {
      expect(beside).toBe(1);
      expect(seen.flushed).toBeGreaterThan(0);
    }
    await Bun.sleep(5);
    order.push(name);
    beside -= 1;
  };
  const all = [
    caution.together(work("1", false)),
    caution.together(work("1", false)),
    caution.alone(2, work("2", true)),
    caution.alone(9, work("3", true)),
    caution.together(work("4", false)),
    caution.together(work("4", false)),
  ];
  await Promise.all(all);
  expect(order).toEqual(["1", "1", "2", "3", "4", "4"]);
  const broken = await caution.alone(0, () => Promise.reject(new Error("broken"))).catch((error: unknown) => error);
  expect(broken).toEqual(new Error("broken"));
  await caution.together(work("5", false));
  caution[Symbol.dispose]();
});

test("a message is known by its id, its key and its body, however often it comes", () => {
  const message = { messageId: "m", routingKey: "log.INFO", body: Uint8Array.from([1, 2]) };
  const print = fingerprintOf(message);
  expect(fingerprintOf({ ...message, body: Uint8Array.from([1, 2]) })).toBe(print);
  const others = [
    { ...message, messageId: undefined },
    { ...message, messageId: "n" },
    { ...message, routingKey: "log.ERROR" },
    { ...message, body: Uint8Array.from([1, 2, 3]) },
  ].map(fingerprintOf);
  expect(new Set([print, ...others]).size).toBe(5);
});
