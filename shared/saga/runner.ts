/**
 * Runs what is due. A saga is in the hands of one runner at a time, by a lease that is renewed while it works:
 *
 *     claimed ──► a step is run ──► what became of it is written ──► the next step at once … ──► given back
 *
 * A process that ends, hangs or loses its database loses the lease within 6 s; another one, or the same, then runs the
 * step once more. Its late writes are without effect, since they name a claim that holds no longer.
 */
import { FAILURES, Failure, fail, messageOf, type Result } from "#shared/errors";
import type { Log } from "#shared/log";
import type { Database } from "#shared/postgres";
import { Deadline, exponential, pause } from "#shared/resilience";
import { asSpan, idsOf, type Metrics, preciseNow, recordSpan, type Trace, traceOf } from "#shared/telemetry";
import { MAX_INTERRUPTIONS, type Transition, transitionOf } from "./decide.ts";
import { keyOf } from "./define.ts";
import { type ClaimedSaga, makeStore } from "./store.ts";
import { watchSagas } from "./watch.ts";
import type { Saga, Step, StepContext, StepOutcome } from "./types.ts";

const CONCURRENT = 8;
const POLL_MS = 1_000;
/** A step's time, and the life of a lease that is not renewed. */
const STEP_MS = 10_000;
const LEASE_MS = 6_000;
/** Waits of less than a poll that are waited out exactly, at once; more of them are found by the poll. */
const MAX_ALARMS = 1_000;
/** For one statement (ms). */
const STATEMENT_MS = 3_000;
/** How long a drain waits for steps under way (ms); those that last longer are run again later. */
const DRAIN_MS = 3_000;
/** What is looked at for longer than this (ms) has told enough of its looks: only the last one is a span, and by itself. */
const LOOKS_TOLD_MS = 60_000;
const noteBackoff = exponential({ firstMs: 100, maxMs: 2_000 });

export interface SagasOptions {
  database: Database;
  /** What this process can run; sagas of other names are left to others. */
  sagas: readonly Saga<object>[];
  log: Log;
  metrics: Metrics;
  /** Sagas in hand at once (default 8); what is due beyond that waits in the table. */
  concurrent?: number;
  /** How often it is looked for what is due (ms, default 1,000), `wake` aside. */
  pollMs?: number;
  /** Life of a lease that is not renewed (ms, default 6,000): how soon another runner goes on after a crash. */
  leaseMs?: number;
  /** Longest try of a step (ms, default 10,000). */
  stepMs?: number;
}

export interface Sagas extends AsyncDisposable {
  /** Looks for what is due now: call it after a commit that started a saga. However often it is called, one look follows another. */
  wake(): void;
}

/** Starts to run. Disposing lets steps under way end, for 3 s at most, and gives the rest back. */
export function runSagas(options: SagasOptions): Sagas {
  const { database, sagas, log, metrics, concurrent = CONCURRENT, pollMs = POLL_MS } = options;
  const { leaseMs = LEASE_MS, stepMs = STEP_MS } = options;
  const store = makeStore(database);
  const byName = new Map(sagas.map((saga) => [saga.name, saga]));
  const names = [...byName.keys()];
  const tries = metrics.counter("saga_steps_total", "Tries of steps, by what became of them.", [
    "saga",
    "step",
    "direction",
    "result",
  ]);
  const ended = metrics.counter("saga_ended_total", "Sagas that ended, or are stuck.", ["saga", "state"]);

  const inHand = new Map<string, { saga: ClaimedSaga; lost: AbortController; work: Promise<void> }>();
  const draining = new AbortController();
  const closing = new AbortController();
  let bell = Promise.withResolvers<void>();
  const alarms = new Set<ReturnType<typeof setTimeout>>();
  let isMore = false;

  const wake = (): void => bell.resolve();
  /** Wakes in time for what is due before the next poll. */
  function wakeIn(ms: number): void {
    if (draining.signal.aborted || ms >= pollMs || alarms.size >= MAX_ALARMS) return;
    const timer = setTimeout(() => {
      alarms.delete(timer);
      wake();
    }, ms + 5);
    alarms.add(timer);
  }

  async function take(): Promise<void> {
    const free = concurrent - inHand.size;
    isMore = free === 0;
    if (free === 0 || !database.up) return;
    const claim = Bun.randomUUIDv7();
    const claimed = await store.claim(claim, names, free, leaseMs, Deadline.after(STATEMENT_MS));
    if (!claimed.ok) {
      log.warn("sagas not claimed", { reason: claimed.error });
      // It may have been done: without this they would wait for the end of a lease that nobody works under.
      await store.release(claim, Deadline.after(STATEMENT_MS));
      return;
    }
    isMore = claimed.value.length === free;
    for (const saga of claimed.value) {
      // Ours still, by a lease that was lost: its end has to be seen before it is begun anew.
      if (inHand.has(saga.id)) {
        await store.release(claim, Deadline.after(STATEMENT_MS), saga.id);
        continue;
      }
      const lost = new AbortController();
      const work = drive(saga, lost.signal)
        .catch((error: unknown) => log.error("a saga was left: this is a bug", { saga: saga.id, error }))
        .finally(() => {
          inHand.delete(saga.id);
          if (isMore) wake();
        });
      inHand.set(saga.id, { saga, lost, work });
    }
  }

  async function loop(): Promise<void> {
    while (!draining.signal.aborted) {
      bell = Promise.withResolvers<void>();
      await take();
      const turn = new AbortController();
      void bell.promise.then(() => turn.abort());
      await pause(pollMs, AbortSignal.any([turn.signal, draining.signal]));
    }
  }

  async function drive(claimed: ClaimedSaga, lost: AbortSignal): Promise<void> {
    const { id, name } = claimed;
    const definition = byName.get(name);
    if (definition === undefined) throw new Error(`claimed a saga of the unknown name ${name}`);
    for (let saga = claimed, since = performance.now(); ; since = performance.now()) {
      const isTried = saga.interruptions < MAX_INTERRUPTIONS;
      const outcome = isTried
        ? await attempt(definition, saga, AbortSignal.any([lost, closing.signal]))
        : fail("internal");
      if (lost.aborted) return;
      if (closing.signal.aborted) {
        // Cut short by us: nothing is noted, the step is run again.
        await store.release(saga.claim, Deadline.after(STATEMENT_MS), id);
        return;
      }
      const standing = { ...saga, ageMs: saga.ageMs + performance.now() - since };
      const decided = isTried ? transitionOf(definition, standing, outcome) : interrupted(saga);
      const data = outcome.ok && "done" in outcome.value ? { ...saga.data, ...outcome.value.done } : saga.data;
      const noted = await note(saga, decided, data, (failure) =>
        // What cannot be written is a fault of the step that gave it.
        transitionOf(definition, standing, { ok: false, error: failure }),
      );
      if (noted === undefined) return;
      const { to } = noted;
      const direction = saga.state === "running" ? "run" : "undo";
      tries.inc({ saga: name, step: saga.step, direction, result: to.result });
      tell(saga, to);
      if (to.step === undefined) return;
      if (!noted.kept) {
        wakeIn(to.waitMs);
        return;
      }
      const state = to.state === "compensating" ? "compensating" : "running";
      saga = { ...saga, state, step: to.step, ageMs: 0, data, failures: 0, faults: 0, interruptions: 0 };
    }
  }

  async function attempt(
    definition: Saga<object>,
    saga: ClaimedSaga,
    signal: AbortSignal,
  ): Promise<Result<StepOutcome<object>>> {
    const step: Step<object> | undefined = definition.steps.find((candidate) => candidate.name === saga.step);
    const direction = saga.state === "running" ? "run" : "undo";
    // A newer release has it: that one goes on with it.
    if (step?.[direction] === undefined) return fail("unavailable", `no ${saga.step} in this release`);
    const deadline = Deadline.after(stepMs, signal);
    return traced(saga, direction, async (trace) => {
      const { id: sagaId, ageMs, requestId } = saga;
      const key = keyOf(sagaId, step.name, direction);
      const context: StepContext = { sagaId, key, ageMs, requestId, trace, deadline };
      try {
        const work = direction === "run" ? step.run(saga.data, context) : step.undo?.(saga.data, context);
        return await deadline.bound(work ?? Promise.resolve(fail("internal")), `step ${step.name}`);
      } catch (error) {
        if (error instanceof Failure) return { ok: false, error };
        const ids = idsOf({ requestId, trace });
        log.error("a step threw: this is a bug", { saga: saga.name, id: sagaId, step: step.name, ...ids, error });
        return fail("internal", undefined, { cause: error });
      }
    });
  }

  /** One try as a span of the request that the saga came of. */
  async function traced(
    { id, name, step, traceparent, ageMs, failures, interruptions }: ClaimedSaga,
    direction: "run" | "undo",
    work: (trace: Trace) => Promise<Result<StepOutcome<object>>>,
  ): Promise<Result<StepOutcome<object>>> {
    const trace = traceOf(traceparent);
    const spanName = direction === "run" ? `saga ${name} ${step}` : `saga ${name} undo ${step}`;
    const attributes = {
      "platform.saga.id": id,
      "platform.attempt": failures + interruptions + 1,
      "platform.waited_ms": Math.round(ageMs),
    };
    if (failures > 0 || ageMs <= LOOKS_TOLD_MS) {
      return asSpan({ trace }, spanName, { attributes }, async (own) => work(own.trace));
    }
    const startedAt = preciseNow();
    const outcome = await work({ ...trace, sampled: false });
    if (outcome.ok && "againInMs" in outcome.value) return outcome;
    recordSpan(trace, { name: spanName, startedAt, attributes, ...(outcome.ok ? {} : { error: outcome.error.code }) });
    return outcome;
  }

  /**
   * Writes what became of a step, again and again while the database is away: once the step is done, that is better
   * than to run it again. Ends with the process, with the claim, and where the database cannot store it.
   * @returns what was written; undefined where nothing was.
   */
  async function note(
    saga: ClaimedSaga,
    decided: Transition,
    data: object,
    orElse: (failure: Failure) => Transition,
  ): Promise<{ to: Transition; kept: boolean } | undefined> {
    let to = decided;
    let what = data;
    for (let failures = 0; !closing.signal.aborted; failures += 1) {
      const kept = to.entered && to.step !== undefined && !draining.signal.aborted;
      const held = await store.note(saga, to, what, kept, leaseMs, Deadline.after(STATEMENT_MS));
      if (held.ok) return held.value ? { to, kept } : undefined;
      if (FAILURES[held.error.code].queue !== "hold") {
        if (what === saga.data) throw held.error;
        to = orElse(new Failure("internal", undefined, { cause: held.error }));
        what = saga.data;
        continue;
      }
      log.warn("a saga's step is not noted yet", { saga: saga.name, id: saga.id, step: saga.step, reason: held.error });
      await pause(noteBackoff(failures), closing.signal);
    }
    return undefined;
  }

  function tell(saga: ClaimedSaga, to: Transition): void {
    const ids = idsOf({ requestId: saga.requestId, trace: traceOf(saga.traceparent) });
    const fields = { saga: saga.name, id: saga.id, step: saga.step, ...ids };
    if (to.reason !== undefined) log.warn("saga is compensated", { ...fields, reason: to.reason });
    else if (to.error !== undefined && to.state !== "stuck") log.info("saga waits", { ...fields, reason: to.error });
    if (to.state === "stuck") log.error("saga is stuck: it needs an operator", { ...fields, reason: to.error });
    if (to.state === "done" || to.state === "compensated" || to.state === "stuck")
      ended.inc({ saga: saga.name, state: to.state });
  }

  async function renew(): Promise<void> {
    const held = [...inHand.values()];
    if (held.length === 0 || !database.up) return;
    const claims = [...new Set(held.map(({ saga }) => saga.claim))];
    const renewed = await store.renew(claims, leaseMs, Deadline.after(STATEMENT_MS));
    if (!renewed.ok) {
      log.debug("leases of sagas not renewed", { reason: messageOf(renewed.error) });
      return;
    }
    for (const entry of held) {
      // It may have been given back meanwhile; then there is nobody to tell.
      if (!renewed.value.has(entry.saga.id)) entry.lost.abort(new Error("the lease was lost"));
    }
  }

  async function keepLeases(): Promise<void> {
    while (!closing.signal.aborted) {
      await pause(leaseMs / 3, closing.signal);
      await renew();
    }
  }

  const watching = watchSagas({ store, log, metrics, database, signal: draining.signal });
  const running = Promise.all([loop(), keepLeases(), watching]);
  let closed: Promise<void> | undefined;

  async function close(): Promise<void> {
    draining.abort(new Error("stopping"));
    for (const timer of alarms) clearTimeout(timer);
    await Deadline.after(DRAIN_MS)
      .bound(Promise.all([...inHand.values()].map(({ work }) => work)), "draining the sagas")
      .catch(() => undefined); // What has not ended by then is cut and given back.
    closing.abort(new Error("stopping"));
    await Promise.all([...inHand.values()].map(({ work }) => work));
    await running;
  }

  return {
    wake,
    [Symbol.asyncDispose]() {
      closed ??= close();
      return closed;
    },
  };
}

function interrupted(saga: ClaimedSaga): Transition {
  return {
    state: "stuck",
    step: saga.step,
    entered: false,
    failures: saga.failures,
    faults: saga.faults,
    waitMs: 0,
    error: `the process ended ${saga.interruptions} times in the middle of this step`,
    result: "stuck",
  };
}
