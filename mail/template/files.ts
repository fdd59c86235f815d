/**
 * Where templates come from: those that the executable carries, and those of a directory (TEMPLATES_DIR), which come
 * first. The layout of both:
 *
 *     layout.html.liquid  layout.text.liquid
 *     <name>/<version>/template.json                            { description, schema, example }
 *     <name>/<version>/<locale>.{subject,html,text}.liquid      all three for each locale
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { LOCALE_PATTERN, TEMPLATE_NAME_PATTERN } from "#contracts/mail";
import { messageOf } from "#shared/errors";
import { embeddedFiles } from "./embedded-files.ts" with { type: "macro" };

export const PARTS = ["subject", "html", "text"] as const;
export type Part = (typeof PARTS)[number];

/** A file, and how it is called in messages. */
export interface SourceFile {
  readonly at: string;
  readonly text: string;
}

/** The files of one version of a template, as they were found: nothing of them is checked but their names. */
export interface SourceVersion {
  readonly name: string;
  readonly version: number;
  /** Where it lies, for messages. */
  readonly at: string;
  definition?: SourceFile;
  readonly locales: Map<string, Partial<Record<Part, SourceFile>>>;
}

export interface Sources {
  /** By `<name>/<version>`. */
  readonly versions: Map<string, SourceVersion>;
  readonly layouts: Partial<Record<"html" | "text", SourceFile>>;
}

/** Longest file (characters). */
const FILE_MAX = 262_144;
/** Most files in a directory: one that is not meant (`/`) is not read to its end. */
const FILES_MAX = 10_000;
const VERSION = /^[1-9]\d{0,5}$/;
const NAME = new RegExp(TEMPLATE_NAME_PATTERN);
const LOCALE = new RegExp(LOCALE_PATTERN);

/** Files by path, sorted into versions. What has no place is a problem: a misspelt name would be a template that is not there. */
function sorted(files: readonly (readonly [string, string])[], root: string, problems: string[]): Sources {
  const sources: Sources = { versions: new Map(), layouts: {} };
  for (const [path, text] of files) {
    const file = { at: `${root}/${path}`, text };
    const parts = path.split("/");
    const layout = /^layout\.(html|text)\.liquid$/.exec(path)?.[1];
    if (layout === "html" || layout === "text") {
      sources.layouts[layout] = file;
      continue;
    }
    const [name = "", version = "", own = ""] = parts;
    const [, locale, part] = /^([A-Za-z0-9-]+)\.(subject|html|text)\.liquid$/.exec(own) ?? [];
    if (parts.length !== 3 || !NAME.test(name) || !VERSION.test(version) || (own !== "template.json" && !locale)) {
      problems.push(
        `${file.at}: has no place here; there are layout.{html,text}.liquid, <name>/<version>/template.json and <name>/<version>/<locale>.{subject,html,text}.liquid`,
      );
      continue;
    }
    if (text.length > FILE_MAX) {
      problems.push(`${file.at}: is longer than ${FILE_MAX} characters`);
      continue;
    }
    const key = `${name}/${version}`;
    const source = sources.versions.get(key) ?? {
      name,
      version: Number(version),
      at: `${root}/${key}`,
      locales: new Map<string, Partial<Record<Part, SourceFile>>>(),
    };
    sources.versions.set(key, source);
    if (locale === undefined) source.definition = file;
    else if (!LOCALE.test(locale)) problems.push(`${file.at}: "${locale}" is no locale such as de or de-AT`);
    else source.locales.set(locale, { ...source.locales.get(locale), [part as Part]: file });
  }
  return sources;
}

function filesOf(directory: string): [string, string][] {
  const found: [string, string][] = [];
  const visit = (path: string): void => {
    // What begins with a dot belongs to tools, and to how Kubernetes mounts files.
    for (const name of readdirSync(join(directory, path)).sort()) {
      if (name.startsWith(".")) continue;
      const below = path === "" ? name : `${path}/${name}`;
      const stat = statSync(join(directory, below));
      if (found.length >= FILES_MAX) throw new Error(`there are more than ${FILES_MAX} files`);
      // A level more than there may be: what lies too deep is told, and not followed for ever.
      if (stat.isDirectory() && below.split("/").length <= 3) visit(below);
      else if (stat.isDirectory()) found.push([below, ""]);
      // A pipe or a device may be read for ever.
      else if (!stat.isFile()) throw new Error(`${below} is no file`);
      else
        found.push([
          below,
          stat.size > FILE_MAX * 4 ? "x".repeat(FILE_MAX + 1) : readFileSync(join(directory, below), "utf8"),
        ]);
    }
  };
  visit("");
  return found;
}

export interface Found {
  readonly sources: Sources;
  /** What of the directory takes the place of something embedded, e.g. `welcome/1` or `layout.html.liquid`. */
  readonly replaced: readonly string[];
  /** A line each, that begins with the file. */
  readonly problems: string[];
}

/** All files. @param directory read besides the embedded ones; a version or a layout in it wins as a whole. */
export function findFiles(directory?: string): Found {
  const problems: string[] = [];
  const sources = sorted(embeddedFiles(), "mail/templates", problems);
  if (directory === undefined) return { sources, replaced: [], problems };
  let files: [string, string][];
  try {
    files = filesOf(directory);
  } catch (error) {
    return { sources, replaced: [], problems: [`TEMPLATES_DIR ${directory}: cannot be read: ${messageOf(error)}`] };
  }
  const own = sorted(files, directory, problems);
  const replaced: string[] = [];
  for (const [key, version] of own.versions) {
    if (sources.versions.has(key)) replaced.push(key);
    sources.versions.set(key, version);
  }
  for (const part of ["html", "text"] as const) {
    const layout = own.layouts[part];
    if (layout === undefined) continue;
    if (sources.layouts[part] !== undefined) replaced.push(`layout.${part}.liquid`);
    sources.layouts[part] = layout;
  }
  return { sources, replaced, problems };
}
