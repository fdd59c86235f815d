import type { Command } from "../command.ts";
import { runProgram } from "./program.ts";

/** What is passed on as it was typed; `test/faults/main.ts` reads it. */
const FLAGS = ["short", "write", "list", "mutants"] as const;
const TEXTS = ["only", "seed", "runs"] as const;

export const faults: Command = {
  name: "faults",
  summary: "break a platform of its own in every way of the fault matrix, and check that nothing is lost",
  details: `Each case starts from a platform of its own on free ports; a running one is not disturbed. A miss prints the
seed and the command that replays it. The full matrix takes hours, --short a few minutes.
docs/reliability.md has the promises, the bars and what was measured. Exit codes: 0 every bar was met, 1 one was missed.`,
  options: {
    only: { type: "string", value: "IDS", about: "these cases, e.g. F1,F7" },
    short: { type: "boolean", about: "the short form of each, as the tests run it" },
    seed: { type: "string", value: "N", about: "repeat what chance decided in an earlier run" },
    runs: { type: "string", value: "N", about: "run each case so often (default 1)" },
    write: { type: "boolean", about: "write what was measured into docs/reliability.md" },
    list: { type: "boolean", about: "only name the cases" },
    mutants: { type: "boolean", about: "plant mistakes in copies of the code; each has to be caught by a case" },
  },
  run: (args) => runProgram("test/faults/main.ts", args, { flags: FLAGS, texts: TEXTS }),
};
