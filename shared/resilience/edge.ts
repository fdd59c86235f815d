/**
 * An edge is one service's way to another part: circuit breaker, bulkhead, time limit and retry in one place,
 * so that a slow or dead part costs its callers little and is left alone until it answers again.
 */
import {
  type BulkheadPolicy,
  BrokenCircuitError,
  BulkheadRejectedError,
  bulkhead,
  CircuitState,
  circuitBreaker,
  handleType,
} from "cockatiel";
import { FAILURES, Failure, type Result } from "#shared/errors";
import { Deadline } from "./deadline.ts";
import { openTime } from "./open-time.ts";
import { exponential, sleep } from "./retry.ts";
import { RollingBreaker } from "./rolling.ts";

/** Retries are paid from a budget: one for ten calls, at most so many saved up, so that what is sick is not asked twice by all. */
const RETRIES_A_CALL = 0.1;
const RETRIES_SAVED = 10;
const retryWait = exponential({ firstMs: 50, maxMs: 400 });

export interface EdgeOptions {
  /** Who calls whom, e.g. `broker→auth`: in messages and metrics. */
  name: string;
  /** Longest that one try may take (ms). */
  attemptMs: number;
  /** Longest for all tries together (ms). */
  totalMs: number;
  /** Tries after the first, as far as the budget goes (default 0). Only for what may be done twice with the effect of once. */
  retries?: number;
  /** Calls under way at once; more wait in the queue, more than that fail at once with `unavailable`. */
  concurrent: number;
  /** Calls that may wait for a place (default 0). */
  queue?: number;
  /** The circuit opens when more than half of at least this many calls of the last 10 s failed (default 20). */
  minimumCalls?: number;
  /** First and longest time that the circuit stays open (ms; defaults 1,000 and 2,000: back in use within 2 s of the return). */
  openMs?: number;
  maxOpenMs?: number;
  /** Told of every change of the circuit. */
  onState?: (state: EdgeState) => void;
}

export type EdgeState = "closed" | "open" | "half-open";

export interface Edge {
  readonly name: string;
  readonly state: EdgeState;
  /** Calls under way. */
  readonly inFlight: number;
  /**
   * Runs `work` within the edge's limits and the caller's deadline.
   * Failures that speak of a sick system (`bad_gateway`, `unavailable`, `deadline`) count against the
   * circuit and are retried where retries are set; all others are answers and pass through. A caller who gave less
   * time than `attemptMs`, or went away, proves nothing: that does not count, and it is no probe of an open circuit.
   */
  run<T>(deadline: Deadline, work: (deadline: Deadline) => Promise<Result<T>>): Promise<Result<T>>;
}

const STATES: Record<CircuitState, EdgeState> = {
  [CircuitState.Closed]: "closed",
  [CircuitState.Open]: "open",
  [CircuitState.HalfOpen]: "half-open",
  [CircuitState.Isolated]: "open",
};

/** Carries a failed `Result` out of the breaker, which counts what is thrown of this class. */
class SickAnswer extends Error {
  readonly failure: Failure;
  constructor(failure: Failure) {
    super(failure.message);
    this.failure = failure;
  }
}

/** The same for a failure that is the caller's own: the breaker counts it neither way. */
class CutShort extends Error {
  readonly failure: Failure;
  constructor(failure: Failure) {
    super(failure.message);
    this.failure = failure;
  }
}

function isSick(failure: Failure): boolean {
  return FAILURES[failure.code].queue === "hold" && failure.code !== "exhausted" && failure.code !== "overloaded";
}

export function makeEdge(options: EdgeOptions): Edge {
  const { name, attemptMs, totalMs, retries = 0, concurrent, queue = 0 } = options;
  const limit: BulkheadPolicy = bulkhead(concurrent, queue);
  const breaker = circuitBreaker(handleType(SickAnswer), {
    halfOpenAfter: openTime(exponential({ firstMs: options.openMs ?? 1_000, maxMs: options.maxOpenMs ?? 2_000 })),
    breaker: new RollingBreaker(options.minimumCalls ?? 20),
  });
  breaker.onStateChange((state) => options.onState?.(STATES[state]));
  let budget = RETRIES_SAVED;

  const refused = <T>(why: string, cause?: unknown): Result<T> => ({
    ok: false,
    error: new Failure("unavailable", `${name}: ${why}`, { cause, retryAfterS: 1 }),
  });

  async function attempt<T>(
    outer: Deadline,
    deadline: Deadline,
    work: (deadline: Deadline) => Promise<Result<T>>,
  ): Promise<Result<T>> {
    // One call probes; the others do not wait for its outcome.
    if (breaker.state === CircuitState.HalfOpen) return refused("circuit open");
    const closed = breaker.state === CircuitState.Closed;
    // A client may give up a little before its time is over, since an answer needs time too.
    const isShort = outer.remainingMs() < attemptMs;
    try {
      const running = breaker.execute(async () => {
        // A probe decides for everybody: it is not cut short by the time of the one call that happens to be it.
        const result = await work(closed ? deadline.within(attemptMs) : Deadline.after(attemptMs));
        if (result.ok || !isSick(result.error)) return result;
        if (closed && result.error.code === "deadline" && (isShort || outer.passed)) throw new CutShort(result.error);
        throw new SickAnswer(result.error);
      });
      return closed ? await running : await deadline.bound(running, name);
    } catch (error) {
      if (error instanceof SickAnswer || error instanceof CutShort) return { ok: false, error: error.failure };
      if (error instanceof Failure) return { ok: false, error };
      if (error instanceof BrokenCircuitError) return refused("circuit open", error);
      throw error;
    }
  }

  async function attempts<T>(
    outer: Deadline,
    deadline: Deadline,
    work: (deadline: Deadline) => Promise<Result<T>>,
  ): Promise<Result<T>> {
    budget = Math.min(RETRIES_SAVED, budget + RETRIES_A_CALL);
    for (let tries = 0; ; tries += 1) {
      if (deadline.passed) return { ok: false, error: new Failure("deadline", `${name}: no time left`) };
      const result = await attempt(outer, deadline, work);
      if (result.ok || !isSick(result.error) || tries >= retries || budget < 1) return result;
      if (breaker.state !== CircuitState.Closed) return result;
      budget -= 1;
      const waitMs = retryWait(tries);
      if (deadline.remainingMs() <= waitMs) return result;
      await sleep(waitMs);
    }
  }

  async function run<T>(outer: Deadline, work: (deadline: Deadline) => Promise<Result<T>>): Promise<Result<T>> {
    const deadline = outer.within(totalMs);
    const waits = limit.executionSlots === 0;
    try {
      const running = limit.execute(() => attempts(outer, deadline, work));
      return waits ? await deadline.bound(running, `${name}: a place`) : await running;
    } catch (error) {
      if (error instanceof Failure) return { ok: false, error };
      if (error instanceof BulkheadRejectedError) return refused("too many calls under way", error);
      throw error;
    }
  }

  return {
    name,
    run,
    get state() {
      return STATES[breaker.state];
    },
    get inFlight() {
      return concurrent - limit.executionSlots;
    },
  };
}
