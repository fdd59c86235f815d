import { expect, test } from "bun:test";
import { silentLog } from "#shared/log";
import { MongoNetworkError, MongoServerError, MongoServerSelectionError } from "mongodb";
import type { LogDocument } from "./documents.ts";
import type { LogRecord } from "./entries.ts";
import { ok } from "#shared/errors";
import type { MongoConnection } from "./mongo.ts";
import type { Registry } from "./registry.ts";
import { makeStore, type StoreOptions } from "./store.ts";
import { makeTap } from "./tail/tap.ts";
import { makeWriter, positionOf } from "./tail/writer.ts";

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

function storeOn(
  logs: MongoConnection["logs"],
  suspect = (): void => undefined,
  register: Registry["register"] = nothing,
  {
    took = () => undefined,
    ...options
  }: StoreOptions & { took?: (segment: number, of: readonly unknown[]) => void } = {},
) {
  const connection = { logs, isFerretdb: false, epoch: 1, suspect, [Symbol.asyncDispose]: nothing };
  const registry = { register, voidRepeated: nothing, [Symbol.asyncDispose]: nothing };
  const segments = { enter: async () => 7, took, lost: () => undefined };
  return makeStore(connection, registry, { slots, segments }, silentLog, options);
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

/** A collection that takes everything, and what it has taken. */
function taking() {
  const stored: LogDocument[] = [];
  const logs = { insertMany: async (documents: LogDocument[]) => void stored.push(...documents) };
  return { logs: logs as unknown as NonNullable<MongoConnection["logs"]>, stored };
}

test("of one writer, ids are in the order of the times of storing, whichever batch leaves first", async () => {
  const { logs, stored } = taking();
  const writer = makeWriter();
  const followed = { writer, tap: makeTap({ writer, onStored: () => undefined, isHeard: () => false }) };
  const first = Promise.withResolvers<void>();
  const slow = storeOn(logs, undefined, () => first.promise, { followed });
  const fast = storeOn(logs, undefined, undefined, { followed });
  const began = slow.insert([record("a"), record("b")]);
  await Bun.sleep(2);
  await fast.insert([record("c")]);
  first.resolve();
  await began;
  const positions = stored
    .toSorted((a, b) => a.stored_at.getTime() - b.stored_at.getTime())
    .map((document) => positionOf(document)?.count);
  expect(stored.map(({ event_id }) => event_id)).toEqual(["c", "a", "b"]);
  expect(positions).toEqual([1, 2, 3]);
});

test("who follows is told of what is stored before it is sealed", async () => {
  const { logs } = taking();
  const writer = makeWriter();
  const heard = Promise.withResolvers<readonly LogDocument[]>();
  const followed = { writer, tap: makeTap({ writer, onStored: heard.resolve, isHeard: () => true }) };
  const sealed = Promise.withResolvers<void>();
  const chain = {
    append: async () => ok({ seal: <T>(outcomes: T) => sealed.promise.then(() => outcomes) }),
  };
  const insert = storeOn(logs, undefined, undefined, { followed, chain }).insert([record("a")]);
  expect((await heard.promise).map(({ event_id }) => event_id)).toEqual(["a"]);
  sealed.resolve();
  expect(await insert).toEqual(ok([ok("stored")]));
});

test("what could not be sent in time is not sent: the chain and the segment hear that nothing is stored", async () => {
  const { logs, stored } = taking();
  let taken: readonly unknown[] | undefined;
  const sealed: unknown[] = [];
  const chain: StoreOptions["chain"] = {
    append: async (_, __, deadline) => {
      while (!deadline.passed) await Bun.sleep(50);
      return ok({
        async seal(outcomes) {
          sealed.push(outcomes);
          return outcomes;
        },
      });
    },
  };
  const store = storeOn(logs, undefined, undefined, { chain, took: (_, records) => void (taken = records) });
  const unavailable = { ok: false, error: { code: "unavailable" } };
  expect(await store.insert([record("a"), record("b")])).toMatchObject({ ok: true, value: [unavailable, unavailable] });
  expect(stored).toEqual([]);
  expect(taken).toEqual([]);
  expect(sealed).toMatchObject([{ ok: true, value: [unavailable, unavailable] }]);
}, 10_000);

test("a batch whose producers cannot be made known leaves its segment", async () => {
  const { logs } = taking();
  const told = Promise.withResolvers<readonly unknown[]>();
  const failed = async (): Promise<void> => {
    throw new MongoNetworkError("closed");
  };
  const store = storeOn(logs, undefined, failed, { took: (_, records) => told.resolve(records) });
  expect(await store.insert([record("a")])).toMatchObject({ ok: false });
  expect(await told.promise).toEqual([]);
});
