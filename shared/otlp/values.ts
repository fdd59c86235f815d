/** OTLP's values as JSON values: AnyValue, and lists of keys and values, as opentelemetry/proto/common/v1/common.proto has them. */

type Fields = Readonly<Record<string, unknown>>;

export function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** Text without unpaired surrogates: a text that was cut within a character is no reason to lose the record. */
export function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value.toWellFormed() : undefined;
}

/** A whole number of 64 bits, which JSON has as text or as a number; undefined for anything else. */
export function wholeOf(value: unknown): bigint | undefined {
  if (typeof value === "number") return Number.isInteger(value) ? BigInt(value) : undefined;
  return typeof value === "string" && /^-?\d{1,20}$/.test(value) ? BigInt(value) : undefined;
}

/** As a number where JSON carries it exactly, else as text. */
function numberOf(value: bigint): number | string {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : String(value);
}

/** NaN and the infinities are no JSON numbers. */
function doubleOf(value: unknown): unknown {
  if (typeof value !== "number") return textOf(value) ?? null;
  return Number.isFinite(value) ? value : String(value);
}

/** Recursion is safe: what comes in was held to the limits on depth before. */
export function anyOf(value: unknown): unknown {
  const fields = fieldsOf(value);
  if ("stringValue" in fields) return textOf(fields["stringValue"]) ?? null;
  if ("boolValue" in fields) return fields["boolValue"] === true;
  if ("intValue" in fields) {
    const whole = wholeOf(fields["intValue"]);
    return whole === undefined ? null : numberOf(whole);
  }
  if ("doubleValue" in fields) return doubleOf(fields["doubleValue"]);
  if ("arrayValue" in fields) return listOf(fieldsOf(fields["arrayValue"])["values"]).map(anyOf);
  if ("kvlistValue" in fields) return mapOf(fieldsOf(fields["kvlistValue"])["values"]);
  // Base64 as it is.
  return textOf(fields["bytesValue"]) ?? null;
}

function pairsOf(list: unknown): [string, unknown][] {
  return listOf(list).map((pair) => {
    const { key, value } = fieldsOf(pair);
    return [textOf(key) ?? "", anyOf(value)];
  });
}

/** `Object.fromEntries` defines what it is given: `__proto__` is a key like any other. */
function mapOf(list: unknown): Record<string, unknown> {
  return Object.fromEntries(pairsOf(list));
}

/** Parts of a key that are nested; more stay one key. */
const PARTS_MAX = 8;
const PART = /^(?!\$|__proto__$)[^.\0]+$/;

/**
 * Attributes, `http.request.method` as `{ http: { request: { method } } }`: so each is found by its name as a path, in any
 * store. Where one key is the beginning of another (`a`, `a.b`), or a part is empty, all stay as they were sent.
 */
export function attributesOf(list: unknown): Record<string, unknown> {
  const pairs = pairsOf(list);
  const nested: Record<string, unknown> = {};
  const made = new Set<object>([nested]);
  for (const [key, value] of pairs) {
    const parts = key.split(".");
    if (parts.length > PARTS_MAX || !parts.every((part) => PART.test(part))) return Object.fromEntries(pairs);
    let at = nested;
    for (const part of parts.slice(0, -1)) {
      if (!Object.hasOwn(at, part)) {
        const inner = {};
        made.add(inner);
        at[part] = inner;
      }
      const next = at[part];
      // A value of another attribute, also where that is an object.
      if (typeof next !== "object" || next === null || !made.has(next)) return Object.fromEntries(pairs);
      at = next as Record<string, unknown>;
    }
    const last = parts.at(-1) ?? "";
    if (Object.hasOwn(at, last)) return Object.fromEntries(pairs);
    at[last] = value;
  }
  return nested;
}
