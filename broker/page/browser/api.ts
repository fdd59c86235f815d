/** The API description, readable: one article an operation, made from /openapi.json. */

type Named<T> = Readonly<Record<string, T>>;

interface Reference {
  readonly $ref?: string;
}

interface Parameter extends Reference {
  readonly name: string;
  readonly in: string;
  readonly description?: string;
  readonly required?: boolean;
  readonly schema: unknown;
}

interface Content {
  readonly schema: unknown;
  readonly example?: unknown;
  readonly examples?: Named<{ readonly value: unknown }>;
}

interface Operation {
  readonly tags?: readonly string[];
  readonly summary?: string;
  readonly description?: string;
  readonly security?: readonly Named<unknown>[];
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly content: Named<Content> };
  readonly responses: Named<{
    readonly description: string;
    readonly headers?: Named<unknown>;
    readonly content?: Named<Content>;
  }>;
}

interface Description {
  readonly info: { readonly description?: string };
  readonly tags: readonly { readonly name: string; readonly description?: string }[];
  readonly components: {
    readonly schemas: Named<unknown>;
    readonly parameters: Named<Parameter>;
    readonly headers: Named<{ readonly description?: string }>;
    readonly securitySchemes: Named<{ readonly description?: string }>;
  };
  readonly paths: Named<Named<Operation>>;
}

type Components = Description["components"];

/** How a person calls the credentials. */
const SCHEMES: Named<string> = {
  accessToken: "Access token",
  apiKey: "API key",
  operatorToken: "The operators' token",
};

function add(parent: Element, tag: string, text = ""): HTMLElement {
  const child = document.createElement(tag);
  child.textContent = text;
  parent.append(child);
  return child;
}

/** Text in which what stands between backticks is code. */
function prose(parent: Element, tag: string, text: string): HTMLElement {
  const child = add(parent, tag);
  for (const [index, part] of text.split("`").entries()) {
    if (index % 2 === 1) add(child, "code", part);
    else child.append(part);
  }
  return child;
}

function fold(parent: Element, title: string, value: unknown): void {
  const details = add(parent, "details");
  add(details, "summary", title);
  const pre = add(details, "pre", JSON.stringify(value, null, 2));
  pre.tabIndex = 0;
}

const nameOf = (reference: string): string => reference.slice(reference.lastIndexOf("/") + 1);

/** A schema with what it refers to in its place; no schema of ours contains itself. */
function resolved(value: unknown, schemas: Named<unknown>): unknown {
  if (Array.isArray(value)) return value.map((item) => resolved(item, schemas));
  if (typeof value !== "object" || value === null) return value;
  const { $ref: reference } = value as Reference;
  if (reference !== undefined) return resolved(schemas[nameOf(reference)], schemas);
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, resolved(part, schemas)]));
}

/** A short name of a schema's type. */
function typeOf(schema: unknown): string {
  const { type, const: only, anyOf } = schema as { type?: string; const?: unknown; anyOf?: readonly unknown[] };
  if (only !== undefined) return JSON.stringify(only);
  return type ?? anyOf?.map(typeOf).join(" or ") ?? "any";
}

function showParameters(article: Element, given: readonly Parameter[], components: Components): void {
  if (given.length === 0) return;
  add(article, "h4", "Parameters");
  const list = add(article, "dl");
  for (const one of given) {
    const parameter = one.$ref === undefined ? one : components.parameters[nameOf(one.$ref)];
    if (parameter === undefined) continue;
    const { name, in: place, required, schema, description } = parameter;
    const term = add(list, "dt");
    add(term, "code", name);
    add(term, "small", ` ${place}, ${typeOf(schema)}${required ? ", needed" : ""}`);
    prose(list, "dd", description ?? "");
  }
}

function showOperation(parent: Element, route: string, operation: Operation, components: Components): void {
  const article = add(parent, "article");
  article.id = route.replaceAll(/\W+/g, "-").toLowerCase();
  add(add(article, "h3"), "code", route);
  prose(article, "p", [operation.summary, operation.description].filter(Boolean).join(". "));
  const schemes = (operation.security ?? []).flatMap((one) => Object.keys(one));
  for (const scheme of schemes) {
    const named = `${SCHEMES[scheme] ?? scheme}: ${components.securitySchemes[scheme]?.description ?? ""}`;
    prose(article, "p", named).className = "lead";
  }
  showParameters(article, operation.parameters ?? [], components);
  for (const [type, { schema, examples }] of Object.entries(operation.requestBody?.content ?? {})) {
    add(article, "h4", "Body");
    for (const [name, example] of Object.entries(examples ?? {})) fold(article, `Example: ${name}`, example.value);
    fold(article, `Schema, ${type}`, resolved(schema, components.schemas));
  }
  add(article, "h4", "Answers");
  const list = add(article, "dl");
  for (const [status, { description, headers, content }] of Object.entries(operation.responses)) {
    add(list, "dt", status);
    const told = prose(list, "dd", description);
    const names = Object.keys(headers ?? {}).filter((name) => name !== "X-Request-Id");
    if (names.length > 0) add(told, "small", ` Headers: ${names.join(", ")}`);
    for (const { schema, example } of Object.values(content ?? {})) {
      // Every refusal has the envelope's shape: said once, at the top.
      if (example === undefined && (schema as Reference).$ref !== undefined) continue;
      if (example !== undefined) fold(told, `Example of ${status}`, example);
      if (Object.keys(schema as object).length > 1)
        fold(told, `Schema of ${status}`, resolved(schema, components.schemas));
    }
  }
}

function show(main: Element, { info, tags, components, paths }: Description): void {
  main.replaceChildren();
  prose(main, "p", info.description ?? "").className = "lead";
  const contents = add(main, "nav");
  contents.setAttribute("aria-label", "Operations");
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ route: `${method.toUpperCase()} ${path}`, operation })),
  );
  for (const tag of tags) {
    const group = add(main, "section");
    add(group, "h2", tag.name);
    prose(group, "p", tag.description ?? "").className = "lead";
    for (const { route, operation } of operations.filter((one) => one.operation.tags?.[0] === tag.name)) {
      showOperation(group, route, operation, components);
      const link = add(contents, "a", route) as HTMLAnchorElement;
      link.href = `#${route.replaceAll(/\W+/g, "-").toLowerCase()}`;
    }
  }
  // What the address names was not there when the browser looked for it.
  document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

const main = document.getElementById("operations");
if (main !== null) {
  try {
    const reply = await fetch("/openapi.json", { signal: AbortSignal.timeout(10_000) });
    show(main, (await reply.json()) as Description);
  } catch (error) {
    main.textContent = `The description could not be loaded: ${error instanceof Error ? error.message : String(error)}. Reload to try again.`;
  }
}
