/**
 * What a fuzzer is: a number of attempts, each of which follows from the seed, the fuzzer's id and its own number and
 * from nothing else, so that one that found something is repeated alone (`bun run security --only ID --seed N --at I`).
 */
import { seeded, seedFor } from "../../../dev/chaos/random.ts";
import type { Target } from "./target.ts";

/** The seed that every run begins with, beside one of chance. */
export const FIXED_SEED = 20_261;
/** A fuzzer that found so much is wrong somewhere: more of it tells nothing (attempts). */
const MAX_FINDINGS = 10;
/** Longest that one attempt may take, waiting for a busy machine and for its turn included (ms). */
const ATTEMPT_MS = 120_000;

export interface Fuzzer extends AsyncDisposable {
  /**
   * One attempt, made of `random` alone.
   * @returns how it ended, in a word or two, to be counted. @throws Broken where a promise is broken.
   */
  attempt(random: () => number, index: number): string | Promise<string>;
  /** What can only be seen at the end: promises that were broken, in words. */
  finish(): Promise<string[]>;
  /** How attempts end if they get anywhere at all: each has to come up, or it is no fuzz. */
  readonly reaches: readonly string[];
}

export interface Campaign {
  readonly id: string;
  readonly what: string;
  /** Attempts of `bun run security`, and of the ordinary test run. */
  readonly full: number;
  readonly short: number;
  /** Attempts under way at once. */
  readonly width: number;
  /** Whether it attacks the running platform. */
  readonly needsPlatform: boolean;
  open(target: Target | undefined): Promise<Fuzzer>;
}

/** A promise that an attempt found broken. */
export class Broken extends Error {
  override readonly name = "Broken";
}

export interface Finding {
  /** Undefined: what was seen at the end, of no one attempt. */
  readonly index: number | undefined;
  readonly seed: number;
  readonly message: string;
}

export interface Outcome {
  readonly id: string;
  readonly what: string;
  readonly seeds: readonly number[];
  readonly attempts: number;
  readonly tookMs: number;
  /** How many attempts ended how. */
  readonly endings: ReadonlyMap<string, number>;
  readonly findings: readonly Finding[];
}

export interface RunOptions {
  readonly seeds: readonly number[];
  /** Attempts, shared out among the seeds. */
  readonly count: number;
  /** Only this one, of the first seed. */
  readonly at?: number;
  readonly target: Target | undefined;
  readonly onProgress?: (done: number, of: number, findings: number) => void;
}

/** Runs a campaign; what it finds is in the outcome, never thrown. */
export async function runCampaign(campaign: Campaign, options: RunOptions): Promise<Outcome> {
  const { seeds, target, onProgress } = options;
  const each = Math.ceil(options.count / seeds.length);
  const plan = options.at === undefined ? seeds.map((seed) => ({ seed, from: 0, to: each })) : alone(options);
  const total = plan.reduce((sum, { from, to }) => sum + to - from, 0);
  const startedAt = performance.now();
  const endings = new Map<string, number>();
  const findings: Finding[] = [];
  let done = 0;
  await using fuzzer = await campaign.open(target);
  const guard = await target?.guard();

  function* attempts(): Generator<{ seed: number; index: number }> {
    for (const { seed, from, to } of plan) for (let index = from; index < to; index += 1) yield { seed, index };
  }
  const queue = attempts();
  await Promise.all(
    Array.from({ length: campaign.width }, async () => {
      for (const { seed, index } of queue) {
        const random = seeded(seedFor(seed, campaign.id, index));
        try {
          const attempt = fuzzer.attempt(random, index);
          const ending = typeof attempt === "string" ? attempt : await inTime(attempt);
          endings.set(ending, (endings.get(ending) ?? 0) + 1);
        } catch (error) {
          findings.push({ index, seed, message: wordsOf(error) });
          if (findings.length >= MAX_FINDINGS) return;
        }
        done += 1;
        onProgress?.(done, total, findings.length);
      }
    }),
  );
  const seed = seeds[0] ?? FIXED_SEED;
  const atEnd = [...(await fuzzer.finish()), ...((await guard?.check()) ?? [])];
  for (const message of atEnd) findings.push({ index: undefined, seed, message });
  if (options.at === undefined) {
    for (const ending of fuzzer.reaches) {
      if (!endings.has(ending)) {
        findings.push({ index: undefined, seed, message: `no attempt ended as "${ending}": this is no fuzz` });
      }
    }
  }
  const { id, what } = campaign;
  return { id, what, seeds, attempts: done, tookMs: performance.now() - startedAt, endings, findings };
}

function alone({ seeds, at = 0 }: RunOptions) {
  return seeds.slice(0, 1).map((seed) => ({ seed, from: at, to: at + 1 }));
}

async function inTime(attempt: Promise<string>): Promise<string> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Broken(`no end within ${ATTEMPT_MS} ms`)), ATTEMPT_MS);
  });
  try {
    return await Promise.race([attempt, late]);
  } finally {
    clearTimeout(timer);
  }
}

function wordsOf(error: unknown): string {
  if (error instanceof Broken) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** What was found, with what to type to see it again. */
export function linesOf({ id, findings }: Outcome): string[] {
  return findings.map(({ index, seed, message }) => {
    const at = index === undefined ? "" : ` --at ${index}`;
    return `${id}: ${message}\n    again: bun run security --only ${id} --seed ${seed}${at}`;
  });
}
