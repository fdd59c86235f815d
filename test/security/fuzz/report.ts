/** What the fuzzers measured, as a table of docs/security.md. */
import { duration } from "../../../dev/terminal.ts";
import type { Campaign, Outcome } from "./campaign.ts";

export const TABLE_BEGINS = "<!-- fuzzers: written by `bun run security --write` -->";
export const TABLE_ENDS = "<!-- /fuzzers -->";
const HEAD = ["| what | attempts | found | how they ended | time | seeds |", "| --- | --- | --- | --- | --- | --- |"];

/** How the row of a fuzzer begins that was run in full and found nothing. */
export const rowBegins = ({ what, full }: Pick<Campaign, "what" | "full">): string => `| ${what} | ${full} | 0 |`;

function rowOf({ what, attempts, tookMs, seeds, endings, findings }: Outcome): string {
  const ended = [...endings].sort(([, a], [, b]) => b - a).map(([ending, count]) => `${ending} ${count}`);
  const cells = [what, attempts, findings.length, ended.join(", "), duration(tookMs), seeds.join(", ")];
  return `| ${cells.join(" | ")} |`;
}

/**
 * The page with the rows of these runs in its table; rows of fuzzers that were not run stay.
 * @throws RangeError where it has no place for one.
 */
export function withTable(page: string, outcomes: readonly Outcome[]): string {
  const from = page.indexOf(TABLE_BEGINS);
  const to = page.indexOf(TABLE_ENDS);
  if (from < 0 || to < from) throw new RangeError(`the page has no "${TABLE_BEGINS}" before "${TABLE_ENDS}"`);
  const rows = new Map<string, string>();
  for (const line of page.slice(from, to).split("\n").slice(1)) {
    const what = /^\| (.+?) \| \d/.exec(line)?.[1];
    if (what !== undefined) rows.set(what, line);
  }
  for (const outcome of outcomes) rows.set(outcome.what, rowOf(outcome));
  return `${page.slice(0, from)}${TABLE_BEGINS}\n${[...HEAD, ...rows.values()].join("\n")}\n${page.slice(to)}`;
}
