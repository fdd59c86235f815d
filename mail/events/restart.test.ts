/** Events across the end of a mail service: killed at the worst moment, and started again, on a real PostgreSQL and RabbitMQ. */
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import amqp from "amqplib";
import { MAIL_EXCHANGE } from "#contracts/mail";
import { loadConfig } from "#shared/config";
import { makeRuntime } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { start } from "../app.ts";
import { fields } from "../config.ts";
import {
  bind,
  makeReceiver,
  makeScene,
  NOWHERE,
  POSTGRES_URL,
  RABBITMQ_URL,
  type Scene,
  SECRET,
  until,
} from "./events.test-kit.ts";

setDefaultTimeout(60_000);

let closing = new AsyncDisposableStack();
afterEach(async () => {
  await closing.disposeAsync();
  closing = new AsyncDisposableStack();
});

/** As the service declares it. */
async function declareExchange(): Promise<void> {
  const model = await amqp.connect(RABBITMQ_URL ?? "");
  const channel = await model.createChannel();
  await channel.assertExchange(MAIL_EXCHANGE, "topic", { durable: true });
  await model.close();
}

const envOf = (here: Scene, more: Record<string, string> = {}) => ({
  PORT: "0",
  DATABASE_URL: here.databaseUrl,
  SMTP_URL: "smtp://127.0.0.1:1",
  RABBITMQ_URL: RABBITMQ_URL ?? "",
  LOG_LEVEL: "silent",
  ...more,
});

async function startApp(here: Scene, more: Record<string, string> = {}) {
  const config = loadConfig("mail", fields, envOf(here, more));
  const app = await start(
    config,
    makeRuntime("mail", silentLog, () => undefined),
  );
  closing.use(app);
  await until("ready", async () => (await fetch(`${app.url}/ready`)).status === 200, 30_000);
  return app;
}

describe.skipIf(POSTGRES_URL === undefined || RABBITMQ_URL === undefined)(
  "events of a service that ends (needs TEST_POSTGRES_URL and TEST_RABBITMQ_URL)",
  () => {
    test("killed between RabbitMQ's confirm and its mark: the next one tells it again, under the same id", async () => {
      const here = closing.use(await makeScene());
      await declareExchange();
      const first = await startApp(here, { RABBITMQ_URL: NOWHERE });
      await first[Symbol.asyncDispose]();
      const id = await here.mails.add();
      await here.mails.become(id, "sent");
      const bound = closing.use(await bind(MAIL_EXCHANGE, "mail.sent", (event) => event.mail_id === id));
      // Whoever wants to mark it has to wait for us.
      const held = Promise.withResolvers<void>();
      const letGo = Promise.withResolvers<void>();
      const holding = here.sql.begin(async (tx) => {
        await tx`SELECT 1 FROM mail_events FOR UPDATE`;
        held.resolve();
        await letGo.promise;
      });
      await held.promise;
      const victim = Bun.spawn([process.execPath, `${import.meta.dir}/../main.ts`], {
        env: { ...process.env, ...envOf(here) },
        stdout: "ignore",
      });
      await until("told", () => bound.arrived.length > 0, 30_000);
      victim.kill("SIGKILL");
      await victim.exited;
      letGo.resolve();
      await holding;
      const before = bound.arrived.length;
      await until("its transaction is gone", async () => {
        const rows = await here.sql`
          SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'mail'`;
        return rows.length === 0;
      });
      expect(await here.unpublished()).toBe(1);
      await startApp(here);
      await until("told again", () => bound.arrived.length > before);
      await until("marked", async () => (await here.unpublished()) === 0);
      expect(new Set(bound.arrived.map(({ message }) => String(message.properties.messageId))).size).toBe(1);
    });

    test("RabbitMQ and the receiver away, and the service started again: all is told in the end", async () => {
      const here = closing.use(await makeScene());
      await declareExchange();
      const receiver = closing.use(makeReceiver(() => new Response(null, { status: 204 })));
      const hook = { WEBHOOK_URLS: `${receiver.url}/in`, WEBHOOK_SECRET: SECRET };
      const ids = new Set<string>();
      const bound = closing.use(await bind(MAIL_EXCHANGE, "#", (event) => ids.has(event.mail_id)));
      const change = async (): Promise<void> => {
        const added = await Promise.all(Array.from({ length: 30 }, () => here.mails.add()));
        for (const id of added) ids.add(id);
        await Promise.all(added.map((id) => here.mails.become(id, "failed")));
      };
      const first = await startApp(here, { RABBITMQ_URL: NOWHERE, ...hook });
      await change();
      await first[Symbol.asyncDispose]();
      await change();
      await startApp(here, hook);
      await change();
      await until("in RabbitMQ", () => new Set(bound.arrived.map(({ event }) => event.mail_id)).size === 90);
      await until("at the receiver", () => new Set(receiver.calls.map(({ event }) => event.mail_id)).size === 90);
      // What RabbitMQ has confirmed is noted a moment later.
      await until("noted", async () => (await here.unpublished()) === 0);
    });
  },
);
