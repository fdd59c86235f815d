/** Bytes to one JSON value, within limits that are checked before anything else looks at it. */
import type { ValueLimits } from "#contracts/limits";
import { Failure, fail, ok, type Result } from "#shared/errors";

const utf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * Reads one JSON value (RFC 8259, as I-JSON, RFC 7493: UTF-8 and no unpaired surrogates).
 * @returns failure `too_large` for bytes, `malformed` for what is not one JSON value, `invalid` for depth, number of values and surrogates.
 */
export function parseJson(bytes: Uint8Array, limits: ValueLimits): Result<unknown> {
  if (bytes.byteLength > limits.bytes) return fail("too_large", `larger than ${limits.bytes} bytes`);
  let value: unknown;
  try {
    value = JSON.parse(utf8.decode(bytes));
  } catch (cause) {
    const why = bytes.byteLength === 0 ? "empty where one JSON value is needed" : "not one JSON value";
    return fail("malformed", `the body is ${why}`, { cause });
  }
  const problem = problemOf(value, limits);
  return problem === undefined ? ok(value) : { ok: false, error: problem };
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
      } else if (typeof item === "object" && item !== null) {
        if (at >= depth) return new Failure("invalid", `nested deeper than ${depth} levels`);
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
    if (count + below.length > nodes) return new Failure("invalid", `more than ${nodes} values`);
    level = below;
  }
  return undefined;
}
