/** What the fuzzers measured, as a table of docs/security.md. */
import { duration } from "../../../dev/terminal.ts";
import type { Outcome } from "./campaign.ts";

const BEGIN = "<!-- fuzzers: begin (bun run security --write) -->";
const END = "<!-- fuzzers: end -->";

/** The page with a table in place of the one that it has. @throws RangeError where it has no place for one. */
export function withTable(page: string, outcomes: readonly Outcome[]): string {
  const from = page.indexOf(BEGIN);
  const to = page.indexOf(END);
  if (from < 0 || to < from) throw new RangeError("the page has no place for the table of the fuzzers");
  const rows = outcomes.map(({ what, attempts, tookMs, seeds, endings, findings }) => {
    const ended = [...endings].sort(([, a], [, b]) => b - a).map(([ending, count]) => `${ending} ${count}`);
    return `| ${what} | ${attempts} | ${findings.length} | ${ended.join(", ")} | ${duration(tookMs)} | ${seeds.join(", ")} |`;
  });
  const table = [
    "| what | attempts | found | how they ended | time | seeds |",
    "| --- | --- | --- | --- | --- | --- |",
    ...rows,
  ];
  return `${page.slice(0, from)}${BEGIN}\n\n${table.join("\n")}\n\n${page.slice(to)}`;
}
