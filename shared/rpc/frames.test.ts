import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { RPC_LIMITS } from "#contracts/limits";
import { WireError } from "./check.ts";
import { FrameReader } from "./frames.ts";

function framed(...bodies: Buffer[]): Buffer {
  return Buffer.concat(
    bodies.flatMap((body) => {
      const prefix = Buffer.alloc(4);
      prefix.writeUInt32BE(body.length);
      return [prefix, body];
    }),
  );
}

/** The bodies that a reader cuts out of `chunks`. */
function cut(chunks: readonly Buffer[]): string[] {
  const reader = new FrameReader();
  const bodies: string[] = [];
  for (const chunk of chunks) {
    reader.push(chunk, 1);
    while (reader.next()) bodies.push(reader.bytes.toString("hex", reader.from, reader.to));
  }
  return bodies;
}

const bodies = ["", "a", "bc", "x".repeat(300)].map((text) => Buffer.from(text));
const expected = bodies.map((body) => body.toString("hex"));

test("a stream that is split at any one place gives the same frames", () => {
  const stream = framed(...bodies);
  for (let at = 0; at <= stream.length; at += 1) {
    expect(cut([stream.subarray(0, at), stream.subarray(at)])).toEqual(expected);
  }
});

test("a stream that comes byte by byte gives the same frames", () => {
  const stream = framed(...bodies);
  expect(cut(Array.from(stream, (byte) => Buffer.from([byte])))).toEqual(expected);
});

test("any bodies, split anywhere, come out as they went in", () => {
  const body = fc.uint8Array({ maxLength: 9_000 });
  const sizes = fc.array(fc.integer({ min: 1, max: 5_000 }), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(fc.array(body, { maxLength: 8 }), sizes, (given, steps) => {
      const stream = framed(...given.map((bytes) => Buffer.from(bytes)));
      const chunks: Buffer[] = [];
      for (let at = 0, i = 0; at < stream.length; i += 1) {
        const size = steps[i % steps.length] ?? 1;
        chunks.push(stream.subarray(at, at + size));
        at += size;
      }
      expect(cut(chunks)).toEqual(given.map((bytes) => Buffer.from(bytes).toString("hex")));
    }),
  );
});

test("frames that are left unread are found after more has come", () => {
  const reader = new FrameReader();
  reader.push(framed(...bodies), 1);
  expect(reader.next()).toBe(true);
  reader.push(framed(Buffer.from("later")), 2);
  const found: string[] = [];
  while (reader.next()) found.push(reader.bytes.toString("utf8", reader.from, reader.to));
  expect(found).toEqual(["a", "bc", "x".repeat(300), "later"]);
});

test("a frame above the limit is refused by its prefix, whole or in parts", () => {
  const prefix = Buffer.alloc(4);
  prefix.writeUInt32BE(RPC_LIMITS.bytes + 1);
  expect(() => cut([prefix])).toThrow(WireError);
  expect(() => cut([prefix.subarray(0, 2), prefix.subarray(2)])).toThrow(WireError);
  prefix.writeUInt32BE(RPC_LIMITS.bytes);
  expect(cut([prefix])).toEqual([]);
});

test("an incomplete frame is known, with the time of its first byte", () => {
  const reader = new FrameReader();
  reader.push(framed(Buffer.from("abc")).subarray(0, 5), 10);
  expect(reader.next()).toBe(false);
  expect(reader.incompleteSince).toBe(10);
  reader.push(Buffer.from("b"), 20);
  expect(reader.next()).toBe(false);
  expect(reader.incompleteSince).toBe(10);
  reader.push(Buffer.from("c"), 30);
  expect(reader.next()).toBe(true);
  expect(reader.incompleteSince).toBe(0);
});

test("room grows with what has arrived, not with what is announced", () => {
  const reader = new FrameReader();
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(RPC_LIMITS.bytes);
  reader.push(prefix, 1);
  expect(reader.next()).toBe(false);
  expect(reader.heldBytes).toBeLessThan(10_000);
});
