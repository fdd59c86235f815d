/** Runs a program of ours in a process of its own, with the options that were typed: the tools don't import tests. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import type { Arguments } from "../command.ts";
import { ROOT } from "../paths.ts";

/**
 * @param path from the root of the project. @param flags, texts options that are passed on as they were typed.
 * @returns its exit code.
 */
export function runProgram(
  path: string,
  args: Arguments,
  { flags, texts }: { readonly flags: readonly string[]; readonly texts: readonly string[] },
): Promise<number> {
  const words = flags.filter((name) => args.flag(name)).map((name) => `--${name}`);
  for (const name of texts) {
    const text = args.text(name);
    if (text !== undefined) words.push(`--${name}=${text}`);
  }
  const child = spawn(process.execPath, [join(ROOT, path), ...words], { cwd: ROOT, stdio: "inherit" });
  // Ctrl-C reaches it by itself, as part of the same group.
  process.on("SIGINT", () => {});
  for (const signal of ["SIGTERM", "SIGHUP"] as const) process.on(signal, () => child.kill(signal));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => resolve(code ?? 1));
  });
}
