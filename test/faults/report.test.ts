import { expect, test } from "bun:test";
import type { FaultCase, Measured } from "./case.ts";
import { linesOf, TABLE_BEGINS, TABLE_ENDS, withTable } from "./report.ts";
import { failuresOf, type Outcome, replayOf } from "./run.ts";

const fault = (id: string): FaultCase => ({
  id,
  fault: `fault of ${id}`,
  promise: "nothing is lost",
  bar: "lost 0",
  inTests: true,
  run: () => Promise.reject(new Error("not run here")),
});
const measured: Measured = { accepted: 10, lost: [], twice: [], healMs: 40, figures: { p99_ms: 7 }, broken: [] };
const outcome = (of: FaultCase, change: Partial<Measured> = {}, run = 1): Outcome => {
  const now = { ...measured, ...change };
  return { fault: of, seed: 3, run, measured: now, failures: failuresOf(now), tookMs: 1_200 };
};

test("lost and twice miss the bar by themselves, whatever the case says", () => {
  expect(failuresOf(measured)).toEqual([]);
  expect(failuresOf({ ...measured, lost: ["a", "b"], twice: ["c"], broken: ["too slow"] })).toEqual([
    "2 lost: a, b",
    "1 stored twice: c",
    "too slow",
  ]);
});

test("a missed bar is told with what to type to see it again", () => {
  const missed = outcome(fault("F1"), { lost: ["a"] });
  expect(linesOf(missed, false).join("\n")).toContain("again: bun run faults --only F1 --seed 3 --short");
  expect(replayOf(outcome(fault("F1"), {}, 4), true)).toBe("bun run faults --only F1 --seed 3 --runs 4");
});

test("rows of cases that were run are replaced, others stay, in the order of the matrix", () => {
  const page = `# Before\n${TABLE_BEGINS}\n${TABLE_ENDS}\nafter\n`;
  const [one, two, ten] = [fault("F1"), fault("F2"), fault("F10")];
  const first = withTable(page, [outcome(ten), outcome(two)], true);
  const second = withTable(
    first,
    [outcome(one), outcome(two, { accepted: 5, healMs: 90 }), outcome(two, {}, 2)],
    false,
  );
  expect(second).toStartWith("# Before\n");
  expect(second).toEndWith("\nafter\n");
  const rows = second.split("\n").filter((line) => line.startsWith("| F"));
  expect(rows.map((row) => row.split(" | ")[0])).toEqual(["| F1", "| F2", "| F10"]);
  expect(rows[1]).toContain("| 15 | 0 | 0 | 90 ms | p99 ms 7 | 2 short, seed 3 |");
});

test("a page without a place for the table is not written over", () => {
  expect(() => withTable("# Page", [outcome(fault("F1"))], true)).toThrow("matrix");
});
