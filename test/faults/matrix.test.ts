/** The cases of the fault matrix that are short enough, in their short form, on one platform. `bun run faults` runs all in full. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { HAS_BACKING, START_MS } from "../kit.ts";
import { matrix } from "./matrix.ts";
import { linesOf } from "./report.ts";
import { makePlatforms, type Platforms, runCase } from "./run.ts";

/** Each in under 20 s on an idle machine; this beside everything else that is tested, tried again included (ms). */
const CASE_MS = 600_000;
/**
 * Other tests run beside these: a figure that is missed is tried again so often. What is lost, stored twice, or wrong is not:
 * that no machine is too busy for.
 */
const TRIES = 5;
const seed = Number(process.env["FAULTS_SEED"] ?? Math.floor(Math.random() * 1_000_000));
const cases = (await matrix()).filter(({ inTests }) => inTests);

test("every case has an id of its own, a fault, a promise and a bar", async () => {
  const all = await matrix();
  expect(new Set(all.map(({ id }) => id)).size).toBe(all.length);
  for (const { id, fault, promise, bar } of all) {
    expect(id).toMatch(/^F\d+[a-z]?$/);
    for (const text of [fault, promise, bar]) expect(text.length).toBeGreaterThan(5);
  }
});

describe.skipIf(!HAS_BACKING)("the fault matrix (needs the backing services of `bun run test`)", () => {
  let platforms: Platforms;
  beforeAll(async () => {
    platforms = makePlatforms(() => undefined);
    await platforms.get();
  }, START_MS);
  afterAll(() => platforms?.[Symbol.asyncDispose](), 60_000);

  test.each(cases.map((fault) => [`${fault.id} ${fault.fault}`, fault] as const))(
    "%s",
    async (_name, fault) => {
      for (let tries = 1; ; tries += 1) {
        const outcome = await runCase(fault, 1, { full: false, seed, platforms, say: () => undefined });
        if (outcome.failures.length === 0) return;
        const told = linesOf(outcome, false).join("\n");
        const { lost = [], twice = [] } = outcome.measured ?? {};
        if (lost.length + twice.length > 0 || tries === TRIES) throw new Error(told);
        process.stderr.write(`${told}\nTried again: other tests run beside it.\n`);
      }
    },
    CASE_MS,
  );
});
