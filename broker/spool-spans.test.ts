/** What waited in the spool is delivered in the trace of its request, also by the next process. */
import { describe, expect, test } from "bun:test";
import { traceOf, traceparentOf } from "#shared/telemetry";
import { collectSpans } from "#shared/telemetry-testing";
import { brokers, LOG, LOGS_QUEUE, queues, RABBITMQ, until } from "./platform.test-kit.ts";

const { platform, withGate } = brokers();

test("an entry that waited through a restart is handed on in its trace, with the time that it waited", async () => {
  using seen = collectSpans();
  const { handle, logger, app, startBroker } = await platform();
  await logger.down();
  const sampled = traceOf(undefined);
  const answer = await handle(LOG, { traceparent: traceparentOf(sampled) });
  expect(answer.headers.get("x-degraded")).toBe("logger=spooled");
  const named = (name: string) =>
    seen.spans.filter((span) => span.name === name && span.trace.traceId === sampled.traceId);
  // Tried and in vain, one record at a time: that is told, too.
  await until("a second try", () => named("spool").length >= 2);
  await app[Symbol.asyncDispose]();
  const before = named("spool").length;
  logger.up();
  await startBroker();
  await until("stored", () => logger.byId.has(String(answer.body.data?.["receipt_id"])));
  await until("told", () => named("spool").length > before && named("spool").at(-1)?.error === undefined);
  const [appended] = named("spool append");
  const spools = named("spool");
  const last = spools.at(-1);
  expect(appended?.attributes).toMatchObject({ "platform.spool": "entries" });
  expect(new Set(spools.map(({ trace }) => trace.parentId))).toEqual(new Set([appended?.trace.spanId]));
  expect(spools.slice(0, -1).every(({ error }) => error === "unavailable")).toBe(true);
  expect(spools.slice(0, 2).map(({ attributes }) => attributes["platform.attempt"])).toEqual([1, 2]);
  expect(last?.attributes).toMatchObject({ "platform.spool": "entries", "platform.attempt": 1 });
  const waitedMs = Number(last?.attributes["platform.waited_ms"]);
  expect(waitedMs).toBeGreaterThan(Number(spools[0]?.attributes["platform.waited_ms"]));
}, 60_000);

test("of what waits while nobody is there, one record a try is tried", async () => {
  using seen = collectSpans();
  const { handle, logger } = await platform();
  await logger.down();
  await Promise.all(Array.from({ length: 20 }, () => handle(LOG)));
  const failed = () => seen.spans.filter(({ name, error }) => name === "spool" && error !== undefined);
  await until("some tries", () => failed().some(({ attributes }) => Number(attributes["platform.attempt"]) >= 4));
  expect(failed().filter(({ attributes }) => Number(attributes["platform.attempt"]) > 1).length).toBeLessThan(8);
  logger.up();
  await until("all stored", () => logger.byId.size === 20);
}, 60_000);

describe.skipIf(RABBITMQ === undefined)("with RabbitMQ (needs TEST_RABBITMQ_URL)", () => {
  const { messageOf, named } = queues();

  test("an event that waited for RabbitMQ has its message's span within that of the spool", async () => {
    using seen = collectSpans();
    const { gate, post, isUp } = await withGate();
    gate.shut();
    await until("the loss noticed", () => !isUp("rabbitmq")());
    const trace = traceOf(undefined);
    expect((await post("/", {}, { traceparent: traceparentOf(trace) })).status).toBe(200);
    gate.open();
    const hit = await messageOf(LOGS_QUEUE, named("broker_hit"));
    const of = (name: string) =>
      seen.spans.filter((span) => span.name === name && span.trace.traceId === trace.traceId);
    await until("told", () => of("spool").some(({ error }) => error === undefined));
    const [spooled] = of("spool").filter(({ error }) => error === undefined);
    const sent = of("send logs_topic").find((span) => span.trace.parentId === spooled?.trace.spanId);
    expect(hit.properties.headers?.["traceparent"]).toBe(`00-${trace.traceId}-${sent?.trace.spanId}-01`);
    expect(spooled?.trace.parentId).toBe(of("spool append")[0]?.trace.spanId ?? "");
  }, 60_000);
});
