/**
 * Tells RabbitMQ what becomes of mails: at least once, the oldest first. An event is marked as told after the server's
 * confirm; whoever dies between the two leaves it to be told again, under the same id.
 *
 * Replicas take turns, a batch each. The events of one recipient are told in their order: where one fails, those behind
 * it wait for it. Told again after a failure, they may come once more in that order.
 *
 * While RabbitMQ is away, or a bound queue rejects, events wait in PostgreSQL, and nothing else waits for them.
 */
import type { Publisher } from "#shared/amqp";
import type { Log } from "#shared/log";
import { Deadline, exponential, pause } from "#shared/resilience";
import { asSpan, type Metrics, traceOf } from "#shared/telemetry";
import { GATHER_MS, makeBell } from "#shared/resilience";
import { bodyOf } from "./event.ts";
import { makeEventMetrics } from "./metrics.ts";
import type { EventStore, WaitingEvent } from "./store.ts";

export interface RelayOptions {
  readonly store: EventStore;
  readonly publisher: Pick<Publisher, "state" | "publish">;
  readonly exchange: string;
  /** No webhook wants the events: who is told is RabbitMQ alone. */
  readonly last: boolean;
  readonly log: Log;
  readonly metrics: Metrics;
  /** How often it is looked for events that nobody woke us for (ms). */
  readonly pollMs: number;
}

export interface Relay extends AsyncDisposable {
  /** There may be events to tell. */
  wake(): void;
  /** Finishes the batch in hand, and tells one more of what there is: at most about 2 s while the database answers. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** Published together, all outstanding at once. */
const BATCH = 200;
/** For the confirms of a batch (ms). */
const CONFIRM_MS = 2_000;
/** A batch with all its statements (ms). */
const BATCH_MS = 5_000;
const COUNT_MS = 2_000;
const COUNT_EVERY_MS = 5_000;
/** While RabbitMQ does not take them, or they cannot be marked: others may get the same events again at each try. */
const refusedBackoff = exponential({ firstMs: 250, maxMs: 30_000 });

export function startRelay(options: RelayOptions): Relay {
  const { store, publisher, exchange, last, log, pollMs } = options;
  const measured = makeEventMetrics(options.metrics);
  const stopping = new AbortController();
  const bell = makeBell();
  let refusals = 0;
  let countedAt = Number.NEGATIVE_INFINITY;

  /** @returns the ids of those that are told, without those that come behind one of the same recipient that is not. */
  async function tell(events: readonly WaitingEvent[]): Promise<string[]> {
    const deadline = Deadline.after(CONFIRM_MS);
    const results = await Promise.all(
      events.map((event) => {
        const message = {
          exchange,
          routingKey: event.type,
          messageId: event.id,
          body: bodyOf(event),
          timestamp: event.at,
          mandatory: false,
        };
        // A span of the request that the mail came of.
        const context = { requestId: event.requestId, trace: traceOf(event.traceparent), deadline };
        const attributes = {
          "platform.mail.id": event.mailId,
          "platform.waited_ms": Math.max(0, Date.now() - event.at.getTime()),
        };
        return asSpan(context, "outbox event", { attributes }, (own) => publisher.publish(message, own));
      }),
    );
    const held = new Set<string>();
    const told: string[] = [];
    let reason: unknown;
    for (const [index, { id, recipientId }] of events.entries()) {
      const result = results[index];
      if (result?.ok !== true) {
        reason ??= result?.error;
        held.add(recipientId);
      } else if (!held.has(recipientId)) told.push(id);
    }
    if (held.size > 0) log.warn("events not told, trying again", { events: events.length - told.length, reason });
    return told;
  }

  /** Tells what there is; of that, one batch where it is stopping. */
  async function tellAll(): Promise<void> {
    while (publisher.state === "connected") {
      let isHanded = false;
      const telling = (events: readonly WaitingEvent[]): Promise<string[]> => {
        isHanded = true;
        return tell(events);
      };
      const done = await store.tellOldest({ limit: BATCH, last, tell: telling }, Deadline.after(BATCH_MS));
      const { handed, told } = (done.ok ? done.value : undefined) ?? { handed: 0, told: new Map<string, number>() };
      measured.told(told);
      const toldCount = [...told.values()].reduce((sum, count) => sum + count, 0);
      // Or told and not marked: a database that can be read and not written is no reason to repeat it at every look.
      if (toldCount < handed || (!done.ok && isHanded)) {
        await pause(refusedBackoff(refusals), stopping.signal);
        refusals += 1;
        if (stopping.signal.aborted) return;
        continue;
      }
      if (!done.ok || done.value === undefined) return;
      refusals = 0;
      if (handed < BATCH || stopping.signal.aborted) return;
    }
    refusals = 0;
  }

  async function count(): Promise<void> {
    if (performance.now() - countedAt < COUNT_EVERY_MS) return;
    const counted = await store.counts(Deadline.after(COUNT_MS));
    if (!counted.ok) return;
    countedAt = performance.now();
    measured.counted(counted.value);
  }

  async function work(): Promise<void> {
    for (;;) {
      // What came just before the end is told as well, unless the batch in hand was in vain.
      const isLast = stopping.signal.aborted;
      await tellAll();
      if (isLast || (stopping.signal.aborted && refusals > 0)) return;
      if (!stopping.signal.aborted) await count();
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
      await working;
    },
  };
}
