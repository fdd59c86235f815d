/** Dead letters as a person reads them: tables, one message whole, and how far it is. */
import type { DeadLetter, QueueList } from "#contracts/dead-letters";
import type { WholeLetter } from "./dead-letters.ts";
import { textOf } from "./view.ts";

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

/** What RabbitMQ was given may hold anything: a terminal must not obey it. */
export function harmless(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, (character) =>
    character === "\n" || character === "\t" ? character : "\u{fffd}",
  );
}

const oneLine = (text: string): string => harmless(text).replaceAll(/\s+/g, " ").trim();

const dim = (text: string, { colour }: Terminal): string => (colour ? `\u001b[2m${text}\u001b[22m` : text);

/** Columns as wide as what they hold; the last one is not padded, and cut where the terminal ends. */
function table(headings: readonly string[], rows: readonly (readonly string[])[], terminal: Terminal): string {
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

/** `42 s`, `7 min`, `3 h`, `12 d`. */
function ageOf(at: string | undefined, now: number): string {
  if (at === undefined) return "?";
  const seconds = Math.max(0, (now - Date.parse(at)) / 1_000);
  if (seconds < 120) return `${Math.floor(seconds)} s`;
  if (seconds < 7_200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3_600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

export function letterTable(letters: readonly DeadLetter[], terminal: Terminal): string {
  const now = Date.now();
  const rows = letters.map(({ parked, id, routing_key, at, attempts, bytes, error }) => [
    parked,
    oneLine(id) || "-",
    oneLine(routing_key) || "-",
    ageOf(at, now),
    String(attempts),
    String(bytes),
    oneLine(error),
  ]);
  return table(["PARKED", "ID", "ROUTING KEY", "AGE", "TRIES", "BYTES", "ERROR"], rows, terminal);
}

export function queueTable({ items }: QueueList, terminal: Terminal): string {
  const rows = items.map(({ name, messages, consumers, role }) => [name, String(messages), String(consumers), role]);
  return table(["QUEUE", "MESSAGES", "CONSUMERS", "ROLE"], rows, terminal);
}

/** The body as text, or in base64 where it is none. */
export function bodyOf(body: Uint8Array): { readonly body: string; readonly body_encoding: "utf-8" | "base64" } {
  try {
    return { body: new TextDecoder("utf-8", { fatal: true }).decode(body), body_encoding: "utf-8" };
  } catch {
    return { body: Buffer.from(body).toString("base64"), body_encoding: "base64" };
  }
}

export function wholeText({ letter, headers, body }: WholeLetter, terminal: Terminal): string {
  const { preview: _preview, ...facts } = letter;
  const rows = Object.entries(facts).map(
    ([name, value]) => `${dim(name.padEnd(13), terminal)} ${oneLine(String(value))}`,
  );
  const named = Object.entries(headers).map(
    ([name, value]) => `  ${oneLine(name)}: ${oneLine(typeof value === "string" ? value : JSON.stringify(value))}`,
  );
  const text = harmless(textOf(body, body.byteLength));
  return [...rows, dim("headers", terminal), ...named, dim("body", terminal), text, ""].join("\n");
}

/** How far a long operation is: one line that is written over, at most five times a second, and only for a person. */
export function makeProgress(what: string, terminal: Terminal) {
  let toldAt = Number.NEGATIVE_INFINITY;
  let told = false;
  return {
    tell(done: number, of: number): void {
      if (!terminal.interactive || performance.now() - toldAt < 200) return;
      toldAt = performance.now();
      told = true;
      terminal.err(`\r${done} of ${of} ${what}… `);
    },
    end(): void {
      if (told) terminal.err("\r\u001b[K");
    },
  };
}
