/** What was measured, in words: lines for the terminal, rows for docs/reliability.md. */
import { replayOf, type Outcome } from "./run.ts";

export const TABLE_BEGINS = "<!-- matrix: written by `bun run faults --write` -->";
export const TABLE_ENDS = "<!-- /matrix -->";
const HEAD = [
  "| case | fault | promise | bar | accepted | lost | twice | heal | measured | runs |",
  "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
];

function figuresOf({ figures }: NonNullable<Outcome["measured"]>): string[] {
  return Object.entries(figures).map(([name, value]) => `${name.replaceAll("_", " ")} ${value}`);
}

/** What a person at the terminal reads of one run. */
export function linesOf(outcome: Outcome, full: boolean): string[] {
  const { fault, measured, failures, tookMs } = outcome;
  const seconds = Math.round(tookMs / 1_000);
  const lines = [`${failures.length === 0 ? "met   " : "MISSED"} ${fault.id.padEnd(4)} ${fault.fault} (${seconds} s)`];
  if (measured !== undefined) {
    const { accepted, lost, twice, healMs } = measured;
    const heal = healMs === undefined ? [] : [`heal ${healMs} ms`];
    const law = [`accepted ${accepted}`, `lost ${lost.length}`, `twice ${twice.length}`, ...heal];
    lines.push(`       ${[...law, ...figuresOf(measured)].join(", ")}`);
  }
  for (const failure of failures) lines.push(`       - ${failure}`);
  if (failures.length > 0) lines.push(`       again: ${replayOf(outcome, full)}`);
  return lines;
}

/** The row of one case from all its runs: sums of what was accepted, lost and stored twice; the worst time to heal. */
function rowOf(runs: readonly Outcome[], full: boolean): string {
  const { fault, seed } = runs[0]!;
  const measured = runs.flatMap((run) => (run.measured === undefined ? [] : [run.measured]));
  const sum = (count: (of: (typeof measured)[number]) => number): number =>
    measured.reduce((total, of) => total + count(of), 0);
  const heals = measured.flatMap(({ healMs }) => (healMs === undefined ? [] : [healMs]));
  const missed = runs.flatMap(({ failures }) => failures);
  const last = measured.at(-1);
  const figures = [
    ...(missed.length === 0 ? [] : [`**missed: ${missed.join("; ")}**`]),
    ...(last === undefined ? [] : figuresOf(last)),
  ];
  const cells = [
    fault.id,
    fault.fault,
    fault.promise,
    fault.bar,
    sum(({ accepted }) => accepted),
    sum(({ lost }) => lost.length),
    sum(({ twice }) => twice.length),
    heals.length === 0 ? "" : `${Math.max(...heals)} ms`,
    figures.join(", "),
    `${runs.length} ${full ? "full" : "short"}, seed ${seed}`,
  ];
  return `| ${cells.map((cell) => String(cell).replaceAll("|", "\\|").replaceAll("\n", " ")).join(" | ")} |`;
}

/**
 * The page with the rows of these runs in its table; rows of cases that were not run stay.
 * @throws where the page has no place for the table.
 */
export function withTable(page: string, outcomes: readonly Outcome[], full: boolean): string {
  const begins = page.indexOf(TABLE_BEGINS);
  const ends = page.indexOf(TABLE_ENDS);
  if (begins === -1 || ends < begins) throw new Error(`the page has no "${TABLE_BEGINS}" before "${TABLE_ENDS}"`);
  const rows = new Map<string, string>();
  for (const line of page.slice(begins, ends).split("\n")) {
    const id = /^\| (F\d+[a-z]?) \|/.exec(line)?.[1];
    if (id !== undefined) rows.set(id, line);
  }
  for (const { fault } of outcomes) {
    rows.set(
      fault.id,
      rowOf(
        outcomes.filter((outcome) => outcome.fault === fault),
        full,
      ),
    );
  }
  const number = (id: string): number => Number(/\d+/.exec(id)?.[0]);
  const sorted = [...rows].sort(([a], [b]) => number(a) - number(b) || a.localeCompare(b)).map(([, row]) => row);
  return `${page.slice(0, begins)}${TABLE_BEGINS}\n${[...HEAD, ...sorted].join("\n")}\n${page.slice(ends)}`;
}
