/** What is remembered of producers, over a store in memory. */
import { expect, test } from "bun:test";
import { silentLog } from "#shared/log";
import { Deadline } from "#shared/resilience";
import type { LogRecord } from "./entries.ts";
import type { Logs } from "./mongo.ts";
import { makeRegistry } from "./registry.ts";

interface Mark {
  _id: string;
  last: number;
}

/** Collections of which `log_blocks` can be looked at; `away` refuses updates. */
function setUp() {
  const blocks = new Map<string, Mark>();
  const state = { away: false };
  const collection = (name: string) => ({
    insertMany: async (documents: readonly Mark[]) => {
      for (const one of name === "log_blocks" ? documents : []) if (!blocks.has(one._id)) blocks.set(one._id, one);
    },
    updateOne: async ({ _id }: { _id: string }, { $max: { last } }: { $max: { last: number } }) => {
      if (state.away) throw new Error("away");
      blocks.set(_id, { _id, last: Math.max(last, blocks.get(_id)?.last ?? 0) });
    },
  });
  const logs = { db: { collection } } as unknown as Logs;
  const connection = {
    logs,
    isFerretdb: false,
    epoch: 1,
    suspect: () => undefined,
    [Symbol.asyncDispose]: async () => undefined,
  };
  const registry = makeRegistry(connection, silentLog);
  const store = (id: string, sequence: number): Promise<void> =>
    registry.register(logs, [{ producer: { id, sequence } } as LogRecord], Deadline.after(1_000));
  return { registry, connection, blocks, state, store };
}

test("how far a producer has come is told after MongoDB was away, too, though nothing of it comes any more", async () => {
  const { registry, connection, blocks, state, store } = setUp();
  state.away = true;
  await store("gone", 1);
  await store("gone", 900);
  expect(blocks.get("0/gone")?.last).toBe(1);
  state.away = false;
  connection.epoch += 1;
  await store("other", 1);
  await registry[Symbol.asyncDispose]();
  expect(blocks.get("0/gone")?.last).toBe(900);
});

test("a logger that stops tells of all producers how far they have come, however many they are", async () => {
  const { registry, blocks, store } = setUp();
  for (let index = 0; index < 100; index += 1) {
    await store(`p${index}`, 1);
    await store(`p${index}`, 7);
  }
  await registry[Symbol.asyncDispose]();
  expect(new Set([...blocks.values()].map(({ last }) => last))).toEqual(new Set([7]));
});

test("one that stops while MongoDB is away does not wait for it", async () => {
  const { registry, state, store } = setUp();
  await store("p", 1);
  state.away = true;
  const startedAt = performance.now();
  await registry[Symbol.asyncDispose]();
  expect(performance.now() - startedAt).toBeLessThan(1_000);
});
