/** The cases of the fault matrix that are short enough, in their short form, on one platform. `bun run faults` runs all in full. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { HAS_BACKING, START_MS } from "../kit.ts";
import { matrix } from "./matrix.ts";
import { linesOf } from "./report.ts";
import { makePlatforms, type Platforms, runCase } from "./run.ts";

/** Each in under 20 s on an idle machine; this beside everything else that is tested (ms). */
const CASE_MS = 100_000;
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
      const outcome = await runCase(fault, 1, { full: false, seed, platforms, say: () => undefined });
      if (outcome.failures.length > 0) throw new Error(linesOf(outcome, false).join("\n"));
    },
    CASE_MS,
  );
});
