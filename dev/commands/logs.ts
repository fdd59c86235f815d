import { closeSync, existsSync, openSync, readSync, statSync } from "node:fs";
import { type Command, DATA_OPTION, UsageError } from "../command.ts";
import { partsWithLogs } from "../log-files.ts";
import { readable } from "../log-lines.ts";
import { dataDirectory, logFile } from "../paths.ts";
import { type Paint, paintFor } from "../terminal.ts";
import { exportEntries } from "./logs/export.ts";
import { query } from "./logs/query.ts";
import { tail } from "./logs/tail.ts";
import { replay } from "./logs/replay.ts";
import type { LogsWord } from "./logs/word.ts";

const DEFAULT_LINES = 50;
/** Enough for the last lines of any log (bytes). */
const TAIL_BYTES = 1024 * 1024;
const FOLLOW_EVERY_MS = 200;

/** What can be asked of the log entries that the platform keeps, a word each. */
const WORDS: readonly LogsWord[] = [query, exportEntries, tail, replay];

export const logs: Command = {
  name: "logs",
  words: "[service]",
  maxWords: 1,
  subcommands: WORDS,
  summary: "print what services (and backing services) have logged",
  details:
    "Without a service: the last lines of all of them. On a terminal the JSON lines are made readable. With a word: the log entries that the platform keeps, not what its services print.",
  options: {
    follow: { type: "boolean", short: "f", about: "go on printing what is logged, until Ctrl-C" },
    lines: {
      type: "string",
      short: "n",
      value: "N",
      about: `how many lines of each, from the end (default ${DEFAULT_LINES})`,
    },
    raw: { type: "boolean", about: "the lines as they are in the file" },
    data: DATA_OPTION,
  },
  async run(args) {
    const dataDir = dataDirectory(args.text("data"));
    const lines = countOf(args.text("lines"));
    const known = partsWithLogs(dataDir);
    const [wanted] = args.words;
    if (wanted !== undefined && !known.includes(wanted)) {
      throw new UsageError(
        known.length === 0
          ? `there are no logs in ${dataDir}`
          : `no logs of "${wanted}"; there are ${known.join(", ")}`,
      );
    }
    const raw = args.flag("raw") || !process.stdout.isTTY;
    const print = printer(raw ? undefined : paintFor(process.stdout), wanted === undefined);
    const tails = (wanted === undefined ? known : [wanted]).map((part) => makeTail(logFile(dataDir, part), part));
    for (const tail of tails) for (const line of tail.last(lines)) print(tail.part, line);
    if (!args.flag("follow")) return 0;
    return follow(tails, print);
  },
};

function countOf(text: string | undefined): number {
  if (text === undefined) return DEFAULT_LINES;
  if (!/^\d{1,6}$/.test(text)) throw new UsageError(`--lines is a number, not "${text}"`);
  return Number(text);
}

type Print = (part: string, line: string) => void;

/** Without `paint` lines are printed as they are. */
function printer(paint: Paint | undefined, named: boolean): Print {
  return (part, line) => {
    const text = paint === undefined ? line : readable(line, paint);
    const name = named && paint !== undefined ? `${paint.cyan(part.padEnd(8))} ` : "";
    process.stdout.write(`${name}${text}\n`);
  };
}

interface Tail {
  readonly part: string;
  /** The last `count` whole lines; what is written from here on is `next`'s. */
  last(count: number): string[];
  /** Whole lines that were written since. */
  next(): string[];
}

function makeTail(path: string, part: string): Tail {
  let offset = 0;
  let rest = "";
  const decoder = new TextDecoder();
  const read = (from: number, to: number): string => {
    const bytes = Buffer.alloc(to - from);
    const file = openSync(path, "r");
    try {
      return decoder.decode(bytes.subarray(0, readSync(file, bytes, 0, bytes.length, from)), { stream: true });
    } finally {
      closeSync(file);
    }
  };
  const wholeLines = (text: string): string[] => {
    const lines = `${rest}${text}`.split("\n");
    rest = lines.pop() ?? "";
    return lines;
  };
  return {
    part,
    last(count) {
      const size = statSync(path).size;
      const from = Math.max(0, size - TAIL_BYTES);
      offset = size;
      const lines = wholeLines(read(from, size));
      if (from > 0) lines.shift();
      return count === 0 ? [] : lines.slice(-count);
    },
    next() {
      if (!existsSync(path)) return [];
      const size = statSync(path).size;
      // It was emptied because it had grown too large.
      if (size < offset) offset = 0;
      const to = Math.min(size, offset + TAIL_BYTES);
      if (to === offset) return [];
      const lines = wholeLines(read(offset, to));
      offset = to;
      return lines;
    },
  };
}

async function follow(tails: readonly Tail[], print: Print): Promise<number> {
  const stop = Promise.withResolvers<void>();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => stop.resolve());
  // `bun run logs -f | head`: whoever read has gone.
  process.stdout.on("error", () => stop.resolve());
  const timer = setInterval(() => {
    for (const tail of tails) for (const line of tail.next()) print(tail.part, line);
  }, FOLLOW_EVERY_MS);
  await stop.promise;
  clearInterval(timer);
  return 0;
}
