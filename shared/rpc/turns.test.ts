/** No connection keeps the others waiting, however many frames it sends. */
import { expect, test } from "bun:test";
import { ok } from "#shared/errors";
import { encodeFrame } from "./encode.ts";
import { connectPeer, startServer } from "./testing.ts";
import { FRAMES_AT_LEAST, Turns, type Waiting } from "./turns.ts";

const nextTurn = (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(resolve);
  });

function spin(ms: number): void {
  for (const until = performance.now() + ms; performance.now() < until; );
}

test("connections that wait go on in their order, some in each turn, until none waits", async () => {
  const turns = new Turns();
  const order: string[] = [];
  const connection = (name: string, slices: number): Waiting => {
    let left = slices;
    const own: Waiting = {
      goOn(now, until) {
        order.push(name);
        expect(until).toBeGreaterThan(now);
        spin(until - now);
        left -= 1;
        if (left > 0) turns.wait(own);
      },
    };
    return own;
  };
  for (const name of ["a", "b", "c", "d", "e", "f"]) turns.wait(connection(name, 2));
  await nextTurn();
  const first = order.length;
  expect(first).toBeGreaterThan(0);
  expect(first).toBeLessThan(6);
  while (order.length < 12) await nextTurn();
  expect(order.join("")).toBe("abcdefabcdef");
  await nextTurn();
  expect(order).toHaveLength(12);
});

test("one that has gone is passed over", async () => {
  const turns = new Turns();
  let ran = 0;
  const gone: Waiting = { goOn: () => void (ran += 1) };
  turns.wait(gone);
  turns.leave(gone);
  await nextTurn();
  await nextTurn();
  expect(ran).toBe(0);
});

test("floods of small frames are handled whole and in order, and a call on another connection is answered meanwhile", async () => {
  const FLOODS = 4;
  const FRAMES = 5_000;
  const handled = Array.from({ length: FLOODS }, () => 0);
  let inOrder = true;
  await using at = startServer({
    methods: {
      flood: ([who, index]) => {
        const peer = Number(who);
        inOrder &&= handled[peer] === index;
        handled[peer] = (handled[peer] ?? 0) + 1;
        spin(0.05);
        return ok();
      },
      quick: () => ok(handled.reduce((sum, count) => sum + count, 0)),
    },
  });
  using quick = await connectPeer(at.server.port);
  const floods = await Promise.all(Array.from({ length: FLOODS }, () => connectPeer(at.server.port)));
  const writing = floods.map((peer, who) => {
    const frames = Array.from({ length: FRAMES }, (_, index) => encodeFrame([2, "flood", [who, index]]));
    return peer.write(Buffer.concat(frames));
  });
  // A second of work: without turns a whole chunk of it, thousands of frames, is handled at one go.
  const counts: number[] = [];
  for (let id = 1; counts.at(-1) !== FLOODS * FRAMES; id += 1) {
    await quick.send(0, id, "quick", []);
    counts.push(Number((await quick.answer(id)).result));
  }
  const steps = counts.map((count, index) => count - (counts[index - 1] ?? 0));
  expect(Math.max(...steps)).toBeLessThan(2_000);
  expect(Math.max(...steps)).toBeGreaterThan(FRAMES_AT_LEAST);
  await Promise.all(writing);
  expect(inOrder).toBe(true);
  expect(at.server.connections).toBe(FLOODS + 1);
  for (const peer of floods) peer[Symbol.dispose]();
}, 30_000);
