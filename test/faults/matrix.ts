/** All cases: what the files of cases/ export as `cases`, in the order of their rows. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { FaultCase } from "./case.ts";

const CASES = join(import.meta.dir, "cases");
const FILE = /^f\d+.*(?<!\.test)\.ts$/;

/** F1 before F2 before F10; letters behind the number tell several cases of one row apart. */
function rowOf({ id }: FaultCase): number {
  return Number(/\d+/.exec(id)?.[0] ?? 0);
}

export async function matrix(): Promise<FaultCase[]> {
  const files = (await readdir(CASES)).filter((name) => FILE.test(name)).sort();
  const cases: FaultCase[] = [];
  for (const file of files) {
    const { cases: found } = (await import(join(CASES, file))) as { cases: readonly FaultCase[] };
    cases.push(...found);
  }
  const ids = new Set(cases.map(({ id }) => id));
  if (ids.size < cases.length) throw new Error("two cases have the same id");
  return cases.sort((a, b) => rowOf(a) - rowOf(b) || a.id.localeCompare(b.id));
}
