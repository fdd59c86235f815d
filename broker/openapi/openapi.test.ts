/** The description tells what the broker answers and nothing else, and its examples are what its schemas say. */
import { beforeAll, expect, test } from "bun:test";
import { makeValidator } from "#shared/validation";
import { openApi } from "./index.ts";
import { SCHEMAS, type SchemaName } from "./parts.ts";
import { pages } from "../page/index.ts";
import { brokers } from "../platform.test-kit.ts";

type Described = Readonly<Record<string, unknown>>;

interface Content {
  readonly schema: Described;
  readonly example?: { readonly data: unknown };
  readonly examples?: Readonly<Record<string, { readonly value: unknown }>>;
}

interface Operation {
  readonly tags: readonly string[];
  readonly summary: string;
  readonly security?: readonly Described[];
  readonly parameters?: readonly Described[];
  readonly requestBody?: { readonly content: Readonly<Record<string, Content>> };
  readonly responses: Readonly<
    Record<
      string,
      { readonly description: string; readonly headers?: Described; readonly content: Record<string, Content> }
    >
  >;
}

/** As a client gets it. */
let description: {
  readonly openapi: string;
  readonly tags: readonly { readonly name: string }[];
  readonly components: Readonly<Record<string, Described>>;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
};
let operations: { readonly name: string; readonly operation: Operation }[];
beforeAll(() => {
  description = JSON.parse(JSON.stringify(openApi("1.2.3"))) as typeof description;
  operations = Object.entries(description.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ name: `${method.toUpperCase()} ${path}`, operation })),
  );
});

const { platform } = brokers();

test("every route of the broker that is no page is described, and every described one is there", async () => {
  const { app, get } = await platform();
  const page = new Set(
    pages({
      inboxUrl: undefined,
      version: "1",
      isDescribed: true,
      isMeasured: true,
      environment: "development",
      isBreakable: true,
    }).map(({ path }) => `GET ${path}`),
  );
  const served = app.routes
    .map(({ method, path }) => `${method} ${path.replaceAll(/:(\w+)/g, "{$1}")}`)
    .filter((route) => !page.has(route) && !route.startsWith("OPTIONS"));
  expect(operations.map(({ name }) => name).toSorted()).toEqual([...new Set(served)].toSorted());
  expect((await get("/openapi.json")).body).toMatchObject({ openapi: "3.1.0" });
});

test("where a rate limit may apply, 429 is described, and the headers of limits on every answer", () => {
  const unlimited = new Set(["GET /ping", "GET /ready", "GET /metrics"]);
  for (const { name, operation } of operations) {
    const isLimited = !unlimited.has(name);
    expect([name, "429" in operation.responses]).toEqual([name, isLimited]);
    for (const { headers = {} } of Object.values(operation.responses)) {
      expect([name, "RateLimit" in headers, "RateLimit-Policy" in headers]).toEqual([name, isLimited, isLimited]);
    }
  }
});

test("all that is referred to is there, and all that is there is referred to", () => {
  const text = JSON.stringify(description);
  const referred = new Set(
    [...text.matchAll(/"#\/components\/(\w+)\/([\w-]+)"/g)].map(([, kind, name]) => `${kind} ${name}`),
  );
  const there = Object.entries(description.components)
    .filter(([kind]) => kind !== "securitySchemes")
    .flatMap(([kind, parts]) => Object.keys(parts).map((name) => `${kind} ${name}`));
  expect([...referred].toSorted()).toEqual(there.toSorted());
});

test("every route has a summary, a tag, known security and what each answer means", () => {
  const tags = description.tags.map(({ name }) => name);
  const schemes = Object.keys(description.components["securitySchemes"] ?? {});
  for (const { name, operation } of operations) {
    expect([name, operation.summary.length > 0, tags.includes(operation.tags[0] ?? "")]).toEqual([name, true, true]);
    for (const scheme of (operation.security ?? []).flatMap((one) => Object.keys(one)))
      expect(schemes).toContain(scheme);
    expect(Object.values(operation.responses).every((response) => response.description.length > 0)).toBe(true);
    const readsBody = operation.requestBody !== undefined;
    expect([name, "415" in operation.responses]).toEqual([name, readsBody]);
    // Where somebody has to be known, it is told what happens to others.
    expect([
      name,
      "401" in operation.responses || operation.security === undefined || name.endsWith("/health"),
    ]).toEqual([name, true]);
  }
});

/** The names of schemas that a description demands all of. */
function namesOf(schema: Described): SchemaName[] {
  const parts = [schema, ...((schema["allOf"] as Described[] | undefined) ?? [])];
  const referred = new Set(parts.map((part) => part["$ref"]));
  return (Object.keys(SCHEMAS) as SchemaName[]).filter((name) => referred.has(`#/components/schemas/${name}`));
}

test("every example is what its schema says", () => {
  let checked = 0;
  const check = (where: string, schema: Described, value: unknown, unknown: "ignore" | "refuse"): void => {
    for (const name of namesOf(schema)) {
      const result = makeValidator(SCHEMAS[name], { unknown })(value);
      expect([where, name, result.ok ? "" : result.error.message]).toEqual([where, name, ""]);
      checked += 1;
    }
  };
  for (const { name, operation } of operations) {
    for (const { schema, examples } of Object.values(operation.requestBody?.content ?? {})) {
      for (const [title, { value }] of Object.entries(examples ?? {}))
        check(`${name}: ${title}`, schema, value, "refuse");
    }
    for (const { content } of Object.values(operation.responses)) {
      for (const { schema, example } of Object.values(content)) {
        // What is no envelope is text.
        if (example === undefined || typeof example === "string") continue;
        const { data } = schema["properties"] as { data: Described };
        check(name, data, example.data, "ignore");
      }
    }
  }
  expect(checked).toBeGreaterThan(12);
});

test("the examples with a template are mails that the mail service would take", async () => {
  const at = new URL("../../mail/templates/welcome/1/template.json", import.meta.url);
  const { schema } = (await Bun.file(at).json()) as { schema: { properties: Described; required: string[] } };
  const values = operations.flatMap(({ operation }) =>
    Object.values(operation.requestBody?.content ?? {}).flatMap(({ examples }) =>
      Object.values(examples ?? {}).map(({ value }) => value as { template?: Described; variables?: Described }),
    ),
  );
  const chosen = values.flatMap((value): Described[] =>
    value.template === undefined ? ("variables" in value ? [{ ...value }] : []) : [value.template],
  );
  expect(chosen.length).toBeGreaterThan(1);
  for (const choice of chosen) {
    expect([choice["name"] ?? "welcome", choice["version"] ?? 1]).toEqual(["welcome", 1]);
    const names = Object.keys(choice["variables"] as Described);
    expect(names.filter((given) => !Object.hasOwn(schema.properties, given))).toEqual([]);
    expect(schema.required.filter((needed) => !names.includes(needed))).toEqual([]);
  }
});
