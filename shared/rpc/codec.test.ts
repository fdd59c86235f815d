/** Values on the wire and back; msgpackr with its own defaults is the witness that the wire is MessagePack. */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { Packr, Unpackr } from "msgpackr/pack";
import { RPC_LIMITS } from "#contracts/limits";
import { WireError } from "./check.ts";
import { decodeMessage, decodeValue, emptyMessage } from "./decode.ts";
import { encodeFrame, Output, PREFIX_BYTES } from "./encode.ts";
import { oddJson } from "./testing.ts";

/** `value` through both halves of ours; wrapped, since a frame holds an array. */
const roundTrip = (value: unknown): unknown =>
  (decodeValue(encodeFrame([value]).subarray(PREFIX_BYTES)) as unknown[])[0];
const decoded = (...bytes: number[]): unknown => decodeValue(Buffer.from(bytes));
const witness = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: "number" });
const foreign = new Packr({ useRecords: false });

function refusal(decode: () => unknown): WireError {
  try {
    decode();
  } catch (error) {
    if (error instanceof WireError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

function hasNegativeZero(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return Object.is(value, -0);
  return Object.values(value).some(hasNegativeZero);
}

/** What JSON has; without lone surrogates, which become U+FFFD. */
const jsonValue = fc.jsonValue({ stringUnit: "binary", depthSize: "medium" });

describe("values", () => {
  test("every JSON value comes back as it was", () => {
    fc.assert(
      fc.property(jsonValue, (value) => expect(roundTrip(value)).toEqual(value)),
      { numRuns: 500 },
    );
  });

  test("keys and texts that msgpackr by itself would change come back as they were", () => {
    fc.assert(
      fc.property(oddJson, (text) => expect(JSON.stringify(roundTrip(JSON.parse(text)))).toBe(text)),
      { numRuns: 500 },
    );
  });

  test("what a library writes with its defaults is read as it was, and the other way round", () => {
    const plain = fc
      .jsonValue()
      .filter((value) => !/__proto__|toJSON/.test(JSON.stringify(value)) && !hasNegativeZero(value));
    fc.assert(
      fc.property(plain, (value) => {
        expect(witness.unpack(encodeFrame([value]).subarray(PREFIX_BYTES))).toEqual([value]);
        expect(decodeValue(foreign.pack([value]))).toEqual([value]);
      }),
      { numRuns: 300 },
    );
  });

  test.each([
    0,
    -0,
    1,
    127,
    128,
    255,
    256,
    65_535,
    65_536,
    2 ** 31 - 1,
    2 ** 31,
    2 ** 32 - 1,
    2 ** 32,
    Number.MAX_SAFE_INTEGER,
    -1,
    -32,
    -33,
    -128,
    -129,
    -32_768,
    -32_769,
    -(2 ** 31),
    -(2 ** 31) - 1,
    -(2 ** 32),
    -(2 ** 32) - 1,
    Number.MIN_SAFE_INTEGER,
    0.1,
    -1.5,
    1e300,
    2 ** 64,
    Infinity,
    NaN,
  ])("number %p, as another library reads it too", (value) => {
    expect(roundTrip(value)).toBe(value);
    expect(witness.unpack(encodeFrame([value]).subarray(PREFIX_BYTES))).toEqual([value]);
  });

  test.each([0, 1, 31, 32, 33, 39, 40, 41, 85, 86, 127, 255, 256, 4_096, 4_097, 65_535, 65_536, 70_000])(
    "text of %p characters, of one to four bytes each",
    (length) => {
      for (const unit of ["a", "é", "€", "😀"]) {
        const text = unit.repeat(Math.ceil(length / unit.length));
        expect(roundTrip(text)).toBe(text);
        expect(witness.unpack(encodeFrame([text]).subarray(PREFIX_BYTES))).toEqual([text]);
      }
    },
  );

  test("arrays and maps of every header size", () => {
    for (const length of [0, 15, 16, 17, 300, 40_000]) {
      const list = Array.from({ length }, (_, i) => i);
      const map = Object.fromEntries(list.map((i) => [`k${i}`, i]));
      expect(roundTrip(list)).toEqual(list);
      expect(roundTrip(map)).toEqual(map);
    }
    expect(decoded(0xde, 0, 1, 0xa1, 0x61, 1)).toEqual({ a: 1 });
    expect(decoded(0xdd, 0, 0, 0, 1, 0xca, 0x3f, 0x80, 0, 0)).toEqual([1]);
  });

  test("a byte order mark and a NUL stay where they are", () => {
    for (const text of ["\uFEFFa", `\uFEFF${"x".repeat(200)}`, "a\0b"]) expect(roundTrip(text)).toBe(text);
  });

  test("any key is data: it comes back as an own key and pollutes nothing", () => {
    const text =
      '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"toJSON":"x","hasOwnProperty":2}';
    const value = roundTrip(JSON.parse(text)) as object;
    expect(JSON.stringify(value)).toBe(text);
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
  });

  test("of a key that comes twice the last counts, in any form", () => {
    expect(decoded(0x82, 0xa1, 0x61, 1, 0xa1, 0x61, 2)).toEqual({ a: 2 });
    const proto = Buffer.from("__proto__");
    const long = Buffer.from(`\uFEFF${"k".repeat(60)}`);
    const first = [Buffer.of(0x85, 0xa9), proto, Buffer.of(1, 0xd9, long.length), long, Buffer.of(1, 0xa1, 0x61, 1)];
    const second = [Buffer.of(0xd9, 9), proto, Buffer.of(2, 0xda, 0, long.length), long, Buffer.of(2)];
    const twice = decodeValue(Buffer.concat([...first, ...second]));
    expect(JSON.stringify(twice)).toBe(`{"__proto__":2,"${long.toString()}":2,"a":1}`);
  });
});

describe("what is not JSON, going out", () => {
  test("what JSON leaves out of an object is left out, and null in an array", () => {
    const value = { a: undefined, b: () => 1, c: Symbol("c"), d: [undefined, () => 1], e: null };
    expect(roundTrip(value)).toEqual({ d: [null, null], e: null });
    const many = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`k${i}`, i % 2 === 0 ? undefined : i]));
    expect(Object.keys(roundTrip(many) as object)).toHaveLength(10);
  });

  test("dates become text, small big integers numbers, lone surrogates U+FFFD", () => {
    expect(roundTrip(new Date(0))).toBe("1970-01-01T00:00:00.000Z");
    expect(roundTrip(7n)).toBe(7);
    expect(roundTrip("a\uD800b")).toBe("a\uFFFDb");
    expect(roundTrip({ "\uDC00": 1 })).toEqual({ "\uFFFD": 1 });
  });

  test("integers beyond 32 bits stay integers for other languages", () => {
    expect(encodeFrame([2 ** 40]).toString("hex", PREFIX_BYTES)).toBe("91d30000010000000000");
    expect(encodeFrame([-(2 ** 40)]).toString("hex", PREFIX_BYTES)).toBe("91d3ffffff0000000000");
    expect(encodeFrame([2 ** 53]).toString("hex", PREFIX_BYTES)).toBe("91cb4340000000000000");
  });

  test("an object of any making is its own enumerable keys", () => {
    const bare = Object.assign(Object.create(null) as object, { toJSON: "x", constructor: 1 });
    expect(JSON.stringify(roundTrip(bare))).toBe('{"toJSON":"x","constructor":1}');
    expect(roundTrip({ a: 1, toJSON: () => 2 })).toEqual({ a: 1 });
    expect(roundTrip({ at: new Date(0), ["__proto__"]: 1, constructor: { toJSON: 1 } })).toEqual(
      JSON.parse('{"at":"1970-01-01T00:00:00.000Z","__proto__":1,"constructor":{"toJSON":1}}'),
    );
  });

  let reads = 0;
  const swelling = {
    get text() {
      reads += 1;
      return "x".repeat(reads === 1 ? 1 : 100_000);
    },
  };
  const cycle: unknown[] = [];
  cycle.push(cycle);
  test.each([
    ["a Map", new Map(), "invalid"],
    ["a Set", new Set([1]), "invalid"],
    ["bytes", new Uint8Array(3), "invalid"],
    ["a Buffer", Buffer.from("a"), "invalid"],
    ["an Error", new Error("x"), "invalid"],
    ["an integer beyond 2^53", 2n ** 60n, "invalid"],
    [
      "a getter that throws",
      Object.defineProperty({}, "a", { enumerable: true, get: () => JSON.parse("{") }),
      "invalid",
    ],
    ["a getter whose value grows", swelling, "invalid"],
    ["a cycle", cycle, "too_large"],
    ["too many values", Array.from({ length: RPC_LIMITS.nodes }, () => 0), "too_large"],
    ["too many bytes", "x".repeat(RPC_LIMITS.bytes + 1), "too_large"],
    ["too many bytes in parts", Array.from({ length: 5 }, () => "x".repeat(1_000_000)), "too_large"],
  ])("%s is a failure, and leaves the frames around it whole", (_what, value, code) => {
    const output = new Output();
    expect(output.append(["before"])).toBeUndefined();
    expect(output.append(["half", value])?.code).toBe(code as "invalid");
    expect(output.append(["after"])).toBeUndefined();
    const seen: string[] = [];
    output.drainTo((bytes, offset, length) => {
      seen.push(bytes.toString("hex", offset, offset + length));
      return length;
    });
    expect(seen.join("")).toBe(encodeFrame(["before"]).toString("hex") + encodeFrame(["after"]).toString("hex"));
  });
});

describe("bytes that are refused", () => {
  test.each([
    ["nothing", []],
    ["0xc1", [0xc1]],
    ["ext 8", [0xc7, 1, 1, 0]],
    ["ext 16", [0xc8, 0, 1, 1, 0]],
    ["ext 32", [0xc9, 0, 0, 0, 1, 1, 0]],
    ["fixext 1", [0xd4, 0x72, 0x40]],
    ["fixext 2", [0xd5, 1, 0, 0]],
    ["fixext 4 (a date)", [0xd6, 0xff, 0, 0, 0, 0]],
    ["fixext 8", [0xd7, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]],
    ["fixext 16", [0xd8, 1, ...Array.from({ length: 16 }, () => 0)]],
    ["a text that ends beyond", [0xa5, 0x61]],
    ["a text of 4 GiB", [0xdb, 0xff, 0xff, 0xff, 0xff, 0x61]],
    ["an array of 4 Gi values", [0xdd, 0xff, 0xff, 0xff, 0xff, 1]],
    ["a map of 4 Gi values", [0xdf, 0xff, 0xff, 0xff, 0xff, 0xa0, 1]],
    ["half a number", [0xcb, 0, 0]],
    ["half a length", [0xdc, 0]],
    ["bytes after the value", [1, 2]],
    ["a text that is not UTF-8", [0xa2, 0xc3, 0x28]],
    ["a long text that is not UTF-8", [0xd9, 200, ...Array.from({ length: 199 }, () => 0x61), 0xff]],
    ["a surrogate in UTF-8", [0xa3, 0xed, 0xa0, 0x80]],
  ])("%s breaks the protocol", (_what, bytes) => {
    expect(refusal(() => decoded(...bytes)).fatal).toBe(true);
  });

  test.each([
    ["binary", [0xc4, 1, 0]],
    ["an unsigned integer beyond 2^53", [0xcf, 0, 0x20, 0, 0, 0, 0, 0, 0]],
    ["an integer below -2^53", [0xd3, 0xff, 0xdf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]],
    ["-2^53", [0xd3, 0xff, 0xe0, 0, 0, 0, 0, 0, 0]],
    ["a key that is a number", [0x81, 1, 1]],
    ["a key that is nil", [0x81, 0xc0, 1]],
  ])("%s is MessagePack and has no place in JSON", (_what, bytes) => {
    expect(refusal(() => decoded(...bytes)).fatal).toBe(false);
  });

  test("nesting is allowed to the limit and no further", () => {
    const nested = (levels: number): Buffer => Buffer.from([...Array.from({ length: levels - 1 }, () => 0x91), 0x90]);
    expect(decodeValue(nested(RPC_LIMITS.depth))).toBeArray();
    expect(refusal(() => decodeValue(nested(RPC_LIMITS.depth + 1))).fatal).toBe(true);
    expect(refusal(() => decodeValue(nested(1_000_000))).fatal).toBe(true);
  });

  test("values are allowed to the limit and no further", () => {
    const list = (length: number): Buffer => {
      const bytes = Buffer.alloc(length + 5, 0xc0);
      bytes[0] = 0xdd;
      bytes.writeUInt32BE(length, 1);
      return bytes;
    };
    expect(decodeValue(list(RPC_LIMITS.nodes - 1))).toHaveLength(RPC_LIMITS.nodes - 1);
    expect(refusal(() => decodeValue(list(RPC_LIMITS.nodes))).message).toContain("values");
    expect(refusal(() => decodeValue(list(RPC_LIMITS.bytes - 5))).message).toContain("values");
  });

  test("a small frame of shared references, which others unfold to megabytes, is refused at its first extension", () => {
    // [ref 1 = ["xxxx…"], ref 2 = [1, 1, …], …]: fixext 4 `i` names an object, fixext 4 `p` points to it again.
    const clones = new Packr({ structuredClone: true, useRecords: false });
    let level: unknown = "x".repeat(16);
    for (let depth = 0; depth < 5; depth += 1) level = Array.from({ length: 10 }, () => level);
    const shared: unknown[][] = [["x".repeat(16)]];
    for (let depth = 0; depth < 5; depth += 1) shared.push(Array.from({ length: 8 }, () => shared[depth]));
    const bomb = clones.pack(shared.at(-1));
    expect(bomb.length).toBeLessThan(400);
    expect(JSON.stringify(new Unpackr({ structuredClone: true }).unpack(bomb)).length).toBeGreaterThan(500_000);
    expect(refusal(() => decodeValue(bomb)).message).toContain("extension");
  });

  const decodeOrRefuse = (bytes: Buffer): void => {
    try {
      decodeValue(bytes);
    } catch (error) {
      expect(error).toBeInstanceOf(WireError);
    }
  };

  test("random bytes are decoded or refused, never more than that", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => decodeOrRefuse(Buffer.from(bytes))),
      { numRuns: 2_000 },
    );
  });

  test("what was written, with a byte of it changed, is decoded or refused", () => {
    fc.assert(
      fc.property(oddJson, fc.nat(), fc.nat(255), (text, place, byte) => {
        const bytes = encodeFrame([JSON.parse(text)]).subarray(PREFIX_BYTES);
        bytes[place % bytes.length] = byte;
        decodeOrRefuse(bytes);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("messages", () => {
  const read = (message: readonly unknown[]) => {
    const into = emptyMessage();
    const frame = encodeFrame(message);
    decodeMessage(frame, PREFIX_BYTES, frame.length, into);
    return into;
  };

  test("requests, responses and notifications, with and without meta", () => {
    expect(read([0, 2 ** 32 - 1, "A.B", [1], { token: "t" }])).toMatchObject({
      type: 0,
      id: 2 ** 32 - 1,
      method: "A.B",
      params: [1],
      meta: { token: "t" },
    });
    expect(read([0, 0, "m", []])).toMatchObject({ type: 0, id: 0, method: "m", params: [], meta: undefined });
    expect(read([0, 0, "m", [], null]).meta).toBeUndefined();
    expect(read([1, 3, null, [2]])).toMatchObject({ type: 1, id: 3, error: null, result: [2] });
    const long = "RPCServer.LongName and more";
    expect(read([0, 7, long, [long, "é".repeat(40)], { a: long }])).toMatchObject({
      method: long,
      params: [long, "é".repeat(40)],
      meta: { a: long },
    });
    expect(read([2, "m", [1], {}])).toMatchObject({ type: 2, id: -1, method: "m", params: [1], meta: {} });
  });

  test.each([
    ["no array", "x"],
    ["nothing in it", []],
    ["an unknown type", [3, 1, "m", []]],
    ["a type that is text", ["0", 1, "m", []]],
    ["an id that is negative", [0, -1, "m", []]],
    ["an id of 33 bits", [0, 2 ** 32, "m", []]],
    ["an id that is no integer", [0, 1.5, "m", []]],
    ["a method that is no text", [0, 1, 2, []]],
    ["params that are a map", [0, 1, "m", {}]],
    ["meta that is an array", [0, 1, "m", [], []]],
    ["too many elements", [0, 1, "m", [], {}, 1]],
    ["too few elements", [0, 1, "m"]],
    ["a notification with too many", [2, "m", [], {}, 1]],
    ["a response with too few", [1, 1, null]],
  ])("%s is no message", (_what, message) => {
    const frame = Array.isArray(message)
      ? encodeFrame(message)
      : Buffer.concat([Buffer.alloc(4), foreign.pack(message)]);
    expect(refusal(() => decodeMessage(frame, PREFIX_BYTES, frame.length, emptyMessage())).fatal).toBe(true);
  });

  test("the id is known where only what follows it was refused", () => {
    const into = emptyMessage();
    const frame = encodeFrame([0, 77, "m", {}]);
    expect(() => decodeMessage(frame, PREFIX_BYTES, frame.length, into)).toThrow(WireError);
    expect(into).toMatchObject({ type: 0, id: 77 });
    const nameless = encodeFrame([2, 5, []]);
    expect(() => decodeMessage(nameless, PREFIX_BYTES, nameless.length, into)).toThrow(WireError);
    expect(into.id).toBe(-1);
  });
});
