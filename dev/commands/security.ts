import type { Command } from "../command.ts";
import { runProgram } from "./program.ts";

/** What is passed on as it was typed; `test/security/main.ts` reads it. */
const FLAGS = ["short", "write", "list"] as const;
const TEXTS = ["only", "seed", "at"] as const;

export const security: Command = {
  name: "security",
  summary: "attack a platform of its own with bad input by the hundred thousand, and check that it stands",
  details: `Fuzzers: RPC frames into the decoder and over sockets, HTTP bodies, raw HTTP streams, tokens and API keys. A
running platform is not disturbed. Each begins with a fixed seed and goes on with one of chance; what is found is printed
with the command that repeats it. docs/security.md has what is promised and what was measured.
Exit codes: 0 nothing was found, 1 something was.`,
  options: {
    only: { type: "string", value: "IDS", about: "these fuzzers, e.g. bodies,tokens" },
    short: { type: "boolean", about: "as few attempts as the tests make" },
    seed: { type: "string", value: "N", about: "this seed alone" },
    at: { type: "string", value: "I", about: "this one attempt of the seed" },
    write: { type: "boolean", about: "write what was measured into docs/security.md" },
    list: { type: "boolean", about: "only name the fuzzers, with their numbers of attempts" },
  },
  run: (args) => runProgram("test/security/main.ts", args, { flags: FLAGS, texts: TEXTS }),
};
