import { expect, test } from "bun:test";
import { closingLine, filesToRunAgain, summarize, withSecondRun } from "./test-summary.ts";

/** As `bun test` ends. */
function report(counts: string, before = ""): string {
  return `bun test v1.4.5\n\na.test.ts:\n${before}\n\n${counts}\nRan 9 tests across 4 files. [2.43s]\n`;
}

test("all passed", () => {
  expect(closingLine(summarize(report(" 7 pass\n 0 fail\n 4 expect() calls"), 0))).toBe("7 passed, 0 failed");
});

test("skipped ones are counted and named once", () => {
  const lines = "(pass) a [0.1ms]\n(skip) group > needs a browser\n(todo) later\n(skip) group > needs a browser\n";
  const summary = summarize(report(" 7 pass\n 1 skip\n 1 todo\n 0 fail", lines), 0);
  expect(closingLine(summary)).toBe("7 passed, 0 failed, 2 skipped");
  expect(summary.skippedNames).toEqual(["group > needs a browser", "later"]);
});

test("colours change nothing", () => {
  const coloured = report("\u001b[32m 7 pass\u001b[0m\n\u001b[31m 2 fail\u001b[0m");
  expect(closingLine(summarize(coloured, 1))).toBe("7 passed, 2 failed");
});

test("a file that could not be loaded is a failure", () => {
  expect(summarize(report(" 7 pass\n 1 fail\n 1 error"), 1).failed).toBe(1);
  expect(summarize(report(" 7 pass\n 0 fail\n 2 errors"), 1).failed).toBe(2);
});

test("an exit code that is not 0 is never '0 failed'", () => {
  expect(summarize(report(" 7 pass\n 0 fail"), 1).failed).toBe(1);
});

test("a run that ended before its report has failed, even with exit code 0", () => {
  expect(summarize("bun test v1.4.5\n\na.test.ts:\n(pass) a\n", 0).failed).toBe(1);
});

test("nothing that ran is a failure", () => {
  expect(summarize(report(" 0 pass\n 0 fail"), 0).failed).toBe(1);
});

test("counts are those of the report, not what a test printed", () => {
  const printed = "\n\n 99 pass\n 5 fail\nRan 104 tests across 1 file. [1s]\n";
  expect(closingLine(summarize(report(" 7 pass\n 0 fail", printed), 0))).toBe("7 passed, 0 failed");
});

test("files with failed tests are run again, and what passes then has passed", () => {
  const before =
    "(pass) a\n\ndir/b.test.ts:\n(fail) b [1ms]\n(pass) c\n\nd.test.ts:\n(fail) d\n\n2 tests failed:\n(fail) b [1ms]\n(fail) d\n";
  const output = report(" 7 pass\n 2 fail", before);
  const first = summarize(output, 1);
  expect(filesToRunAgain(output, first)).toEqual(["dir/b.test.ts", "d.test.ts"]);
  const passed = summarize(report(" 2 pass\n 0 fail"), 0);
  expect(closingLine(withSecondRun(first, [passed, passed]))).toBe("9 passed, 0 failed");
  expect(closingLine(withSecondRun(first, [passed, summarize(report(" 0 pass\n 1 fail"), 1)]))).toBe(
    "8 passed, 1 failed",
  );
  expect(closingLine(withSecondRun(first, [passed, summarize("", 1)]))).toBe("8 passed, 1 failed");
});

test("nothing is run again where a file could not be loaded, where many failed, or none", () => {
  const failures = (count: number) =>
    Array.from({ length: count }, (_, index) => `f${index}.test.ts:\n(fail) f${index}\n`).join("\n");
  const again = (counts: string, before: string, code = 1) => {
    const output = report(counts, before);
    return filesToRunAgain(output, summarize(output, code));
  };
  expect(again(" 7 pass\n 2 fail\n 1 error", failures(1))).toEqual([]);
  expect(again(" 7 pass\n 6 fail", failures(6))).toEqual([]);
  expect(again(" 7 pass\n 5 fail", failures(5)).length).toBe(5);
  expect(again(" 7 pass\n 0 fail", "", 0)).toEqual([]);
  // A run that ended before its report.
  const cut = `bun test v1.4.5\n\n${failures(2)}`;
  expect(filesToRunAgain(cut, summarize(cut, 1))).toEqual([]);
});
