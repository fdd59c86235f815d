/**
 * Tells the receivers of webhooks what becomes of mails: at least once, in no promised order, each by a row of its own
 * that is made once and tried by a schedule until it is delivered or given up.
 */
import type { Health } from "#shared/lifecycle";
import type { Log } from "#shared/log";
import { Deadline, pause } from "#shared/resilience";
import type { Metrics } from "#shared/telemetry";
import { GATHER_MS, makeBell } from "#shared/resilience";
import { startLane } from "./lane.ts";
import { makeWebhookMetrics } from "./metrics.ts";
import type { Post } from "./post.ts";
import type { Target } from "./targets.ts";
import type { WebhookStore } from "./webhook-store.ts";

export interface WebhooksOptions {
  readonly store: WebhookStore;
  readonly post: Post;
  readonly targets: readonly Target[];
  /** Types of events that they get. */
  readonly types: readonly string[];
  readonly log: Log;
  readonly metrics: Metrics;
  readonly health: Pick<Health, "dependency">;
  /** Waits between the tries of one webhook (ms). */
  readonly scheduleMs: readonly number[];
  /** Longest call (ms). */
  readonly timeoutMs: number;
  readonly pollMs: number;
}

export interface Webhooks extends AsyncDisposable {
  /** There may be new events. */
  wake(): void;
  /** Finishes or gives back what is in hand: about 2 s while the database answers. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** Events that get their rows at once. */
const FAN_OUT = 500;
const QUERY_MS = 3_000;
const TIDY_EVERY_MS = 5_000;
/** What is for a receiver that no replica has any more is given up after this time (ms): replicas are not all of one age. */
const ABANDONED_MS = 86_400_000;

export function startWebhooks(options: WebhooksOptions): Webhooks {
  const { store, targets, types, log, health, pollMs } = options;
  const measured = makeWebhookMetrics(options.metrics);
  const names = targets.map(({ name }) => name);
  const bell = makeBell();
  const stopping = new AbortController();
  let tidiedAt = Number.NEGATIVE_INFINITY;

  const lanes = targets.map((target) => {
    const dependency = health.dependency(`webhook ${target.label}`, { required: false });
    return startLane({ ...options, target, measured, dependency });
  });

  async function fanOut(): Promise<void> {
    while (!stopping.signal.aborted) {
      const made = await store.fanOut(names, types, FAN_OUT, Deadline.after(QUERY_MS));
      if (!made.ok) return;
      if (made.value.hooks > 0) for (const lane of lanes) lane.wake();
      if (made.value.events < FAN_OUT) return;
    }
  }

  async function tidy(): Promise<void> {
    if (performance.now() - tidiedAt < TIDY_EVERY_MS) return;
    const counted = await store.counts(names, Deadline.after(QUERY_MS));
    if (!counted.ok) return;
    for (const { name, label } of targets) measured.waiting(label, counted.value.get(name) ?? 0);
    const abandoned = await store.abandon(names, ABANDONED_MS, Deadline.after(QUERY_MS));
    if (!abandoned.ok) return;
    if (abandoned.value > 0) log.error("webhooks given up: no longer configured", { webhooks: abandoned.value });
    tidiedAt = performance.now();
  }

  async function work(): Promise<void> {
    while (!stopping.signal.aborted) {
      await fanOut();
      await tidy();
      await bell.wait(pollMs);
      await pause(GATHER_MS, stopping.signal);
    }
  }

  const working = work();
  return {
    wake: () => bell.ring(),
    async [Symbol.asyncDispose]() {
      stopping.abort();
      bell.ring();
      await Promise.all([working, ...lanes.map((lane) => lane[Symbol.asyncDispose]())]);
    },
  };
}
