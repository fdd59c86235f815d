/** The platform's own description as its clients get it, and whether an answer is what it says. */
import { type Schema, Validator } from "@cfworker/json-schema";

type Described = Readonly<Record<string, unknown>>;
type Contents = Readonly<
  Record<
    string,
    { readonly schema: Described; readonly examples?: Readonly<Record<string, { readonly value: unknown }>> }
  >
>;

interface Parameter {
  readonly $ref?: string;
  readonly name: string;
  readonly in: "path" | "query" | "header";
  readonly example?: string;
}

export interface Operation {
  readonly parameters?: readonly Parameter[];
  readonly security?: readonly Described[];
  readonly requestBody?: { readonly content: Contents };
  readonly responses: Readonly<
    Record<string, { readonly content: Contents; readonly headers?: Readonly<Record<string, unknown>> }>
  >;
}

export interface Description {
  readonly components: { readonly schemas: Described; readonly parameters: Readonly<Record<string, Parameter>> };
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

/** An answer as it came; `body` is JSON where its type says so, else text. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: unknown;
}

/** Headers that mean something to whoever reads the description; others are the transport's. */
const TELLING = ["Location", "X-Degraded", "Idempotent-Replayed", "Retry-After", "X-Overloaded", "WWW-Authenticate"];

/** By `METHOD /path`. */
export function operationsOf(description: Description): Map<string, Operation> {
  return new Map(
    Object.entries(description.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => [`${method.toUpperCase()} ${path}`, operation] as const),
    ),
  );
}

/** Of one kind, those of the components among them. */
export function parametersOf(description: Description, operation: Operation, kind: Parameter["in"]): Parameter[] {
  return (operation.parameters ?? [])
    .map((one) =>
      one.$ref === undefined ? one : (description.components.parameters[one.$ref.split("/").at(-1) ?? ""] ?? one),
    )
    .filter((one) => one.in === kind);
}

/** Bodies by their titles; one without a body where the operation takes none. */
export function examplesOf({ requestBody }: Operation): [title: string, body: unknown][] {
  if (requestBody === undefined) return [["", undefined]];
  return Object.values(requestBody.content).flatMap(({ examples = {} }) =>
    Object.entries(examples).map(([title, { value }]): [string, unknown] => [title, value]),
  );
}

/**
 * Schemas are open, so that a field may be added without breaking anybody; here what nobody has described is a fault: of
 * `data` itself, and of the items of a list in it.
 */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed);
  if (typeof schema !== "object" || schema === null) return schema;
  return Object.fromEntries(
    Object.entries(schema).map(([key, part]) => [key, key === "items" || key === "data" ? sealed(part) : closed(part)]),
  );
}

function sealed(schema: unknown): unknown {
  const inner = closed(schema);
  const isRecord =
    typeof inner === "object" && inner !== null && ["$ref", "allOf", "anyOf"].some((key) => key in inner);
  return isRecord ? { ...inner, unevaluatedProperties: false } : inner;
}

/** @returns what is wrong with an answer, in words; empty where it is as described. */
export function faultsOf(description: Description, operation: Operation, { status, headers, body }: Answer): string[] {
  const response = operation.responses[String(status)];
  if (response === undefined) return [`${status} is not described: ${JSON.stringify(body)}`];
  const type = (headers.get("content-type") ?? "").split(";")[0]?.trim() ?? "";
  const content = response.content[type];
  if (content === undefined) return [`${status}: ${type || "no type"} is not described`];
  const undescribed = TELLING.filter((name) => headers.has(name) && response.headers?.[name] === undefined);
  const components = { schemas: closed(description.components.schemas) };
  const schema = { ...(closed(content.schema) as object), components } as Schema;
  const { valid, errors } = new Validator(schema, "2020-12", false).validate(body);
  const [first] = errors.toReversed();
  return [
    ...undescribed.map((name) => `${status}: the header ${name} is not described`),
    ...(valid ? [] : [`${status}: ${first?.instanceLocation} ${first?.error}: ${JSON.stringify(body)}`]),
  ];
}
