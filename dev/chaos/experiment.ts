/** One fault of one part under load, from the first request to the verdict. */
import type { ChaosFault, ChaosNames, ChaosPhase, ChaosResult, ChaosVerdict } from "#contracts/chaos";
import { outgoingTls } from "#shared/tls";
import { SERVICE_NAMES } from "../services.ts";
import { until } from "../until.ts";
import { breakIt } from "./faults.ts";
import type { Grounds } from "./grounds.ts";
import { type Verdict, makeHistory } from "./history.ts";
import { dishonest, makeCalls, type Sample, startLoad } from "./load.ts";
import type { Meter } from "./meter.ts";
import { fork, seeded } from "./random.ts";
import { type PartName, untilLogsWell } from "./scene.ts";

/** Longest that the part may take to be back and all to be well, and that waiting things may take to arrive (ms). */
const HEAL_MS = 90_000;
const DRAIN_MS = 60_000;
/** Between two looks at the health, and how long one may take (ms). */
const HEALTH_MS = 2_000;
/** How long requests go on once all is well: what heals late is seen (ms). */
const AFTER_MS = 500;
/** The inbox keeps its newest mails only: it is looked at meanwhile (ms). */
const INBOX_MS = 3_000;
/** Clocks of stores may be a little behind (ms). */
const SKEW_MS = 5_000;
/** Names that a verdict gives of those that are wrong. */
const NAMES = 100;
/** Shares of the calls. A login costs a hash, the others next to nothing. */
const MIX = { log: 55, mail: 25, hit: 15, login: 5 } as const;

export interface ExperimentPlan {
  readonly grounds: Grounds;
  readonly fault: ChaosFault;
  readonly part: PartName;
  /** How long the fault lasts (ms). */
  readonly faultMs: number;
  /** Requests before it begins (ms). */
  readonly leadMs: number;
  /** Requests a second. */
  readonly rate: number;
  readonly seed: number;
  /** Begins all names; unique. */
  readonly tag: string;
  /** Mails are part of the load: where they end can be counted. */
  readonly mails: boolean;
  readonly meter: Meter;
  /** Milliseconds since any fixed moment, the meter's. */
  readonly now: () => number;
  readonly onPhase: (phase: ChaosPhase, says: string) => void;
  /** What was accepted so far, asked by whoever watches. */
  readonly onAccepted: (accepted: () => number) => void;
  /** Ends the fault now. Everything else goes on. */
  readonly healing: AbortSignal;
  /** The platform is going to be stopped: nothing is waited for any more. */
  readonly ending: AbortSignal;
}

/** @throws never: what goes wrong is in the result. The platform is healed in any case. */
export async function runExperiment(plan: ExperimentPlan): Promise<ChaosResult> {
  const { grounds, fault, part, meter, now, rate, seed, onPhase, ending } = plan;
  const startedAt = new Date();
  const random = seeded(seed);
  const history = makeHistory(grounds, { tag: plan.tag, since: new Date(startedAt.getTime() - SKEW_MS) });
  plan.onAccepted(() => history.accepted);
  const calls = makeCalls(grounds, history, fork(random));
  meter.begin();
  onPhase("load", `${rate} requests a second begin`);
  const beganAt = now();
  const load = startLoad({
    rate,
    random: fork(random),
    mix: [
      [calls.log, MIX.log],
      [calls.mail, plan.mails ? MIX.mail : 0],
      [calls.hit, MIX.hit],
      [calls.login, MIX.login],
    ],
  });
  const metering = setInterval(() => meter.take(load.samples, beganAt), 100);
  // One that fails is made up for by the next; the last one is the verdict's own.
  const inbox = setInterval(() => void history.lookAtInbox().catch(() => undefined), INBOX_MS);
  let faultS = 0;
  let error: string | undefined;
  let backMs: number | undefined;
  let healMs: number | undefined;
  try {
    await paused(plan.leadMs, plan.healing);
    onPhase("fault", `${part}: ${WORDS[fault]}, for ${Math.round(plan.faultMs / 100) / 10} s`);
    const brokenAt = now();
    const broken = await breakIt(grounds, fault, part);
    await paused(plan.faultMs - (now() - brokenAt), plan.healing);
    faultS = (now() - brokenAt) / 1_000;
    onPhase("healing", `the fault has ended: how long until ${part} is back, and all is well?`);
    const healedAt = now();
    await broken.heal();
    await untilReady(grounds, part, ending);
    backMs = now() - healedAt;
    onPhase("healing", `${part} is back after ${Math.round(backMs)} ms; others find out`);
    healMs = await untilWell(grounds, ending).then(
      () => now() - healedAt,
      () => undefined,
    );
    await Bun.sleep(AFTER_MS);
  } catch (thrown) {
    error = thrown instanceof Error ? thrown.message : String(thrown);
    await grounds.hops.heal();
    await grounds.stack.part(part).start();
  }
  const samples = await load.stop();
  clearInterval(metering);
  clearInterval(inbox);
  meter.take(samples, beganAt);
  onPhase("draining", "no more requests: what waits in spools, queues and the outbox arrives");
  const result = {
    fault,
    part,
    fault_s: Math.round(faultS * 10) / 10,
    started_at: startedAt.toISOString(),
    counters: { ...meter.counters, accepted: history.accepted },
  };
  try {
    const verdict = await history.verdict({
      withinMs: DRAIN_MS,
      signal: ending,
      onSettled: () =>
        onPhase("counting", "ids are read from MongoDB, the inbox, the outbox and the queues, and compared"),
    });
    return {
      ...result,
      outcome: error === undefined ? "finished" : "failed",
      ...(error === undefined ? {} : { error }),
      verdict: verdictOf(verdict, history.accepted, samples, { backMs, healMs, brokerWasAway: part === "broker" }),
    };
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    return { ...result, outcome: "failed", error: error ?? `it could not be counted: ${why}` };
  }
}

const WORDS: Readonly<Record<ChaosFault, string>> = {
  kill: "killed",
  crash_loop: "killed again and again",
  stop: "stopped",
  freeze: "frozen",
  slow: "slow",
  cut: "cut off",
  blackhole: "in a black hole",
  trickle: "on a line that trickles",
};

/** Until the time is over or the signal fires. */
async function paused(ms: number, signal: AbortSignal): Promise<void> {
  if (ms <= 0 || signal.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  signal.addEventListener("abort", () => resolve(), { once: true });
  await promise.finally(() => clearTimeout(timer));
}

async function untilReady({ stack, url }: Grounds, name: PartName, ending: AbortSignal): Promise<void> {
  await until(`${name} runs`, () => stack.part(name).state === "running", HEAL_MS, ending);
  const service = SERVICE_NAMES.find((one) => one === name);
  if (service === undefined) return;
  await until(`${name} is ready`, async () => (await look(`${url(service)}/ready`)).status === 200, HEAL_MS, ending);
}

/** Every part says so, and, what health can't know, an entry is stored at once again. */
async function untilWell(grounds: Grounds, ending: AbortSignal): Promise<void> {
  const health = `${grounds.url("broker")}/v1/health`;
  await until("all is well", async () => (await look(health)).message === "All is well", HEAL_MS, ending);
  await untilLogsWell(grounds, HEAL_MS, ending);
}

async function look(url: string): Promise<{ status: number; message: string }> {
  const answer = await fetch(url, { ...outgoingTls(), signal: AbortSignal.timeout(HEALTH_MS) });
  const { message } = (await answer.json()) as { message: string };
  return { status: answer.status, message };
}

interface Times {
  readonly backMs: number | undefined;
  readonly healMs: number | undefined;
  readonly brokerWasAway: boolean;
}

/** The verdict of the history, in the words of the report. */
export function verdictOf(
  verdict: Verdict,
  accepted: number,
  samples: readonly Sample[],
  { backMs, healMs, brokerWasAway }: Times,
): ChaosVerdict {
  const refused: Record<string, number> = {};
  for (const { status } of samples) {
    if (status === 200 || status === 202) continue;
    const key = status === 0 ? "none" : String(status);
    refused[key] = (refused[key] ?? 0) + 1;
  }
  const ms = (name: string, value: number | undefined) => (value === undefined ? {} : { [name]: Math.round(value) });
  return {
    accepted,
    stored: verdict.stored,
    delivered: verdict.delivered,
    dead_lettered: verdict.deadLettered.length,
    unrouted: verdict.unrouted.length,
    queued: verdict.queued.length,
    spooled: verdict.spooled.length,
    ambiguous: verdict.ambiguous.length,
    failed: verdict.failed.length,
    lost: namesOf(verdict.lost),
    twice: namesOf(verdict.twice),
    altered: namesOf(verdict.altered),
    ...ms("back_ms", backMs),
    ...ms("heal_ms", healMs),
    ...ms("drain_ms", verdict.drainMs),
    refused,
    dishonest: [...dishonest(samples, brokerWasAway), ...verdict.wrongReceipts],
  };
}

const namesOf = (names: readonly string[]): ChaosNames => ({ count: names.length, ids: names.slice(0, NAMES) });

const COUNTS = [
  "accepted",
  "stored",
  "delivered",
  "dead_lettered",
  "unrouted",
  "queued",
  "spooled",
  "ambiguous",
  "failed",
] as const;
const NAMED = ["lost", "twice", "altered"] as const;
const TIMES = ["back_ms", "heal_ms", "drain_ms"] as const;

/** Of several experiments: sums of numbers, the worst of times (absent where one was not in time). */
export function sumOf(verdicts: readonly ChaosVerdict[]): ChaosVerdict | undefined {
  const [first] = verdicts;
  if (first === undefined) return undefined;
  const sum: ChaosVerdict = { ...first, refused: {}, dishonest: verdicts.flatMap(({ dishonest: said }) => said) };
  for (const key of COUNTS) sum[key] = verdicts.reduce((total, one) => total + one[key], 0);
  for (const key of NAMED) sum[key] = namesOf(verdicts.flatMap((one) => one[key].ids));
  for (const key of NAMED) sum[key].count = verdicts.reduce((total, one) => total + one[key].count, 0);
  for (const key of TIMES) {
    const times = verdicts.map((one) => one[key]);
    delete sum[key];
    if (times.every((ms) => ms !== undefined)) sum[key] = Math.max(...times);
  }
  for (const { refused } of verdicts) {
    for (const [status, count] of Object.entries(refused)) sum.refused[status] = (sum.refused[status] ?? 0) + count;
  }
  return sum;
}
