/**
 * MessagePack out: plain values as any MessagePack library reads them with its default settings, written straight into
 * the buffer that goes to the socket. What JSON would leave out is left out, and what no peer could read is a failure
 * of that one call: a throw half-way would spoil the frames of others that share the buffer.
 */
import { RPC_LIMITS } from "#contracts/limits";
import { Failure, type FailureCode } from "#shared/errors";

/** Bytes before a frame: its length, unsigned, big-endian. */
export const PREFIX_BYTES = 4;
/** Texts up to this length (characters) are written here if they are ASCII; others by one native call. */
const SHORT_TEXT = 64;
const INITIAL_BYTES = 16_384;
/** A buffer that grew beyond this is given back once it is empty. */
const KEEP_BYTES = 1_048_576;
/** Texts longer than this (characters) are measured before they are written, shorter ones given room for the worst. */
const MEASURED_TEXT = 4_096;
/** What a frame's room may exceed its limit by while it is written; the limit itself is checked at its end. */
const SLACK_BYTES = 4 * MEASURED_TEXT;
/** Room for any scalar's bytes, or a container's header. */
const SCALAR_BYTES = 9;

// State of the one encoding that is going on. Only getters and `toJSON` of a value call out, and may not come back.
let out: Buffer = Buffer.alloc(0);
let at = 0;
let frameStart = 0;
let nodesLeft = 0;
let busy = false;

class Unencodable extends Error {
  readonly code: FailureCode;
  constructor(code: FailureCode, message: string) {
    super(message);
    this.code = code;
  }
}

function room(bytes: number): void {
  if (at + bytes <= out.length) return;
  if (at + bytes - frameStart > RPC_LIMITS.bytes + SLACK_BYTES) {
    throw new Unencodable("too_large", `more than ${RPC_LIMITS.bytes} bytes`);
  }
  const grown = Buffer.allocUnsafeSlow(Math.max(out.length * 2, at + bytes));
  out.copy(grown, 0, 0, at);
  out = grown;
}

function uintBytes(value: number, bytes: 1 | 2 | 4): void {
  if (bytes === 4) {
    out[at++] = value >>> 24;
    out[at++] = (value >>> 16) & 0xff;
  }
  if (bytes >= 2) out[at++] = (value >>> 8) & 0xff;
  out[at++] = value & 0xff;
}

function float(value: number): void {
  out[at++] = 0xcb;
  at = out.writeDoubleBE(value, at);
}

function number(value: number): void {
  room(SCALAR_BYTES);
  // Negative zero is no integer.
  if (value === 0 && 1 / value < 0) float(value);
  else if ((value | 0) === value) {
    if (value >= 0) {
      if (value < 0x80) out[at++] = value;
      else if (value < 0x100) {
        out[at++] = 0xcc;
        uintBytes(value, 1);
      } else if (value < 0x1_0000) {
        out[at++] = 0xcd;
        uintBytes(value, 2);
      } else {
        out[at++] = 0xce;
        uintBytes(value, 4);
      }
    } else if (value >= -0x20) out[at++] = value & 0xff;
    else if (value >= -0x80) {
      out[at++] = 0xd0;
      uintBytes(value, 1);
    } else if (value >= -0x8000) {
      out[at++] = 0xd1;
      uintBytes(value, 2);
    } else {
      out[at++] = 0xd2;
      uintBytes(value, 4);
    }
  } else if (value >>> 0 === value) {
    out[at++] = 0xce;
    uintBytes(value, 4);
  } else if (Number.isSafeInteger(value)) {
    out[at++] = value > 0 ? 0xcf : 0xd3;
    uintBytes(Math.floor(value / 0x1_0000_0000), 4);
    uintBytes(value % 0x1_0000_0000, 4);
  } else float(value);
}

function textHeader(position: number, bytes: number): number {
  const kept = at;
  at = position;
  if (bytes < 0x20) out[at++] = 0xa0 | bytes;
  else if (bytes < 0x100) {
    out[at++] = 0xd9;
    uintBytes(bytes, 1);
  } else if (bytes < 0x1_0000) {
    out[at++] = 0xda;
    uintBytes(bytes, 2);
  } else {
    out[at++] = 0xdb;
    uintBytes(bytes, 4);
  }
  const after = at;
  at = kept;
  return after;
}

function headerBytes(bytes: number): number {
  return bytes < 0x20 ? 1 : bytes < 0x100 ? 2 : bytes < 0x1_0000 ? 3 : 5;
}

/** Lone surrogates, which UTF-8 cannot carry, become U+FFFD (as WHATWG's encoders do). */
function text(value: string): void {
  const { length } = value;
  if (length <= SHORT_TEXT) {
    room(length + 2);
    const start = at + (length < 0x20 ? 1 : 2);
    let i = 0;
    for (; i < length; i += 1) {
      const unit = value.charCodeAt(i);
      if (unit >= 0x80) break;
      out[start + i] = unit;
    }
    if (i === length) {
      textHeader(at, length);
      at = start + length;
      return;
    }
  }
  if (length > RPC_LIMITS.bytes) throw new Unencodable("too_large", `more than ${RPC_LIMITS.bytes} bytes`);
  const bytes = length > MEASURED_TEXT ? Buffer.byteLength(value) : length * 3;
  room(bytes + 5);
  const guess = headerBytes(length);
  const written = out.write(value, at + guess, bytes, "utf8");
  const actual = headerBytes(written);
  if (actual !== guess) out.copyWithin(at + actual, at + guess, at + guess + written);
  at = textHeader(at, written) + written;
}

/** What JSON leaves out of an object, and writes as null in an array. */
function absent(value: unknown): boolean {
  return value === undefined || typeof value === "function" || typeof value === "symbol";
}

function array(values: readonly unknown[], depth: number): void {
  const { length } = values;
  room(SCALAR_BYTES);
  if (length < 0x10) out[at++] = 0x90 | length;
  else if (length < 0x1_0000) {
    out[at++] = 0xdc;
    uintBytes(length, 2);
  } else {
    out[at++] = 0xdd;
    uintBytes(length, 4);
  }
  for (let i = 0; i < length; i += 1) any(values[i], depth);
}

function map(value: Record<string, unknown>, depth: number): void {
  const keys = Object.keys(value);
  const { length } = keys;
  room(SCALAR_BYTES);
  // The header's size is that of all keys; how many stay is known at the end.
  const header = at - frameStart;
  const wide = length >= 0x10;
  at += wide ? 5 : 1;
  let kept = 0;
  for (let i = 0; i < length; i += 1) {
    const key = keys[i] ?? "";
    const item = value[key];
    if (absent(item)) continue;
    text(key);
    any(item, depth);
    kept += 1;
  }
  const after = at;
  at = frameStart + header;
  if (wide) {
    out[at++] = 0xdf;
    uintBytes(kept, 4);
  } else out[at++] = 0x80 | kept;
  at = after;
}

function object(value: object, depth: number): void {
  if (depth >= RPC_LIMITS.depth) throw new Unencodable("too_large", `more than ${RPC_LIMITS.depth} levels`);
  if (Array.isArray(value)) {
    array(value, depth + 1);
    return;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) {
    map(value as Record<string, unknown>, depth + 1);
    return;
  }
  const convert: unknown = ArrayBuffer.isView(value) ? undefined : (value as { toJSON?: unknown }).toJSON;
  if (typeof convert !== "function") {
    throw new Unencodable("invalid", `a ${value.constructor?.name ?? "object"} has no form on the wire`);
  }
  any(convert.call(value), depth + 1);
}

/** @param depth containers around this value. */
function any(value: unknown, depth: number): void {
  nodesLeft -= 1;
  if (nodesLeft < 0) throw new Unencodable("too_large", `more than ${RPC_LIMITS.nodes} values`);
  switch (typeof value) {
    case "string":
      text(value);
      return;
    case "number":
      number(value);
      return;
    case "object":
      if (value !== null) {
        object(value, depth);
        return;
      }
      break;
    case "boolean":
      room(1);
      out[at++] = value ? 0xc3 : 0xc2;
      return;
    case "bigint":
      if (!Number.isSafeInteger(Number(value))) throw new Unencodable("invalid", "an integer beyond 2^53 - 1");
      number(Number(value));
      return;
    default:
  }
  room(1);
  out[at++] = 0xc0;
}

/** Bytes on their way to a socket: frames are appended at the end, what was written is taken off the front. */
export class Output {
  #bytes: Buffer = Buffer.allocUnsafeSlow(INITIAL_BYTES);
  #start = 0;
  #end = 0;

  /** Bytes that wait. */
  get length(): number {
    return this.#end - this.#start;
  }

  /**
   * Adds a frame with `message`.
   * @returns a failure where it cannot be sent (`invalid`: holds a value without a form on the wire; `too_large`);
   * nothing is added then.
   */
  append(message: readonly unknown[]): Failure | undefined {
    if (busy) return new Failure("invalid", "a value makes a call while it is encoded");
    busy = true;
    out = this.#bytes;
    at = frameStart = this.#end;
    nodesLeft = RPC_LIMITS.nodes;
    try {
      room(PREFIX_BYTES);
      at += PREFIX_BYTES;
      any(message, 0);
      const bytes = at - frameStart - PREFIX_BYTES;
      if (bytes > RPC_LIMITS.bytes) throw new Unencodable("too_large", `more than ${RPC_LIMITS.bytes} bytes`);
      const after = at;
      at = frameStart;
      uintBytes(bytes, 4);
      this.#end = after;
      return undefined;
    } catch (error) {
      if (error instanceof Unencodable) return new Failure(error.code, error.message);
      return new Failure("invalid", "a value failed to be encoded", { cause: error });
    } finally {
      this.#bytes = out;
      busy = false;
    }
  }

  /** Hands what waits to `write`, which says how much it took. */
  drainTo(write: (bytes: Buffer, offset: number, length: number) => number): void {
    this.#start += Math.max(0, write(this.#bytes, this.#start, this.#end - this.#start));
    if (this.#start < this.#end) {
      // What is left moves to the front once more than half of the buffer is spent: no byte is moved twice as often.
      if (this.#start > this.#bytes.length / 2) {
        this.#bytes.copyWithin(0, this.#start, this.#end);
        this.#end -= this.#start;
        this.#start = 0;
      }
      return;
    }
    this.#start = this.#end = 0;
    if (this.#bytes.length > KEEP_BYTES) this.#bytes = Buffer.allocUnsafeSlow(INITIAL_BYTES);
  }
}

/** One frame, prefix included, for tests and tools. @throws Failure as `Output.append` returns. */
export function encodeFrame(message: readonly unknown[]): Buffer {
  const output = new Output();
  const failure = output.append(message);
  if (failure !== undefined) throw failure;
  let frame = Buffer.alloc(0);
  output.drainTo((bytes, offset, length) => {
    frame = Buffer.from(bytes.subarray(offset, offset + length));
    return length;
  });
  return frame;
}
