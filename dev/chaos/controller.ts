/** Experiments on a running platform: one at a time, each healed and counted, and its report kept. */
import { arch, cpus, platform, release, totalmem } from "node:os";
import { join } from "node:path";
import {
  CHAOS_FAULTS,
  CHAOS_RATE,
  CHAOS_SECONDS,
  type ChaosExperiment,
  type ChaosFault,
  type ChaosOverview,
  type ChaosPhase,
  type ChaosReport,
  type ChaosRequest,
  type ChaosResult,
} from "#contracts/chaos";
import { Failure } from "#shared/errors";
import type { Stack } from "../stack.ts";
import { runExperiment, sumOf } from "./experiment.ts";
import { partsOf, whyRefused } from "./faults.ts";
import type { Grounds } from "./grounds.ts";
import { makeMeter, type Meter } from "./meter.ts";
import { seedFor } from "./random.ts";
import { openReports, type Reports } from "./reports.ts";
import type { PartName } from "./scene.ts";

/** Who is broken by the suite: what accepts nothing itself, and holds what was accepted. */
const SUITE_PARTS = ["logger", "listener", "mail"] as const;
const SUITE: readonly Step[] = SUITE_PARTS.flatMap((part) => CHAOS_FAULTS.map((fault) => ({ fault, part })));
const SUITE_LONGEST_S = 300;
/** How long a fault of the suite lasts, and requests before a fault (ms). */
const SUITE_FAULT_MS = 2_500;
const SUITE_LEAD_MS = 500;
const LEAD_MS = 1_500;
/** Longest that a platform that is to be stopped waits for an experiment to heal it (ms). */
const SETTLE_MS = 5_000;

const HOW = [
  "Each request has a name that nothing else has. It counts as accepted once the platform has answered 200 or 202, and only then.",
  "Where everything is, is read from where it ends: documents in MongoDB, mails in the inbox, states in the outbox's table, messages in queues, records on the broker's disk. Nothing that a service says of itself counts.",
  "Sets of names are compared: what was accepted and is nowhere is lost; what is in a store more than once is twice; what is stored with another id or other content is altered.",
  "Requests come at a fixed rate, whether or not answers come. A refusal (429, 503, 504) is an answer: nothing was accepted.",
];

interface Step {
  readonly fault: ChaosFault;
  readonly part: PartName;
}

interface Run {
  readonly id: string;
  readonly steps: readonly Step[];
  readonly suite: boolean;
  readonly rate: number;
  readonly seed: number;
  readonly meter: Meter;
  readonly startedAt: Date;
  readonly results: ChaosResult[];
  at: number;
  phase: ChaosPhase;
  says: string;
  accepted: () => number;
  /** Ends the fault of the step that runs. */
  healing: AbortController;
  isStopped: boolean;
  endedAt?: Date;
}

export interface Controller {
  overview(): Promise<ChaosOverview>;
  /** @throws Failure `conflict` where one runs already, `invalid` where a part does not offer the fault. */
  start(request: ChaosRequest): ChaosExperiment;
  /** The one that runs, or the last one. @throws Failure `not_found`. */
  experiment(id: string): ChaosExperiment;
  /** Ends the fault now; the rest goes on. @throws Failure `not_found`, `conflict` where no fault is under way. */
  heal(id: string): ChaosExperiment;
  /** Heals, counts what there is, and begins nothing further. @throws Failure `not_found`. */
  stop(id: string): ChaosExperiment;
  /** @throws Failure `not_found`. */
  report(id: string): Promise<ChaosReport>;
  /** The platform will be stopped: what is broken is healed, at most 5 s are waited. */
  settle(): Promise<void>;
}

export interface ControllerOptions {
  readonly grounds: Grounds;
  readonly version: string;
  /** What happens, for the person at the terminal. */
  readonly onSay: (line: string) => void;
}

export function makeController({ grounds, version, onSay }: ControllerOptions): Controller {
  const { stack } = grounds;
  const reports: Reports = openReports(join(stack.dataDir, "chaos"));
  const ending = new AbortController();
  /** The development inbox: anybody else's mail server is not sent to. */
  const hasInbox = stack.backing.get("smtp")?.current.web !== undefined;
  let run: Run | undefined;
  let running: Promise<void> = Promise.resolve();

  const view = (of: Run): ChaosExperiment => {
    const { fault, part } = of.steps[of.at]!;
    return {
      id: of.id,
      suite: of.suite,
      fault,
      part,
      phase: of.phase,
      says: of.says,
      step: { number: of.at + 1, of: of.steps.length },
      counters: { ...of.meter.counters, accepted: of.accepted() },
      samples: [...of.meter.samples],
      results: [...of.results],
      started_at: of.startedAt.toISOString(),
      ...(of.endedAt === undefined ? {} : { ended_at: of.endedAt.toISOString() }),
    };
  };

  const known = (id: string): Run => {
    if (run?.id !== id)
      throw new Failure("not_found", "no such experiment: only the last one is known; see its report");
    return run;
  };

  function stepsOf({ suite, fault, part, seconds }: ChaosRequest): readonly Step[] {
    if (suite === true) {
      if (fault !== undefined || part !== undefined || seconds !== undefined)
        throw new Failure("invalid", "the suite has its own faults, parts and seconds: leave them out");
      return SUITE;
    }
    if (fault === undefined || part === undefined)
      throw new Failure("invalid", "say which fault of which part, or suite: true");
    const refused = whyRefused(grounds, fault, part);
    if (refused !== undefined) throw new Failure("invalid", `${fault} of ${part} can't be had: ${refused}`);
    return [{ fault, part: part as PartName }];
  }

  async function go(of: Run, faultMs: number): Promise<void> {
    try {
      for (const [index, step] of of.steps.entries()) {
        if (of.isStopped) break;
        of.at = index;
        of.healing = new AbortController();
        const result = await runExperiment({
          ...step,
          grounds,
          faultMs,
          leadMs: of.suite ? SUITE_LEAD_MS : LEAD_MS,
          rate: of.rate,
          seed: seedFor(of.seed, `${step.fault} ${step.part}`, index),
          tag: `chaos-${of.id.slice(-8)}x${index}`,
          mails: hasInbox,
          meter: of.meter,
          now: () => performance.now(),
          onPhase: (phase, says) => {
            of.phase = phase;
            of.says = says;
          },
          onAccepted: (accepted) => {
            of.accepted = accepted;
          },
          healing: of.healing.signal,
          ending: ending.signal,
        });
        of.results.push(of.isStopped && result.outcome === "finished" ? { ...result, outcome: "stopped" } : result);
        onSay(`${step.fault} of ${step.part}: ${inWords(result)}`);
      }
      await reports.save(reportOf(of, stack, version));
    } catch (error) {
      of.says = `it ended by a mistake of its own: ${error instanceof Error ? error.message : String(error)}`;
      onSay(of.says);
    } finally {
      of.endedAt = new Date();
    }
  }

  return {
    async overview() {
      return {
        parts: partsOf(grounds),
        suite: { steps: SUITE.map((step) => ({ ...step })), longest_s: SUITE_LONGEST_S },
        defaults: { seconds: CHAOS_SECONDS, rate: CHAOS_RATE },
        notes: hasInbox ? [] : ["No mails are sent meanwhile: the mail server is not the development inbox."],
        running: run === undefined || run.endedAt !== undefined ? null : view(run),
        reports: await reports.list(),
      };
    },
    start(request) {
      if (run !== undefined && run.endedAt === undefined)
        throw new Failure("conflict", "an experiment is under way: wait for its end, or stop it");
      const steps = stepsOf(request);
      const { suite = false, rate = CHAOS_RATE, seconds = CHAOS_SECONDS } = request;
      const startedAt = new Date();
      run = {
        id: Bun.randomUUIDv7(),
        steps,
        suite,
        rate,
        seed: startedAt.getTime() % 1_000_000,
        meter: makeMeter(performance.now()),
        startedAt,
        results: [],
        at: 0,
        phase: "load",
        says: "requests begin",
        accepted: () => 0,
        healing: new AbortController(),
        isStopped: false,
      };
      onSay(suite ? `the suite begins: ${steps.length} experiments` : `${steps[0]!.fault} of ${steps[0]!.part} begins`);
      running = go(run, suite ? SUITE_FAULT_MS : seconds * 1_000);
      return view(run);
    },
    experiment: (id) => view(known(id)),
    heal(id) {
      const one = known(id);
      if (one.endedAt !== undefined || one.phase !== "fault")
        throw new Failure("conflict", "no fault is under way: there is nothing to end");
      one.healing.abort();
      return view(one);
    },
    stop(id) {
      const one = known(id);
      if (one.endedAt === undefined) {
        one.isStopped = true;
        one.healing.abort();
      }
      return view(one);
    },
    async report(id) {
      const report = await reports.read(id);
      if (report === undefined) throw new Failure("not_found", "no such report: the newest 50 are kept");
      return report;
    },
    async settle() {
      if (run !== undefined) {
        run.isStopped = true;
        run.healing.abort();
      }
      await Promise.race([running, Bun.sleep(SETTLE_MS)]);
      ending.abort(new Error("the platform is being stopped"));
    },
  };
}

function inWords({ verdict, error }: ChaosResult): string {
  if (verdict === undefined) return error ?? "it could not be counted";
  const { accepted, lost, twice } = verdict;
  return `${accepted} accepted, ${lost.count} lost, ${twice.count} twice`;
}

function reportOf(of: Run, stack: Stack, version: string): ChaosReport {
  const { fault, part } = of.steps[0]!;
  const verdicts = of.results.flatMap(({ verdict }) => (verdict === undefined ? [] : [verdict]));
  const failed = of.results.filter(({ outcome }) => outcome === "failed");
  const verdict = sumOf(verdicts);
  return {
    id: of.id,
    title: of.suite ? `${of.results.length} of ${of.steps.length} experiments of the suite` : `${fault} of ${part}`,
    outcome: failed.length > 0 ? "failed" : of.isStopped ? "stopped" : "finished",
    ...(failed.length === 0
      ? {}
      : { error: failed.map((one) => `${one.fault} of ${one.part}: ${one.error ?? "failed"}`).join("; ") }),
    started_at: of.startedAt.toISOString(),
    took_ms: Date.now() - of.startedAt.getTime(),
    ...(verdict === undefined ? {} : { verdict }),
    results: of.results,
    seed: of.seed,
    rate: of.rate,
    machine: {
      platform: `${platform()} ${release()} ${arch()}`,
      cores: cpus().length,
      memory_mib: Math.round(totalmem() / 1_048_576),
    },
    versions: {
      platform: version,
      bun: Bun.version,
      backing: Object.fromEntries([...stack.backing].map(([name, { current }]) => [name, current.source])),
    },
    how: HOW,
  };
}
