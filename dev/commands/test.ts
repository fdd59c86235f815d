import { spawn } from "node:child_process";
import { chmod, mkdtemp, readdir, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { type Backing, type Missing, outsideData, startBacking, stopBacking } from "../backing/index.ts";
import { explainMissing, TITLES } from "../backings.ts";
import { ensureBrowser } from "../browser.ts";
import type { Arguments, Command } from "../command.ts";
import { isAlive } from "../backing/processes.ts";
import { ROOT } from "../paths.ts";
import { pidExists } from "../pids.ts";
import { readState } from "../state.ts";
import { takeDownLeftovers } from "../teardown.ts";
import { duration, makeLive, paintFor } from "../terminal.ts";
import { closingLine, filesToRunAgain, summarize, type TestSummary, withSecondRun } from "../test-summary.ts";

/** Begins the name of a run's directory; the pid of the run is next. Whole-system tests make others, with a state file. */
const DIRECTORY = "platform-backing-";
const SYSTEM_TEST_DIRECTORY = "platform-test-";
/** Tests on real parts wait for them (ms); a plain unit test is done in a thousandth of it. */
const TEST_MS = 30_000;
const EXIT_FAILED = 1;
const NOTHING_RAN: TestSummary = { passed: 0, failed: 1, skipped: 0, skippedNames: [] };
/** The developer's own servers: no test may ever write into them. */
const NOT_FOR_TESTS = /^([A-Z]+_)?(DATABASE|MONGODB|RABBITMQ|SMTP)_URL(_FILE)?$/;

export const test: Command = {
  name: "test",
  words: "[path]...",
  maxWords: 1_000,
  summary: "run all tests (or those in files whose path contains one of the words) on real backing services",
  details: `Backing services of its own on free ports, in a directory that is removed afterwards: a running platform is not
disturbed. TEST_POSTGRES_URL, TEST_MONGODB_URL, TEST_RABBITMQ_URL and TEST_SMTP_URL (with TEST_SMTP_WEB, an inbox with
Mailpit's API) name servers to use instead. What can't be had is skipped and named; with CI=true it is a failure.
A few files with failed tests are run again, one at a time and nothing beside them: what passes then counts, and is named.
The last line is the result: "123 passed, 0 failed". Plain bun test runs what needs no server.`,
  options: {
    "test-name-pattern": { type: "string", short: "t", value: "REGEX", about: "only tests whose name matches" },
    coverage: { type: "boolean", about: "print which lines were run" },
    bail: { type: "boolean", about: "stop at the first failure" },
  },
  async run(args) {
    const stop = new AbortController();
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => stop.abort(signal));
    await removeLeftovers();
    const dataDir = await mkdtemp(join(tmpdir(), `${DIRECTORY}${process.pid}-`));
    // PostgreSQL runs as another user where we are root.
    await chmod(dataDir, 0o755);
    let backing: readonly (Backing | Missing)[] = [];
    try {
      backing = await prepare(dataDir, stop.signal);
      const missing = backing.filter((one) => "tried" in one);
      for (const one of missing) process.stdout.write(`${explainMissing(one)}\n`);
      const mustHave = process.env["CI"] === "true" ? missing : missing.filter(({ configured }) => configured);
      if (mustHave.length > 0) return conclude(NOTHING_RAN);
      const browser = await ensureBrowser((doing) => process.stdout.write(`  browser    ${doing}\n`));
      const env = environmentFor(dataDir, backing, browser);
      const { output, code } = await runTests([...optionsFor(args), parallel(), ...args.words], env, stop.signal);
      const first = summarize(output, code);
      const again = args.flag("bail") ? [] : filesToRunAgain(output, first);
      const summary =
        again.length === 0 ? first : withSecondRun(first, await runAgain(again, optionsFor(args), env, stop.signal));
      tellSkipped(summary, missing, browser);
      return conclude(summary);
    } catch (error) {
      if (!stop.signal.aborted) throw error;
      process.stdout.write("Given up.\n");
      return EXIT_FAILED;
    } finally {
      await stopBacking(backing);
      await removeRun(dataDir);
    }
  },
};

/** The result, alone on the last line. */
function conclude(summary: TestSummary): number {
  process.stdout.write(`${closingLine(summary)}\n`);
  return summary.failed === 0 ? 0 : EXIT_FAILED;
}

async function prepare(dataDir: string, signal: AbortSignal): Promise<(Backing | Missing)[]> {
  const configured: Record<string, string> = {};
  for (const name of ["postgres", "mongodb", "rabbitmq", "smtp"]) {
    const url = process.env[`TEST_${name.toUpperCase()}_URL`];
    if (url !== undefined && url !== "") configured[name] = url;
  }
  const live = makeLive(process.stdout);
  const paint = paintFor(process.stdout);
  try {
    const all = await startBacking({
      dataDir,
      ports: "free",
      configured,
      onProgress: (name, doing) => live.doing(name, doing),
      signal,
    });
    for (const one of all) {
      if ("tried" in one) live.done(one.name, paint.yellow("–"), "not to be had, see below");
      else live.done(one.name, paint.green("✔"), `${one.source} ${paint.dim(`in ${duration(one.tookMs)}`)}`);
    }
    return all;
  } finally {
    live.close();
  }
}

function environmentFor(
  dataDir: string,
  backing: readonly (Backing | Missing)[],
  browser: string | undefined,
): Record<string, string | undefined> {
  const env: Record<string, string | undefined> = {
    ...process.env,
    PLATFORM_TEST_BACKING: "1",
    PLATFORM_TEST_DIR: dataDir,
  };
  for (const name of Object.keys(env)) {
    if (NOT_FOR_TESTS.test(name) && !name.startsWith("TEST_")) delete env[name];
  }
  for (const one of backing) {
    if ("tried" in one) continue;
    env[`TEST_${one.name.toUpperCase()}_URL`] = one.url;
    if (one.name === "smtp" && one.web !== undefined) env["TEST_SMTP_WEB"] = one.web;
  }
  if (browser !== undefined) env["CHROMIUM"] = browser;
  if (process.stdout.isTTY && (env["NO_COLOR"] ?? "") === "") env["FORCE_COLOR"] = "1";
  return env;
}

function optionsFor(args: Arguments): string[] {
  const pattern = args.text("test-name-pattern");
  return [
    "test",
    `--timeout=${TEST_MS}`,
    ...(pattern === undefined ? [] : [`--test-name-pattern=${pattern}`]),
    ...(args.flag("coverage") ? ["--coverage"] : []),
    ...(args.flag("bail") ? ["--bail"] : []),
  ];
}

/** Each file in globals of its own, a file at a time on each of a few cores: the backing services want some too. */
function parallel(): string {
  return `--parallel=${Math.max(2, Math.min(4, Math.floor(availableParallelism() / 2)))}`;
}

/** What failed beside other tests, by itself: a machine that was too busy for it shows so. */
async function runAgain(
  files: readonly string[],
  options: readonly string[],
  env: Record<string, string | undefined>,
  signal: AbortSignal,
): Promise<TestSummary[]> {
  process.stdout.write(`\nRun again, one at a time and nothing beside them: ${files.join(", ")}\n\n`);
  const summaries: TestSummary[] = [];
  for (const file of files) {
    const { output, code } = await runTests([...options, `./${file}`], env, signal);
    const summary = summarize(output, code);
    process.stdout.write(
      `${file}: ${summary.failed === 0 ? "failed beside other tests, passed by itself" : "failed again"}\n`,
    );
    summaries.push(summary);
  }
  return summaries;
}

function runTests(
  args: readonly string[],
  env: Record<string, string | undefined>,
  signal: AbortSignal,
): Promise<{ output: string; code: number }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...args], { cwd: ROOT, env, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    const pass = (from: NodeJS.ReadableStream, to: NodeJS.WritableStream, keep: boolean) => {
      from.setEncoding("utf8");
      from.on("data", (text: string) => {
        if (keep) output += text;
        to.write(text);
      });
    };
    pass(child.stdout, process.stdout, false);
    // The console report is on standard error; standard output is what tests print themselves.
    pass(child.stderr, process.stderr, true);
    signal.addEventListener("abort", () => child.kill("SIGTERM"), { once: true });
    child.once("error", reject);
    child.once("close", (code) => {
      if (signal.aborted) reject(new Error("given up"));
      else resolve({ output, code: code ?? 1 });
    });
  });
}

function tellSkipped(summary: TestSummary, missing: readonly Missing[], browser: string | undefined): void {
  if (summary.skippedNames.length === 0) return;
  const lacked = [
    ...missing.map(({ name }) => TITLES[name]),
    ...(browser === undefined ? ["a browser (install chromium, or set CHROMIUM)"] : []),
  ];
  process.stdout.write(`\nSkipped${lacked.length === 0 ? "" : `; this machine lacks ${lacked.join(", ")}`}:\n`);
  for (const name of summary.skippedNames) process.stdout.write(`  ${name}\n`);
  process.stdout.write("\n");
}

/** Backing services and files of test runs that were killed. */
async function removeLeftovers(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const dataDir = join(tmpdir(), name);
    if (!isLeftover(name, dataDir)) continue;
    await takeDownLeftovers(dataDir);
    await removeRun(dataDir);
  }
}

/** Only where its owner is known and gone: a test run beside this one keeps what it has. */
function isLeftover(name: string, dataDir: string): boolean {
  // A pid that is somebody else's by now only keeps the directory a little longer.
  if (name.startsWith(DIRECTORY))
    return !pidExists(Number(/^\d+/.exec(name.slice(DIRECTORY.length))?.[0] ?? process.pid));
  if (!name.startsWith(SYSTEM_TEST_DIRECTORY)) return false;
  const state = readState(dataDir);
  return state !== undefined && !isAlive(state.up);
}

async function removeRun(dataDir: string): Promise<void> {
  for (const path of [...outsideData(dataDir), dataDir]) await rm(path, { recursive: true, force: true });
}
