import { expect, test } from "bun:test";
import { closingLine, summarize } from "./test-summary.ts";

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
