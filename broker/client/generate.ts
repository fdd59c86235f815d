/**
 * Types of the API for clients, from its description: `paths` as openapi-fetch reads them. `bun run client` writes paths.ts.
 * Generators that others keep need a TypeScript that can be called as a library, which TypeScript 7 cannot.
 */
import { openApi } from "../openapi/index.ts";

/** A part of a JSON Schema, as TypeBox makes it. */
type Schema = Readonly<Record<string, unknown>>;
type Named<T> = Readonly<Record<string, T>>;

interface Content {
  readonly content?: Named<{ readonly schema: Schema }>;
}
interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly required?: boolean;
  readonly schema: Schema;
}
interface Operation {
  readonly summary: string;
  readonly parameters?: readonly (Parameter | { readonly $ref: string })[];
  readonly requestBody?: Content;
  readonly responses: Named<Content>;
}
interface Description {
  readonly components: { readonly schemas: Named<Schema>; readonly parameters: Named<Parameter> };
  readonly paths: Named<Named<Operation>>;
}

const NAME = /^[A-Za-z_]\w*$/;
const keyOf = (name: string): string => (NAME.test(name) ? name : JSON.stringify(name));
const union = (types: readonly string[]): string => [...new Set(types)].join(" | ") || "never";

/** A schema as a type. What a type cannot say (lengths, patterns, ranges) is left out. */
export function typeOf(schema: Schema): string {
  const list = (name: string) => (schema[name] as Schema[] | undefined)?.map((part) => `(${typeOf(part)})`);
  const [anyOf, allOf] = [list("anyOf") ?? list("oneOf"), list("allOf")];
  if (typeof schema["$ref"] === "string") {
    return `components["schemas"][${JSON.stringify(schema["$ref"].split("/").at(-1))}]`;
  }
  if ("const" in schema) return JSON.stringify(schema["const"]);
  if (Array.isArray(schema["enum"])) return union(schema["enum"].map((value) => JSON.stringify(value)));
  if (anyOf !== undefined) return union(anyOf);
  if (allOf !== undefined) return allOf.join(" & ");
  switch (schema["type"]) {
    case "object":
      return objectOf(schema);
    case "array": {
      const items = schema["items"] as Schema | Schema[] | undefined;
      if (Array.isArray(items)) return `[${items.map(typeOf).join(", ")}]`;
      return `(${items === undefined ? "unknown" : typeOf(items)})[]`;
    }
    case "integer":
      return "number";
    case "string":
    case "number":
    case "boolean":
    case "null":
      return schema["type"];
    default:
      return "unknown";
  }
}

function objectOf(schema: Schema): string {
  const required = new Set((schema["required"] as string[] | undefined) ?? []);
  const fields = Object.entries((schema["properties"] as Named<Schema> | undefined) ?? {}).map(
    ([name, field]) => `${keyOf(name)}${required.has(name) ? "" : "?"}: ${typeOf(field)}`,
  );
  const [others] = Object.values((schema["patternProperties"] as Named<Schema> | undefined) ?? {});
  if (others !== undefined) return `Record<string, ${typeOf(others)}>`;
  return fields.length === 0 ? "Record<string, unknown>" : `{ ${fields.join("; ")} }`;
}

function contentOf({ content = {} }: Content): string {
  const types = Object.entries(content).map(([type, { schema }]) => `${JSON.stringify(type)}: ${typeOf(schema)}`);
  return `{ ${types.join("; ")} }`;
}

function parametersOf(parameters: readonly Parameter[]): string {
  const groups = ["query", "header", "path", "cookie"].map((where) => {
    const its = parameters.filter((parameter) => parameter.in === where);
    if (its.length === 0) return `${where}?: never`;
    const isNeeded = its.some(({ required }) => required === true);
    const fields = its.map(
      ({ name, required, schema }) => `${keyOf(name)}${required === true ? "" : "?"}: ${typeOf(schema)}`,
    );
    return `${where}${isNeeded ? "" : "?"}: { ${fields.join("; ")} }`;
  });
  return `{ ${groups.join("; ")} }`;
}

/** The module paths.ts: the same text for the same description. */
export function clientTypes(): string {
  // As a client gets it.
  const { components, paths } = JSON.parse(JSON.stringify(openApi(""))) as Description;
  const resolved = (parameter: Parameter | { readonly $ref: string }): Parameter => {
    if (!("$ref" in parameter)) return parameter;
    const found = components.parameters[parameter.$ref.split("/").at(-1) ?? ""];
    if (found === undefined) throw new Error(`${parameter.$ref} is described nowhere`);
    return found;
  };
  const lines = [
    "/** Types of the API. Made by `bun run client` from its description: do not edit. */",
    "",
    "export interface components {",
    "  schemas: {",
    ...Object.entries(components.schemas).map(([name, schema]) => `    ${name}: ${typeOf(schema)};`),
    "  };",
    "}",
    "",
    "export interface paths {",
  ];
  for (const [path, methods] of Object.entries(paths)) {
    lines.push(`  ${JSON.stringify(path)}: {`);
    for (const [method, { summary, parameters = [], requestBody, responses }] of Object.entries(methods)) {
      lines.push(
        `    /** ${summary} */`,
        `    ${method}: {`,
        `      parameters: ${parametersOf(parameters.map(resolved))};`,
        `      requestBody${requestBody === undefined ? "?: never" : `: { content: ${contentOf(requestBody)} }`};`,
        "      responses: {",
        ...Object.entries(responses).map(
          ([status, response]) =>
            `        ${status}: { headers: Record<string, unknown>; content: ${contentOf(response)} };`,
        ),
        "      };",
        "    };",
      );
    }
    lines.push("  };");
  }
  lines.push("}", "");
  return lines.join("\n");
}

if (import.meta.main) await Bun.write(new URL("./paths.ts", import.meta.url), clientTypes());
