import type { LogItem, LogPage } from "#contracts/log-queries";
import { UsageError } from "../../command.ts";
import { paintFor } from "../../terminal.ts";
import { askBroker, FILTER_OPTIONS, filterQuery, type LogsWord, printLine, readableEntry } from "./word.ts";

const DEFAULT_LIMIT = 50;
const PAGE_MAX = 500;

function limitOf(text: string | undefined): number {
  if (text === undefined) return DEFAULT_LIMIT;
  const limit = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (limit < 1) throw new UsageError(`--limit is a number from 1 to 999999, not "${text}"`);
  return limit;
}

export const query: LogsWord = {
  name: "logs query",
  summary: "log entries of the running platform, newest first",
  details: `  bun run logs query --severity ERROR --from 15m
  bun run logs query --data user.id=42 --q "card declined" --json`,
  options: {
    ...FILTER_OPTIONS,
    limit: { type: "string", short: "n", value: "N", about: `how many at most (default ${DEFAULT_LIMIT})` },
    json: { type: "boolean", about: "a line of JSON for each entry" },
  },
  async run(args) {
    const limit = limitOf(args.text("limit"));
    const asked = filterQuery(args);
    const paint = paintFor(process.stdout);
    let isPattern = false;
    let printed = 0;
    do {
      asked.set("limit", String(Math.min(PAGE_MAX, limit - printed)));
      const answer = await askBroker(args, "/v1/logs", { query: asked });
      const { data } = (await answer.json()) as { data: LogPage };
      for (const item of data.items) {
        await printLine(args.flag("json") ? JSON.stringify(item) : readableEntry(item satisfies LogItem, paint));
      }
      printed += data.items.length;
      isPattern ||= data.text === "pattern";
      if (data.next_cursor === undefined) break;
      asked.set("cursor", data.next_cursor);
    } while (printed < limit);
    if (printed === 0) process.stderr.write("No entry is like that.\n");
    else if (isPattern && process.stderr.isTTY) {
      process.stderr.write(paint.dim("(Words were looked for without an index: narrow it by --from or --name.)\n"));
    }
    return 0;
  },
};
