/**
 * The fuzzers in their short form, with a fixed seed and one of chance (SECURITY_SEED repeats one); the full counts are
 * those of `bun run security`.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { HAS_BACKING, type Platform, START_MS, startPlatform } from "../kit.ts";
import { Broken, type Campaign, FIXED_SEED, linesOf, runCampaign } from "./fuzz/campaign.ts";
import { CAMPAIGNS } from "./fuzz/index.ts";
import { rowBegins, TABLE_BEGINS, TABLE_ENDS, withTable } from "./fuzz/report.ts";
import { openTarget, TARGET_ENV, type Target } from "./fuzz/target.ts";

const SEED = Number(process.env["SECURITY_SEED"] ?? Math.floor(Math.random() * 1_000_000));
const SEEDS = [FIXED_SEED, SEED];
const TEST_MS = 120_000;

async function expectNothingFound(campaign: Campaign, target: Target | undefined): Promise<void> {
  const outcome = await runCampaign(campaign, { seeds: SEEDS, count: campaign.short, target });
  expect(linesOf(outcome)).toEqual([]);
  expect(outcome.attempts).toBe(campaign.short);
}

for (const campaign of CAMPAIGNS.filter(({ needsPlatform }) => !needsPlatform)) {
  test(
    `${campaign.short} ${campaign.what}: nothing found (seeds ${SEEDS.join(", ")})`,
    () => expectNothingFound(campaign, undefined),
    TEST_MS,
  );
}

describe.skipIf(!HAS_BACKING)("fuzzers on the running platform (needs the backing services of `bun run test`)", () => {
  let platform: Platform;
  let target: Target;
  beforeAll(async () => {
    platform = await startPlatform({ env: TARGET_ENV });
    target = await openTarget(platform);
  }, START_MS);
  afterAll(() => platform?.[Symbol.asyncDispose](), 60_000);

  for (const campaign of CAMPAIGNS.filter(({ needsPlatform }) => needsPlatform)) {
    test(
      `${campaign.short} ${campaign.what}: nothing found (seeds ${SEEDS.join(", ")})`,
      () => expectNothingFound(campaign, target),
      TEST_MS,
    );
  }
});

test("docs/security.md has measured each fuzzer in full, and nothing was found (bun run security --write)", async () => {
  const page = await Bun.file(join(import.meta.dir, "../../docs/security.md")).text();
  const lines = page.slice(page.indexOf(TABLE_BEGINS), page.indexOf(TABLE_ENDS)).split("\n");
  const missing = CAMPAIGNS.filter((campaign) => !lines.some((line) => line.startsWith(rowBegins(campaign))));
  expect(missing.map(({ id }) => id)).toEqual([]);
});

test("rows of fuzzers that were run are replaced, others stay, and a page without a place for them is not written", () => {
  const page = `above\n${TABLE_BEGINS}\n${TABLE_ENDS}\nbelow\n`;
  const outcome = (what: string, attempts: number) => ({
    id: "x",
    what,
    seeds: [1],
    attempts,
    tookMs: 1_500,
    endings: new Map([["well", attempts]]),
    findings: [],
  });
  const first = withTable(page, [outcome("this", 10), outcome("that", 20)]);
  const second = withTable(first, [outcome("this", 30)]);
  expect(second.split("\n").slice(4, 6)).toEqual([
    "| this | 30 | 0 | well 30 | 1.5 s | 1 |",
    "| that | 20 | 0 | well 20 | 1.5 s | 1 |",
  ]);
  expect([second.startsWith("above\n"), second.endsWith("\nbelow\n")]).toEqual([true, true]);
  expect(() => withTable("nothing", [])).toThrow(RangeError);
});

test("what a fuzzer finds is told with its seed and number, and found again by them alone", async () => {
  const broken: Campaign = {
    id: "broken",
    what: "a fuzzer that finds something",
    full: 100,
    short: 100,
    width: 4,
    needsPlatform: false,
    open: () =>
      Promise.resolve({
        reaches: ["well", "never"],
        attempt(random) {
          const value = random();
          if (value < 0.05) throw new Broken(`found ${value}`);
          return "well";
        },
        finish: () => Promise.resolve(["seen at the end"]),
        [Symbol.asyncDispose]: () => Promise.resolve(),
      }),
  };
  const options = { count: 100, target: undefined };
  const outcome = await runCampaign(broken, { ...options, seeds: [7] });
  const first = outcome.findings[0];
  expect(first?.message).toStartWith("found 0.0");
  expect(outcome.findings.map(({ message }) => message)).toContain("seen at the end");
  expect(linesOf(outcome).join("\n")).toContain(`bun run security --only broken --seed 7 --at ${first?.index}`);
  expect(linesOf(outcome).join("\n")).toContain('no attempt ended as "never"');
  const again = await runCampaign(broken, { ...options, seeds: [7], at: first?.index ?? 0 });
  expect(again.attempts).toBe(1);
  expect(again.findings[0]).toEqual(first as NonNullable<typeof first>);
});
