/** What people see: text with colour only where it is wanted, tables, and a status that is rewritten in place. */
import type { WriteStream } from "node:tty";

type Stream = Pick<WriteStream, "write" | "isTTY" | "columns">;

/** Colour only on a terminal, and not where NO_COLOR (no-color.org) is set. */
export interface Paint {
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly red: (text: string) => string;
  readonly green: (text: string) => string;
  readonly yellow: (text: string) => string;
  readonly cyan: (text: string) => string;
}

export function paintFor(stream: Pick<Stream, "isTTY">): Paint {
  const colour = stream.isTTY && (process.env["NO_COLOR"] ?? "") === "" && process.env["TERM"] !== "dumb";
  // SGR parameters of ECMA-48.
  const sgr = (on: number, off: number) => (text: string) => (colour ? `\u001b[${on}m${text}\u001b[${off}m` : text);
  return {
    bold: sgr(1, 22),
    dim: sgr(2, 22),
    red: sgr(31, 39),
    green: sgr(32, 39),
    yellow: sgr(33, 39),
    cyan: sgr(36, 39),
  };
}

/** `0.42 s`, `7.3 s`, `2 min 5 s`. */
export function duration(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 1) return `${seconds.toFixed(2)} s`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** `one`, `one and two`, `one, two and three`. */
export function listed(words: readonly string[]): string {
  return words.length < 2 ? (words[0] ?? "") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}

/** Columns as wide as what they hold; the last one is not padded. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[], paint: Paint): string {
  const widths = headings.map((heading, column) =>
    Math.max(...[heading, ...rows.map((row) => row[column] ?? "")].map((cell) => Bun.stringWidth(cell))),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) =>
        column === cells.length - 1 ? cell : cell + " ".repeat((widths[column] ?? 0) - Bun.stringWidth(cell)),
      )
      .join("   ")
      .trimEnd();
  return [paint.dim(line(headings)), ...rows.map(line)].join("\n");
}

/** Between two repaints of the live status (ms). */
const REPAINT_MS = 100;
const SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏";

/** A status of several items at once: rewritten in place on a terminal, a line for each change elsewhere. */
export interface Live {
  /** The item is being worked on; `what` says how. Without a terminal only a new `what` is printed. */
  doing(item: string, what: string): void;
  /** The item is finished; `how` says what became of it. */
  done(item: string, mark: string, how: string): void;
  /** Text that stays, above the status. */
  line(text: string): void;
  /** Leaves the screen as it is; idempotent. */
  close(): void;
}

interface Item {
  what: string;
  mark: string | undefined;
  readonly began: number;
}

export function makeLive(stream: Stream): Live {
  const paint = paintFor(stream);
  const items = new Map<string, Item>();
  let painted = 0;
  let turn = 0;

  const itemOf = (name: string): Item => {
    const item = items.get(name) ?? { what: "", mark: undefined, began: performance.now() };
    items.set(name, item);
    return item;
  };
  const textOf = (name: string, { mark, what, began }: Item): string => {
    const spinner = mark ?? paint.cyan(SPINNER[turn % SPINNER.length] ?? "");
    const time = mark === undefined ? paint.dim(`  ${duration(performance.now() - began)}`) : "";
    return `${spinner} ${name.padEnd(10)} ${what}${time}`;
  };
  const erase = (): string => (painted === 0 ? "" : `\u001b[${painted}A\u001b[J`);
  const paintAll = (above = ""): void => {
    const width = (stream.columns ?? 80) - 1;
    const lines = [...items].map(([name, item]) => Bun.sliceAnsi(textOf(name, item), 0, width));
    stream.write(`${erase()}${above}${lines.map((line) => `${line}\n`).join("")}`);
    painted = lines.length;
  };

  const timer = stream.isTTY
    ? setInterval(() => {
        turn += 1;
        if (items.size > 0) paintAll();
      }, REPAINT_MS)
    : undefined;

  return {
    doing(name, what) {
      const item = itemOf(name);
      if (item.mark !== undefined || item.what === what) return;
      item.what = what;
      if (timer === undefined) stream.write(`  ${name.padEnd(10)} ${what}\n`);
    },
    done(name, mark, how) {
      const item = itemOf(name);
      item.mark = mark;
      item.what = how;
      if (timer === undefined) stream.write(`${textOf(name, item)}\n`);
    },
    line(text) {
      if (timer === undefined) stream.write(`${text}\n`);
      else paintAll(`${text}\n`);
    },
    close() {
      if (timer === undefined) return;
      clearInterval(timer);
      if (painted > 0) paintAll();
      items.clear();
      painted = 0;
    },
  };
}
