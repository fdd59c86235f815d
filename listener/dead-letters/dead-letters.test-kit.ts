/** RabbitMQ with names of its own, and the real logger as a process of its own: what tests of dead letters need. */
import { join } from "node:path";
import { type ChannelModel, type ConfirmChannel, connect, type Options } from "amqplib";
import { type Collection, MongoClient } from "mongodb";
import { topologyOf } from "#shared/amqp";
import { type Environment, loadConfig } from "#shared/config";
import { fields } from "../config.ts";
import { JOB_NAMES } from "../jobs.ts";

export const RABBITMQ = process.env["TEST_RABBITMQ_URL"];
export const MONGODB = process.env["TEST_MONGODB_URL"];
export const NEEDS = "(needs TEST_RABBITMQ_URL and TEST_MONGODB_URL)";
export const LACKS = RABBITMQ === undefined || MONGODB === undefined;

export async function until(condition: () => boolean | Promise<boolean>, ms = 20_000): Promise<void> {
  const endsAt = performance.now() + ms;
  while (!(await condition())) {
    if (performance.now() > endsAt) throw new Error("it did not come to pass");
    await Bun.sleep(10);
  }
}

interface Stored {
  event_id: string;
  name: string;
  severity: string;
  data: unknown;
}

export interface RealLogger extends AsyncDisposable {
  readonly rpcUrl: string;
  readonly entries: Collection<Stored>;
  kill(): Promise<void>;
}

/** The logger, on a database that is dropped at the end. */
export async function startLogger(): Promise<RealLogger> {
  const database = `dlq_${Bun.randomUUIDv7().replaceAll("-", "")}`;
  const process_ = Bun.spawn([process.execPath, join(import.meta.dir, "../../logger/main.ts")], {
    stdout: "pipe",
    stderr: "inherit",
    env: { ...process.env, PORT: "0", LOGGER_RPC_PORT: "0", MONGODB_URL: `${MONGODB}/${database}`, LOG_LEVEL: "info" },
  });
  const port = Promise.withResolvers<number>();
  const stores = Promise.withResolvers<void>();
  const reading = (async () => {
    let text = "";
    for await (const chunk of process_.stdout.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      const line = text.split("\n").find((one) => one.includes('"RPC listening"') && one.endsWith("}"));
      if (line !== undefined) port.resolve((JSON.parse(line) as { port: number }).port);
      // It answers before it can store: it connects to MongoDB in the background.
      if (text.includes('"MongoDB in use"')) stores.resolve();
    }
    const ended = new Error(`the logger ended: ${text}`);
    port.reject(ended);
    stores.reject(ended);
  })();
  const client = new MongoClient(MONGODB ?? "");
  const [rpcPort] = await Promise.all([port.promise, stores.promise, client.connect()]);
  const kill = async (): Promise<void> => {
    process_.kill("SIGKILL");
    await process_.exited;
  };
  return {
    kill,
    rpcUrl: `tcp://127.0.0.1:${rpcPort}`,
    entries: client.db(database).collection<Stored>("logs"),
    async [Symbol.asyncDispose]() {
      await kill();
      await reading;
      await client.db(database).dropDatabase();
      await client.close();
    },
  };
}

/** The whole topology under a prefix, declared, and ways to fill and to count. */
export async function setUp(environment: Environment = {}) {
  const prefix = `t${Bun.randomUUIDv7()}.`;
  const topology = topologyOf({ prefix, jobs: JOB_NAMES });
  const model: ChannelModel = await connect(RABBITMQ ?? "");
  model.on("error", () => undefined);
  const channel: ConfirmChannel = await model.createConfirmChannel();
  for (const { name, type } of topology.exchanges) await channel.assertExchange(name, type, { durable: true });
  for (const { name, arguments: args, bindings } of topology.queues) {
    await channel.assertQueue(name, { durable: true, arguments: args });
    for (const { exchange, key } of bindings) await channel.bindQueue(name, exchange, key);
  }
  const config = loadConfig("listener", fields, {
    PORT: "0",
    RABBITMQ_URL: RABBITMQ,
    LOGGER_RPC_URL: "tcp://127.0.0.1:1",
    MAIL_URL: "http://127.0.0.1:1",
    LOG_LEVEL: "silent",
    ...environment,
  });
  return {
    prefix,
    topology,
    channel,
    config,
    count: async (queue: string): Promise<number> => (await channel.checkQueue(queue)).messageCount,
    /** A dead letter as the listener makes one. */
    async bury(exchange: string, key: string, id: string | undefined, body: unknown, more: Options.Publish = {}) {
      channel.publish(exchange, key, Buffer.from(typeof body === "string" ? body : JSON.stringify(body)), {
        persistent: true,
        contentType: "application/json",
        ...(id === undefined ? {} : { messageId: id }),
        ...more,
        headers: {
          "x-error": "the logger refused it",
          "x-original-routing-key": key,
          "x-attempt": 1,
          "x-failed-at": new Date().toISOString(),
          ...(more.headers as object | undefined),
        },
      });
      await channel.waitForConfirms();
    },
    async [Symbol.asyncDispose]() {
      const cleaning = await model.createChannel();
      for (const { name } of topology.queues) await cleaning.deleteQueue(name);
      for (const { name } of topology.exchanges) await cleaning.deleteExchange(name);
      await model.close();
    },
  };
}

export type Kit = Awaited<ReturnType<typeof setUp>>;
