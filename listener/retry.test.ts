/** Messages that fail by a fault of their own wait in delay queues, come back, and are dead letters in the end. */
import { describe, expect, test } from "bun:test";
import { LOGS_DEAD_LETTER_QUEUE, MAIL_JOB, type RetryTier, retryQueueOf } from "#contracts/events";
import { feed, type Kit, mailQueueOf, RABBITMQ, setUp, until } from "./listener.test-kit.ts";

const retryTiers: readonly RetryTier[] = [
  { name: "a", ms: 200 },
  { name: "b", ms: 400 },
];

const poor = (kit: Kit, options = {}): void => {
  kit.publish("log.ERROR", `{"name":"poor","data":1}`, {
    messageId: "poor",
    persistent: true,
    correlationId: "c",
    headers: { mine: "kept", "x-original-routing-key": "log.INFO" },
    ...options,
  });
};

/** Other events, so that there is somebody who succeeds. */
function trickle(kit: Kit): Disposable {
  let next = 0;
  const timer = setInterval(() => feed(kit, next, (next += 2)), 50);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

function sendMail(kit: Kit, messageId: string, to = "b@example.com", from = "a@example.com"): void {
  const body = Buffer.from(JSON.stringify({ from, to, subject: "s", message: "m" }));
  kit.channel.publish(kit.topology.jobs.exchange, MAIL_JOB, body, { messageId, persistent: true });
}

const resultOf = async (url: string, kit: Kit, result: string): Promise<number> => {
  const text = await (await fetch(`${url}/metrics`)).text();
  const line = text.split("\n").find((one) => one.includes(`queue="${kit.topology.logs.queue}",result="${result}"`));
  return Number(line?.split(" ").at(-1));
};

describe.skipIf(RABBITMQ === undefined)("retry tiers (needs TEST_RABBITMQ_URL)", () => {
  test("an event that the logger broke at comes back later, as it was, and is stored", async () => {
    await using kit = await setUp({}, { retryTiers });
    await using app = await kit.listening();
    const tries: number[] = [];
    kit.logger.breaksAt = ({ name }) => {
      if (name !== "poor") return undefined;
      tries.push(performance.now());
      return tries.length < 3 || kit.logger.stored.size < 20 ? "internal" : undefined;
    };
    using _others = trickle(kit);
    poor(kit);
    await until(() => kit.logger.stored.has("poor"));
    expect(kit.logger.stored.get("poor")).toMatchObject({ name: "poor", data: 1, severity: "ERROR" });
    await until(async () => (await resultOf(app.url, kit, "retried")) >= 1);
    expect(await resultOf(app.url, kit, "dead")).toBe(0);
    expect(kit.logger.duplicates).toBe(0);
    expect(await kit.count(`${kit.prefix}${LOGS_DEAD_LETTER_QUEUE}`)).toBe(0);
  }, 30_000);

  test("after the last tier it is a dead letter, with the reason, its attempts and all that its sender said", async () => {
    await using kit = await setUp({}, { retryTiers });
    await using app = await kit.listening();
    kit.logger.breaksAt = ({ name }) => (name === "poor" ? "internal" : undefined);
    using _others = trickle(kit);
    poor(kit);
    const dlq = `${kit.prefix}${LOGS_DEAD_LETTER_QUEUE}`;
    await until(async () => (await kit.count(dlq)) === 1);
    const [letter] = await kit.deadLetters(dlq);
    expect(letter?.content.toString()).toBe(`{"name":"poor","data":1}`);
    expect(letter?.fields.routingKey).toBe("log.ERROR");
    expect(letter?.properties).toMatchObject({ messageId: "poor", correlationId: "c", deliveryMode: 2 });
    expect(letter?.properties.headers).toMatchObject({
      mine: "kept",
      "x-error": "the logger broke at poor",
      "x-original-routing-key": "log.ERROR",
      "x-original-exchange": kit.topology.logs.exchange,
      "x-attempt": 3,
    });
    expect(letter?.properties.headers?.["x-death"]).toBeUndefined();
    await until(async () => (await resultOf(app.url, kit, "dead")) === 1);
    expect(await resultOf(app.url, kit, "retried")).toBe(2);
  }, 30_000);

  test("a logger that breaks at everything costs no message an attempt", async () => {
    await using kit = await setUp({ LISTENER_PREFETCH: "20" }, { retryTiers });
    await using app = await kit.listening();
    let tries = 0;
    kit.logger.breaksAt = () => {
      tries += 1;
      return "internal";
    };
    feed(kit, 0, 100);
    await until(() => tries >= 8);
    kit.logger.breaksAt = () => undefined;
    await until(() => kit.logger.stored.size === 100);
    await until(async () => (await resultOf(app.url, kit, "done")) === 100);
    expect(await resultOf(app.url, kit, "retried")).toBe(0);
    expect(await resultOf(app.url, kit, "dead")).toBe(0);
  }, 60_000);

  test("a job for which alone its neighbour is away keeps no other waiting, and is a dead letter in the end", async () => {
    await using kit = await setUp({ LISTENER_WORKERS: "1" }, { retryTiers });
    await using _app = await kit.listening();
    let sent = 0;
    sendMail(kit, "unlucky", "unlucky@example.com");
    const timer = setInterval(() => sendMail(kit, `m${(sent += 1)}`), 50);
    try {
      const { deadLetterQueue } = kit.topology.jobs;
      await until(async () => (await kit.count(deadLetterQueue)) === 1, 40_000);
      clearInterval(timer);
      await until(() => new Set(kit.mail.got.map(({ key }) => key)).size === sent);
      expect(await kit.count(mailQueueOf(kit))).toBe(0);
      const [letter] = await kit.deadLetters(deadLetterQueue);
      expect(letter?.properties.messageId).toBe("unlucky");
      expect(letter?.properties.headers?.["x-attempt"]).toBe(3);
    } finally {
      clearInterval(timer);
    }
  }, 60_000);

  test("a mail of a sender who sent too many waits as long as was said, keeps no other waiting, and goes out", async () => {
    await using kit = await setUp({ LISTENER_WORKERS: "1" }, { retryTiers });
    await using app = await kit.listening();
    sendMail(kit, "greedy", "b@example.com", "greedy@example.com");
    await until(() => kit.mail.refusedAt.length === 1);
    sendMail(kit, "other");
    await until(() => kit.mail.got.some(({ key }) => key === "other"));
    await until(() => kit.mail.refusedAt.length === 2);
    kit.mail.isQuotaUsedUp = false;
    // Not after the first tier, which is shorter than that.
    const [first = 0, second = 0] = kit.mail.refusedAt;
    expect(second - first).toBeGreaterThan(350);
    await until(() => kit.mail.got.some(({ key }) => key === "greedy"));
    const text = await (await fetch(`${app.url}/metrics`)).text();
    expect(text).toContain(`listener_held{queue="${mailQueueOf(kit)}",service="listener"} 0`);
  }, 30_000);

  test("a sender who goes on sending too many, and one who may not send at all: dead letters, with the reason", async () => {
    await using kit = await setUp({ LISTENER_WORKERS: "1" }, { retryTiers });
    await using _app = await kit.listening();
    sendMail(kit, "greedy", "b@example.com", "greedy@example.com");
    sendMail(kit, "stranger", "b@example.com", "stranger@example.com");
    const { deadLetterQueue } = kit.topology.jobs;
    await until(async () => (await kit.count(deadLetterQueue)) === 2);
    const letters = new Map(
      (await kit.deadLetters(deadLetterQueue)).map(({ properties }) => [
        properties.messageId as string,
        properties.headers,
      ]),
    );
    expect(letters.get("stranger")).toMatchObject({ "x-error": "stranger@example.com may not send", "x-attempt": 1 });
    expect(letters.get("greedy")).toMatchObject({ "x-error": "too many", "x-attempt": 3 });
    expect(kit.mail.refusedAt).toHaveLength(3);
  }, 30_000);

  test("such a job keeps no other waiting in a worker that follows a crashed one, either", async () => {
    await using kit = await setUp({ LISTENER_WORKERS: "1" });
    await using app = await kit.listening();
    sendMail(kit, "unlucky", "unlucky@example.com");
    const held = async (): Promise<boolean> => {
      const text = await (await fetch(`${app.url}/metrics`)).text();
      return text.includes(`listener_held{queue="${mailQueueOf(kit)}",service="listener"} 1`);
    };
    await until(held);
    kit.workers[0]?.terminate();
    await until(() => kit.workers.length === 2);
    await until(held);
    for (let index = 0; index < 5; index += 1) sendMail(kit, `m${index}`);
    await until(() => kit.mail.got.length === 5);
  }, 30_000);

  test("what the delay queues cannot take stays in hand", async () => {
    await using kit = await setUp({ LISTENER_WORKERS: "1" }, { retryTiers });
    await using app = await kit.listening();
    const [tier] = retryTiers;
    const queue = kit.topology.queues.find(({ name }) => name === `${kit.prefix}${retryQueueOf(tier as RetryTier)}`);
    if (queue === undefined) throw new Error("no delay queue");
    await kit.channel.deleteQueue(queue.name);
    let healed = false;
    kit.logger.breaksAt = ({ name }) => (name === "poor" && !healed ? "internal" : undefined);
    using _others = trickle(kit);
    poor(kit);
    const held = `listener_held{queue="${kit.topology.logs.queue}",service="listener"}`;
    await until(async () => {
      const text = await (await fetch(`${app.url}/metrics`)).text();
      return (
        Number(
          text
            .split("\n")
            .find((line) => line.startsWith(held))
            ?.split(" ")[1],
        ) > 0
      );
    });
    expect(await resultOf(app.url, kit, "dead")).toBe(0);
    await kit.channel.assertQueue(queue.name, { durable: true, arguments: queue.arguments });
    for (const { exchange, key } of queue.bindings) await kit.channel.bindQueue(queue.name, exchange, key);
    await until(async () => (await resultOf(app.url, kit, "retried")) >= 1);
    healed = true;
    await until(() => kit.logger.stored.has("poor"));
    expect(kit.logger.duplicates).toBe(0);
  }, 30_000);
});
