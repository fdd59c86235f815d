/** Templates of mails: a name, versions, locales; variables with a schema; subject, HTML and text. */
import type { TemplateChoice, TemplateView } from "#contracts/mail";
import { fail, ok, type Result } from "#shared/errors";
import { StartError } from "#shared/lifecycle";
import type { Log } from "#shared/log";
import { type CompiledVersion, compileVersion, type Layouts, renderParts } from "./compile.ts";
import { findFiles } from "./files.ts";

/** A mail's content, ready to be sent, and what it was made from. */
export interface Rendered {
  readonly name: string;
  readonly version: number;
  /** Of the files that it was made from; the one asked for may have fallen back to it. */
  readonly locale: string;
  /** One line of at most 998 characters. */
  readonly subject: string;
  /** A whole document, its CSS inlined. */
  readonly html: string;
  readonly text: string;
}

export interface Templates {
  /** All versions, by name and version. */
  list(): TemplateView[];
  /**
   * The same choice gives the same bytes. Failures are `invalid`: no such template or version, or variables that are not
   * as its schema says, in words that name them.
   */
  render(choice: TemplateChoice): Promise<Result<Rendered>>;
}

export interface TemplatesOptions {
  /** Templates besides the embedded ones: `TEMPLATES_DIR`. */
  readonly directory?: string | undefined;
  /** Where a template does not have the locale that was asked for: `DEFAULT_LOCALE`. */
  readonly defaultLocale: string;
  readonly log: Log;
}

/** `de-Latn-AT`, `de-Latn`, `de`. */
function withParents(locale: string): string[] {
  const parts = locale.split("-");
  return parts.map((_part, index) => parts.slice(0, parts.length - index).join("-"));
}

/**
 * Reads, checks and tries all templates: each example is rendered in each locale.
 * @throws StartError that names every file with something wrong, and what.
 */
export function openTemplates({ directory, defaultLocale, log }: TemplatesOptions): Templates {
  const families = new Map<string, Map<number, CompiledVersion>>();
  const { sources, replaced, problems } = findFiles(directory);
  const { html, text } = sources.layouts;
  for (const layout of [html, text]) {
    if (layout !== undefined && layout.text.split(/\{\{-?\s*content\s*-?\}\}/).length !== 2) {
      problems.push(`${layout.at}: has to have {{ content }} in one place`);
    }
  }
  if (html !== undefined && text !== undefined) {
    const layouts: Layouts = { html, text };
    for (const source of sources.versions.values()) {
      const compiled = compileVersion(source, layouts, problems);
      if (compiled === undefined) continue;
      const family = families.get(source.name) ?? new Map<number, CompiledVersion>();
      families.set(source.name, family.set(source.version, compiled));
    }
  }
  if (problems.length > 0) {
    throw new StartError(`the mail templates are wrong:\n${problems.map((line) => `  ${line}\n`).join("")}`.trimEnd());
  }
  const names = [...families.keys()].sort();
  log.info("mail templates", {
    templates: names.join(", "),
    ...(directory === undefined ? {} : { directory, replaced: replaced.join(", ") }),
  });

  function find({ name, version }: TemplateChoice): Result<CompiledVersion> {
    const family = families.get(name);
    if (family === undefined) {
      return fail("invalid", `template: there is no ${JSON.stringify(name)}; there are ${names.join(", ")}`);
    }
    const versions = [...family.keys()].sort((a, b) => a - b);
    const found = family.get(version ?? versions.at(-1) ?? 0);
    if (found !== undefined) return ok(found);
    return fail("invalid", `template: there is no version ${version} of "${name}"; there are ${versions.join(", ")}`);
  }

  function render(choice: TemplateChoice): Result<Rendered> {
    const found = find(choice);
    if (!found.ok) return found;
    const { view, check, parts } = found.value;
    const variables = choice.variables ?? {};
    const valid = check(variables);
    if (!valid.ok) return valid;
    const wanted = choice.locale ?? defaultLocale;
    const locale =
      [...withParents(wanted), ...withParents(defaultLocale)].find((candidate) => parts.has(candidate)) ??
      view.locales[0];
    const own = locale === undefined ? undefined : parts.get(locale);
    if (locale === undefined || own === undefined) return fail("internal");
    // Dates as in Austria where German is read there; never as in Austria around an English text.
    const format = wanted.split("-")[0] === locale.split("-")[0] ? wanted : locale;
    const content = renderParts(own, variables, locale, format);
    if (!content.ok) {
      const { code, message } = content.error;
      return fail(code, `template "${view.name}": ${message}`, { cause: content.error });
    }
    return ok({ name: view.name, version: view.version, locale, ...content.value });
  }

  return {
    list: () =>
      names.flatMap((name) =>
        [...(families.get(name)?.values() ?? [])].map(({ view }) => view).sort((a, b) => a.version - b.version),
      ),
    render: (choice) => Promise.resolve(render(choice)),
  };
}
