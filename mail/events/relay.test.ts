/** What RabbitMQ is told of mails, on a real PostgreSQL and RabbitMQ. */
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import amqp from "amqplib";
import type { MailState } from "#contracts/mail";
import { bind, makeGate, makeScene, POSTGRES_URL, RABBITMQ_URL, type Scene, until } from "./events.test-kit.ts";

setDefaultTimeout(60_000);

let closing = new AsyncDisposableStack();
afterEach(async () => {
  await closing.disposeAsync();
  closing = new AsyncDisposableStack();
});

async function scene(): Promise<Scene> {
  return closing.use(await makeScene());
}

const idsOf = (arrived: readonly { event: { id: string } }[]): string[] => arrived.map(({ event }) => event.id);

describe.skipIf(POSTGRES_URL === undefined || RABBITMQ_URL === undefined)(
  "events (needs TEST_POSTGRES_URL and TEST_RABBITMQ_URL)",
  () => {
    test("a change of state arrives once, as the contract says, as part of the mail's trace", async () => {
      const here = await scene();
      const replica = await here.run();
      const bound = closing.use(await bind(here.exchange, "mail.#"));
      const traceId = "0af7651916cd43dd8448eb211c80319c";
      const id = await here.mails.add(`00-${traceId}-b7ad6b7169203331-01`);
      await here.mails.become(id, "sent", { code: 250, text: "2.0.0 ok", command: "DATA" });
      await until("told", async () => bound.arrived.length > 0 && (await here.unpublished()) === 0);
      const [{ event, message } = { event: undefined, message: undefined }] = bound.arrived;
      expect(event).toEqual({
        id: expect.any(String),
        type: "mail.sent",
        at: expect.stringMatching(/^\d{4}-.*Z$/),
        mail_id: id,
        recipient: "ann@example.org",
        state: "sent",
        attempts: 1,
        reply: { code: 250, text: "2.0.0 ok", command: "DATA" },
      });
      expect(message?.fields.routingKey).toBe("mail.sent");
      expect(message?.properties).toMatchObject({
        messageId: event?.id,
        contentType: "application/json",
        deliveryMode: 2,
      });
      expect(message?.properties.headers?.["traceparent"]).toMatch(new RegExp(`^00-${traceId}-[0-9a-f]{16}-01$`));
      expect(message?.properties.headers?.["x-created-at"]).toBe(event?.at);
      expect(await replica.metrics.text()).toContain('mail_events_total{type="mail.sent",service="test"} 1');
      // No webhook is configured: nobody else waits for it.
      const [row] = await here.sql`SELECT count(*)::int AS n FROM mail_events WHERE hooked_at IS NULL`;
      expect(row?.["n"]).toBe(0);
    });

    test("events that nobody has bound a queue for count as told, and none is in the way of others", async () => {
      const here = await scene();
      await here.run();
      const bound = closing.use(await bind(here.exchange, "mail.failed"));
      const ids = await Promise.all([1, 2, 3, 4].map(() => here.mails.add()));
      for (const [index, id] of ids.entries()) await here.mails.become(id, index === 3 ? "failed" : "sent");
      await until("told", async () => bound.arrived.length === 1 && (await here.unpublished()) === 0);
      expect(bound.arrived[0]?.event.mail_id).toBe(ids[3] ?? "");
    });

    test("two replicas share many events of many mails: each mail's in order, and (nothing failing) each once", async () => {
      const here = await scene();
      await here.run();
      await here.run();
      const bound = closing.use(await bind(here.exchange, "#"));
      const ids = await Promise.all(Array.from({ length: 60 }, () => here.mails.add()));
      const states = ["deferred", "sending", "deferred", "sending", "failed", "bounced"] as const;
      await Promise.all(
        ids.map(async (id) => {
          for (const state of states) await here.mails.become(id, state);
        }),
      );
      const told: MailState[] = ["deferred", "deferred", "failed", "bounced"];
      await until("all", () => bound.arrived.length >= ids.length * told.length);
      await until("marked", async () => (await here.unpublished()) === 0);
      expect(new Set(idsOf(bound.arrived)).size).toBe(bound.arrived.length);
      for (const id of ids) {
        const own = bound.arrived.filter(({ event }) => event.mail_id === id);
        expect(own.map(({ event }) => event.state)).toEqual(told);
      }
    });

    test("RabbitMQ away: events wait, ready all the same, and each is told when it is back", async () => {
      const here = await scene();
      const gate = closing.use(await makeGate(RABBITMQ_URL ?? ""));
      const replica = await here.run({ rabbitmq: gate.url });
      await until("connected", () => replica.stateOf("rabbitmq") === "up");
      const bound = closing.use(await bind(here.exchange, "#"));
      const ids = await Promise.all(Array.from({ length: 300 }, () => here.mails.add()));
      const half = ids.slice(0, 150);
      await Promise.all(half.map((id) => here.mails.become(id, "sent")));
      gate.shut();
      await Promise.all(ids.slice(150).map((id) => here.mails.become(id, "sent")));
      await until("seen", () => replica.stateOf("rabbitmq") === "down");
      await Bun.sleep(300);
      expect(await here.unpublished()).toBeGreaterThanOrEqual(150);
      expect(replica.health.ready).toBe(true);
      gate.open();
      await until("all told", async () => (await here.unpublished()) === 0);
      await until("all there", () => new Set(idsOf(bound.arrived)).size === 300);
      expect(new Set(bound.arrived.map(({ event }) => event.mail_id))).toEqual(new Set(ids));
    });

    test("the exchange deleted by somebody: it is declared again, and nothing is lost but what nobody could get", async () => {
      const here = await scene();
      await here.run();
      const model = await amqp.connect(RABBITMQ_URL ?? "");
      const channel = await model.createChannel();
      await channel.deleteExchange(here.exchange);
      const id = await here.mails.add();
      await here.mails.become(id, "sent");
      await until("told", async () => (await here.unpublished()) === 0);
      await channel.checkExchange(here.exchange);
      await model.close();
    });

    test("a queue that rejects holds its events back, in order for each recipient, until it takes them", async () => {
      const here = await scene();
      await here.run();
      const model = await amqp.connect(RABBITMQ_URL ?? "");
      const channel = await model.createChannel();
      const queue = `${here.exchange}.small`;
      const full = { "x-max-length": 1, "x-overflow": "reject-publish" };
      await channel.assertQueue(queue, { exclusive: true, arguments: full });
      await channel.bindQueue(queue, here.exchange, "mail.deferred");
      const [held, other] = [await here.mails.add(), await here.mails.add()];
      channel.sendToQueue(queue, Buffer.from("in the way"));
      await until("full", async () => (await channel.checkQueue(queue)).messageCount === 1);
      const all = closing.use(await bind(here.exchange, "mail.sent"));
      await here.mails.become(held, "deferred");
      await here.mails.become(held, "sending");
      await here.mails.become(held, "sent");
      await here.mails.become(other, "sent");
      await until("the other", async () => (await here.unpublished()) === 2);
      await channel.purgeQueue(queue);
      await until("all", async () => (await here.unpublished()) === 0);
      const got = await channel.get(queue, { noAck: true });
      expect(got === false ? "" : (JSON.parse(got.content.toString()) as { mail_id: string }).mail_id).toBe(held);
      expect(all.arrived.filter(({ event }) => event.mail_id === other)).toHaveLength(1);
      await model.close();
    });

    test("woken, it tells long before the next look", async () => {
      const here = await scene();
      const replica = await here.run({ pollMs: 60_000 });
      const bound = closing.use(await bind(here.exchange, "#"));
      for (let nth = 1; nth <= 3; nth += 1) {
        const id = await here.mails.add();
        const changedAt = performance.now();
        await here.mails.become(id, "sent");
        replica.wake();
        await until("told", () => bound.arrived.length === nth);
        expect(performance.now() - changedAt).toBeLessThan(5_000);
      }
    });

    test("what waits is counted, with the age of the oldest", async () => {
      const here = await scene();
      const replica = await here.run({ rabbitmq: "amqp://127.0.0.1:1" });
      const id = await here.mails.add();
      await here.mails.become(id, "deferred");
      await here.mails.become(id, "sent");
      await here.sql`UPDATE mail_events SET created_at = now() - interval '1 hour' WHERE type = 'mail.deferred'`;
      await until("counted", async () => /mail_events_waiting\{.*\} 2/.test(await replica.metrics.text()));
      expect(await replica.metrics.text()).toMatch(/mail_events_oldest_seconds\{.*\} 36\d\d/);
    });
  },
);
