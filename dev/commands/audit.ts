import { spawn } from "node:child_process";
import { join } from "node:path";
import type { Command } from "../command.ts";
import { ROOT } from "../paths.ts";
import { isGrave, readAdvisories } from "../supply/advisories.ts";
import { closure, readLockfile } from "../supply/lockfile.ts";
import { installScripts, unknownScripts } from "../supply/scripts.ts";
import { paintFor, table } from "../terminal.ts";

const EXIT_FOUND = 1;
const EXIT_NOT_ASKED = 3;
/** Longest wait for the registry (ms). */
const ASK_MS = 60_000;

export const audit: Command = {
  name: "audit",
  summary: "known vulnerabilities of dependencies, and programs that their installation would run",
  details: `Asks the registry by bun audit. Exit codes: 0 nothing high or critical, 1 found (also an install script that nobody
has looked at), 3 the registry could not be asked: then nothing is known, which is no clean bill.`,
  options: {},
  async run() {
    const paint = paintFor(process.stdout);
    const lockfile = await readLockfile();
    const scripts = unknownScripts(await installScripts(join(ROOT, "node_modules")));
    for (const { name, script, command } of scripts) {
      process.stdout.write(`${paint.red("not known")} ${name} would run at ${script}: ${command}\n`);
    }
    const running = new Set([...closure(lockfile, lockfile.runtime)].map(({ name }) => name));
    const advisories = readAdvisories(await askRegistry(), running);
    if (advisories === undefined) {
      process.stdout.write(
        `${lockfile.packages.length} packages were not audited: the registry could not be asked for advisories, or has none. Try again where it can be reached.\n`,
      );
      return scripts.length > 0 ? EXIT_FOUND : EXIT_NOT_ASKED;
    }
    if (advisories.length > 0) {
      const rows = advisories.map(({ severity, package: name, versions, runs, title }) => [
        severity,
        name,
        versions,
        runs ? "services" : "development",
        title,
      ]);
      process.stdout.write(`${table(["severity", "package", "versions", "used by", "what"], rows, paint)}\n`);
    }
    const grave = advisories.filter(isGrave).length;
    process.stdout.write(
      `${lockfile.packages.length} packages audited: ${advisories.length} advisories, ${grave} high or critical; ${scripts.length} install scripts that are not known.\n`,
    );
    return grave + scripts.length > 0 ? EXIT_FOUND : 0;
  },
};

/** What is printed on stdout, whatever the exit code: 1 says that something was found. */
function askRegistry(): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ["audit", "--json"], {
      cwd: ROOT,
      stdio: ["ignore", "pipe", "ignore"],
      timeout: ASK_MS,
    });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
    child.once("error", reject);
    child.once("close", () => resolve(output));
  });
}
