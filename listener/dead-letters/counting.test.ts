/** Queues are counted on one connection, as long as somebody asks and as long as it lasts. */
import { expect, test } from "bun:test";
import type { ParkedQueues } from "#shared/amqp";
import { fail, ok, type Result } from "#shared/errors";
import { makeCounting } from "./counting.ts";
import { until } from "./dead-letters.test-kit.ts";

/** RabbitMQ with one message in every queue; each connection can be lost. */
function rabbit() {
  const state = { isAway: false, opened: 0, closed: 0, lost: new Set<number>() };
  async function open(): Promise<Result<ParkedQueues>> {
    if (state.isAway) return fail("unavailable", "RabbitMQ is not reachable");
    state.opened += 1;
    const own = state.opened;
    return ok({
      count: async (queues) =>
        state.lost.has(own)
          ? fail("unavailable", "the connection was lost")
          : ok(new Map([...queues].map((queue) => [queue, { messages: own, consumers: 0 }]))),
      look: async () => fail("unavailable"),
      [Symbol.asyncDispose]: async () => {
        state.closed += 1;
      },
    });
  }
  return { state, open };
}

const one = (messages: number) => ok(new Map([["q", { messages, consumers: 0 }]]));

test("who asks again asks on the same connection, also two at a time", async () => {
  const { state, open } = rabbit();
  await using counting = makeCounting(open);
  expect(await Promise.all([counting.count(["q"]), counting.count(["q"])])).toEqual([one(1), one(1)]);
  expect(await counting.count(["q"])).toEqual(one(1));
  expect([state.opened, state.closed]).toEqual([1, 0]);
});

test("one that was lost meanwhile is opened again at once, and given back", async () => {
  const { state, open } = rabbit();
  await using counting = makeCounting(open);
  await counting.count(["q"]);
  state.lost.add(1);
  expect(await counting.count(["q"])).toEqual(one(2));
  expect([state.opened, state.closed]).toEqual([2, 1]);
});

test("RabbitMQ away is unavailable, and back is back", async () => {
  const { state, open } = rabbit();
  await using counting = makeCounting(open);
  state.isAway = true;
  for (let times = 0; times < 2; times += 1)
    expect(await counting.count(["q"])).toMatchObject({ ok: false, error: { code: "unavailable" } });
  state.isAway = false;
  expect(await counting.count(["q"])).toEqual(one(1));
});

test("what nobody asks is given back; closed, it opens none", async () => {
  const { state, open } = rabbit();
  const counting = makeCounting(open, 20);
  await counting.count(["q"]);
  await until(() => state.closed === 1);
  expect(await counting.count(["q"])).toEqual(one(2));
  await counting[Symbol.asyncDispose]();
  expect([state.opened, state.closed]).toEqual([2, 2]);
  expect(await counting.count(["q"])).toMatchObject({ ok: false });
  expect(state.opened).toBe(2);
});
