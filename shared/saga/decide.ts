/** What becomes of a saga after a step. Decides; knows neither SQL nor time. */
import { FAILURES, type Failure, messageOf, type Result } from "#shared/errors";
import { exponential } from "#shared/resilience";
import type { SagaDefinition, SagaState, StepOutcome } from "./types.ts";

/** Failures of a step's own, and ends of a process in its middle, in a row, after which a saga is stuck. */
export const MAX_FAULTS = 8;
export const MAX_INTERRUPTIONS = 20;
const holdBackoff = exponential({ firstMs: 250, maxMs: 5_000 });
/** A long outage is asked about less often: a sixtieth of its age, at most this (ms). What piled up meanwhile is many. */
const HOLD_SHARE = 60;
const HOLD_MAX_MS = 30_000;
const faultBackoff = exponential({ firstMs: 500, maxMs: 60_000 });
/** A neighbour may ask for at most this (ms). */
const MAX_RETRY_AFTER_MS = 60_000;
/** Bounds of what a step may ask for with `again` (ms). */
const MIN_AGAIN_MS = 10;
const MAX_AGAIN_MS = 3_600_000;

export interface Standing {
  readonly state: "running" | "compensating";
  readonly step: string;
  readonly ageMs: number;
  readonly failures: number;
  readonly faults: number;
  /** Times that a process ended in the middle of the step. */
  readonly interruptions: number;
}

export interface Transition {
  readonly state: SagaState;
  /** Undefined once it has ended. */
  readonly step: string | undefined;
  /** The step is another one than before: its age and its failures begin anew. */
  readonly entered: boolean;
  readonly failures: number;
  readonly faults: number;
  /** Until it goes on (ms). */
  readonly waitMs: number;
  /** Why the step did not succeed. */
  readonly error?: string;
  /** Why it is compensated: set where that begins. */
  readonly reason?: string;
  /** For metrics. */
  readonly result: "done" | "again" | "held" | "failed" | "refused" | "given_up" | "stuck";
}

/** Where a saga goes from the end of one try of its step. */
export function transitionOf(
  { steps }: SagaDefinition<object>,
  saga: Standing,
  outcome: Result<StepOutcome<object>>,
): Transition {
  const at = steps.findIndex(({ name }) => name === saga.step);
  const same = { state: saga.state, step: saga.step, entered: false, failures: saga.failures, faults: saga.faults };
  const begun = { entered: true, failures: 0, faults: 0, waitMs: 0 };

  /** The undo of the step at `from`, or of the next one before it that has one. */
  const undoFrom = (from: number): Pick<Transition, "state" | "step"> => {
    const step = steps.slice(0, from + 1).findLast((candidate) => candidate.undo !== undefined)?.name;
    return step === undefined ? { state: "compensated", step } : { state: "compensating", step };
  };

  if (outcome.ok) {
    if ("againInMs" in outcome.value) {
      const waitMs = Math.min(MAX_AGAIN_MS, Math.max(MIN_AGAIN_MS, outcome.value.againInMs));
      return { ...same, failures: 0, faults: 0, waitMs, result: "again" };
    }
    if (saga.state === "compensating") return { ...begun, ...undoFrom(at - 1), result: "done" };
    const next = steps[at + 1]?.name;
    return { ...begun, state: next === undefined ? "done" : "running", step: next, result: "done" };
  }

  const { error } = outcome;
  const said = messageOf(error).slice(0, 1_000);
  const isForward = saga.state === "running";
  const back = (from: number, result: "refused" | "given_up"): Transition => ({
    ...begun,
    ...undoFrom(from),
    error: said,
    reason: `${saga.step}: ${said}`,
    result,
  });

  const fate = FAILURES[error.code].queue;
  // This try did nothing. One before it, whose end nobody heard of, may have.
  const isUnheard = saga.failures > 0 || saga.interruptions > 0;
  if (fate === "dead" && isForward) return back(isUnheard ? at : at - 1, "refused");
  if (fate === "hold") {
    const { giveUpAfterMs = Number.POSITIVE_INFINITY } = steps[at] ?? {};
    if (isForward && saga.ageMs >= giveUpAfterMs) return back(at, "given_up");
    const patienceMs = Math.min(HOLD_MAX_MS, saga.ageMs / HOLD_SHARE);
    const waitMs = waitOf(error, Math.max(patienceMs, holdBackoff(saga.failures)));
    return { ...same, failures: saga.failures + 1, waitMs, error: said, result: "held" };
  }
  const faults = saga.faults + 1;
  const failed = { ...same, failures: saga.failures + 1, faults, error: said };
  if (faults >= MAX_FAULTS) return { ...failed, state: "stuck", waitMs: 0, result: "stuck" };
  return { ...failed, waitMs: waitOf(error, faultBackoff(saga.faults)), result: "failed" };
}

function waitOf({ retryAfterS = 0 }: Failure, backoffMs: number): number {
  return Math.max(backoffMs, Math.min(MAX_RETRY_AFTER_MS, retryAfterS * 1_000));
}
