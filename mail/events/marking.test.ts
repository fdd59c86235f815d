/** What is told and cannot be marked as told, and what comes at the end. Without PostgreSQL or RabbitMQ. */
import { expect, test } from "bun:test";
import { fail, ok } from "#shared/errors";
import { silentLog } from "#shared/log";
import { makeMetrics } from "#shared/telemetry";
import { startRelay } from "./relay.ts";
import type { EventStore, TellOptions, WaitingEvent } from "./store.ts";

const EVENT: WaitingEvent = {
  id: "8f14e45f-ceea-467f-a8f5-2c9e1b7d3a60",
  type: "mail.sent",
  at: new Date(0),
  mailId: "01938f3c-7f4e-7a31-9c55-6a2f0d1e8b47",
  payload: { recipient: "ann@example.org", state: "sent", attempts: 1 },
  recipientId: "01938f3c-7f4e-7a31-9c55-6a2f0d1e8b47",
  requestId: "r",
  traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
};

/** A relay over a store that does as `tellOldest` does, and the times at which an event was published (ms). */
function begin(tellOldest: EventStore["tellOldest"], pollMs: number) {
  const published: number[] = [];
  const relay = startRelay({
    store: { tellOldest, counts: async () => ok({ waiting: 0, oldestS: 0 }) },
    publisher: {
      state: "connected",
      async publish() {
        published.push(performance.now());
        return ok();
      },
    },
    exchange: "x",
    last: true,
    log: silentLog,
    metrics: makeMetrics("test", "1"),
    pollMs,
  });
  return { published, relay };
}

test("what is told and cannot be marked is told again with growing pauses, not at every look", async () => {
  const { published, relay } = begin(async ({ tell }: TellOptions) => {
    await tell([EVENT]);
    return fail("unavailable", "read-only");
  }, 10);
  await Bun.sleep(1_500);
  await relay[Symbol.asyncDispose]();
  expect(published.length).toBeGreaterThan(1);
  expect(published.length).toBeLessThan(9);
});

test("what came just before the end is told", async () => {
  let waiting = false;
  const { published, relay } = begin(async ({ tell }: TellOptions) => {
    if (!waiting) return ok({ handed: 0, told: new Map() });
    waiting = false;
    await tell([EVENT]);
    return ok({ handed: 1, told: new Map([[EVENT.type, 1]]) });
  }, 60_000);
  await Bun.sleep(50);
  waiting = true;
  relay.wake();
  await relay[Symbol.asyncDispose]();
  expect(published).toHaveLength(1);
});
