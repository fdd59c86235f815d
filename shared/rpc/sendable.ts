/**
 * What may go out, and as what: msgpackr is given only values that it writes with standard types and that come back as
 * they were. Nearly all are so; for the others a copy is made that is.
 */
import { RPC_LIMITS } from "#contracts/limits";
import { Failure } from "#shared/errors";

/** Room for any scalar's bytes, or a container's header. */
const SCALAR_BYTES = 9;
/** msgpackr makes sure of three bytes for each character. */
const CHARACTER_BYTES = 3;

/** msgpackr writes zero for negative zero; encode.ts tells it how to write this. */
export class NegativeZero {
  readonly value = -0;
}

// State of the one value that is looked at. Only getters and `toJSON` of a value call out, and may not come back.
let nodesLeft = 0;
let roomBytes = 0;
let textBytes = 0;

interface Sendable {
  readonly value: unknown;
  /** What encoding it needs at most. */
  readonly roomBytes: number;
}

/**
 * `value` as msgpackr may have it.
 * @throws Failure `invalid` where it holds what has no form on the wire, `too_large` beyond a limit of a frame.
 */
export function sendable(value: unknown): Sendable {
  reset();
  if (isPlain(value, 0)) return { value, roomBytes };
  reset();
  return { value: copyOf(value, 0), roomBytes };
}

function reset(): void {
  nodesLeft = RPC_LIMITS.nodes;
  roomBytes = 0;
  textBytes = 0;
}

/** Whether msgpackr may have `value` as it is. */
function isPlain(value: unknown, depth: number): boolean {
  nodesLeft -= 1;
  if (nodesLeft < 0) return false;
  switch (typeof value) {
    case "string":
      return isPlainText(value);
    case "number":
      roomBytes += SCALAR_BYTES;
      return isPlainNumber(value);
    case "boolean":
      roomBytes += SCALAR_BYTES;
      return true;
    case "object":
      roomBytes += SCALAR_BYTES;
      return value === null || isPlainContainer(value, depth + 1);
    default:
      return false;
  }
}

function isPlainContainer(value: object, depth: number): boolean {
  if (depth > RPC_LIMITS.depth) return false;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i += 1) if (!isPlain(value[i], depth)) return false;
    return true;
  }
  if (!isRecord(value)) return false;
  for (const key of Object.keys(value)) if (!isPlainText(key) || !isPlain(value[key], depth)) return false;
  return true;
}

function isPlainText(value: string): boolean {
  roomBytes += value.length * CHARACTER_BYTES + SCALAR_BYTES;
  textBytes += value.length;
  return textBytes <= RPC_LIMITS.bytes && value.isWellFormed();
}

function isPlainNumber(value: number): boolean {
  if (value === 0) return 1 / value > 0;
  return value >>> 0 === value || (value | 0) === value || !Number.isSafeInteger(value);
}

function isRecord(value: object): value is Record<string, unknown> {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** What JSON leaves out of an object, and writes as null in an array. */
function isAbsent(value: unknown): boolean {
  return value === undefined || typeof value === "function" || typeof value === "symbol";
}

/** @param depth containers around this value. */
function copyOf(value: unknown, depth: number): unknown {
  nodesLeft -= 1;
  if (nodesLeft < 0) throw new Failure("too_large", `more than ${RPC_LIMITS.nodes} values`);
  roomBytes += SCALAR_BYTES;
  if (typeof value === "string") return textOf(value);
  if (typeof value === "number") return numberOf(value);
  if (typeof value === "boolean") return value;
  if (typeof value === "bigint") {
    if (!Number.isSafeInteger(Number(value))) throw new Failure("invalid", "an integer beyond 2^53 - 1");
    return numberOf(Number(value));
  }
  if (value === null || isAbsent(value)) return null;
  return containerOf(value as object, depth + 1);
}

function containerOf(value: object, depth: number): unknown {
  if (depth > RPC_LIMITS.depth) throw new Failure("too_large", `more than ${RPC_LIMITS.depth} levels`);
  if (Array.isArray(value)) return Array.from(value, (item: unknown) => copyOf(item, depth));
  if (isRecord(value)) {
    const copy = new Map<string, unknown>();
    for (const key of Object.keys(value)) {
      const item = value[key];
      if (!isAbsent(item)) copy.set(textOf(key), copyOf(item, depth));
    }
    return copy;
  }
  const convert: unknown = ArrayBuffer.isView(value) ? undefined : (value as { toJSON?: unknown }).toJSON;
  if (typeof convert !== "function") {
    throw new Failure("invalid", `a ${value.constructor?.name ?? "object"} has no form on the wire`);
  }
  return copyOf(convert.call(value), depth);
}

/** Lone surrogates, which UTF-8 cannot carry, become U+FFFD (as WHATWG's encoders do). */
function textOf(value: string): string {
  roomBytes += value.length * CHARACTER_BYTES + SCALAR_BYTES;
  textBytes += value.length;
  if (textBytes > RPC_LIMITS.bytes) throw new Failure("too_large", `more than ${RPC_LIMITS.bytes} bytes`);
  return value.toWellFormed();
}

/** Integers beyond 32 bits would become floats, which other languages tell from integers. */
function numberOf(value: number): unknown {
  if (isPlainNumber(value)) return value;
  return value === 0 ? new NegativeZero() : BigInt(value);
}
