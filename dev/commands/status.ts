import { readFileSync } from "node:fs";
import { silentLog } from "#shared/log";
import { useTls } from "#shared/tls";
import { type Command, DATA_OPTION } from "../command.ts";
import { dataDirectory, stateFile } from "../paths.ts";
import { liveState, readState } from "../state.ts";
import { stateTable } from "../summary.ts";
import { duration, paintFor } from "../terminal.ts";

const EXIT_NOT_RUNNING = 1;

export const status: Command = {
  name: "status",
  summary: "what runs, where, and how it is",
  details: "Exit codes: 0 it is running, 1 it is not.",
  options: {
    json: { type: "boolean", about: "the state file as it is (`.data/run/state.json`)" },
    data: DATA_OPTION,
  },
  async run(args) {
    const dataDir = dataDirectory(args.text("data"));
    const state = liveState(dataDir);
    if (state === undefined) {
      const left =
        readState(dataDir) === undefined ? "" : " A run that was killed may have left something: bun run down.";
      process.stderr.write(`The platform is not running.${left}\n`);
      return EXIT_NOT_RUNNING;
    }
    if (state.tls !== undefined) useTls(state.tls, silentLog);
    if (args.flag("json")) {
      process.stdout.write(readFileSync(stateFile(dataDir)));
      return 0;
    }
    const paint = paintFor(process.stdout);
    const since = duration(Date.now() - Date.parse(state.up.since));
    process.stdout.write(`${await stateTable(state, paint)}\n\nUp for ${since} (process ${state.up.pid}).\n`);
    return 0;
  },
};
