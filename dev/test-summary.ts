/** What a run of `bun test` came to, from what it printed and its exit code. */

export interface TestSummary {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** Names of the skipped ones, which say what they lacked. */
  readonly skippedNames: readonly string[];
}

/**
 * Counts from the closing lines (` 7 pass`, ` 1 skip`, …): a file that could not be loaded is in no report file. A run
 * without such lines has failed, whatever its exit code (a test that ends the process looks like success), and one
 * that ran nothing too. `fail` counts files that could not be loaded already; `error` may count more.
 */
export function summarize(output: string, exitCode: number): TestSummary {
  const text = Bun.stripANSI(output);
  const closing = text.slice(Math.max(0, text.lastIndexOf("\n\n ")));
  const count = (what: string): number => Number(new RegExp(`^ (\\d+) ${what}\\b`, "m").exec(closing)?.[1] ?? 0);
  const finished = /^Ran \d+ tests? across \d+ files?/m.test(closing);
  const passed = count("pass");
  const failed = Math.max(count("fail"), count("errors?"));
  const skipped = count("skip") + count("todo");
  // Where files run in parallel the report repeats some lines at its end.
  const names = [...text.matchAll(/^\((?:skip|todo)\) (.*?)(?: \[[\d.]+m?s\])?$/gm)];
  const bad = !finished || exitCode !== 0 || passed + failed + skipped === 0;
  return {
    passed,
    failed: failed === 0 && bad ? 1 : failed,
    skipped,
    skippedNames: [...new Set(names.map((match) => match[1] ?? ""))],
  };
}

/** More files than this that fail are no chance, and not run again. */
const AGAIN_MAX = 5;

/**
 * The files with failed tests, where running them again by themselves may tell more: a few, each failure in one of them.
 * None otherwise.
 */
export function filesToRunAgain(output: string, { failed }: TestSummary): string[] {
  const files = new Map<string, number>();
  let file: string | undefined;
  for (const line of Bun.stripANSI(output).split("\n")) {
    // What follows is told already.
    if (/^\d+ tests? failed:$/.test(line)) break;
    file = /^(\S+\.test\.ts):$/.exec(line)?.[1] ?? file;
    if (file !== undefined && line.startsWith("(fail) ")) files.set(file, (files.get(file) ?? 0) + 1);
  }
  const told = [...files.values()].reduce((sum, count) => sum + count, 0);
  return told === failed && files.size <= AGAIN_MAX ? [...files.keys()] : [];
}

/** A run, and what came of its failed files when they were run again: what passed then has passed. */
export function withSecondRun(first: TestSummary, again: readonly TestSummary[]): TestSummary {
  const failed = again.reduce((sum, one) => sum + one.failed, 0);
  return { ...first, passed: Math.max(0, first.passed + first.failed - failed), failed };
}

/** `123 passed, 0 failed`, and what was skipped where something was. */
export function closingLine({ passed, failed, skipped }: TestSummary): string {
  return `${passed} passed, ${failed} failed${skipped === 0 ? "" : `, ${skipped} skipped`}`;
}
