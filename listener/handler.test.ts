/** A queue's way through a worker, on a real queue. */
import { expect, test } from "bun:test";
import { makeConsumer, topologyOf } from "#shared/amqp";
import { Secret } from "#shared/config";
import { Failure, fail, ok } from "#shared/errors";
import { silentLog } from "#shared/log";
import { newTrace } from "#shared/telemetry";
import { connect } from "amqplib";
import { makeCaution } from "./caution.ts";
import { makeHandler } from "./handler.ts";
import type { Fate } from "./pipeline.ts";
import { RABBITMQ, until } from "./listener.test-kit.ts";

test.skipIf(RABBITMQ === undefined)(
  "what was held for too long is given back once, and not taken again before the neighbour is well (needs TEST_RABBITMQ_URL)",
  async () => {
    const topology = topologyOf({ prefix: `t${Bun.randomUUIDv7()}.` });
    const { queue } = topology.logs;
    const model = await connect(RABBITMQ ?? "");
    const channel = await model.createConfirmChannel();
    let isAway = false;
    const deliveries: number[] = [];
    const moving = { bury: async () => ok(), putOff: async () => ok("retried" as const) };
    const handler = makeHandler<undefined>({
      queue,
      prefetch: 10,
      batchItems: 10,
      batchBytes: 1_000,
      concurrent: 1,
      unwrap(message) {
        deliveries.push(message.deliveries);
        return message;
      },
      read: () => ({ id: "a", trace: newTrace(), content: ok(undefined) }),
      work: async (items) => items.map((): Fate => (isAway ? { hold: new Failure("unavailable") } : "done")),
      moving,
      probe: async () => (isAway ? fail("unavailable") : ok()),
      log: silentLog,
      caution: () => caution,
      condemned: new Map(),
      onDone: () => undefined,
      tell: () => undefined,
      lane: () => consumer.lanes[0],
      giveBackMs: 300,
    });
    using caution = makeCaution({
      on: false,
      inHand: new Map([[queue, () => handler.inHand]]),
      onChange: (on) => handler.setCautious(on),
      flush: () => consumer.lanes[0]?.flush(),
    });
    let ups = 0;
    const consumer = makeConsumer({
      url: new Secret(RABBITMQ ?? ""),
      name: "test",
      log: silentLog,
      topology,
      lanes: [handler.lane],
      onUp: () => (ups += 1),
      onDown: () => undefined,
      onMismatch: () => undefined,
    });
    try {
      await until(() => ups === 1 && consumer.lanes[0]?.consumer !== undefined);
      isAway = true;
      for (let index = 0; index < 5; index += 1) channel.sendToQueue(queue, Buffer.from("{}"), { persistent: true });
      await until(async () => handler.inHand === 0 && (await channel.checkQueue(queue)).messageCount === 5);
      await Bun.sleep(700);
      expect(deliveries).toEqual([0, 0, 0, 0, 0]);
      isAway = false;
      await until(() => deliveries.length === 10 && handler.inHand === 0);
      expect(deliveries.slice(5)).toEqual([1, 1, 1, 1, 1]);
    } finally {
      await handler.drain(100);
      await consumer[Symbol.asyncDispose]();
      for (const { name } of topology.queues) await channel.deleteQueue(name);
      for (const { name } of topology.exchanges) await channel.deleteExchange(name);
      await model.close();
    }
  },
  30_000,
);
