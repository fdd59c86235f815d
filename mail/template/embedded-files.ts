/**
 * A macro: runs while the mail service is transpiled or compiled, so that the executable carries the files of
 * `mail/templates/`.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join, sep } from "node:path";
import { fileURLToPath } from "node:url";

/** @returns path (with slashes, from `mail/templates/`) and text of each file, by path. */
export function embeddedFiles(): [path: string, text: string][] {
  const directory = fileURLToPath(new URL("../templates/", import.meta.url));
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.startsWith("."))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
    .map((path) => [path.slice(directory.length).replaceAll(sep, "/"), readFileSync(path, "utf8")]);
}
