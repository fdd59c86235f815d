/** What commands of executables write for people: tables, ages, and nothing that a terminal would obey. */
export { askedOrExit, readAction, UsageError } from "./action.ts";
import { hostname, userInfo } from "node:os";

/** Where a command writes, and whether a person sits there. */
export interface Terminal {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** Of the output: tables have colour and are cut to the width. */
  readonly columns: number | undefined;
  readonly colour: boolean;
  /** Somebody can be asked, and wants to see how far it is. */
  readonly interactive: boolean;
  readonly ask: (question: string) => Promise<boolean>;
}

export function processTerminal(): Terminal {
  const { stdout, stderr, stdin, env } = process;
  return {
    out: (text) => void stdout.write(text),
    err: (text) => void stderr.write(text),
    columns: stdout.isTTY ? stdout.columns : undefined,
    // no-color.org
    colour: stdout.isTTY && (env["NO_COLOR"] ?? "") === "" && env["TERM"] !== "dumb",
    interactive: stdin.isTTY && stderr.isTTY,
    async ask(question) {
      stderr.write(question);
      for await (const line of console) return /^\s*y(es)?\s*$/i.test(line);
      return false;
    },
  };
}

/** Whoever sits at the terminal, as the machine knows them: `user@host`. */
export function userAtHost(): string {
  return `${process.env["USER"] ?? process.env["LOGNAME"] ?? userInfo().username}@${hostname()}`;
}

/** What others wrote may hold anything: a terminal must not obey it. */
export function harmless(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, (character) =>
    character === "\n" || character === "\t" ? character : "\u{fffd}",
  );
}

export const oneLine = (text: string): string => harmless(text).replaceAll(/\s+/g, " ").trim();

export const dim = (text: string, { colour }: Pick<Terminal, "colour">): string =>
  colour ? `\u001b[2m${text}\u001b[22m` : text;

/** Columns as wide as what they hold; the last one is not padded, and cut where the terminal ends. */
export function table(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
  terminal: Pick<Terminal, "colour" | "columns">,
): string {
  const lines = [headings, ...rows];
  const widths = headings.map((_, column) => Math.max(...lines.map((line) => Bun.stringWidth(line[column] ?? ""))));
  const text = lines.map((line, at) => {
    const padded = line.map((cell, column) =>
      column === line.length - 1 ? cell : cell + " ".repeat((widths[column] ?? 0) - Bun.stringWidth(cell)),
    );
    const whole = padded.join("   ").trimEnd();
    const fits = terminal.columns === undefined ? whole : Bun.sliceAnsi(whole, 0, terminal.columns);
    return at === 0 ? dim(fits, terminal) : fits;
  });
  return `${text.join("\n")}\n`;
}

/** The age of a time (RFC 3339) at `now` (ms since 1970): `42 s`, `7 min`, `3 h`, `12 d`; `?` where there is none. */
export function ageOf(at: string | undefined, now: number): string {
  if (at === undefined) return "?";
  const seconds = Math.max(0, (now - Date.parse(at)) / 1_000);
  if (seconds < 120) return `${Math.floor(seconds)} s`;
  if (seconds < 7_200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3_600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}
