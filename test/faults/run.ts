/** Runs cases of the fault matrix one after the other, on one platform for as long as they ask for the same one. */
import { makeLoginCheap, type Platform, startPlatform } from "../kit.ts";
import type { FaultCase, Measured } from "./case.ts";
import { seeded, seedFor } from "../../dev/chaos/random.ts";

/** Longest that one case may take (ms): a full one runs for half an hour and drains. */
const FULL_MS = 60 * 60_000;
const SHORT_MS = 120_000;

/** Lowest that there is: cases are about faults, not about the cost of hashing. */
const BCRYPT_COST = 4;
/** What all cases run with. */
const ALWAYS = { BCRYPT_COST: String(BCRYPT_COST), MAIL_SMTP_ATTEMPT_TIMEOUT_MS: "5000" };

export interface RunOptions {
  readonly full: boolean;
  readonly seed: number;
  /** How often each case runs (default 1). */
  readonly runs?: number;
  readonly say: (line: string) => void;
  readonly platforms: Platforms;
}

/** One run of one case. */
export interface Outcome {
  readonly fault: FaultCase;
  readonly seed: number;
  readonly run: number;
  /** Undefined where it could not be run to its end. */
  readonly measured: Measured | undefined;
  /** Why it is not as promised; empty where it is. */
  readonly failures: readonly string[];
  readonly tookMs: number;
}

/** Platforms for cases: the one that runs is used again where the same environment is asked for. */
export interface Platforms extends AsyncDisposable {
  get(env?: Record<string, string>): Promise<Platform>;
  /** Ends the one that runs: the next case gets a new one. */
  end(): Promise<void>;
}

export function makePlatforms(say: (line: string) => void): Platforms {
  let running: { key: string; platform: Platform } | undefined;
  const end = async (): Promise<void> => {
    const ending = running;
    running = undefined;
    await ending?.platform[Symbol.asyncDispose]();
  };
  return {
    async get(env = {}) {
      const key = JSON.stringify(Object.entries(env).sort(([a], [b]) => a.localeCompare(b)));
      if (running?.key !== key) {
        await end();
        say("starting a platform of its own");
        const platform = await startPlatform({ env: { ...ALWAYS, ...env }, hops: true });
        running = { key, platform };
        await makeLoginCheap(platform, BCRYPT_COST);
      }
      return running.platform;
    },
    end,
    [Symbol.asyncDispose]: end,
  };
}

/** Runs one case once. Never throws: what goes wrong is in `failures`. */
export async function runCase(fault: FaultCase, run: number, options: RunOptions): Promise<Outcome> {
  const { full, seed, say, platforms } = options;
  const began = performance.now();
  const limitMs = full ? FULL_MS : SHORT_MS;
  const { promise: tooLong, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`took longer than ${limitMs / 1_000} s`)), limitMs);
  let measured: Measured | undefined;
  let failures: string[];
  try {
    const running = fault.run({
      full,
      random: seeded(seedFor(seed, fault.id, run)),
      platform: (env) => platforms.get(env),
      say,
    });
    // Its late outcome is of no interest: the platform is ended under it.
    running.catch(() => undefined);
    measured = await Promise.race([running, tooLong]);
    failures = failuresOf(measured);
  } catch (error) {
    failures = [`could not be run: ${reasonsOf(error)}`];
    // Nobody knows in which state it is.
    await platforms.end();
  } finally {
    clearTimeout(timer);
  }
  // What a case has broken is not the next one's problem.
  if (failures.length > 0) await platforms.end();
  return { fault, seed, run, measured, failures, tookMs: performance.now() - began };
}

export function failuresOf({ lost, twice, broken }: Measured): string[] {
  const some = (names: readonly string[]): string => `${names.slice(0, 5).join(", ")}${names.length > 5 ? ", …" : ""}`;
  return [
    ...(lost.length > 0 ? [`${lost.length} lost: ${some(lost)}`] : []),
    ...(twice.length > 0 ? [`${twice.length} stored twice: ${some(twice)}`] : []),
    ...broken,
  ];
}

function reasonsOf(error: unknown): string {
  const reasons: string[] = [];
  for (let at = error; at instanceof Error; at = at.cause) reasons.push(at.message);
  return reasons.join(": ");
}

/** What is typed to see a case again as it ran. */
export function replayOf({ fault, seed, run }: Outcome, full: boolean): string {
  const again = run === 1 ? "" : ` --runs ${run}`;
  return `bun run faults --only ${fault.id} --seed ${seed}${full ? "" : " --short"}${again}`;
}
