/** The typed client: its types are those of the description, and it does what they say against a broker. */
import { expect, test } from "bun:test";
import { USER } from "../auth.test-kit.ts";
import { versionedBrokers } from "../v1/v1.test-kit.ts";
import { clientTypes, typeOf } from "./generate.ts";
import { makeClient } from "./index.ts";

const { broker, sessionToken } = versionedBrokers();

test("paths.ts is what the description says (bun run client)", async () => {
  expect(await Bun.file(new URL("./paths.ts", import.meta.url)).text()).toBe(clientTypes());
});

test.each<[string, Record<string, unknown>]>([
  ["string", { type: "string", minLength: 1 }],
  ["number", { type: "integer" }],
  ['"a" | 1', { enum: ["a", 1] }],
  ['("a") | (null)', { anyOf: [{ const: "a" }, { type: "null" }] }],
  ["({ a: string }) & (unknown)", { allOf: [object({ a: { type: "string" } }, ["a"]), {}] }],
  ['{ a?: components["schemas"]["B"]; "c-d": (boolean)[] }', objectOfTwo()],
  ["Record<string, number>", { type: "object", patternProperties: { "^.*$": { type: "number" } } }],
  ["[number, number]", { type: "array", items: [{ type: "number" }, { type: "number" }] }],
  ["unknown", {}],
])("%s", (type, schema) => {
  expect(typeOf(schema)).toBe(type);
});

function object(properties: Record<string, unknown>, required: string[]) {
  return { type: "object", properties, required };
}
function objectOfTwo() {
  const list = { type: "array", items: { type: "boolean" } };
  return object({ a: { $ref: "#/components/schemas/B" }, "c-d": list }, ["c-d"]);
}

test("a client asks by its types, and is answered by them", async () => {
  const { app, auth } = await broker({ ACCESS: "closed" });
  const token = await sessionToken();
  let credential: { accessToken: string } | undefined;
  const client = makeClient(app.url, { credential: () => credential });

  const refused = await client.GET("/v1/me");
  expect([refused.response.status, refused.error?.message]).toEqual([401, "a bearer token is needed"]);
  credential = { accessToken: token };
  const me = await client.GET("/v1/me");
  const { email }: { email: string | undefined } = { email: me.data?.data.email };
  expect(email).toBe(USER.email);

  const logged = await client.POST("/handle", {
    body: { action: "log", log: { name: "n", data: { any: ["thing"] } } },
  });
  expect([logged.response.status, logged.data?.error]).toEqual([202, false]);

  auth.answer = ({ search }) =>
    Response.json({ error: false, message: search, data: { items: [{ ...USER, extra_scopes: [] }] } });
  const users = await client.GET("/v1/users", { params: { query: { role: "admin", limit: 2 } } });
  expect([users.data?.message, users.data?.data.items.map(({ role }) => role)]).toEqual([
    "?role=admin&limit=2",
    ["admin"],
  ]);
  const path = { params: { path: { id: 7 } } };
  auth.answer = ({ path: asked, body }) =>
    Response.json({ error: false, message: `${asked} ${JSON.stringify(body)}`, data: { ...USER, extra_scopes: [] } });
  const changed = await client.PATCH("/v1/users/{id}", { ...path, body: { version: 1, active: false } });
  expect(changed.data?.message).toBe('/users/7 {"version":1,"active":false}');

  // @ts-expect-error there is no such role
  await client.GET("/v1/users", { params: { query: { role: "root" } } });
  // @ts-expect-error a change names its version
  await client.PATCH("/v1/users/{id}", { ...path, body: { active: false } });
  // @ts-expect-error there is no such route
  await client.GET("/v1/nothing");
});
