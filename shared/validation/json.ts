/** Bytes to one JSON value, within limits that are checked before anything else looks at it. */
import type { ValueLimits } from "#contracts/limits";
import { Failure, fail, ok, type Result } from "#shared/errors";

const utf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * Reads one JSON value (RFC 8259, as I-JSON, RFC 7493: UTF-8 and no unpaired surrogates).
 * @returns failure `too_large` for bytes, `malformed` for what is not one JSON value, `invalid` for depth, number of values,
 * surrogates and numbers beyond the range of a double.
 */
export function parseJson(bytes: Uint8Array, limits: ValueLimits): Result<unknown> {
  const decoded = decodeJson(bytes, limits);
  if (!decoded.ok) return decoded;
  const problem = problemOf(decoded.value, limits);
  return problem === undefined ? decoded : { ok: false, error: problem };
}

/**
 * As `parseJson`, and the value is not looked at: for a value of many parts, each of which is to be judged by itself
 * (`problemOf`). Of its depth and number of values holds what its bytes alone show.
 */
export function decodeJson(bytes: Uint8Array, limits: ValueLimits): Result<unknown> {
  if (bytes.byteLength > limits.bytes) return fail("too_large", `larger than ${limits.bytes} bytes`);
  const costly = costProblemOf(bytes, limits);
  if (costly !== undefined) return { ok: false, error: costly };
  try {
    return ok(JSON.parse(utf8.decode(bytes)));
  } catch (cause) {
    const why = bytes.byteLength === 0 ? "empty where one JSON value is needed" : "not one JSON value";
    return fail("malformed", `the body is ${why}`, { cause });
  }
}

const tooDeep = (depth: number): Failure => new Failure("invalid", `nested deeper than ${depth} levels`);
const tooMany = (nodes: number): Failure => new Failure("invalid", `more than ${nodes} values`);

/**
 * The limits as far as the bytes alone show them: a MiB of brackets costs `JSON.parse` 150 ms, in which nobody else
 * is served. Never refuses what `problemOf` would pass: of n values, at most n are in brackets and n - 1 after commas.
 */
function costProblemOf(bytes: Uint8Array, { depth, nodes }: ValueLimits): Failure | undefined {
  let level = 0;
  let brackets = 0;
  let commas = 0;
  for (let at = 0; at < bytes.length; at += 1) {
    switch (bytes[at]) {
      case 0x22: // "
        at = endOfText(bytes, at);
        break;
      case 0x5b: // [
      case 0x7b: // {
        level += 1;
        brackets += 1;
        if (level > depth) return tooDeep(depth);
        if (brackets > nodes) return tooMany(nodes);
        break;
      case 0x5d: // ]
      case 0x7d: // }
        level -= 1;
        break;
      case 0x2c: // ,
        commas += 1;
        if (commas >= nodes) return tooMany(nodes);
        break;
      default:
    }
  }
  return undefined;
}

/** Where the text that begins at `from` has its closing quote; the end of the bytes where it has none. */
function endOfText(bytes: Uint8Array, from: number): number {
  for (let at = bytes.indexOf(0x22, from + 1); at !== -1; at = bytes.indexOf(0x22, at + 1)) {
    let escapes = 0;
    while (bytes[at - 1 - escapes] === 0x5c) escapes += 1;
    if (escapes % 2 === 0) return at;
  }
  return bytes.length;
}

/**
 * Whether a decoded value keeps to the limits. Walks without recursion: the depth is the caller's to choose.
 * @returns undefined, or a failure `invalid` that says which limit.
 */
export function problemOf(value: unknown, { depth, nodes }: Pick<ValueLimits, "depth" | "nodes">): Failure | undefined {
  let count = 0;
  let level: unknown[] = [value];
  for (let at = 0; level.length > 0; at += 1) {
    const below: unknown[] = [];
    for (const item of level) {
      count += 1;
      if (typeof item === "string") {
        if (!item.isWellFormed())
          return new Failure("invalid", "text has an unpaired surrogate: it is not valid Unicode");
      } else if (typeof item === "number") {
        // 1e999 would be written again as null.
        if (!Number.isFinite(item)) return new Failure("invalid", "a number is beyond the range of a double");
      } else if (typeof item === "object" && item !== null) {
        if (at >= depth) return tooDeep(depth);
        if (Array.isArray(item)) {
          for (const inner of item) below.push(inner);
        } else {
          for (const key in item) {
            if (!key.isWellFormed())
              return new Failure("invalid", "a key has an unpaired surrogate: it is not valid Unicode");
            below.push((item as Record<string, unknown>)[key]);
          }
        }
      }
    }
    if (count + below.length > nodes) return tooMany(nodes);
    level = below;
  }
  return undefined;
}
