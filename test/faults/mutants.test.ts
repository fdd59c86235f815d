import { expect, test } from "bun:test";
import { join } from "node:path";
import { matrix } from "./matrix.ts";
import { MUTANTS, mutated } from "./mutants.ts";

const ROOT = join(import.meta.dir, "../..");

test.each(MUTANTS.map((mutant) => [mutant.name, mutant] as const))("can be planted: %s", async (_name, mutant) => {
  const text = await Bun.file(join(ROOT, mutant.file)).text();
  const planted = mutated(mutant, text);
  expect(planted).not.toBe(text);
  expect(() => new Bun.Transpiler({ loader: "ts" }).transformSync(planted)).not.toThrow();
});

test("each mutant names who has to see it, and those exist", async () => {
  const ids = new Set((await matrix()).map(({ id }) => id));
  for (const { cases = [], tests = [] } of MUTANTS) {
    expect(cases.length + tests.length).toBeGreaterThan(0);
    for (const id of cases) expect(ids).toContain(id);
    for (const path of tests)
      expect(await Array.fromAsync(new Bun.Glob(`${path}*.test.ts`).scan(ROOT))).not.toEqual([]);
  }
});

test("a mutant whose text is gone, or is there twice, can't be planted", () => {
  const mutant = { name: "m", file: "f", find: "a", replace: "b", cases: ["F1"] };
  expect(mutated(mutant, "x a")).toBe("x b");
  expect(() => mutated(mutant, "x")).toThrow("0 times");
  expect(() => mutated(mutant, "a a")).toThrow("2 times");
});
