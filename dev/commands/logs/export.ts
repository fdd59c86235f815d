import type { LogExportEnd } from "#contracts/log-queries";
import { askBroker, EXIT_FAILED, FILTER_OPTIONS, filterQuery, linesOf, type LogsWord, printLine } from "./word.ts";

export const exportEntries: LogsWord = {
  name: "logs export",
  summary: "all log entries of the running platform that are asked for, a line of JSON each",
  details: `  bun run logs export --from 7d --name payment > payments.ndjson
How it ended is told on the standard error. Exit codes: 0 that was all, 1 it broke off.`,
  options: FILTER_OPTIONS,
  async run(args) {
    const answer = await askBroker(args, "/v1/logs/export", { query: filterQuery(args) });
    let end: LogExportEnd | undefined;
    try {
      for await (const line of linesOf(answer)) {
        // Only the last line has a key that begins so.
        if (line.startsWith('{"$export":')) end = JSON.parse(line) as LogExportEnd;
        else await printLine(line);
      }
    } catch {
      // What was cut off has no end either.
    }
    if (end?.$export.complete === true) {
      process.stderr.write(`${end.$export.entries} entries.\n`);
      return 0;
    }
    process.stderr.write(
      `Broken off: ${end?.$export.error ?? "the connection ended"}. Narrow it by --from and --to.\n`,
    );
    return EXIT_FAILED;
  },
};
