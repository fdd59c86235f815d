import { expect, test } from "bun:test";
import { Type } from "@sinclair/typebox";
import { HTTP_LIMITS } from "#contracts/limits";
import { LogRequest } from "#contracts/logs";
import { makeValidator, parseJson, problemOf } from "#shared/validation";

const bytes = (text: string) => new TextEncoder().encode(text);
const codeOf = (text: string | Uint8Array) => {
  const result = parseJson(typeof text === "string" ? bytes(text) : text, HTTP_LIMITS);
  return result.ok ? "ok" : result.error.code;
};

test.each([
  ["an object", "{}", "ok"],
  ["null", "null", "ok"],
  ["nothing", "", "malformed"],
  ["two values", "1 2", "malformed"],
  ["half a value", '{"a":', "malformed"],
  ["bytes that are not UTF-8", new Uint8Array([0x22, 0xff, 0x22]), "malformed"],
  ["an unpaired surrogate", '"\\ud800"', "invalid"],
  ["32 levels", "[".repeat(32) + "]".repeat(32), "ok"],
  ["33 levels", "[".repeat(33) + "]".repeat(33), "invalid"],
  ["100,000 levels", "[".repeat(100_000) + "]".repeat(100_000), "invalid"],
  ["a MiB of open brackets: refused before it is parsed", "[".repeat(1_048_576), "invalid"],
  ["brackets, commas and quotes within text", JSON.stringify(["[{,".repeat(20_000), '\\"[[[', "\\\\"]), "ok"],
  ["text without an end", `["${"[".repeat(100)}`, "malformed"],
  ["a number beyond a double", '{"a":[-1e999]}', "invalid"],
  ["the largest double", "1.7976931348623157e308", "ok"],
  ["20,000 values", `[${Array(19_999).fill(1).join(",")}]`, "ok"],
  ["20,001 values", `[${Array(20_000).fill(1).join(",")}]`, "invalid"],
  ["20,000 objects in pairs", `[${Array(9_999).fill("[0]").join(",")},0]`, "ok"],
  ["20,001 objects in pairs", `[${Array(10_000).fill("[0]").join(",")}]`, "invalid"],
  ["1 MiB", `"${"a".repeat(1_048_574)}"`, "ok"],
  ["1 MiB and a byte", `"${"a".repeat(1_048_575)}"`, "too_large"],
] as const)("%s", (_what, text, code) => {
  expect(codeOf(text)).toBe(code);
});

test("the walk does not follow what a key named __proto__ holds into a prototype", () => {
  const value: unknown = JSON.parse('{"__proto__":{"polluted":1}}');
  expect(problemOf(value, HTTP_LIMITS)).toBeUndefined();
  expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
});

const Handle = Type.Object({ log: LogRequest, tags: Type.Optional(Type.Array(Type.Object({ id: Type.Integer() }))) });

test.each([
  [{}, "log is needed"],
  [[], "body must be an object"],
  [null, "body must be an object"],
  [{ log: {} }, "log.name is needed"],
  [{ log: { name: 7, data: "" } }, "log.name must be text of 1 to 255 characters"],
  [{ log: { name: "", data: "" } }, "log.name must be text of 1 to 255 characters"],
  [{ log: { name: "n" } }, "log.data is needed"],
  [{ log: { name: "n", data: 1, severity: "DEBUG" } }, "log.severity must be one of INFO, WARNING, ERROR"],
  [{ log: { name: "n", data: 1 }, tags: [{ id: 1 }, { id: "x" }] }, "tags[1].id must be a whole number"],
])("%p: %s", (value, message) => {
  const result = makeValidator(Handle)(value);
  expect(result.ok ? "" : result.error.message).toBe(message);
});

test("__proto__ is refused as a field and kept as data", () => {
  const validate = makeValidator(Handle);
  const asData: unknown = JSON.parse('{"log":{"name":"n","data":{"__proto__":{"a":1}}}}');
  expect(validate(asData)).toEqual({ ok: true, value: asData as never });
  const refused = validate(JSON.parse('{"log":{"name":"n","data":1,"__proto__":{"a":1}}}'));
  expect(refused.ok ? "" : refused.error.message).toBe("log.__proto__ is not a known field");
});

test("a field that is not known is ignored by the original routes and refused under /v1", () => {
  const value = { log: { name: "n", data: 1, extra: true } };
  expect(makeValidator(Handle)(value).ok).toBe(true);
  const refused = makeValidator(Handle, { unknown: "refuse" })(value);
  expect(refused.ok ? "" : refused.error.message).toBe("log.extra is not a known field");
});
