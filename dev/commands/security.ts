import { spawn } from "node:child_process";
import { join } from "node:path";
import type { Command } from "../command.ts";
import { ROOT } from "../paths.ts";

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
  run(args) {
    const words = FLAGS.filter((name) => args.flag(name)).map((name) => `--${name}`);
    for (const name of TEXTS) {
      const text = args.text(name);
      if (text !== undefined) words.push(`--${name}=${text}`);
    }
    // A program of its own: the tools don't import tests.
    const child = spawn(process.execPath, [join(ROOT, "test/security/main.ts"), ...words], {
      cwd: ROOT,
      stdio: "inherit",
    });
    // Ctrl-C reaches it by itself, as part of the same group.
    process.on("SIGINT", () => {});
    for (const signal of ["SIGTERM", "SIGHUP"] as const) process.on(signal, () => child.kill(signal));
    return new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", (code) => resolve(code ?? 1));
    });
  },
};
