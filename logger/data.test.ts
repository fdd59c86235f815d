import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { BSON } from "mongodb";
import { decodeData, encodeData, type StoredData } from "./data.ts";
import { type Database, makeDatabase, NEEDS_MONGODB, TEST_MONGODB_URL } from "./testing.ts";

const NASTY_KEYS = ["", "$", "$where", "$date", "$ref", ".", "a.b", "__proto__", "constructor", "_bsontype", "toBSON"];
const MORE_KEYS = ["toJSON", "a\0b", "_id", "$s", "$k", "$b", "length", "0", "01", "s", "p", "k", "t", "v"];
const NUMBERS = [
  0,
  -0,
  5,
  2 ** 31 - 1,
  2 ** 31,
  -(2 ** 31) - 1,
  2 ** 53 - 1,
  2 ** 53,
  -(2 ** 63),
  2 ** 64,
  1e308,
  5e-324,
];

const text = fc.string({ unit: "binary", maxLength: 12 });
const key = fc.oneof(fc.constantFrom(...NASTY_KEYS, ...MORE_KEYS), text);
const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    text,
    fc.constantFrom("a\0b", "\u2028\ufeff\uffff", "ObjectId", "😀"),
    fc.constantFrom(...NUMBERS),
    fc.integer(),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.constantFrom(null, true, false),
    fc.array(tie("value"), { maxLength: 5 }),
    // Object.fromEntries makes a key of its own of `__proto__`.
    fc.array(fc.tuple(key, tie("value")), { maxLength: 5 }).map((entries) => Object.fromEntries(entries)),
  ),
}));

function encoded(data: unknown) {
  const result = encodeData(data);
  if (!result.ok) throw result.error;
  return result.value;
}

/** As JSON, with -0 and the order of keys. */
const textOf = (data: unknown): string => encoded(data).text;

function nested(levels: number, wrap: (inner: unknown) => unknown): unknown {
  let data: unknown = "x";
  for (let level = 0; level < levels; level += 1) data = wrap(data);
  return data;
}

const SPECIAL: Record<string, unknown> = {
  "an operator": { $where: "1" },
  "a key with a dot": { "a.b": { c: 1 } },
  "an empty key": { "": "" },
  "__proto__ as a key": JSON.parse('{"__proto__":{"polluted":true},"a":[{"__proto__":1}]}'),
  "a driver's type name as a key": { _bsontype: "ObjectId", id: "x" },
  "NUL in text": { text: "a\0b" },
  "NUL in a key": { "a\0b": 1 },
  "a key _id after another": { a: 1, _id: 2 },
  "arrays in arrays": [[1, [2, []]], []],
  "minus zero": [-0, 0],
  "numbers on the edges of types": NUMBERS,
  "extended JSON": { $numberLong: "5", $date: "2026-01-01T00:00:00Z", $oid: "x" },
  "48 levels of objects": nested(48, (inner) => ({ a: inner })),
  "48 levels of arrays": nested(48, (inner) => [inner]),
  "a million characters": "ä".repeat(1_000_000),
  "20,000 numbers": Array.from({ length: 20_000 }, (_, index) => index / 2),
  "20,000 keys": Object.fromEntries(Array.from({ length: 20_000 }, (_, index) => [`k${index}`, index])),
  "a long key": { ["k".repeat(100_000)]: 1 },
  "a megabyte of NUL": "\0".repeat(1_048_576),
};

test("what is plain lies in the document as BSON of its own", () => {
  const data = { user: { id: 5, tags: ["a", { b: null }], ratio: 0.5 } };
  expect(encoded(data).stored).toEqual({ data });
});

test("what is not plain lies in the document as JSON text", () => {
  for (const data of [{ $where: 1 }, { "a.b": 1 }, { "": 1 }, "a\0b", [[1]], -0]) {
    expect(encoded(data).stored.data_encoding).toBe("json");
  }
});

test("numbers that JSON cannot carry are refused, at any depth", () => {
  for (const data of [Number.NaN, JSON.parse("1e400"), { a: [{ b: -1 / 0 }] }, { "a.b": Number.NaN }]) {
    expect(encodeData(data)).toMatchObject({ ok: false, error: { code: "invalid" } });
  }
});

test("what no document can hold is refused before it is sent", () => {
  expect(encodeData("\0".repeat(3 * 1_048_576))).toMatchObject({ ok: false, error: { code: "too_large" } });
});

test("what other writers stored is left as it is", () => {
  const when = new Date();
  expect(decodeData({ data: { when, list: [1] } })).toEqual({ when, list: [1] });
  expect(decodeData({ data: "text", data_encoding: "json" })).toBe("text");
});

test("any value survives BSON", () => {
  fc.assert(
    fc.property(value, (data) => {
      const back = BSON.deserialize(BSON.serialize(encoded(data).stored)) as unknown as StoredData;
      expect(textOf(decodeData(back))).toBe(textOf(data));
    }),
    { numRuns: 1_000 },
  );
});

describe.skipIf(TEST_MONGODB_URL === undefined)(`through a server ${NEEDS_MONGODB}`, () => {
  let database: Database;
  beforeAll(async () => {
    database = await makeDatabase();
  });
  afterAll(() => database?.[Symbol.asyncDispose]());

  async function throughServer(values: readonly unknown[]): Promise<unknown[]> {
    const documents = values.map((data) => ({ _id: Bun.randomUUIDv7(), ...encoded(data).stored }));
    const logs = database.client.db(database.name).collection<StoredData & { _id: string }>("values");
    await logs.insertMany(documents, { ordered: false });
    const ids = documents.map(({ _id }) => _id);
    const found = await logs.find({ _id: { $in: ids } }).toArray();
    const byId = new Map(found.map((document) => [document._id, decodeData(document)]));
    await logs.deleteMany({ _id: { $in: ids } });
    return ids.map((id) => byId.get(id));
  }

  test.each(Object.entries(SPECIAL))(
    "%s comes back as it was sent",
    async (_, data) => {
      const [back] = await throughServer([data]);
      expect(textOf(back) === textOf(data)).toBe(true);
    },
    30_000,
  );

  test("any values come back as they were sent", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(value, { minLength: 30, maxLength: 60 }), async (values) => {
        const back = await throughServer(values);
        expect(back.map(textOf)).toEqual(values.map(textOf));
      }),
      { numRuns: 60, interruptAfterTimeLimit: 15_000, markInterruptAsFailure: false },
    );
  }, 30_000);
});
