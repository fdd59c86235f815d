/** The faces of workflows: what a definition says, what a step is given and gives back. */
import type { Result } from "#shared/errors";
import type { Sql } from "#shared/postgres";
import type { CallContext } from "#shared/telemetry";

/**
 *     running ──► done            every step was run
 *        │
 *        ├──────► compensating ──► compensated      every step that was run, and has an undo, was undone
 *        ▼            ▼
 *      stuck ◄────────┘   a step keeps failing for a reason of its own; goes on where it was once an operator says so
 */
export const SAGA_STATES = ["running", "compensating", "stuck", "done", "compensated"] as const;
export type SagaState = (typeof SAGA_STATES)[number];

/** What a step knows of its own run. `deadline`: 10 s from its beginning, or the end of the process or of its lease. */
export interface StepContext extends CallContext {
  readonly sagaId: string;
  /**
   * UUID that follows from the saga's id and the step (the undo of a step has another one): the same however often it
   * is run. What the step asks others to do goes under this key, so that it is done once.
   */
  readonly key: string;
  /** Since the step was tried for the first time (ms). */
  readonly ageMs: number;
}

/** `done`: what the saga's data gets, the step is over. `againInMs`: not yet, and nothing wrong: look again then. */
export type StepOutcome<D> = { readonly done: Partial<D> } | { readonly againInMs: number };

/**
 * A step is run at least once and may be run again although it was done (the process ended before that was noted), also
 * by two processes at once for a moment: its effect has to be that of once. By the fate of its failure (shared/errors):
 *
 *     hold    a neighbour is away: tried again with backoff (0.25 s to 5 s, in a long outage to 30 s), until `giveUpAfterMs`
 *     dead    refused, and not done: the saga is compensated, beginning with the step before this one; or with this one,
 *             where a try before failed otherwise or was cut off, and may have done it
 *     retry   its own fault, or a bug (also what it throws): tried 8 times with backoff (0.5 s to 60 s), then stuck
 */
export interface Step<D extends object> {
  /** Unique in its saga. Never changed while a saga may stand at it: it is what the row says. */
  readonly name: string;
  run(data: D, context: StepContext): Promise<Result<StepOutcome<D>>>;
  /**
   * Takes back what `run` did; also called for a step that may or may not have been done. `hold`
   * is tried again without end, since half done is no end; any other failure 8 times, then the saga is stuck.
   */
  undo?(data: D, context: StepContext): Promise<Result<StepOutcome<D>>>;
  /** Age at which a step whose neighbour stays away is given up and the saga compensated (ms; default: never). */
  readonly giveUpAfterMs?: number;
}

export interface SagaDefinition<D extends object> {
  /** Unique in its database, never changed. */
  readonly name: string;
  readonly steps: readonly [Step<D>, ...Step<D>[]];
}

export interface Saga<D extends object> extends SagaDefinition<D> {
  /**
   * Adds the saga within the caller's transaction: it exists if, and only if, that is committed. Call `wake` of the
   * runner after the commit. Data is JSON of at most 256 KiB without NUL; a later release has to understand it.
   * @param id UUID. @returns false where the id is taken: that saga is left as it is.
   */
  start(sql: Sql, id: string, data: D, context: Pick<CallContext, "requestId" | "trace">): Promise<boolean>;
}

/** A saga as operators see it. Times are RFC 3339 in UTC. */
export interface SagaView {
  readonly id: string;
  readonly name: string;
  readonly state: SagaState;
  readonly step: string | undefined;
  readonly reason: string | undefined;
  readonly error: string | undefined;
  readonly failures: number;
  readonly created_at: string;
  readonly updated_at: string;
  readonly next_at: string;
}
