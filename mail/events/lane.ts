/**
 * The way to one receiver of webhooks. Each has places of its own, so that one that is slow or away holds up no other.
 * Replicas share the work: a webhook belongs to whoever claimed it for the length of a lease, which is longer than a call
 * may take; those of a process that was killed go on after it. So a receiver may get the same event twice.
 */
import type { Result } from "#shared/errors";
import type { Dependency } from "#shared/lifecycle";
import type { Log } from "#shared/log";
import { Deadline, exponential, keepTrying } from "#shared/resilience";
import { makeBell } from "#shared/resilience";
import { fateOf } from "./fate.ts";
import type { WebhookMetrics } from "./metrics.ts";
import type { Post } from "./post.ts";
import type { Target } from "./targets.ts";
import type { ClaimedHook, WebhookStore } from "./webhook-store.ts";

export interface LaneOptions {
  readonly target: Target;
  readonly store: Pick<WebhookStore, "claim" | "settle" | "release">;
  readonly post: Post;
  readonly log: Log;
  readonly measured: WebhookMetrics;
  readonly dependency: Dependency;
  readonly scheduleMs: readonly number[];
  /** Longest call (ms). */
  readonly timeoutMs: number;
  readonly pollMs: number;
}

export interface Lane extends AsyncDisposable {
  wake(): void;
  /** Gives the calls in hand 1.5 s, then cuts them and gives them back. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** Calls at once. */
const PLACES = 8;
/** Of a claim (ms): for the call, and for writing down what came of it. */
const LEASE_MS = 30_000;
const QUERY_MS = 3_000;
const DRAIN_MS = 1_500;
const LAST_WRITES_MS = 500;
const SETTLE_BACKOFF = exponential({ firstMs: 200, maxMs: 2_000 });

export function startLane(options: LaneOptions): Lane {
  const { target, store, post, measured, dependency, scheduleMs, timeoutMs, pollMs } = options;
  const log = options.log.child({ webhook: target.label });
  const stopping = new AbortController();
  const cutting = new AbortController();
  const giveUp = new AbortController();
  const calls = new Set<Promise<void>>();
  const bell = makeBell();
  /** There may be more that is due than there were places. */
  let backlog = false;
  const soon = (): Deadline => Deadline.after(QUERY_MS);

  function begin(hook: ClaimedHook): void {
    const call = attempt(hook)
      .catch((error: unknown) => log.error("a webhook failed: this is a bug", { event_id: hook.id, error }))
      .finally(() => {
        calls.delete(call);
        if (backlog) bell.ring();
      });
    calls.add(call);
  }

  async function attempt(hook: ClaimedHook): Promise<void> {
    const endsAt = performance.now() + LEASE_MS;
    const answer = await post(target, hook, Deadline.after(timeoutMs, cutting.signal).signal);
    if (answer.status === undefined && cutting.signal.aborted) {
      await written(hook, endsAt, () => store.release(hook, soon()));
      return;
    }
    const fate = fateOf(answer, hook.attempt, scheduleMs);
    const error = answer.status === undefined ? answer.reason : undefined;
    const fields = { event_id: hook.id, mail_id: hook.mailId, attempt: hook.attempt + 1, status: answer.status, error };
    if (fate.kind === "delivered") {
      measured.attempt(target.label, "delivered");
      dependency.up();
    } else {
      measured.attempt(target.label, answer.status === undefined ? "unanswered" : "refused");
      dependency.down(new Error(error ?? `answered ${answer.status}`));
      log.debug("webhook not delivered", fields);
    }
    if (fate.kind === "gave_up") {
      measured.gaveUp(target.label);
      log.error("webhook given up", fields);
    }
    const waitMs = fate.kind === "again" ? fate.waitMs : 0;
    await written(hook, endsAt, () =>
      store.settle(hook, { kind: fate.kind, waitMs, status: answer.status, error }, soon()),
    );
  }

  /** Tries until the database has it or the lease is over: then somebody calls again. */
  async function written(hook: ClaimedHook, endsAt: number, write: () => Promise<Result<void>>): Promise<void> {
    const once = async (): Promise<void> => {
      const done = await write();
      if (!done.ok) throw done.error;
    };
    const signal = Deadline.after(endsAt - performance.now(), giveUp.signal).signal;
    try {
      await keepTrying(once, { backoff: SETTLE_BACKOFF, signal, onFailure: () => undefined });
    } catch (error) {
      log.warn("outcome of a webhook not written: it is called again", { event_id: hook.id, error });
    }
  }

  async function takeDue(): Promise<void> {
    const free = PLACES - calls.size;
    backlog = free === 0;
    if (backlog) return;
    const claimed = await store.claim(target.name, free, LEASE_MS, soon());
    // A claim whose answer was lost ends with its lease.
    if (!claimed.ok) return;
    backlog = claimed.value.length === free;
    for (const hook of claimed.value) begin(hook);
  }

  async function work(): Promise<void> {
    while (!stopping.signal.aborted) {
      await takeDue();
      await bell.wait(pollMs);
    }
  }

  const working = work();

  async function dispose(): Promise<void> {
    stopping.abort();
    bell.ring();
    await working;
    const within = (ms: number) =>
      Deadline.after(ms)
        .bound(Promise.allSettled(calls), "the calls in hand")
        .then(() => true)
        .catch(() => false);
    if (await within(DRAIN_MS)) return;
    cutting.abort();
    if (!(await within(LAST_WRITES_MS))) giveUp.abort(new Error("stopped"));
    await Promise.allSettled(calls);
  }

  return { wake: () => bell.ring(), [Symbol.asyncDispose]: dispose };
}
