import { expect, test } from "bun:test";
import { Type } from "@sinclair/typebox";
import { makeQueryValidator } from "#shared/validation";

const queryOf = makeQueryValidator(
  Type.Object({
    name: Type.Optional(Type.String({ minLength: 1 })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })),
    older_than_s: Type.Optional(Type.Number({ minimum: 0 })),
    dry_run: Type.Optional(Type.Boolean()),
  }),
);
const read = (query: string) => queryOf(`http://host/path${query}`);

test("text becomes what the schema says it is", () => {
  expect(read("")).toEqual({ ok: true, value: {} });
  expect(read("?name=7&limit=7&older_than_s=1.5&dry_run=true")).toEqual({
    ok: true,
    value: { name: "7", limit: 7, older_than_s: 1.5, dry_run: true },
  });
  expect(read("?name=a%20b%2Bc")).toMatchObject({ value: { name: "a b+c" } });
});

test.each([
  ["?limit=0", "limit must be a whole number of 1 to 100"],
  ["?limit=1.5", "limit must be a whole number of 1 to 100"],
  ["?limit=1e1", "limit must be a whole number of 1 to 100"],
  ["?limit=", "limit must be a whole number of 1 to 100"],
  ["?dry_run=yes", "dry_run must be true or false"],
  ["?name=", "name must be text of at least 1 characters"],
  ["?limit=1&limit=2", "limit is there twice"],
  ["?nonsense=1", "nonsense is not a known field"],
  ["?__proto__=1", "__proto__ is not a known field"],
  ["?constructor=1", "constructor is not a known field"],
])("%s: %s", (query, message) => {
  const result = read(query);
  expect(result.ok ? undefined : [result.error.code, result.error.message]).toEqual(["invalid", message]);
});
