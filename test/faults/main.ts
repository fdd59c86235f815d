/**
 * `bun run faults`: the matrix at the terminal.
 * Exit codes: 0 every bar was met, 1 one was missed, 2 a wrong option.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { FaultCase } from "./case.ts";
import { matrix } from "./matrix.ts";
import { catchMutants } from "./mutants.ts";
import { linesOf, withTable } from "./report.ts";
import { makePlatforms, type Outcome, runCase } from "./run.ts";

const PAGE = join(import.meta.dir, "../../docs/reliability.md");
const EXIT_MISSED = 1;
const EXIT_USAGE = 2;

const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** Cases by id; `F1` alone is the whole row, with F1b. */
function chosen(cases: readonly FaultCase[], only: string | undefined): FaultCase[] {
  if (only === undefined) return [...cases];
  const wanted = only.split(",").map((id) => id.trim().toLowerCase());
  for (const id of wanted) {
    if (!cases.some((fault) => isOf(fault, id))) throw new RangeError(`there is no case ${id.toUpperCase()}`);
  }
  return cases.filter((fault) => wanted.some((id) => isOf(fault, id)));
}

function isOf({ id }: FaultCase, wanted: string): boolean {
  const own = id.toLowerCase();
  return own === wanted || own.replace(/[a-z]+$/, "") === wanted;
}

function whole(name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  if (!/^\d{1,9}$/.test(text)) throw new RangeError(`--${name} is a whole number`);
  return Number(text);
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      only: { type: "string" },
      short: { type: "boolean" },
      seed: { type: "string" },
      runs: { type: "string" },
      write: { type: "boolean" },
      list: { type: "boolean" },
      mutants: { type: "boolean" },
    },
  });
  const full = values.short !== true;
  const seed = whole("seed", values.seed, Math.floor(Math.random() * 1_000_000));
  const runs = whole("runs", values.runs, 1);
  if (values.mutants === true) return (await catchMutants(values.only, say)) ? 0 : EXIT_MISSED;

  const cases = chosen(await matrix(), values.only);
  if (values.list === true) {
    for (const { id, fault, inTests } of cases)
      say(`${id.padEnd(5)} ${inTests ? "in the tests  " : "              "} ${fault}`);
    return 0;
  }
  say(`Seed ${seed}, ${full ? "full" : "short"} form, ${cases.length} cases: ${cases.map(({ id }) => id).join(" ")}`);
  await using platforms = makePlatforms((line) => say(`       ${line}`));
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.once(signal, () => void platforms.end().finally(() => process.exit(EXIT_MISSED)));
  const outcomes: Outcome[] = [];
  for (const fault of cases) {
    for (let run = 1; run <= runs; run += 1) {
      say(`       ${fault.id}: ${fault.fault}${runs === 1 ? "" : `, run ${run} of ${runs}`}`);
      const outcome = await runCase(fault, run, {
        full,
        seed,
        platforms,
        say: (line) => say(`       ${fault.id}: ${line}`),
      });
      outcomes.push(outcome);
      for (const line of linesOf(outcome, full)) say(line);
    }
    // After each case: the whole takes hours, and whoever ends it early keeps what there is.
    if (values.write === true) await writeFile(PAGE, withTable(await readFile(PAGE, "utf8"), outcomes, full));
  }
  if (values.write === true) say("Written: docs/reliability.md");
  const missed = outcomes.filter(({ failures }) => failures.length > 0);
  say(`${outcomes.length - missed.length} of ${outcomes.length} runs met their bar.`);
  return missed.length === 0 ? 0 : EXIT_MISSED;
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof RangeError || error instanceof TypeError)) throw error;
  process.stderr.write(`faults: ${error.message}; see bun run faults --help\n`);
  process.exitCode = EXIT_USAGE;
}
