#!/usr/bin/env bun
/**
 * The door to every command of package.json. It works in a fresh clone: it imports nothing that has to be installed,
 * installs from the lockfile (a few milliseconds where that is done already), and only then loads the rest.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

function fail(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

/** The version that `engines` of package.json asks for. */
function wantedBun(): string {
  const manifest = JSON.parse(readFileSync(`${root}/package.json`, "utf8")) as { engines: { bun: string } };
  return manifest.engines.bun;
}

function checkRuntime(): void {
  const wanted = wantedBun();
  const version = process.versions["bun"];
  if (version !== undefined && Bun.semver.satisfies(version, wanted)) return;
  const found = version === undefined ? `this is Node ${process.versions.node}` : `this is Bun ${version}`;
  fail(`The platform needs Bun ${wanted}, and ${found}.
Without installing anything:  npx --yes bun@${wanted.replace(/^[^\d]*/, "")} run up
Or upgrade:                   bun upgrade`);
}

/** Dependencies exactly as in the lockfile; a lockfile that does not fit package.json is an error, never rewritten. */
function install(): void {
  const run = (...options: readonly string[]) =>
    spawnSync(process.execPath, ["install", "--frozen-lockfile", ...options], {
      cwd: root,
      stdio: ["ignore", "pipe", "pipe"],
      encoding: "utf8",
    });
  if (run("--silent").status === 0) return;
  // Silent also about the reason: asked again, it tells.
  const again = run();
  if (again.status === 0) return;
  const said = `${again.stdout}${again.stderr}`.trim() || (again.error?.message ?? `exit code ${again.status}`);
  fail(`The dependencies could not be installed from bun.lock:
${said.replaceAll(/^/gm, "  ")}
If package.json was changed, run \`bun install\` and commit bun.lock; otherwise check the network and try again.`);
}

/**
 * A process that began without `node_modules` does not see them later: the same command, in a process of its own.
 * Ctrl-C reaches it by itself, as part of the same foreground group; other signals are passed on.
 */
function again(): void {
  const child = spawn(process.execPath, process.argv.slice(1), { stdio: "inherit" });
  process.on("SIGINT", () => {});
  for (const signal of ["SIGTERM", "SIGHUP"] as const) process.on(signal, () => child.kill(signal));
  child.on("error", (error) => fail(`The command could not be started: ${error.message}`));
  child.on("exit", (code) => process.exit(code ?? 1));
}

checkRuntime();
const wasInstalled = existsSync(`${root}/node_modules`);
install();
if (wasInstalled) {
  const { main } = await import("./cli.ts");
  process.exitCode = await main(process.argv.slice(2));
} else {
  again();
}
