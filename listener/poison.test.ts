/** Messages that end the worker which handles them: each is found out and dead-lettered, and no other goes with it. */
import { describe, expect, test } from "bun:test";
import { LOGS_DEAD_LETTER_QUEUE } from "#contracts/events";
import { all, feed, RABBITMQ, setUp, until } from "./listener.test-kit.ts";

const openWorker = (): Worker => new Worker(new URL("./crashing-worker.fixture.ts", import.meta.url));

const poison = (how: string): string => JSON.stringify({ name: "poison", data: how });

describe.skipIf(RABBITMQ === undefined)("poison (needs TEST_RABBITMQ_URL)", () => {
  test.each(["throw", "reject", "exit"])(
    "a message that ends its worker by %s is dead-lettered with the reason; its neighbours are stored",
    async (how) => {
      await using kit = await setUp({}, { openWorker });
      await using app = await kit.listening();
      const dlq = `${kit.prefix}${LOGS_DEAD_LETTER_QUEUE}`;
      feed(kit, 0, 500);
      kit.publish("log.ERROR", poison(how), { messageId: "poison", persistent: true });
      feed(kit, 500, 1_000);
      await kit.channel.waitForConfirms();
      await until(() => kit.logger.stored.size === 1_000, 30_000);
      await until(async () => (await kit.count(dlq)) === 1, 30_000);
      const [letter] = await kit.deadLetters(dlq);
      expect(letter?.properties.messageId).toBe("poison");
      expect(letter?.properties.headers).toMatchObject({ "x-original-routing-key": "log.ERROR" });
      // A fourth worker may have it in hand by the time of the verdict.
      expect(String(letter?.properties.headers?.["x-error"])).toMatch(/it ended the worker [34] times/);
      expect([...kit.logger.stored.keys()].sort()).toEqual(all(1_000));
      await until(async () => (await kit.count(kit.topology.logs.queue)) === 0);
      // Back in batches, and well.
      const metrics = async (): Promise<string> => (await fetch(`${app.url}/metrics`)).text();
      await until(async () => (await metrics()).includes(`listener_cautious_workers{service="listener"} 0`));
      feed(kit, 1_000, 1_500);
      await until(() => kit.logger.stored.size === 1_500);
    },
    60_000,
  );

  test("one that makes its worker spin is found by its silence, while the other worker goes on", async () => {
    await using kit = await setUp({}, { openWorker, silentMs: 3_000 });
    await using _app = await kit.listening();
    feed(kit, 0, 300);
    kit.publish("log.INFO", poison("spin"), { messageId: "poison", persistent: true });
    feed(kit, 300, 600);
    await until(() => kit.logger.stored.size === 600, 60_000);
    await until(async () => (await kit.count(`${kit.prefix}${LOGS_DEAD_LETTER_QUEUE}`)) === 1, 60_000);
    expect([...kit.logger.stored.keys()].sort()).toEqual(all(600));
  }, 120_000);

  test("three of them among 10,000, without ids: all three are dead letters, and nothing else is", async () => {
    await using kit = await setUp({}, { openWorker });
    await using _app = await kit.listening();
    const dlq = `${kit.prefix}${LOGS_DEAD_LETTER_QUEUE}`;
    // The last two are the same message, one after the other.
    for (const [index, how] of ["throw", "reject", "reject"].entries()) {
      feed(kit, index * 3_000, (index + 1) * 3_000);
      kit.publish("log.INFO", poison(how), { persistent: true });
    }
    feed(kit, 9_000, 10_000);
    await kit.channel.waitForConfirms();
    await until(() => kit.logger.stored.size === 10_000, 60_000);
    await until(async () => (await kit.count(dlq)) === 3, 60_000);
    expect([...kit.logger.stored.keys()].sort()).toEqual(all(10_000));
    await until(async () => (await kit.count(kit.topology.logs.queue)) === 0);
    const dead = await kit.deadLetters(dlq);
    expect(dead.map(({ content }) => content.toString()).sort()).toEqual(["reject", "reject", "throw"].map(poison));
  }, 150_000);
});
