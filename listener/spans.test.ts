/** The trace of a message through worker threads, batches, delay queues, dead letters and jobs, on a real RabbitMQ. */
import { describe, expect, test } from "bun:test";
import { MAIL_JOB, type RetryTier } from "#contracts/events";
import { newTrace, type Trace, traceparentOf } from "#shared/telemetry";
import { type Kit, RABBITMQ, setUp, until } from "./listener.test-kit.ts";
import { allSpans, openWorker } from "./spans.test-kit.ts";

const retryTiers: readonly RetryTier[] = [
  { name: "a", ms: 200 },
  { name: "b", ms: 400 },
];
function event(kit: Kit, name: string, trace: Trace, more: object = {}): void {
  kit.publish("log.INFO", JSON.stringify({ name, data: 1 }), {
    messageId: name,
    persistent: true,
    headers: { traceparent: traceparentOf(trace), ...more },
  });
}

const traceIdOf = (traceparent: string | undefined): string | undefined => traceparent?.split("-")[1];

describe.skipIf(RABBITMQ === undefined)("spans of the listener (needs TEST_RABBITMQ_URL)", () => {
  test("events of a batch are stored each in its own trace; the call for all of them is linked to all", async () => {
    using seen = allSpans();
    await using kit = await setUp({ WORKERS: "1" }, { openWorker });
    kit.logger.delayMs = 50;
    await using _app = await kit.listening();
    const traces = Array.from({ length: 40 }, (_, index) => ({ ...newTrace(), sampled: index % 2 === 0 }));
    for (const [index, trace] of traces.entries()) event(kit, `e${index}`, trace);
    await until(() => kit.logger.stored.size === 40);
    const sampled = traces.filter((trace) => trace.sampled);
    const process = `process ${kit.topology.logs.queue}`;
    await until(() => sampled.every((trace) => seen.named(trace, process).length === 1));
    await until(() => sampled.every((trace) => seen.named(trace, "store").length === 1));
    for (const trace of sampled) {
      const [processed] = seen.named(trace, process);
      const [stored] = seen.named(trace, "store");
      expect(processed).toMatchObject({
        kind: "consumer",
        trace: { parentId: trace.spanId },
        attributes: {
          "messaging.system": "rabbitmq",
          "messaging.destination.name": kit.topology.logs.queue,
          "messaging.rabbitmq.destination.routing_key": "log.INFO",
          "platform.attempt": 1,
        },
      });
      expect(stored?.trace.parentId).toBe(processed?.trace.spanId ?? "");
    }
    // What is not sampled costs no span, and is stored under its trace all the same.
    for (const trace of traces.filter((one) => !one.sampled)) expect(seen.of(trace)).toEqual([]);
    const batches = seen.spans.filter((span) => span.name === "store batch");
    expect(batches.length).toBeGreaterThan(0);
    for (const batch of batches) {
      const stores = seen.spans.filter((span) => span.name === "store" && span.links[0]?.spanId === batch.trace.spanId);
      expect(batch.links.map((link) => link.spanId).sort()).toEqual(stores.map((span) => span.trace.spanId).sort());
      expect(stores.map((span) => span.trace.spanId)).toContain(batch.trace.parentId ?? "");
    }
    const batched = [...kit.logger.stored.values()].filter((entry) => entry.traceparent !== undefined);
    expect(batched.length).toBeGreaterThan(20);
    for (const entry of batched) {
      const trace = traces[Number(entry.event_id?.slice(1))];
      expect(traceIdOf(entry.traceparent)).toBe(trace?.traceId);
      const [stored] = trace === undefined ? [] : seen.named(trace, "store");
      if (trace?.sampled === true) expect(entry.traceparent).toContain(String(stored?.trace.spanId));
      else expect(entry.traceparent).toEndWith("-00");
    }
  }, 60_000);

  test("tries, delay queues, the dead letters and a replay are one chain in the message's trace", async () => {
    using seen = allSpans();
    await using kit = await setUp({ WORKERS: "1" }, { openWorker, retryTiers });
    await using app = await kit.listening();
    let isBroken = true;
    kit.logger.breaksAt = ({ name }) => (name === "poor" && isBroken ? "conflict" : undefined);
    const trace = newTrace();
    event(kit, "poor", trace, { mine: "kept" });
    const { logs, retry } = kit.topology;
    await until(async () => (await kit.count(logs.deadLetterQueue)) === 1);
    isBroken = false;
    const replayed = await fetch(`${app.url}/events/dead-letters/replay`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: "{}",
    });
    expect(replayed.status).toBe(200);
    const process = `process ${logs.queue}`;
    await until(() => kit.logger.stored.has("poor") && seen.named(trace, process).length === 4);
    const tries = seen.named(trace, process);
    const sends = seen.of(trace).filter((span) => span.kind === "producer");
    expect(tries.map(({ attributes, error }) => [attributes["platform.attempt"], error])).toEqual([
      [1, "conflict"],
      [2, "conflict"],
      [3, "conflict"],
      [1, undefined],
    ]);
    expect(sends.map(({ name }) => name)).toEqual([
      `send ${retry.exchange}`,
      `send ${retry.exchange}`,
      `send ${logs.deadLetters}`,
      `send ${retry.back}`,
    ]);
    // Each is within the one before: handled, sent on, handled, …
    expect(tries[0]?.trace.parentId).toBe(trace.spanId);
    for (const [index, sent] of sends.slice(0, 3).entries()) {
      expect(sent.trace.parentId).toBe(tries[index]?.trace.spanId ?? "");
    }
    for (const [index, tried] of tries.slice(1, 3).entries()) {
      expect(tried.trace.parentId).toBe(sends[index]?.trace.spanId ?? "");
    }
    expect(sends[3]?.trace.parentId).toBe(sends[2]?.trace.spanId ?? "");
    expect(sends[3]?.links).toHaveLength(1);
    expect(sends[3]?.links[0]?.traceId).not.toBe(trace.traceId);
    expect(tries[3]?.trace.parentId).toBe(sends[3]?.trace.spanId ?? "");
    const stores = seen.named(trace, "store");
    expect(stores.map(({ error }) => error)).toEqual(["conflict", "conflict", "conflict", undefined]);
  }, 60_000);

  test("a job's work is a part of the trace of whoever asked for it, and goes on at the mail service", async () => {
    using seen = allSpans();
    await using kit = await setUp({ WORKERS: "1" }, { openWorker });
    await using _app = await kit.listening();
    const trace = newTrace();
    const body = Buffer.from(
      JSON.stringify({ from: "a@example.com", to: "b@example.com", subject: "s", message: "m" }),
    );
    const headers = { traceparent: traceparentOf(trace) };
    kit.channel.publish(kit.topology.jobs.exchange, MAIL_JOB, body, { messageId: "j", persistent: true, headers });
    const queue = kit.topology.jobs.queues.get(MAIL_JOB) ?? "";
    await until(() => seen.named(trace, `process ${queue}`).length === 1);
    const [processed] = seen.named(trace, `process ${queue}`);
    const [ran] = seen.named(trace, "run mail");
    expect(processed?.trace.parentId).toBe(trace.spanId);
    expect(ran?.trace.parentId).toBe(processed?.trace.spanId ?? "");
    expect(ran?.attributes).toMatchObject({ "platform.attempt": 1 });
    expect(traceIdOf(kit.mail.traceparents[0] ?? "")).toBe(trace.traceId);
    // Asking how the mail service is tells of nothing that anybody did.
    expect(seen.spans.every((span) => span.attributes["url.path"] !== "/ready")).toBe(true);
  }, 60_000);
});
