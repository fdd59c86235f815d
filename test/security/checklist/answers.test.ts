/** What the description of the API says that answers hold. */
import { expect, test } from "bun:test";
import { openApi } from "../../../broker/openapi/index.ts";

interface Schema {
  readonly $ref?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly [keyword: string]: unknown;
}

const description = JSON.parse(JSON.stringify(openApi("1"))) as {
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
  readonly paths: Readonly<
    Record<string, Readonly<Record<string, { readonly responses: Readonly<Record<string, unknown>> }>>>
  >;
};
/** Secrets that are told, each at the one moment when its owner gets it. */
const TOLD: readonly string[] = ["access_token", "refresh_token", "key", "next_cursor"];
const SECRET = /password|hash|secret|token|private|^key$/i;

/** Names of all properties below a schema, what it refers to included. */
function namesIn(schema: unknown, seen: Set<string>): string[] {
  if (typeof schema !== "object" || schema === null) return [];
  if (Array.isArray(schema)) return schema.flatMap((one) => namesIn(one, seen));
  const { $ref, properties = {} } = schema as Schema;
  const referred = $ref?.split("/").at(-1);
  const names = Object.keys(properties);
  if (referred !== undefined && !seen.has(referred)) {
    seen.add(referred);
    names.push(...namesIn(description.components.schemas[referred], seen));
  }
  return [...names, ...Object.values(schema).flatMap((one) => namesIn(one, seen))];
}

test("[14] no answer of any route has a place for a password or a hash", () => {
  let looked = 0;
  for (const [path, methods] of Object.entries(description.paths)) {
    for (const [method, { responses }] of Object.entries(methods)) {
      const wrong = namesIn(responses, new Set()).filter((name) => SECRET.test(name) && !TOLD.includes(name));
      expect([method, path, wrong]).toEqual([method, path, []]);
      looked += 1;
    }
  }
  expect(looked).toBeGreaterThan(20);
});

test("[14] a place for one would be seen, however deep it lies", () => {
  const deep = {
    content: {
      "application/json": { schema: { allOf: [{ properties: { data: { properties: { password: {} } } } }] } },
    },
  };
  expect(namesIn(deep, new Set())).toContain("password");
});
