import { describe, expect, test } from "bun:test";
import { type Channel, type ChannelModel, connect, type GetMessage } from "amqplib";
import { MAIL_JOB } from "#contracts/events";
import { MESSAGE_LIMITS } from "#contracts/limits";
import { Secret } from "#shared/config";
import { makeHealth } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { makeMetrics, newContext, traceparentOf, untraced } from "#shared/telemetry";
import { collectSpans } from "#shared/telemetry-testing";
import { makeConsumer } from "./consumer.ts";
import type { Delivery } from "./lane.ts";
import { mismatchOf, type TopologyMismatch } from "./mismatch.ts";
import { type Proxy, startProxy } from "./proxy.test-kit.ts";
import { makePublisher } from "./publisher.ts";
import { topologyOf } from "./topology.ts";
import type { OutgoingMessage } from "./types.ts";

const RABBITMQ = process.env["TEST_RABBITMQ_URL"];
const NEEDS = "(needs TEST_RABBITMQ_URL)";

test("a refusal names the queue, the argument, ours and theirs", () => {
  const error = new Error(
    `Operation failed: QueueDeclare; 406 (PRECONDITION-FAILED) with message "PRECONDITION_FAILED - inequivalent arg 'x-delivery-limit' for queue 'logs.main.v1' in vhost '/': received the value '50' of type 'signedint' but current is none"`,
  );
  expect(mismatchOf(error)).toMatchObject({
    kind: "queue",
    entity: "logs.main.v1",
    argument: "x-delivery-limit",
    ours: "50",
    theirs: "none",
  });
  const other = new Error(
    `Operation failed: ExchangeDeclare; 406 (PRECONDITION-FAILED) with message "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'logs_topic' in vhost 'a/b': received 'topic' but current is 'direct'"`,
  );
  expect(mismatchOf(other)).toMatchObject({
    kind: "exchange",
    entity: "logs_topic",
    argument: "type",
    theirs: "direct",
  });
  expect(mismatchOf(new Error("connection lost"))).toBeUndefined();
});

async function until(condition: () => boolean | Promise<boolean>, ms = 15_000): Promise<void> {
  const endsAt = performance.now() + ms;
  while (!(await condition())) {
    if (performance.now() > endsAt) throw new Error("it did not come to pass");
    await Bun.sleep(10);
  }
}

/** Names of its own, a channel to look with, and everything deleted afterwards. */
async function setUp() {
  const topology = topologyOf({ prefix: `t${Bun.randomUUIDv7()}.` });
  const model: ChannelModel = await connect(RABBITMQ ?? "");
  model.on("error", () => undefined);
  const channel: Channel = await model.createChannel();
  const proxy: Proxy = await startProxy(new URL(RABBITMQ ?? ""));
  const throughProxy = new URL(RABBITMQ ?? "");
  throughProxy.hostname = "127.0.0.1";
  throughProxy.port = String(proxy.port);
  const health = makeHealth(silentLog);
  const metrics = makeMetrics("test", "0");
  return {
    topology,
    channel,
    proxy,
    health,
    report: () => health.report().dependencies[0],
    url: new Secret(throughProxy.href),
    publisher: () =>
      makePublisher({
        url: new Secret(throughProxy.href),
        name: "test",
        log: silentLog,
        metrics,
        dependency: health.dependency("rabbitmq"),
        topology,
      }),
    async [Symbol.asyncDispose]() {
      const cleaning = await model.createChannel();
      for (const { name } of topology.queues) await cleaning.deleteQueue(name);
      for (const { name } of topology.exchanges) await cleaning.deleteExchange(name);
      await model.close();
      await proxy[Symbol.asyncDispose]();
      metrics[Symbol.dispose]();
    },
  };
}

type Kit = Awaited<ReturnType<typeof setUp>>;

const mailQueueOf = (kit: Kit): string => kit.topology.jobs.queues.get(MAIL_JOB) ?? "";

const event = (kit: Kit, more: Partial<OutgoingMessage> = {}): OutgoingMessage => ({
  exchange: kit.topology.logs.exchange,
  routingKey: "log.INFO",
  messageId: Bun.randomUUIDv7(),
  body: new TextEncoder().encode(`{"name":"a","data":1}`),
  ...more,
});

describe.skipIf(RABBITMQ === undefined)(`a publisher ${NEEDS}`, () => {
  test("succeeds once a queue has the message, persistent and with its identity", async () => {
    await using kit = await setUp();
    await using publisher = kit.publisher();
    await until(() => publisher.state === "connected");
    expect(kit.report()?.state).toBe("up");
    const context = newContext();
    const message = event(kit, { headers: { a: "b" }, timestamp: new Date("2026-01-02T03:04:05.678Z") });
    expect(await publisher.publish(message, context)).toMatchObject({ ok: true });
    const got = (await kit.channel.get(kit.topology.logs.queue)) as GetMessage;
    expect(got.content.toString()).toBe(`{"name":"a","data":1}`);
    expect(got.properties).toMatchObject({
      messageId: message.messageId,
      deliveryMode: 2,
      contentType: "application/json",
      timestamp: Date.UTC(2026, 0, 2, 3, 4, 5) / 1_000,
      headers: { a: "b", "x-created-at": "2026-01-02T03:04:05.678Z" },
    });
    expect(String(got.properties.headers?.["traceparent"])).toContain(context.trace.traceId);
  });

  test("a message's span lasts until the confirm, says how it ended, and is the one that its header names", async () => {
    using seen = collectSpans();
    await using kit = await setUp();
    await using publisher = kit.publisher();
    await until(() => publisher.state === "connected");
    const context = newContext();
    const [message, unwanted] = [event(kit), event(kit, { routingKey: "nobody" })];
    await Promise.all([publisher.publish(message, context), publisher.publish(unwanted, context)]);
    const got = (await kit.channel.get(kit.topology.logs.queue)) as GetMessage;
    const spanOf = ({ messageId }: OutgoingMessage) =>
      seen.spans.find(({ attributes }) => attributes["messaging.message.id"] === messageId);
    expect(spanOf(message)).toMatchObject({
      name: `send ${kit.topology.logs.exchange}`,
      kind: "producer",
      trace: { traceId: context.trace.traceId, parentId: context.trace.spanId },
      attributes: {
        "messaging.system": "rabbitmq",
        "messaging.operation.type": "send",
        "messaging.destination.name": kit.topology.logs.exchange,
        "messaging.rabbitmq.destination.routing_key": "log.INFO",
        "server.address": "127.0.0.1",
      },
    });
    expect(spanOf(message)?.error).toBeUndefined();
    expect(spanOf(unwanted)?.error).toBe("unavailable");
    expect(String(got.properties.headers?.["traceparent"])).toContain(String(spanOf(message)?.trace.spanId));
    // What is not sampled has no span, and its decision goes along.
    const unsampled = { ...context, trace: untraced() };
    const before = seen.spans.length;
    expect((await publisher.publish(event(kit), unsampled)).ok).toBe(true);
    expect(seen.spans).toHaveLength(before);
    const quiet = (await kit.channel.get(kit.topology.logs.queue)) as GetMessage;
    expect(quiet.properties.headers?.["traceparent"]).toBe(traceparentOf(unsampled.trace));
  });

  test("fails where no queue takes the message (unless nobody has to), and where it is too large", async () => {
    await using kit = await setUp();
    await using publisher = kit.publisher();
    await until(() => publisher.state === "connected");
    const [lost, kept] = await Promise.all([
      publisher.publish(event(kit, { routingKey: "nobody" }), newContext()),
      publisher.publish(event(kit), newContext()),
    ]);
    expect(lost).toMatchObject({ ok: false, error: { code: "unavailable" } });
    expect(kept.ok).toBe(true);
    const unwanted = event(kit, { routingKey: "nobody", mandatory: false });
    expect(await publisher.publish(unwanted, newContext())).toMatchObject({ ok: true });
    const large = event(kit, { body: new Uint8Array(MESSAGE_LIMITS.bytes + 1) });
    expect(await publisher.publish(large, newContext())).toMatchObject({ ok: false, error: { code: "too_large" } });
    const largest = event(kit, { body: new Uint8Array(MESSAGE_LIMITS.bytes) });
    expect(await publisher.publish(largest, newContext())).toMatchObject({ ok: true });
  });

  test("decides within 2.1 s when the server falls silent, gives the connection up and heals", async () => {
    await using kit = await setUp();
    await using publisher = kit.publisher();
    await until(() => publisher.state === "connected");
    kit.proxy.stall();
    const startedAt = performance.now();
    const silent = await publisher.publish(event(kit), newContext());
    expect(silent).toMatchObject({ ok: false, error: { code: "unavailable" } });
    expect(performance.now() - startedAt).toBeLessThan(2_100);
    await until(() => publisher.state === "away", 3_000);
    const refusedAt = performance.now();
    expect((await publisher.publish(event(kit), newContext())).ok).toBe(false);
    expect(performance.now() - refusedAt).toBeLessThan(50);
    expect(kit.report()?.state).toBe("down");
    kit.proxy.resume();
    await until(() => publisher.state === "connected", 10_000);
    expect((await publisher.publish(event(kit), newContext())).ok).toBe(true);
    expect(kit.report()?.state).toBe("up");
  }, 30_000);

  test("decides by the context's deadline where that is sooner, and takes at most 1,000 unconfirmed messages", async () => {
    await using kit = await setUp();
    await using publisher = kit.publisher();
    await until(() => publisher.state === "connected");
    kit.proxy.stall();
    const startedAt = performance.now();
    expect((await publisher.publish(event(kit), newContext(100))).ok).toBe(false);
    expect(performance.now() - startedAt).toBeLessThan(500);
    const all = Array.from({ length: 1_005 }, () => publisher.publish(event(kit), newContext(1_000)));
    const codes = (await Promise.all(all)).map((result) => (result.ok ? "ok" : result.error.code));
    // The first message of this test is unconfirmed, too.
    expect(codes.filter((code) => code === "exhausted")).toHaveLength(6);
    expect(codes.filter((code) => code === "unavailable")).toHaveLength(999);
  }, 15_000);

  test("fails what is under way when the connection breaks, and connects again", async () => {
    await using kit = await setUp();
    await using publisher = kit.publisher();
    await until(() => publisher.state === "connected");
    for (let round = 0; round < 5; round += 1) {
      const pending = Array.from({ length: 50 }, () => publisher.publish(event(kit), newContext()));
      kit.proxy.cut();
      const startedAt = performance.now();
      for (const result of await Promise.all(pending)) {
        if (!result.ok) expect(result.error.code).toBe("unavailable");
      }
      expect(performance.now() - startedAt).toBeLessThan(1_000);
      await until(() => publisher.state === "connected");
      expect((await publisher.publish(event(kit), newContext())).ok).toBe(true);
    }
  }, 30_000);

  test("refuses at once while the server blocks it for lack of memory or disk", async () => {
    await using kit = await setUp();
    await using publisher = kit.publisher();
    await until(() => publisher.state === "connected");
    // connection.blocked (class 10, method 60) with the reason "low" on channel 0.
    kit.proxy.inject(Uint8Array.from([1, 0, 0, 0, 0, 0, 8, 0, 10, 0, 60, 3, 108, 111, 119, 206]));
    await until(() => publisher.state === "blocked");
    expect(kit.report()).toMatchObject({ state: "down", last_error: "RabbitMQ takes no messages: low" });
    const startedAt = performance.now();
    expect(await publisher.publish(event(kit), newContext())).toMatchObject({
      ok: false,
      error: { code: "unavailable" },
    });
    expect(performance.now() - startedAt).toBeLessThan(100);
    // connection.unblocked (class 10, method 61).
    kit.proxy.inject(Uint8Array.from([1, 0, 0, 0, 0, 0, 4, 0, 10, 0, 61, 206]));
    await until(() => publisher.state === "connected");
    expect((await publisher.publish(event(kit), newContext())).ok).toBe(true);
  });

  test("says which queue has another shape, and keeps publishing to the others", async () => {
    await using kit = await setUp();
    await kit.channel.assertQueue(mailQueueOf(kit), { durable: true });
    await using publisher = kit.publisher();
    await until(() => publisher.state === "connected");
    expect(kit.report()?.state).toBe("down");
    expect(kit.report()?.last_error).toContain(`the queue ${mailQueueOf(kit)} exists with another`);
    expect((await publisher.publish(event(kit), newContext())).ok).toBe(true);
  });

  test("never throws: nobody is there, or it was closed", async () => {
    await using kit = await setUp();
    kit.proxy.refuse(true);
    const publisher = kit.publisher();
    expect(publisher.state).toBe("away");
    expect(await publisher.publish(event(kit), newContext())).toMatchObject({
      ok: false,
      error: { code: "unavailable" },
    });
    await until(() => kit.report()?.state === "down");
    kit.proxy.refuse(false);
    await until(() => publisher.state === "connected");
    await publisher[Symbol.asyncDispose]();
    await publisher[Symbol.asyncDispose]();
    expect((await publisher.publish(event(kit), newContext())).ok).toBe(false);
  }, 15_000);
});

describe.skipIf(RABBITMQ === undefined)(`a consumer ${NEEDS}`, () => {
  function consuming(kit: Kit, onDelivery: (delivery: Delivery) => void, prefetch = 10) {
    const seen = { up: 0, down: 0, lost: 0, mismatches: [] as TopologyMismatch[] };
    const consumer = makeConsumer({
      url: kit.url,
      name: "test",
      log: silentLog,
      topology: kit.topology,
      watchMs: 300,
      lanes: [{ queue: kit.topology.logs.queue, prefetch, onDelivery, onLost: () => (seen.lost += 1) }],
      onUp: () => (seen.up += 1),
      onDown: () => (seen.down += 1),
      onMismatch: (mismatch) => seen.mismatches.push(mismatch),
    });
    void consumer.lanes[0]?.setFlow(true);
    return { consumer, seen };
  }

  const ready = async (kit: Kit): Promise<number> =>
    (await kit.channel.checkQueue(kit.topology.logs.queue)).messageCount;

  test("acknowledges what is settled and gives the rest back when it closes", async () => {
    await using kit = await setUp();
    await using publisher = kit.publisher();
    await until(() => publisher.state === "connected");
    for (let index = 0; index < 5; index += 1) await publisher.publish(event(kit), newContext());
    const deliveries: Delivery[] = [];
    const { consumer } = consuming(kit, (delivery) => deliveries.push(delivery), 4);
    await until(() => deliveries.length === 4);
    deliveries[0]?.settle();
    deliveries[2]?.settle();
    await until(() => deliveries.length === 5);
    await consumer[Symbol.asyncDispose]();
    await until(async () => (await ready(kit)) === 3);
    // Of a channel that is gone: without effect.
    for (const delivery of deliveries) delivery.settle();
    expect(await ready(kit)).toBe(3);
  });

  test("an acknowledgement of an older connection does nothing on the new one", async () => {
    await using kit = await setUp();
    await using publisher = kit.publisher();
    await until(() => publisher.state === "connected");
    await publisher.publish(event(kit), newContext());
    const deliveries: Delivery[] = [];
    const { consumer, seen } = consuming(kit, (delivery) => deliveries.push(delivery));
    await until(() => deliveries.length === 1);
    kit.proxy.cut();
    await until(() => deliveries.length === 2);
    expect(seen.lost).toBeGreaterThan(0);
    deliveries[0]?.settle();
    await consumer[Symbol.asyncDispose]();
    await until(async () => (await ready(kit)) === 1);
  }, 15_000);

  test("every message is settled though the connection breaks again and again", async () => {
    await using kit = await setUp();
    await using publisher = kit.publisher();
    await until(() => publisher.state === "connected");
    const ids = Array.from({ length: 600 }, (_, index) => `m${index}`);
    const sent = await Promise.all(ids.map((messageId) => publisher.publish(event(kit, { messageId }), newContext())));
    expect(sent.every((result) => result.ok)).toBe(true);
    const settled = new Set<string>();
    let delivered = 0;
    const { consumer, seen } = consuming(
      kit,
      ({ message, settle }) => {
        delivered += 1;
        setTimeout(
          () => {
            settled.add(message.messageId ?? "");
            settle();
          },
          (delivered % 7) * 3,
        );
      },
      50,
    );
    for (let round = 1; round <= 4; round += 1) {
      await until(() => seen.up === round && delivered >= round * 100);
      kit.proxy.cut();
    }
    await until(async () => settled.size === ids.length && (await ready(kit)) === 0);
    await consumer[Symbol.asyncDispose]();
    expect(await ready(kit)).toBe(0);
  }, 30_000);

  test("its watchdog keeps still while it begins to consume anew, again and again", async () => {
    await using kit = await setUp();
    const alarms: string[] = [];
    let ups = 0;
    await using consumer = makeConsumer({
      url: kit.url,
      name: "test",
      log: silentLog,
      topology: kit.topology,
      lanes: [
        { queue: kit.topology.logs.queue, prefetch: 300, onDelivery: ({ settle }) => settle(), onLost: () => {} },
      ],
      onUp: () => (ups += 1),
      onDown: (reason) => alarms.push(String(reason)),
      onMismatch: () => {},
      watchMs: 200,
    });
    const [lane] = consumer.lanes;
    await until(() => ups === 1);
    await lane?.setFlow(true);
    const endsAt = performance.now() + 4_000;
    for (let turn = 0; performance.now() < endsAt; turn += 1) await lane?.setPrefetch(turn % 2 === 0 ? 1 : 300);
    // On a busy machine an answer may take longer than 200 ms: that alarm is right.
    expect(alarms.filter((alarm) => !alarm.includes("does not answer"))).toEqual([]);
  }, 30_000);

  test("consumes again after its queue was deleted under it", async () => {
    await using kit = await setUp();
    await using publisher = kit.publisher();
    await until(() => publisher.state === "connected");
    const bodies: string[] = [];
    const { consumer, seen } = consuming(kit, ({ message, settle }) => {
      bodies.push(message.messageId ?? "");
      settle();
    });
    await until(() => seen.up === 1);
    await kit.channel.deleteQueue(kit.topology.logs.queue);
    await until(() => seen.up === 2);
    expect((await publisher.publish(event(kit, { messageId: "after" }), newContext())).ok).toBe(true);
    await until(() => bodies.includes("after"));
    await consumer[Symbol.asyncDispose]();
  }, 15_000);

  test("notices a server that is connected and says nothing, long before the heartbeat does", async () => {
    await using kit = await setUp();
    const { consumer, seen } = consuming(kit, ({ settle }) => settle());
    await until(() => seen.up === 1);
    kit.proxy.stall();
    await until(() => seen.down === 1, 3_000);
    kit.proxy.resume();
    await until(() => seen.up === 2);
    await consumer[Symbol.asyncDispose]();
  }, 20_000);

  test("says so when its queue has another shape, and leaves that queue alone", async () => {
    await using kit = await setUp();
    await kit.channel.assertQueue(kit.topology.logs.queue, { durable: true, arguments: { "x-queue-type": "classic" } });
    const { consumer, seen } = consuming(kit, () => undefined);
    await until(() => seen.mismatches.length > 0);
    expect(seen.mismatches[0]).toMatchObject({ kind: "queue", entity: kit.topology.logs.queue });
    expect(seen.mismatches[0]?.message).toContain("docs/migrating-queues.md");
    expect(await ready(kit)).toBe(0);
    await consumer[Symbol.asyncDispose]();
  });
});
