/**
 * The variables of a template: its JSON Schema (draft 2020-12), checked by interpretation (@cfworker/json-schema). The
 * usual validators make code from schemas, and TypeBox only checks schemas that TypeBox made.
 */
import { type OutputUnit, type Schema, Validator } from "@cfworker/json-schema";
import { fail, ok, type Result } from "#shared/errors";

/** Characters of all variables together, as JSON. */
export const VARIABLES_MAX = 131_072;
/** Longest text that has a format or a pattern (characters). */
const TEXT_MAX = 2_048;
/** Most items of a list that has to have no two alike: each is compared with each. */
const UNIQUE_MAX = 1_000;
const DEPTH_MAX = 16;
/** Own fields that stand for something else on every object. */
const NO_NAMES = new Set(["__proto__", "constructor", "prototype"]);
/** What templates know by themselves. */
const RESERVED = "mail";

export type Variables = Readonly<Record<string, unknown>>;
export type CheckVariables = (variables: Variables) => Result<void>;

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** `#/items/0/name` as `variables.items[0].name`. */
function pathOf(pointer: string): string {
  return pointer
    .split("/")
    .slice(1)
    .map((part) => decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~"))
    .reduce((path, part) => path + (/^\d+$/.test(part) ? `[${part}]` : `.${part}`), "variables");
}

/** What is wrong with a value whatever the schema: PostgreSQL's JSON has no place for it, or it is a trap. */
function trapOf(value: unknown, path: string, depth: number): string | undefined {
  if (typeof value === "string") {
    return value.includes("\0") || !value.isWellFormed()
      ? `${path} must be text without NUL and half characters`
      : undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  if (depth >= DEPTH_MAX) return `${path} must not be nested that deep`;
  for (const [key, item] of Object.entries(value)) {
    const at = Array.isArray(value) ? `${path}[${key}]` : `${path}.${key.slice(0, 80)}`;
    if (NO_NAMES.has(key)) return `${at} is not a known field`;
    const trap = trapOf(item, at, depth + 1);
    if (trap !== undefined) return trap;
  }
  return undefined;
}

const TYPES: Readonly<Record<string, string>> = {
  string: "text",
  number: "a number",
  integer: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "an object",
  null: "null",
};

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [value];
}

function shown(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** One failed keyword in words. */
function sentence({ keyword, instanceLocation }: OutputUnit, schema: Record<string, unknown>, value: unknown): string {
  const path = pathOf(instanceLocation);
  if (schema[keyword] === undefined) return `${path} does not fit the schema`;
  const limit = shown(schema[keyword]);
  switch (keyword) {
    case "required": {
      const missing = list(schema["required"]).find((name) => !isObject(value) || !Object.hasOwn(value, String(name)));
      return `${path}.${String(missing)} is needed`;
    }
    case "type":
      return `${path} must be ${list(schema["type"])
        .map((type) => TYPES[String(type)] ?? String(type))
        .join(" or ")}`;
    case "enum":
      return `${path} must be one of ${list(schema["enum"])
        .map((item) => shown(item))
        .join(", ")}`;
    case "const":
      return `${path} must be ${JSON.stringify(schema["const"])}`;
    case "format":
      return `${path} must have the format ${limit}`;
    case "pattern":
      return `${path} must match ${limit}`;
    case "minLength":
      return `${path} must have at least ${limit} characters`;
    case "maxLength":
      return `${path} must have at most ${limit} characters`;
    case "minItems":
      return `${path} must have at least ${limit} items`;
    case "maxItems":
      return `${path} must have at most ${limit} items`;
    case "minimum":
      return `${path} must be at least ${limit}`;
    case "maximum":
      return `${path} must be at most ${limit}`;
    default:
      return `${path} does not fit the schema (${keyword})`;
  }
}

function at(root: unknown, pointer: string): unknown {
  return pointer
    .split("/")
    .slice(1)
    .map((part) => decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~"))
    .reduce<unknown>((value, part) => {
      const found: unknown = isObject(value) || Array.isArray(value) ? Reflect.get(value, part) : undefined;
      return part === "$ref" && typeof found === "string" && found !== pointer ? at(root, found) : found;
    }, root);
}

/** The first failure that is one by itself, not only because of another one below it. */
function problemOf(errors: readonly OutputUnit[], schema: Variables, variables: Variables): string {
  const stray = errors.findLast(({ keyword }) => keyword === "false" || keyword === "additionalProperties");
  // A field too many is told last: what is missing is its right name, often.
  const own = errors.find(
    ({ keyword }) => !["properties", "items", "prefixItems", "$ref", "false", "additionalProperties"].includes(keyword),
  );
  if (own !== undefined) {
    const owner = at(schema, own.keywordLocation.split("/").slice(0, -1).join("/"));
    return sentence(own, isObject(owner) ? owner : {}, at(variables, own.instanceLocation));
  }
  return stray === undefined
    ? "variables do not fit the schema"
    : `${pathOf(stray.instanceLocation)} is not a known field`;
}

/** What is only looked at once a text or a list is known to be short. */
const SLOW = new Set(["format", "pattern", "anyOf", "oneOf", "uniqueItems"]);

/** `schema` without what takes long for long texts and lists. */
function quickOf(schema: unknown, isNames = false): unknown {
  if (Array.isArray(schema)) return schema.map((item) => quickOf(item));
  if (!isObject(schema)) return schema;
  return Object.fromEntries(
    Object.entries(schema)
      .filter(([key]) => isNames || !SLOW.has(key))
      .map(([key, value]) => [key, quickOf(value, !isNames && (key === "properties" || key === "$defs"))]),
  );
}

/** A check of variables for a schema without problems (`schemaProblems`). */
export function makeVariablesCheck(schema: Variables): CheckVariables {
  // The expression for links is quadratic: six seconds for the longest that there can be, two milliseconds for TEXT_MAX.
  const quick = new Validator(quickOf(schema) as Schema, "2020-12");
  const full = new Validator(schema, "2020-12");
  return (variables) => {
    const trap = trapOf(variables, "variables", 0);
    if (trap !== undefined) return fail("invalid", trap);
    if (JSON.stringify(variables).length > VARIABLES_MAX) {
      return fail("invalid", `variables must be at most ${VARIABLES_MAX} characters as JSON`);
    }
    for (const validator of [quick, full]) {
      const { valid, errors } = validator.validate(variables);
      if (!valid) return fail("invalid", problemOf(errors, schema, variables));
    }
    return ok();
  };
}

/** Whether a regular expression is a choice as a whole: what it begins with is then said of the first part alone. */
function hasChoice(pattern: string): boolean {
  let rest = pattern.replaceAll(/\\.|\[(?:\\.|[^\]\\])*\]/gsu, "");
  for (let before = ""; before !== rest; ) {
    before = rest;
    rest = rest.replaceAll(/\([^()]*\)/g, "");
  }
  return rest.includes("|");
}

const KEYWORDS = new Set(
  (
    "$schema $comment $defs $ref title description examples default type properties required additionalProperties enum " +
    "const anyOf oneOf format pattern minLength maxLength minimum maximum exclusiveMinimum exclusiveMaximum " +
    "multipleOf items prefixItems minItems maxItems uniqueItems"
  ).split(" "),
);
const FORMATS = new Set(["date", "date-time", "email", "hostname", "ipv4", "ipv6", "time", "uri", "uuid"]);

/**
 * What is wrong with a schema, a line each. Stricter than the standard, which lets a misspelt keyword mean nothing:
 * keywords and formats have to be known ones, objects closed, references local, and a link one to the web.
 */
export function schemaProblems(schema: unknown): string[] {
  const problems: string[] = [];
  /** @param bound the length that its text is known to have at most. */
  const visit = (part: unknown, path: string, bound: unknown, isChoice = false): void => {
    if (!isObject(part)) {
      problems.push(`${path} must be an object`);
      return;
    }
    for (const key of Object.keys(part))
      if (!KEYWORDS.has(key)) problems.push(`${path}.${key} is not a keyword that is known here`);
    const { properties, items, additionalProperties, $ref, format, pattern } = part;
    const longest = isChoice ? bound : part["maxLength"];
    if ((format ?? pattern) !== undefined && !(Number(longest) <= TEXT_MAX)) {
      problems.push(`${path}: text with a format or a pattern needs a maxLength of at most ${TEXT_MAX}`);
    }
    if (part["uniqueItems"] === true && !(Number(part["maxItems"]) <= UNIQUE_MAX)) {
      problems.push(`${path}: a list with uniqueItems needs maxItems of at most ${UNIQUE_MAX}`);
    }
    if (properties !== undefined || part["type"] === "object") {
      if (additionalProperties !== false) problems.push(`${path}.additionalProperties must be false`);
    }
    if (
      $ref !== undefined &&
      (typeof $ref !== "string" || !$ref.startsWith("#/$defs/") || at(schema, $ref) === undefined)
    ) {
      problems.push(`${path}.$ref must name one of $defs, as #/$defs/<name>`);
    }
    if (format !== undefined && !FORMATS.has(shown(format))) {
      problems.push(`${path}.format must be one of ${[...FORMATS].join(", ")}`);
    }
    if (pattern !== undefined) {
      try {
        void new RegExp(shown(pattern), "u");
      } catch {
        problems.push(`${path}.pattern is no regular expression`);
      }
    }
    if (format === "uri" && (!/^\^https(\?|):\/\//.test(shown(pattern)) || hasChoice(shown(pattern)))) {
      problems.push(
        `${path}: a link needs a pattern that begins with ^https:// or ^https?://, with | in brackets only`,
      );
    }
    for (const group of ["properties", "$defs"]) {
      const named = part[group];
      for (const [name, below] of isObject(named) ? Object.entries(named) : []) {
        if (!/^[a-z][a-z0-9_]{0,63}$/.test(name)) {
          problems.push(`${path}.${group}: "${name}" is no name: small letters, digits and _`);
        }
        visit(below, `${path}.${group}.${name}`, undefined);
      }
    }
    if (items !== undefined && items !== false) visit(items, `${path}.items`, undefined);
    for (const group of ["anyOf", "oneOf", "prefixItems"]) {
      const isChoiceToo = group !== "prefixItems";
      for (const [index, below] of list(part[group] ?? []).entries()) {
        visit(below, `${path}.${group}[${index}]`, isChoiceToo ? longest : undefined, isChoiceToo);
      }
    }
  };
  visit(schema, "schema", undefined);
  if (isObject(schema)) {
    if (schema["type"] !== "object") problems.push('schema.type must be "object"');
    if (isObject(schema["properties"]) && Object.hasOwn(schema["properties"], RESERVED)) {
      problems.push(`schema.properties.${RESERVED}: that name is taken by what every template knows`);
    }
  }
  return problems;
}

/** Names of the variables at the top. */
export function namesOf(schema: Variables): string[] {
  return isObject(schema["properties"]) ? Object.keys(schema["properties"]) : [];
}

/** Whether every field of that name, wherever it is in the schema, is a link. */
export function isLink(schema: Variables, name: string): boolean {
  const found: boolean[] = [];
  const visit = (part: unknown): void => {
    if (Array.isArray(part)) part.forEach(visit);
    if (!isObject(part)) return;
    const { properties } = part;
    const own = isObject(properties) && Object.hasOwn(properties, name) ? properties[name] : undefined;
    if (own !== undefined) found.push(isObject(own) && own["format"] === "uri");
    Object.values(part).forEach(visit);
  };
  visit(schema);
  return found.length > 0 && found.every(Boolean);
}

/** `variables` without what may be left out, at every depth. */
export function leastOf(schema: unknown, variables: unknown): unknown {
  if (!isObject(schema)) return variables;
  if (Array.isArray(variables)) return variables.map((item) => leastOf(schema["items"], item));
  const { properties } = schema;
  if (!isObject(variables) || !isObject(properties)) return variables;
  const required = new Set(list(schema["required"] ?? []));
  return Object.fromEntries(
    Object.entries(variables)
      .filter(([name]) => required.has(name))
      .map(([name, value]) => [name, leastOf(properties[name], value)]),
  );
}
