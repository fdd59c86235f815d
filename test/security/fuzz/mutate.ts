/** Makes good input bad, or only odd, by chance that can be repeated. */
import { between, oneOf } from "../../../dev/chaos/random.ts";

type Random = () => number;

const SPECIAL_KEYS = ["__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "$where", "$ne", "", "id"];
const ODD_TEXT = [
  "",
  " ",
  "\0",
  "a\0b",
  "\ufeff",
  "\u202e",
  "\ud83d\ude00",
  "A\u0301",
  "\r\nBcc: evil@example.com",
  "../../etc/passwd",
  "' OR 1=1 --",
  "{{7*7}}",
  "${7*7}",
  "%s%n%x",
  "javascript:alert(1)",
  "<script>alert(1)</script>",
  "a@example.com, b@example.com",
  "=?utf-8?q?=0d=0a?=",
  "9".repeat(400),
  "x".repeat(5_000),
  "2026-13-45T99:99:99Z",
  "0001-01-01T00:00:00Z",
  "-271822-01-01T00:00:00Z",
  "null",
  "undefined",
  "__proto__",
];
const ODD_VALUES: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -0,
  -1,
  1.5,
  2 ** 31,
  2 ** 53,
  -(2 ** 63),
  1e308,
  5e-324,
  [],
  {},
  [[]],
  [null],
  { $ne: "" },
  { length: 1e9 },
  { valueOf: 1, toString: null },
];
/** What is put into JSON as text: things that `JSON.stringify` would never write. */
const ODD_JSON = [
  "{",
  "}",
  "[",
  "]",
  '"',
  ":",
  ",",
  "\\",
  "null",
  "NaN",
  "1e999",
  "-",
  "01",
  "\\u0000",
  "\\ud800",
  "\\x41",
  "\r\n",
  "\ufeff",
  "[[[[[[[[",
  "/**/",
  '"__proto__":{"a":1},',
  "\0",
  "9".repeat(40),
];

function oddText(random: Random): string {
  return random() < 0.8 ? oneOf(random, ODD_TEXT) : String.fromCodePoint(between(random, 1, 0xd7ff)).repeat(3);
}

function oddValue(random: Random): unknown {
  const roll = random();
  if (roll < 0.45) return oneOf(random, ODD_VALUES);
  if (roll < 0.85) return oddText(random);
  let deep: unknown = oddText(random);
  for (let levels = between(random, 1, 60); levels > 0; levels -= 1) deep = random() < 0.5 ? [deep] : { a: deep };
  return deep;
}

/** Like the value, with one place of it changed. */
export function mutateValue(random: Random, value: unknown): unknown {
  if (typeof value !== "object" || value === null || random() < 0.1) return oddValue(random);
  if (Array.isArray(value)) {
    const items = value as readonly unknown[];
    if (items.length === 0 || random() < 0.2) return [...items, oddValue(random)];
    const at = between(random, 0, items.length - 1);
    if (random() < 0.2) return Array.from({ length: between(random, 2, 150) }, () => items[at]);
    return items.map((item, index) => (index === at ? mutateValue(random, item) : item));
  }
  const entries = Object.entries(value);
  if (entries.length === 0) return { [oneOf(random, SPECIAL_KEYS)]: oddValue(random) };
  const at = between(random, 0, entries.length - 1);
  const [key, item] = entries[at] ?? ["", null];
  const roll = random();
  if (roll < 0.15) return fromEntries(entries.filter((_entry, index) => index !== at));
  if (roll < 0.3) return fromEntries([...entries, [oneOf(random, SPECIAL_KEYS), oddValue(random)]]);
  if (roll < 0.4) return fromEntries(entries.map((entry) => (entry[0] === key ? [oddText(random), item] : entry)));
  return fromEntries(entries.map((entry) => (entry[0] === key ? [key, mutateValue(random, item)] : entry)));
}

/** `__proto__` is a key like any other here. */
function fromEntries(entries: readonly (readonly [string, unknown])[]): object {
  return Object.fromEntries(entries) as object;
}

/** Like the bytes, with one to four places of them changed. */
export function mutateBytes(random: Random, bytes: Uint8Array, put: readonly string[] = ODD_JSON): Buffer {
  let out = Buffer.from(bytes);
  for (let edits = between(random, 1, 4); edits > 0; edits -= 1) {
    const at = between(random, 0, out.length);
    const roll = random();
    if (roll < 0.3 && at < out.length) {
      out[at] = (out[at] ?? 0) ^ (1 << between(random, 0, 7));
    } else if (roll < 0.6) {
      const inserted = Buffer.from(oneOf(random, put));
      out = Buffer.concat([out.subarray(0, at), inserted, out.subarray(at + between(random, 0, 6))]);
    } else if (roll < 0.75) {
      out = Buffer.concat([out.subarray(0, at), out.subarray(at + between(random, 1, 8))]);
    } else if (roll < 0.9) {
      const from = between(random, 0, out.length);
      out = Buffer.concat([out.subarray(0, at), out.subarray(from, from + 16), out.subarray(at)]);
    } else {
      out = out.subarray(0, at);
    }
  }
  return out;
}

/** Cuts bytes into one to `most` pieces, none of them empty. */
export function pieces(random: Random, bytes: Buffer, most: number): Buffer[] {
  const cuts = Array.from({ length: between(random, 0, most - 1) }, () => between(random, 1, bytes.length));
  const places = [...new Set([0, ...cuts, bytes.length])].sort((a, b) => a - b);
  return places.slice(1).map((to, index) => bytes.subarray(places[index] ?? 0, to));
}
