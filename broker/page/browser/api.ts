/** The API description, readable: one article an operation, made from /openapi.json. */

interface Operation {
  readonly summary?: string;
  readonly description?: string;
  readonly requestBody?: {
    readonly content: Record<
      string,
      { readonly schema: unknown; readonly examples?: Record<string, { readonly value: unknown }> }
    >;
  };
  readonly responses: Record<string, { readonly description: string }>;
}

interface Description {
  readonly info: { readonly description?: string };
  readonly paths: Record<string, Record<string, Operation>>;
}

function add(parent: Element, tag: string, text = ""): HTMLElement {
  const child = document.createElement(tag);
  child.textContent = text;
  parent.append(child);
  return child;
}

function fold(parent: Element, title: string, value: unknown): void {
  const details = add(parent, "details");
  add(details, "summary", title);
  const pre = add(details, "pre", JSON.stringify(value, null, 2));
  pre.tabIndex = 0;
}

function show(main: Element, { info, paths }: Description): void {
  main.replaceChildren();
  add(main, "p", info.description ?? "").className = "lead";
  for (const [path, operations] of Object.entries(paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const article = add(main, "article");
      add(add(article, "h2"), "code", `${method.toUpperCase()} ${path}`);
      add(article, "p", operation.description ?? operation.summary ?? "");
      for (const [type, { schema, examples }] of Object.entries(operation.requestBody?.content ?? {})) {
        for (const [name, example] of Object.entries(examples ?? {})) fold(article, `Example: ${name}`, example.value);
        fold(article, `Body, ${type}`, schema);
      }
      const list = add(article, "dl");
      for (const [status, { description }] of Object.entries(operation.responses)) {
        add(list, "dt", status);
        add(list, "dd", description);
      }
    }
  }
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
