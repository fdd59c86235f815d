/** Checks decoded values against the contracts, and says in words which field is wrong. */
import type { Static, TSchema } from "@sinclair/typebox";
import { TypeCompiler, type ValueError } from "@sinclair/typebox/compiler";
import { fail, ok, type Result } from "#shared/errors";

export type Validator<T> = (value: unknown) => Result<T>;

export interface ValidatorOptions {
  /** How the value itself is called in messages (default `body`). */
  name?: string;
  /** Whether a field that the schema does not name is invalid (`/v1`) or ignored (the original routes; default). */
  unknown?: "ignore" | "refuse";
}

/**
 * A validator of values for `schema`. A key `__proto__` is refused wherever the schema reads an object;
 * inside values that the schema leaves open it is data like any other.
 * Failures are `invalid` and name the first wrong field as a path (`log.name`).
 */
export function makeValidator<S extends TSchema>(schema: S, options: ValidatorOptions = {}): Validator<Static<S>> {
  const { name = "body", unknown = "ignore" } = options;
  const compiled = TypeCompiler.Compile(schema);
  return (value) => {
    const stray = strayKey(value, schema, unknown, "");
    if (stray !== undefined) return fail("invalid", `${stray} is not a known field`);
    if (compiled.Check(value)) return ok(value);
    const error = compiled.Errors(value).First();
    return fail("invalid", error === undefined ? `${name} is invalid` : sentence(error, name));
  };
}

interface ObjectSchema {
  type?: string;
  properties?: Record<string, ObjectSchema>;
  items?: ObjectSchema;
  anyOf?: { const?: unknown }[];
  const?: unknown;
  minLength?: number;
  maxLength?: number;
  minimum?: number;
  maximum?: number;
  minItems?: number;
  maxItems?: number;
  description?: string;
}

function strayKey(
  value: unknown,
  schema: ObjectSchema,
  unknown: "ignore" | "refuse",
  path: string,
): string | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  if (schema.type === "array" && Array.isArray(value) && schema.items !== undefined) {
    for (const [index, item] of value.entries()) {
      const stray = strayKey(item, schema.items, unknown, `${path}[${index}]`);
      if (stray !== undefined) return stray;
    }
    return undefined;
  }
  const { properties } = schema;
  if (schema.type !== "object" || properties === undefined || Array.isArray(value)) return undefined;
  for (const key of Object.keys(value)) {
    const at = path === "" ? key : `${path}.${key}`;
    if (key === "__proto__") return at;
    if (!Object.hasOwn(properties, key)) {
      if (unknown === "refuse") return at;
      continue;
    }
    const stray = strayKey((value as Record<string, unknown>)[key], properties[key] as ObjectSchema, unknown, at);
    if (stray !== undefined) return stray;
  }
  return undefined;
}

function sentence(error: ValueError, name: string): string {
  const path = error.path
    .slice(1)
    .split("/")
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"))
    .reduce((all, part) => (/^\d+$/.test(part) ? `${all}[${part}]` : all === "" ? part : `${all}.${part}`), "");
  const field = path === "" ? name : path;
  return error.value === undefined ? `${field} is needed` : `${field} must be ${expectation(error.schema)}`;
}

/** What a schema allows, in words; follows "must be". */
function expectation(schema: ObjectSchema): string {
  if (schema.anyOf !== undefined && schema.anyOf.every((option) => option.const !== undefined)) {
    return `one of ${schema.anyOf.map((option) => String(option.const)).join(", ")}`;
  }
  if (schema.description !== undefined) return schema.description;
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  switch (schema.type) {
    case "string":
      return `text${range(schema.minLength, schema.maxLength, "characters")}`;
    case "integer":
      return `a whole number${range(schema.minimum, schema.maximum, "")}`;
    case "number":
      return `a number${range(schema.minimum, schema.maximum, "")}`;
    case "boolean":
      return "true or false";
    case "array":
      return `a list${range(schema.minItems, schema.maxItems, "items")}`;
    default:
      return "an object";
  }
}

function range(min: number | undefined, max: number | undefined, unit: string): string {
  const of = unit === "" ? "" : ` ${unit}`;
  if (min !== undefined && max !== undefined) return ` of ${min} to ${max}${of}`;
  if (min !== undefined) return ` of at least ${min}${of}`;
  if (max !== undefined) return ` of at most ${max}${of}`;
  return "";
}
