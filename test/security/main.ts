/**
 * `bun run security`: the fuzzers in full, at the terminal.
 * Exit codes: 0 nothing was found, 1 something was, 2 a wrong option.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { duration } from "../../dev/terminal.ts";
import { type Platform, startPlatform } from "../kit.ts";
import { type Campaign, FIXED_SEED, linesOf, type Outcome, runCampaign } from "./fuzz/campaign.ts";
import { CAMPAIGNS } from "./fuzz/index.ts";
import { withTable } from "./fuzz/report.ts";
import { openTarget, TARGET_ENV, type Target } from "./fuzz/target.ts";

const PAGE = join(import.meta.dir, "../../docs/security.md");
const EXIT_FOUND = 1;
const EXIT_USAGE = 2;
/** Between two lines of progress where no terminal is (ms), and on one. */
const TELL_MS = 5_000;
const REPAINT_MS = 200;

const isTerminal = process.stdout.isTTY;
const say = (line: string): void => void process.stdout.write(`${isTerminal ? "\r\u001b[K" : ""}${line}\n`);

function whole(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,9}$/.test(text)) throw new RangeError(`--${name} is a whole number`);
  return Number(text);
}

function chosen(only: string | undefined): readonly Campaign[] {
  if (only === undefined) return CAMPAIGNS;
  return only.split(",").map((id) => {
    const found = CAMPAIGNS.find((campaign) => campaign.id === id.trim());
    if (found !== undefined) return found;
    throw new RangeError(`there is no fuzzer ${id}: ${CAMPAIGNS.map((campaign) => campaign.id).join(", ")}`);
  });
}

/** Says how far it is, seldom. */
function progressOf(id: string): (done: number, of: number, findings: number) => void {
  const startedAt = performance.now();
  let saidAt = startedAt;
  return (done, of, findings) => {
    const now = performance.now();
    if (now - saidAt < (isTerminal ? REPAINT_MS : TELL_MS)) return;
    saidAt = now;
    const left = duration(((now - startedAt) / done) * (of - done));
    const text = `  ${id.padEnd(8)} ${done} of ${of}, ${findings} found, ${left} left`;
    process.stdout.write(isTerminal ? `\r\u001b[K${text}` : `${text}\n`);
  };
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      only: { type: "string" },
      short: { type: "boolean" },
      seed: { type: "string" },
      at: { type: "string" },
      write: { type: "boolean" },
      list: { type: "boolean" },
    },
  });
  const campaigns = chosen(values.only);
  if (values.list === true) {
    for (const { id, what, full, short } of campaigns) say(`${id.padEnd(8)} ${full} (${short}) ${what}`);
    return 0;
  }
  const seed = whole("seed", values.seed);
  const at = whole("at", values.at);
  if (at !== undefined && (seed === undefined || campaigns.length !== 1)) {
    throw new RangeError("--at needs --seed and --only with one fuzzer");
  }
  const seeds = seed === undefined ? [FIXED_SEED, Math.floor(Math.random() * 1_000_000_000)] : [seed];
  say(`Seeds ${seeds.join(" and ")}: ${campaigns.map(({ id }) => id).join(", ")}`);

  let platform: Platform | undefined;
  let target: Target | undefined;
  const end = async (): Promise<void> => {
    await platform?.[Symbol.asyncDispose]();
    platform = undefined;
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.once(signal, () => void end().finally(() => process.exit(EXIT_FOUND)));
  const outcomes: Outcome[] = [];
  try {
    for (const campaign of campaigns) {
      if (campaign.needsPlatform && platform === undefined) {
        say("  a platform of its own is started");
        platform = await startPlatform({ env: TARGET_ENV });
        target = await openTarget(platform);
      }
      const outcome = await runCampaign(campaign, {
        seeds,
        count: values.short === true ? campaign.short : campaign.full,
        target,
        onProgress: progressOf(campaign.id),
        ...(at === undefined ? {} : { at }),
      });
      outcomes.push(outcome);
      tell(outcome);
    }
  } finally {
    await end();
  }
  if (values.write === true) {
    await writeFile(PAGE, withTable(await readFile(PAGE, "utf8"), outcomes));
    say("Written: docs/security.md");
  }
  const found = outcomes.reduce((sum, { findings }) => sum + findings.length, 0);
  say(found === 0 ? "Nothing was found." : `${found} found.`);
  return found === 0 ? 0 : EXIT_FOUND;
}

function tell(outcome: Outcome): void {
  const { id, attempts, tookMs, endings } = outcome;
  const counts = [...endings].sort(([, a], [, b]) => b - a).map(([ending, count]) => `${ending}: ${count}`);
  say(`  ${id.padEnd(8)} ${attempts} in ${duration(tookMs)}; ${counts.join(", ")}`);
  for (const line of linesOf(outcome)) say(`  ✘ ${line}`);
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof RangeError || error instanceof TypeError)) throw error;
  process.stderr.write(`security: ${error.message}; see bun run security --help\n`);
  process.exitCode = EXIT_USAGE;
}
