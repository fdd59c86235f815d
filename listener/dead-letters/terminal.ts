/** Dead letters as a person reads them: tables, one message whole, and how far it is. */
import type { DeadLetter, QueueList } from "#contracts/dead-letters";
import { ageOf, dim, harmless, oneLine, table, type Terminal } from "#shared/terminal";
import type { WholeLetter } from "./dead-letters.ts";
import { textOf } from "./view.ts";

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
  const { preview: _preview, headers: _all, ...facts } = letter;
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
