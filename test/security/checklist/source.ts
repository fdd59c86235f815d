/** The source of the services, as text, for rules that are about the text. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "../../..");
const ROOMS = ["broker", "auth", "logger", "mail", "listener", "shared"] as const;
/** What is no part of a running service. */
const NOT_RUNNING = /\.(test|test-kit|fixture)\.ts$|(^|\/)testing\.ts$|\.d\.ts$/;

export interface SourceLine {
  /** From the root of the project. */
  readonly file: string;
  readonly number: number;
  readonly text: string;
}

/** Every line of code that runs in a service, comments taken out. */
export async function sourceLines(): Promise<SourceLine[]> {
  const files: string[] = [];
  for (const room of ROOMS) {
    const names = await readdir(join(ROOT, room), { recursive: true });
    files.push(
      ...names.filter((name) => name.endsWith(".ts") && !NOT_RUNNING.test(name)).map((name) => join(room, name)),
    );
  }
  const all = await Promise.all(
    files.sort().map(async (file) => {
      const text = withoutComments(await readFile(join(ROOT, file), "utf8"));
      return text.split("\n").map((line, index) => ({ file, number: index + 1, text: line }));
    }),
  );
  return all.flat();
}

/** Line numbers stay. Good enough for code that a formatter has written: no comment begins inside a text here. */
function withoutComments(text: string): string {
  return text
    .replaceAll(/\/\*[\s\S]*?\*\//g, (comment) => comment.replaceAll(/[^\n]/g, ""))
    .replaceAll(/(^|\s)\/\/ .*$/gm, "$1");
}

/** `file:line text` of those that match, for a message that tells where to look. */
export function matching(lines: readonly SourceLine[], pattern: RegExp, except: readonly string[] = []): string[] {
  return lines
    .filter(({ file, text }) => pattern.test(text) && !except.includes(file))
    .map(({ file, number, text }) => `${file}:${number} ${text.trim()}`);
}
