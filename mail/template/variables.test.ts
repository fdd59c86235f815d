/** A template's JSON Schema: what it lets through, what is said, and what kind of schema is taken at all. */
import { expect, test } from "bun:test";
import { isLink, leastOf, makeVariablesCheck, schemaProblems, VARIABLES_MAX } from "./variables.ts";

const LINK = { type: "string", format: "uri", pattern: "^https?://", maxLength: 2_048 };
const SCHEMA = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  type: "object",
  additionalProperties: false,
  required: ["name"],
  properties: {
    name: { type: "string", minLength: 2, maxLength: 5 },
    link: LINK,
    count: { type: "integer", minimum: 1, maximum: 3 },
    kind: { enum: ["a", "b"] },
    at: { $ref: "#/$defs/time" },
    ip: { type: "string", maxLength: 45, anyOf: [{ format: "ipv4" }, { format: "ipv6" }] },
    items: {
      type: "array",
      maxItems: 2,
      items: {
        type: "object",
        additionalProperties: false,
        required: ["label"],
        properties: { label: { type: "string" }, more: { type: "string" } },
      },
    },
    free: {},
  },
  $defs: { time: { type: "string", format: "date-time", maxLength: 40 } },
};
const check = makeVariablesCheck(SCHEMA);

function told(variables: Record<string, unknown>): string {
  const result = check({ name: "ann", ...variables });
  return result.ok ? "right" : `${result.error.code} ${result.error.message}`;
}

test("the schema of these tests has no problems", () => {
  expect(schemaProblems(SCHEMA)).toEqual([]);
});

test.each<[Record<string, unknown>, string]>([
  [{}, "right"],
  [{ link: "https://a.example/?x=1&y=%20", count: 3, kind: "b", ip: "::1", at: "2026-11-23T10:00:00Z" }, "right"],
  [{ name: 7 }, "invalid variables.name must be text"],
  [{ name: "a" }, "invalid variables.name must have at least 2 characters"],
  [{ name: "too long" }, "invalid variables.name must have at most 5 characters"],
  [{ nam: "x" }, "invalid variables.nam is not a known field"],
  [{ link: "javascript:alert(1)//https://" }, "invalid variables.link must match ^https?://"],
  [{ link: "https://a b" }, "invalid variables.link must have the format uri"],
  [{ count: 1.5 }, "invalid variables.count must be a whole number"],
  [{ count: 4 }, "invalid variables.count must be at most 3"],
  [{ kind: "c" }, "invalid variables.kind must be one of a, b"],
  [{ ip: "localhost" }, "invalid variables.ip does not fit the schema (anyOf)"],
  [{ at: "yesterday" }, "invalid variables.at must have the format date-time"],
  [{ items: [{ label: "x" }, { label: 3 }] }, "invalid variables.items[1].label must be text"],
  [{ items: [{ label: "x", z: 1 }] }, "invalid variables.items[0].z is not a known field"],
  [{ items: [{}] }, "invalid variables.items[0].label is needed"],
  [{ items: [1, 2, 3] }, "invalid variables.items must have at most 2 items"],
  [{ name: "a\0b" }, "invalid variables.name must be text without NUL and half characters"],
  [{ free: ["\ud800"] }, "invalid variables.free[0] must be text without NUL and half characters"],
  [{ free: { constructor: 1 } }, "invalid variables.free.constructor is not a known field"],
  [{ free: "x".repeat(1_048_576) }, `invalid variables must be at most ${VARIABLES_MAX} characters as JSON`],
])("%j: %s", (variables, message) => {
  expect(told(variables)).toBe(message);
});

test("__proto__ as JSON brings it is no field, at the top and below", () => {
  const top = check(JSON.parse('{"name":"ann","__proto__":{"x":1}}') as Record<string, unknown>);
  expect(top).toMatchObject({ ok: false, error: { message: "variables.__proto__ is not a known field" } });
  expect(told(JSON.parse('{"free":{"__proto__":1}}') as Record<string, unknown>)).toContain(
    "__proto__ is not a known field",
  );
});

test("what is nested too deep is refused, and not walked to its end", () => {
  let free: unknown = 1;
  for (let level = 0; level < 100_000; level += 1) free = [free];
  expect(told({ free })).toContain("must not be nested that deep");
});

test("a long text does not keep the process busy: lengths are looked at before formats", () => {
  const startedAt = performance.now();
  expect(told({ link: `https://${"a@:/%20".repeat(17_000)}` })).toBe(
    "invalid variables.link must have at most 2048 characters",
  );
  expect(told({ at: "2".repeat(100_000), ip: "1".repeat(20_000) })).toContain("characters");
  expect(performance.now() - startedAt).toBeLessThan(1_000);
});

test.each<[string, object, string]>([
  ["a misspelt keyword", { maxLenght: 3 }, "schema.properties.x.maxLenght is not a keyword that is known here"],
  [
    "a link to anywhere",
    { type: "string", format: "uri", maxLength: 9 },
    "a link needs a pattern that begins with ^https:// or ^https?://",
  ],
  [
    "a link to one place, or to anything",
    { format: "uri", pattern: "^https://a|^javascript:", maxLength: 9 },
    "with | in brackets only",
  ],
  ["a link to something else", { format: "uri", pattern: "^ftp://", maxLength: 9 }, "a link needs a pattern"],
  [
    "a list without a length whose items differ",
    { type: "array", uniqueItems: true },
    "needs maxItems of at most 1000",
  ],
  ["a pattern without a length", { pattern: "^a$" }, "needs a maxLength of at most 2048"],
  [
    "a format without a length, in a choice",
    { anyOf: [{ format: "ipv4", maxLength: 9 }] },
    "needs a maxLength of at most 2048",
  ],
  ["no expression", { pattern: "(", maxLength: 9 }, "schema.properties.x.pattern is no regular expression"],
  ["a schema elsewhere", { $ref: "https://example.org/schema" }, "$ref must name one of $defs"],
  ["a schema that is not there", { $ref: "#/$defs/nope" }, "$ref must name one of $defs"],
  ["an open object", { type: "object", properties: {} }, "schema.properties.x.additionalProperties must be false"],
  ["a format that is not checked", { format: "phone", maxLength: 9 }, "format must be one of date, date-time"],
])("%s is refused", (_what, x, message) => {
  const schema = { type: "object", additionalProperties: false, properties: { x } };
  expect(schemaProblems(schema).join("\n")).toContain(message);
});

test("the whole has to be a closed object, and leave `mail` alone", () => {
  expect(schemaProblems({ type: "string" }).join("\n")).toContain('schema.type must be "object"');
  expect(schemaProblems({ type: "object", properties: {} }).join("\n")).toContain("additionalProperties must be false");
  const mail = { type: "object", additionalProperties: false, properties: { mail: {}, "a-b": {} } };
  expect(schemaProblems(mail).join("\n")).toContain("schema.properties.mail: that name is taken");
  expect(schemaProblems(mail).join("\n")).toContain('"a-b" is no name');
  expect(schemaProblems(7)).toEqual(["schema must be an object"]);
});

test("whether many items differ is not looked at where there are too many", () => {
  const x = { type: "array", uniqueItems: true, maxItems: 1_000 };
  const check = makeVariablesCheck({ type: "object", additionalProperties: false, properties: { x } });
  const startedAt = performance.now();
  const result = check({ x: Array.from({ length: 12_000 }, (_, index) => [index]) });
  expect(result.ok ? "" : result.error.message).toBe("variables.x must have at most 1000 items");
  expect(performance.now() - startedAt).toBeLessThan(1_000);
  expect(check({ x: [1, 1] }).ok).toBe(false);
  expect(check({ x: [1, 2] }).ok).toBe(true);
});

test("a link may be to one of several places", () => {
  const pattern = "^https://([ab|]|\\|(c|d))\\.example/";
  const url = { type: "string", format: "uri", pattern, maxLength: 99 };
  expect(schemaProblems({ type: "object", additionalProperties: false, properties: { url } })).toEqual([]);
});

test("a field is a link where all of its name are", () => {
  const nested = { properties: { url: LINK, list: { items: { properties: { url: { type: "string" }, at: LINK } } } } };
  expect([isLink(SCHEMA, "link"), isLink(SCHEMA, "name"), isLink(SCHEMA, "nope")]).toEqual([true, false, false]);
  expect([isLink(nested, "url"), isLink(nested, "at")]).toEqual([false, true]);
});

test("the least of an example is what is required, at every depth", () => {
  const example = { name: "ann", count: 2, items: [{ label: "x", more: "y" }] };
  expect(leastOf({ ...SCHEMA, required: ["name", "items"] }, example)).toEqual({
    name: "ann",
    items: [{ label: "x" }],
  });
});
