import { describe, expect, test } from "bun:test";
import { EXIT } from "#shared/lifecycle";
import { JOBS_DEAD_LETTER_QUEUE, LOGS_DEAD_LETTER_QUEUE } from "#contracts/events";
import { all, feed, mailQueueOf, RABBITMQ, setUp, until } from "./listener.test-kit.ts";

describe.skipIf(RABBITMQ === undefined)("the listener (needs TEST_RABBITMQ_URL)", () => {
  test("stores 3,000 events of a foreign client once each, and finds the rubbish among them", async () => {
    await using kit = await setUp();
    await using app = await kit.listening();
    const rubbish = [
      "",
      "{",
      "null",
      "[1]",
      `"text"`,
      `{"name":"a"}`,
      `{"data":1}`,
      `{"name":5,"data":1}`,
      `{"name":"refused","data":1}`,
    ];
    for (const [index, body] of rubbish.entries()) {
      feed(kit, index * 300, (index + 1) * 300);
      kit.publish("log.WARNING", body, {
        messageId: `bad${index}`,
        correlationId: `c${index}`,
        headers: { mine: index },
      });
    }
    feed(kit, rubbish.length * 300, 3_000);
    kit.publish("log.INFO", Uint8Array.from([0x7b, 0xff]), { contentType: "text/plain" });
    kit.publish("log.ERROR", `{"name":"plain","data":"text"}`, { contentType: "text/plain" });
    await kit.channel.waitForConfirms();
    await until(() => kit.logger.stored.size === 3_001);
    await until(async () => (await kit.count(`${kit.prefix}${LOGS_DEAD_LETTER_QUEUE}`)) === rubbish.length + 1);
    expect([...kit.logger.stored.keys()].filter((id) => id.startsWith("m")).sort()).toEqual(all(3_000));
    expect(kit.logger.duplicates).toBe(0);
    expect(kit.logger.stored.get("m1")).toMatchObject({ name: "n1", data: { index: 1 }, severity: "WARNING" });
    expect([...kit.logger.stored.values()].find(({ name }) => name === "plain")).toMatchObject({
      severity: "ERROR",
      data: "text",
    });

    const dead = await kit.deadLetters(`${kit.prefix}${LOGS_DEAD_LETTER_QUEUE}`);
    for (const [index, body] of rubbish.entries()) {
      const letter = dead.find(({ properties }) => properties.messageId === `bad${index}`);
      expect(letter?.content.toString()).toBe(body);
      expect(letter?.properties).toMatchObject({ correlationId: `c${index}`, deliveryMode: 2 });
      expect(letter?.properties.headers).toMatchObject({ mine: index, "x-original-routing-key": "log.WARNING" });
      expect(String(letter?.properties.headers?.["x-error"]).length).toBeGreaterThan(5);
    }
    expect(dead.find(({ properties }) => properties.messageId === "bad8")?.properties.headers?.["x-error"]).toBe(
      "I do not like it",
    );
    const counted = `{queue="${kit.topology.logs.queue}",result="dead",service="listener"} 10`;
    await until(async () => (await (await fetch(`${app.url}/metrics`)).text()).includes(counted));
    expect(await kit.count(kit.topology.logs.queue)).toBe(0);
  }, 60_000);

  test("holds events while the logger is away, answers /ping and says so in /ready, and goes on by itself", async () => {
    await using kit = await setUp({ LISTENER_PREFETCH: "50" });
    await using app = await kit.listening();
    await kit.logger.down();
    feed(kit, 0, 400);
    await kit.channel.waitForConfirms();
    await until(async () => (await fetch(`${app.url}/ready`)).status === 503);
    expect(await (await fetch(`${app.url}/ping`)).text()).toBe("OK");
    await until(async () =>
      (await (await fetch(`${app.url}/metrics`)).text()).includes(
        `listener_held{queue="${kit.topology.logs.queue}",service="listener"} 100`,
      ),
    );
    expect(await kit.count(kit.topology.logs.queue)).toBe(300);
    kit.logger.up();
    const backAt = performance.now();
    await until(() => kit.logger.stored.size === 400);
    expect(performance.now() - backAt).toBeLessThan(8_000);
    expect([...kit.logger.stored.keys()].sort()).toEqual(all(400));
    await until(async () => (await fetch(`${app.url}/ready`)).status === 200);
    expect(await kit.count(`${kit.prefix}${LOGS_DEAD_LETTER_QUEUE}`)).toBe(0);
  }, 60_000);

  test("does not spend a message's attempts on a logger without its database", async () => {
    await using kit = await setUp({ LISTENER_WORKERS: "1" });
    await using app = await kit.listening();
    kit.logger.failing = true;
    feed(kit, 0, 20);
    await until(() => kit.logger.calls >= 6);
    kit.logger.failing = false;
    await until(() => kit.logger.stored.size === 20);
    expect(kit.logger.duplicates).toBe(0);
    expect(await kit.count(kit.topology.logs.queue)).toBe(0);
    const result = (name: string, count: number): string =>
      `{queue="${kit.topology.logs.queue}",result="${name}",service="listener"} ${count}`;
    const metrics = async (): Promise<string> => (await fetch(`${app.url}/metrics`)).text();
    await until(async () => (await metrics()).includes(result("done", 20)));
    expect(await metrics()).toContain(result("returned", 0));
  }, 60_000);

  test("loses nothing when its workers are killed again and again in the middle of a batch", async () => {
    await using kit = await setUp();
    await using _app = await kit.listening();
    kit.logger.delayMs = 100;
    for (let round = 0; round < 3; round += 1) {
      const calls = kit.logger.calls;
      feed(kit, round * 1_000, (round + 1) * 1_000);
      await until(() => kit.logger.calls > calls);
      for (const worker of kit.workers.splice(0)) worker.terminate();
      await until(() => kit.workers.length === 2);
    }
    kit.logger.delayMs = 1;
    await until(() => kit.logger.stored.size === 3_000, 40_000);
    expect([...kit.logger.stored.keys()].sort()).toEqual(all(3_000));
    await until(async () => (await kit.count(kit.topology.logs.queue)) === 0);
    expect(await kit.count(`${kit.prefix}${LOGS_DEAD_LETTER_QUEUE}`)).toBe(0);
  }, 90_000);

  test("a drain finishes what is in hand and gives back the rest", async () => {
    await using kit = await setUp({ LISTENER_PREFETCH: "40", LISTENER_WORKERS: "1" });
    const app = await kit.listening();
    kit.logger.delayMs = 300;
    feed(kit, 0, 200);
    await kit.channel.waitForConfirms();
    await until(() => kit.logger.calls > 0);
    await app[Symbol.asyncDispose]();
    await app[Symbol.asyncDispose]();
    const stored = kit.logger.stored.size;
    expect(stored).toBeGreaterThan(0);
    await until(async () => (await kit.count(kit.topology.logs.queue)) === 200 - stored);
    expect(kit.logger.duplicates).toBe(0);
  }, 60_000);

  test("ends with code 3 where its queue has another shape, and leaves that queue as it is", async () => {
    await using kit = await setUp();
    await kit.channel.assertQueue(kit.topology.logs.queue, { durable: true, arguments: { "x-queue-type": "classic" } });
    kit.channel.sendToQueue(kit.topology.logs.queue, Buffer.from("mine"));
    await kit.channel.waitForConfirms();
    await using _app = await kit.listen();
    await until(() => kit.stops.length > 0);
    expect(kit.stops).toEqual([EXIT.topology]);
    expect(await kit.count(kit.topology.logs.queue)).toBe(1);
  }, 60_000);

  test("delivers mail jobs under their own id, dead-letters what is refused, and waits for a service that is away", async () => {
    await using kit = await setUp();
    await using _app = await kit.listening();
    const job = (to: string): void => {
      const body = { from: "a@example.com", to, subject: "s", message: "m" };
      kit.channel.publish(kit.topology.jobs.exchange, "mail", Buffer.from(JSON.stringify(body)), {
        messageId: `job-${to}`,
      });
    };
    kit.mail.status = 503;
    job("first@example.com");
    await until(() => kit.mail.got.length >= 2);
    kit.mail.status = 202;
    job("refused@example.com");
    kit.channel.publish(kit.topology.jobs.exchange, "mail", Buffer.from("rubbish"), { messageId: "rubbish" });
    job("second@example.com");
    await until(() => kit.mail.got.some(({ key }) => key === "job-second@example.com"));
    await until(async () => (await kit.count(`${kit.prefix}${JOBS_DEAD_LETTER_QUEUE}`)) === 2);
    const dead = await kit.deadLetters(`${kit.prefix}${JOBS_DEAD_LETTER_QUEUE}`);
    const refused = dead.find(({ properties }) => properties.messageId === "job-refused@example.com");
    expect(refused?.properties.headers?.["x-error"]).toBe("to is not wanted");
    expect(refused?.fields.routingKey).toBe("mail");
    await until(async () => (await kit.count(mailQueueOf(kit))) === 0);
    const first = kit.mail.got.filter(({ key }) => key === "job-first@example.com");
    expect(first.at(-1)?.body).toMatchObject({ to: "first@example.com", subject: "s" });
  }, 60_000);

  test("keeps trying while RabbitMQ is away at its start", async () => {
    await using kit = await setUp({ RABBITMQ_URL: "amqp://127.0.0.1:1" });
    await using app = await kit.listen();
    await until(() =>
      kit.runtime.health.report().dependencies.some(({ name, state }) => name === "rabbitmq" && state === "down"),
    );
    expect((await fetch(`${app.url}/ready`)).status).toBe(503);
    expect((await fetch(`${app.url}/ping`)).status).toBe(200);
    // For the clean-up: nothing was declared.
    for (const { name } of kit.topology.queues) await kit.channel.assertQueue(name);
  }, 60_000);
});
