import { expect, test } from "bun:test";
import { silentLog } from "#shared/log";
import { MongoNetworkError, MongoServerError, MongoServerSelectionError } from "mongodb";
import type { LogRecord } from "./entries.ts";
import type { MongoConnection } from "./mongo.ts";
import { makeStore } from "./store.ts";

function record(eventId: string): LogRecord {
  return {
    eventId,
    name: "a",
    severity: "INFO",
    content: { data: 1 },
    contentHash: "hash",
    createdAt: new Date(),
    source: "rpc",
    requestId: "r",
    traceId: "t",
  };
}

const nothing = async (): Promise<void> => {};
/** Everything is kept for ever. */
const slots = { place: async () => [], [Symbol.asyncDispose]: nothing };

function storeOn(logs: MongoConnection["logs"], suspect = (): void => undefined, register = nothing) {
  const connection = { logs, isFerretdb: false, epoch: 1, suspect, [Symbol.asyncDispose]: nothing };
  const registry = { register, voidRepeated: nothing, [Symbol.asyncDispose]: nothing };
  const segments = { enter: async () => undefined, took: () => undefined, lost: () => undefined };
  return makeStore(connection, registry, { slots, segments }, silentLog);
}

/** A store over a collection whose insert fails with `error`. */
function failing(error: unknown) {
  let suspected = 0;
  const logs = {
    insertMany: async () => {
      throw error;
    },
  } as unknown as NonNullable<MongoConnection["logs"]>;
  const store = storeOn(logs, () => void (suspected += 1));
  return { store, suspected: () => suspected };
}

test.each([
  ["a lost connection", new MongoNetworkError("connection closed")],
  ["no server to be had", new MongoServerSelectionError("timed out", {} as never)],
  ["a server that is going down", new MongoServerError({ code: 11_600, errmsg: "interrupted at shutdown" })],
  ["a full disk", new MongoServerError({ code: 14_031, errmsg: "available disk space is less than required" })],
  ["an internal error", new MongoServerError({ code: 1, errmsg: "internal" })],
  ["a write concern that was not met", new MongoServerError({ code: 64, errmsg: "waiting for replication timed out" })],
])("%s is the system's fault: unavailable, safe to repeat, and looked into", async (_, error) => {
  const { store, suspected } = failing(error);
  const result = await store.insert([record("a"), record("b")]);
  expect(result).toMatchObject({ ok: false, error: { code: "unavailable", retryAfterS: 1 } });
  expect(suspected()).toBe(1);
});

test.each([
  ["a value that the server refuses", new MongoServerError({ code: 2, errmsg: "bad value" })],
  ["a document that is too large", new MongoServerError({ code: 10_334, errmsg: "too large" })],
  ["what the driver cannot write", new RangeError("out of bounds")],
])("%s is the document's fault: invalid, and no outage", async (_, error) => {
  const { store, suspected } = failing(error);
  expect(await store.insert([record("a")])).toMatchObject({ ok: false, error: { code: "invalid" } });
  expect(suspected()).toBe(0);
});

test("an entry whose producer cannot be made known is not stored, whatever that failed with", async () => {
  let inserted = 0;
  const logs = { insertMany: async () => void (inserted += 1) } as unknown as NonNullable<MongoConnection["logs"]>;
  for (const error of [new MongoNetworkError("closed"), new MongoServerError({ code: 2, errmsg: "bad value" })]) {
    const store = storeOn(logs, undefined, async () => {
      throw error;
    });
    expect(await store.insert([record("a")])).toMatchObject({ ok: false, error: { code: "unavailable" } });
  }
  expect(inserted).toBe(0);
});

test("while MongoDB is away everything is refused at once", async () => {
  const store = storeOn(undefined);
  expect(store.refusal()).toMatchObject({ code: "unavailable", retryAfterS: 1 });
  expect(await store.insert([record("a")])).toMatchObject({ ok: false, error: { code: "unavailable" } });
});
