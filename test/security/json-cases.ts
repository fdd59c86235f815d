/** Bodies of `POST /handle` that are wrong, or only look so. */

const bytes = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);
const log = (name: string, data: string): string => `{"action":"log","log":{"name":"${name}","data":${data}}}`;
const padded = (name: string, size: number): string => log(name, `"${"a".repeat(size - log(name, '""').length)}"`);
const values = (count: number): string =>
  `[${Array(count - 1)
    .fill(1)
    .join(",")}]`;
/** What a log action has besides its data: the body, the action, the entry, the name. */
const AROUND = 4;
const MIB = 1_048_576;

export interface JsonCase {
  readonly what: string;
  /** @param name under which an entry would be stored. */
  readonly body: (name: string) => string | Uint8Array<ArrayBuffer>;
  readonly status: number;
}

const refused = (what: string, status: number, body: JsonCase["body"]): JsonCase => ({ what, status, body });
const taken = (what: string, data: string): JsonCase => ({ what, status: 202, body: (name) => log(name, data) });

const SPECIAL = ["__proto__", "constructor", "prototype"] as const;

export const JSON_CASES: readonly JsonCase[] = [
  refused("null", 400, () => "null"),
  refused("a number", 400, () => "7"),
  refused("text", 400, () => '"log"'),
  refused("an empty object", 400, () => "{}"),
  refused("an empty list", 422, () => "[]"),
  refused("101 actions", 422, (name) => `[${Array(101).fill(log(name, "1")).join(",")}]`),
  refused("half an object", 400, (name) => log(name, "1").slice(0, -1)),
  refused("two objects", 400, (name) => log(name, "1") + log(name, "1")),
  refused("a comma at the end", 400, (name) => log(name, "[1,]")),
  refused("a comment", 400, (name) => `/**/${log(name, "1")}`),
  refused("NaN", 400, (name) => log(name, "NaN")),
  refused("a raw NUL", 400, (name) => `${log(name, "1")}\0`),
  refused("two byte order marks", 400, (name) => `\ufeff\ufeff${log(name, "1")}`),
  refused("UTF-16", 400, (name) => new Uint8Array(Buffer.from(log(name, "1"), "utf16le"))),
  refused("bytes that are not UTF-8", 400, (name) => new Uint8Array(Buffer.from(log(name, '"\xff"'), "latin1"))),
  refused("an unpaired surrogate", 422, (name) => log(name, '"\\udc00"')),
  refused("an unpaired surrogate in a key", 422, (name) => log(name, '{"\\ud800":1}')),
  refused("NUL in the name", 422, (name) => log(`${name}\\u0000`, "1")),
  refused("a number beyond a double", 422, (name) => log(name, "1e999")),
  refused("a number of 100,000 digits", 422, (name) => log(name, `-${"9".repeat(100_000)}`)),
  refused("33 levels", 422, (name) => log(name, "[".repeat(31) + "]".repeat(31))),
  refused("100,000 levels of objects", 422, (name) => log(name, `${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}`)),
  refused("100,000 levels of lists", 422, (name) => log(name, "[".repeat(100_000) + "]".repeat(100_000))),
  refused("100,000 levels, mixed", 422, (name) => log(name, `${'[{"a":'.repeat(50_000)}1${"}]".repeat(50_000)}`)),
  refused("a MiB of open brackets", 422, () => "[".repeat(MIB)),
  refused("20,001 values", 422, (name) => log(name, values(20_001 - AROUND))),
  refused("20,001 values in pairs", 422, (name) => log(name, `[${Array(10_000).fill("[1]").join(",")}]`)),
  refused("1 MiB and a byte", 413, (name) => padded(name, MIB + 1)),
  ...SPECIAL.map((key) => refused(`${key} as the action`, 400, () => `{"action":"${key}"}`)),
  ...SPECIAL.map((key) =>
    refused(`the action within ${key}`, 400, (name) => `{"${key}":{"action":"log"},"log":{"name":"${name}","data":1}}`),
  ),
  ...SPECIAL.map((key) =>
    refused(`the entry within ${key}`, 422, (name) => `{"action":"log","log":{"${key}":{"name":"${name}","data":1}}}`),
  ),
  refused(
    "__proto__ beside the action",
    422,
    (name) => `{"action":"log","__proto__":{},"log":{"name":"${name}","data":1}}`,
  ),
  refused("__proto__ in the entry", 422, (name) => `{"action":"log","log":{"name":"${name}","data":1,"__proto__":{}}}`),
  refused(
    "__proto__ in credentials",
    422,
    () => '{"action":"auth","auth":{"email":"a","password":"b","__proto__":{}}}',
  ),

  taken("32 levels", "[".repeat(30) + "]".repeat(30)),
  taken("20,000 values", values(20_000 - AROUND)),
  { what: "1 MiB", status: 202, body: (name) => padded(name, MIB) },
  { what: "a byte order mark", status: 202, body: (name) => bytes(`\ufeff${log(name, "1")}`) },
  {
    what: "a key that comes twice: the last counts",
    status: 202,
    body: (name) => `{"action":"mail","action":"log","log":{"name":"x","name":"${name}","data":1}}`,
  },
  taken("-0", "-0"),
  taken("an integer beyond 2^53", "123456789012345678901234567890"),
  taken("the smallest number", "5e-324"),
  taken("NUL in data", '"a\\u0000b"'),
  ...SPECIAL.map((key) => taken(`${key} as data`, `{"${key}":{"polluted":1},"a":[{"${key}":1}]}`)),
  taken("quotes and escapes that look like brackets", `["\\\\\\"[[[[","${"[{,".repeat(20_000)}"]`),
];

/** Anything that is not what a text field takes. */
export const NOT_TEXT: readonly unknown[] = [null, true, 7, [], ["a"], {}, { $ne: "" }];

/** What mail software has been tricked with, in an address. */
export const ADDRESS_TRICKS = [
  "a@example.com\nBcc: evil@example.com",
  "a@example.com\r\nBcc: evil@example.com",
  "a@example.com\r\n\r\nbody",
  "a@example.com>\r\nRCPT TO:<evil@example.com",
  "a@example.com, evil@example.com",
  "a@example.com;evil@example.com",
  "a@example.com evil@example.com",
  "<a@example.com>",
  "Evil <a@example.com>",
  "a@example.com(evil@example.com)",
  '"a b"@example.com',
  '"evil@example.com "@example.com',
  "@relay.example:a@example.com",
  "evil%example.com@example.com\u0000",
  "a@[127.0.0.1]",
  "a@127.0.0.1",
  "a@0x7f.1",
  "a@localhost:25",
  "a@exam\u2028ple.com",
  "a@ex\u0430mple.com",
  "=?utf-8?q?evil=40example.com?=@example.com ",
  "a@example.com\t",
  "",
  "@",
  `${"a".repeat(65)}@example.com`,
  `a@${"b".repeat(63)}.${"c".repeat(63)}.${"d".repeat(63)}.${"e".repeat(63)}.com`,
] as const;

/** Content types, with the status that they lead to. */
export const CONTENT_TYPES: readonly (readonly [string, number])[] = [
  ["application/json", 400],
  ["APPLICATION/JSON; CHARSET=UTF-8", 400],
  ["text/plain", 415],
  ["text/json", 415],
  ["application/jsonx", 415],
  ["application/problem+json", 415],
  ["application/x-www-form-urlencoded", 415],
  ["multipart/form-data; boundary=x", 415],
  ["application/xml", 415],
  ["application/json, text/plain", 415],
  ["text/plain, application/json", 415],
  ["application/json; charset=utf-16", 415],
  ["application/json; charset=utf-8; charset=latin1", 415],
  ["", 415],
];
