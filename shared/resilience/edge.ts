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
  ExponentialBackoff,
  handleType,
  IsolatedCircuitError,
  SamplingBreaker,
} from "cockatiel";
import { FAILURES, Failure, type Result } from "#shared/errors";
import type { Deadline } from "./deadline.ts";

export interface EdgeOptions {
  /** Who calls whom, e.g. `broker→auth`: in messages and metrics. */
  name: string;
  /** Longest that one try may take (ms). */
  attemptMs: number;
  /** Longest for all tries together (ms). */
  totalMs: number;
  /** Tries after the first (default 0). Only for what may be done twice with the effect of once. */
  retries?: number;
  /** Calls under way at once; more wait in the queue, more than that fail at once with `unavailable`. */
  concurrent: number;
  /** Calls that may wait for a place (default 0). */
  queue?: number;
  /** The circuit opens when half of at least this many calls in 10 s failed (default 20). */
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
   * circuit and are retried where retries are set; all others are answers and pass through.
   */
  run<T>(deadline: Deadline, work: (deadline: Deadline) => Promise<Result<T>>): Promise<Result<T>>;
}

const STATES: Record<CircuitState, EdgeState> = {
  [CircuitState.Closed]: "closed",
  [CircuitState.Open]: "open",
  [CircuitState.HalfOpen]: "half-open",
  [CircuitState.Isolated]: "open",
};

/** Carries a failed `Result` through the breaker, which counts what is thrown. */
class SickAnswer extends Error {
  readonly failure: Failure;
  constructor(failure: Failure) {
    super(failure.message);
    this.failure = failure;
  }
}

function isSick(failure: Failure): boolean {
  return FAILURES[failure.code].queue === "hold" && failure.code !== "exhausted";
}

export function makeEdge(options: EdgeOptions): Edge {
  const { name, attemptMs, totalMs, retries = 0, concurrent, queue = 0 } = options;
  const limit: BulkheadPolicy = bulkhead(concurrent, queue);
  const breaker = circuitBreaker(handleType(SickAnswer), {
    halfOpenAfter: new ExponentialBackoff({
      initialDelay: options.openMs ?? 1_000,
      maxDelay: options.maxOpenMs ?? 2_000,
    }),
    breaker: new SamplingBreaker({
      threshold: 0.5,
      duration: 10_000,
      minimumRps: (options.minimumCalls ?? 20) / 10,
    }),
  });
  breaker.onStateChange((state) => options.onState?.(STATES[state]));

  async function attempt<T>(deadline: Deadline, work: (deadline: Deadline) => Promise<Result<T>>): Promise<Result<T>> {
    try {
      return await breaker.execute(async () => {
        const result = await work(deadline.within(attemptMs));
        if (!result.ok && isSick(result.error)) throw new SickAnswer(result.error);
        return result;
      });
    } catch (error) {
      if (error instanceof SickAnswer) return { ok: false, error: error.failure };
      if (error instanceof BrokenCircuitError || error instanceof IsolatedCircuitError) {
        const failure = new Failure("unavailable", `${name}: circuit open`, { cause: error, retryAfterS: 1 });
        return { ok: false, error: failure };
      }
      throw error;
    }
  }

  async function run<T>(outer: Deadline, work: (deadline: Deadline) => Promise<Result<T>>): Promise<Result<T>> {
    const deadline = outer.within(totalMs);
    try {
      return await limit.execute(async () => {
        for (let tries = 0; ; tries += 1) {
          const result = await attempt(deadline, work);
          const final = result.ok || !isSick(result.error) || tries >= retries || breaker.state === CircuitState.Open;
          if (final || deadline.passed) return result;
        }
      });
    } catch (error) {
      if (!(error instanceof BulkheadRejectedError)) throw error;
      const failure = new Failure("unavailable", `${name}: too many calls under way`, { cause: error, retryAfterS: 1 });
      return { ok: false, error: failure };
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
