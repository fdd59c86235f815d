import { spawn } from "node:child_process";
import type { Command } from "../command.ts";
import { ROOT } from "../paths.ts";
import { duration, makeLive, paintFor } from "../terminal.ts";

/** What is checked, by which script of package.json; they run side by side. */
const CHECKS = [
  { what: "format", script: "format:check" },
  { what: "lint", script: "lint" },
  { what: "types", script: "types" },
  { what: "dead code", script: "dead" },
] as const;

export const check: Command = {
  name: "check",
  summary: "format, lint, types and dead code",
  options: {},
  async run() {
    const paint = paintFor(process.stdout);
    const live = makeLive(process.stdout);
    const results = await Promise.all(
      CHECKS.map(async ({ what, script }) => {
        live.doing(what, `bun run ${script}`);
        const began = performance.now();
        const { code, output } = await runTool(script);
        const time = paint.dim(`in ${duration(performance.now() - began)}`);
        live.done(what, code === 0 ? paint.green("✔") : paint.red("✘"), `bun run ${script} ${time}`);
        return { what, code, output };
      }),
    );
    live.close();
    const failed = results.filter(({ code }) => code !== 0);
    for (const { what, code, output } of failed) {
      process.stdout.write(`\n${paint.bold(paint.red(what))} (exit code ${code})\n${output.trimEnd()}\n`);
    }
    process.stdout.write(
      failed.length === 0
        ? "\nAll checks passed.\n"
        : `\n${failed.length} of ${CHECKS.length} checks failed: ${failed.map(({ what }) => what).join(", ")}.\n`,
    );
    return failed.length === 0 ? 0 : 1;
  },
};

/** Runs a script's tool by this Bun, so that no Node is needed. */
function runTool(script: string): Promise<{ code: number; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ["run", "--silent", "--bun", script], {
      cwd: ROOT,
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => (output += text));
    }
    child.once("error", reject);
    child.once("close", (code) => resolve({ code: code ?? 1, output }));
  });
}
