/** From the files of a version of a template to what can be rendered; or all that is wrong with them. */
import { type Static, Type } from "@sinclair/typebox";
import type { TemplateView } from "#contracts/mail";
import { fail, messageOf, ok, type Result } from "#shared/errors";
import { makeValidator } from "#shared/validation";
import { type Engine, type MailFacts, makeEngine, type Parsed } from "./engine.ts";
import { PARTS, type Part, type SourceFile, type SourceVersion } from "./files.ts";
import { inLayout, inlined, liquidProblems, look, lookAtSource } from "./markup.ts";
import {
  type CheckVariables,
  isLink,
  leastOf,
  makeVariablesCheck,
  namesOf,
  schemaProblems,
  type Variables,
} from "./variables.ts";

/** Longest subject (characters), as that of any mail. */
const SUBJECT_MAX = 998;

/** Variables are text in it, not HTML. */
const plain = makeEngine(false);
const escaping = makeEngine(true);
const ENGINES: Readonly<Record<Part, Engine>> = { subject: plain, html: escaping, text: plain };

const Definition = Type.Object({
  description: Type.String({ minLength: 1, maxLength: 1_000 }),
  schema: Type.Record(Type.String(), Type.Unknown(), { description: "a JSON Schema" }),
  example: Type.Record(Type.String(), Type.Unknown(), { description: "an object" }),
});
type Definition = Static<typeof Definition>;
const definitionOf = makeValidator(Definition, { name: "template.json", unknown: "refuse" });

export interface Content {
  readonly subject: string;
  readonly html: string;
  readonly text: string;
}

export interface CompiledVersion {
  readonly view: TemplateView;
  readonly check: CheckVariables;
  /** By locale. */
  readonly parts: ReadonlyMap<string, Readonly<Record<Part, Parsed>>>;
}

const RIGHT_TO_LEFT = new Set(["ar", "ckb", "dv", "fa", "he", "ks", "ps", "sd", "ug", "ur", "yi"]);

function dirOf(locale: string): "ltr" | "rtl" {
  return RIGHT_TO_LEFT.has(locale.split("-")[0] ?? "") ? "rtl" : "ltr";
}

/** One line, whatever the variables have in them. */
function oneLine(text: string): string {
  return text.replaceAll(/[\s\p{Cc}\p{Zl}\p{Zp}]+/gu, " ").trim();
}

/** Without the gaps that tags on lines of their own leave. */
function tidied(text: string): string {
  return `${text
    .replaceAll(/\r\n?/g, "\n")
    // From the first of them only: from each in turn, 100,000 take 20 s.
    .replaceAll(/(?<![ \t])[ \t]+$/gm, "")
    .replaceAll(/\n{3,}/g, "\n\n")
    .trim()}\n`;
}

/**
 * The three parts with these variables, which have to be valid. The same each time for the same variables.
 * @param locale of the template's files. @param format the reader's, for dates and numbers.
 */
export function renderParts(
  parts: Readonly<Record<Part, Parsed>>,
  variables: Variables,
  locale: string,
  format: string,
): Result<Content> {
  const facts: MailFacts = { locale, dir: dirOf(locale) };
  const rendered = (part: Part, mail: MailFacts): Result<string> => {
    const text = ENGINES[part].render(parts[part], variables, mail, format);
    return text.ok ? text : fail("invalid", `${part}: ${text.error.message}`, { cause: text.error });
  };
  const line = rendered("subject", facts);
  if (!line.ok) return line;
  const subject = oneLine(line.value);
  if (subject.length > SUBJECT_MAX) {
    return fail("invalid", `subject: longer than ${SUBJECT_MAX} characters with these variables`);
  }
  const html = rendered("html", { ...facts, subject });
  if (!html.ok) return html;
  const text = rendered("text", { ...facts, subject });
  return text.ok ? ok({ subject, html: html.value, text: tidied(text.value) }) : text;
}

export type Layouts = Readonly<Record<"html" | "text", SourceFile>>;

/** @param problems gets a line for all that is wrong. @returns undefined where anything is. */
export function compileVersion(
  source: SourceVersion,
  layouts: Layouts,
  problems: string[],
): CompiledVersion | undefined {
  const before = problems.length;
  const definition = readDefinition(source, problems);
  if (source.locales.size === 0)
    problems.push(`${source.at}: has no locale: add en.subject.liquid, en.html.liquid and en.text.liquid`);
  if (definition === undefined) return undefined;

  const parts = new Map<string, Readonly<Record<Part, Parsed>>>();
  for (const [locale, files] of [...source.locales].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const parsed: Partial<Record<Part, Parsed | undefined>> = {};
    for (const part of PARTS) {
      const file = files[part];
      if (file === undefined) problems.push(`${source.at}: ${locale}.${part}.liquid is missing`);
      else parsed[part] = parsePart(part, file, layouts, definition.schema, problems);
    }
    const { subject, html, text } = parsed;
    if (subject === undefined || html === undefined || text === undefined) continue;
    parts.set(locale, { subject, html, text });
  }
  if (problems.length > before) return undefined;

  for (const [locale, part] of parts) {
    for (const [variables, which] of [
      [definition.example, "the example"],
      [leastOf(definition.schema, definition.example) as Variables, "the example without what may be left out"],
    ] as const) {
      const at = `${source.at}/${locale} with ${which}`;
      const content = renderParts(part, variables, locale, locale);
      if (content.ok) problems.push(...contentProblems(content.value).map((problem) => `${at}: ${problem}`));
      else problems.push(`${at}: ${content.error.message}`);
    }
  }
  if (problems.length > before) return undefined;
  const { name, version } = source;
  return {
    view: { name, version, locales: [...parts.keys()], ...definition },
    check: makeVariablesCheck(definition.schema),
    parts,
  };
}

function readDefinition(source: SourceVersion, problems: string[]): Definition | undefined {
  const file = source.definition;
  if (file === undefined) {
    problems.push(`${source.at}: template.json is missing`);
    return undefined;
  }
  let json: unknown;
  try {
    json = JSON.parse(file.text);
  } catch (error) {
    problems.push(`${file.at}: is not JSON: ${messageOf(error)}`);
    return undefined;
  }
  const definition = definitionOf(json);
  if (!definition.ok) {
    problems.push(`${file.at}: ${definition.error.message}`);
    return undefined;
  }
  const { schema, example } = definition.value;
  const wrong = schemaProblems(schema);
  if (wrong.length === 0) {
    const fits = makeVariablesCheck(schema)(example);
    if (!fits.ok) wrong.push(`example: ${fits.error.message}`);
  }
  problems.push(...wrong.map((problem) => `${file.at}: ${problem}`));
  return wrong.length === 0 ? definition.value : undefined;
}

function parsePart(
  part: Part,
  file: SourceFile,
  layouts: Layouts,
  schema: Variables,
  problems: string[],
): Parsed | undefined {
  const wrong: string[] = [];
  let source = file.text;
  if (part !== "subject") {
    const whole = inLayout(layouts[part].text, source);
    if (whole === undefined) return undefined; // told once, of the layout
    source = part === "html" ? inlined(whole) : whole;
    if (part === "html") wrong.push(...liquidProblems(whole, (name) => isLink(schema, name)), ...lookAtSource(whole));
  }
  let parsed: Parsed | undefined;
  try {
    // By itself first: then lines and columns are those of the file.
    ENGINES[part].parse(file.text, file.at);
    parsed = ENGINES[part].parse(source, file.at);
    const known = namesOf(schema);
    for (const name of ENGINES[part].variablesOf(parsed)) {
      if (!known.includes(name)) wrong.push(`{{ ${name} }} is not in the schema; there are ${known.join(", ")}`);
    }
  } catch (error) {
    wrong.push(messageOf(error).replace(`, file:${file.at}`, ""));
  }
  problems.push(...wrong.map((problem) => `${file.at}: ${problem}`));
  return parsed;
}

/** Of what came out. */
function contentProblems({ subject, html, text }: Content): string[] {
  const problems: string[] = [];
  if (subject === "") problems.push("the subject is empty");
  if (text.trim() === "") problems.push("the text is empty");
  const seen = look(html);
  problems.push(...seen.problems);
  for (const link of seen.links) {
    if (!text.includes(link.replace(/^mailto:/, "")))
      problems.push(`the text does not have the link ${link.slice(0, 200)}`);
  }
  return problems;
}
