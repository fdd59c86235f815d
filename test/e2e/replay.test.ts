/** A new consumer rebuilds from the log what another one made of the events as they happened. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type ChannelModel, connect, type ConsumeMessage } from "amqplib";
import { emptyProjection, project } from "../../docs/examples/logins-projection.ts";
import { type Replayed, replay } from "../../dev/replay/publish.ts";
import { type Export, oldestFirst } from "../../dev/replay/slices.ts";
import { start } from "../../listener/app.ts";
import { fields } from "../../listener/config.ts";
import {
  type Database,
  type Logger,
  makeDatabase,
  mongoUrl,
  NEEDS_MONGODB,
  startLogger,
  TEST_MONGODB_URL,
} from "../../logger/testing.ts";
import type { LogItem } from "#contracts/log-queries";
import { makePublisher, topologyOf } from "#shared/amqp";
import { loadConfig, Secret } from "#shared/config";
import { makeRuntime } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { until } from "../kit.ts";

const RABBITMQ = process.env["TEST_RABBITMQ_URL"];
const WAIT_MS = 60_000;
const EVENTS = 60;
const USERS = 7;
const TRACE = "0af7651916cd43dd8448eb211c80319c";

describe.skipIf(TEST_MONGODB_URL === undefined || RABBITMQ === undefined)(
  `a replay ${NEEDS_MONGODB} (and TEST_RABBITMQ_URL)`,
  () => {
    const prefix = `t${Bun.randomUUIDv7()}.`;
    const topology = topologyOf({ prefix });
    const exchange = `${prefix}logs_replay`;
    const runtime = makeRuntime("listener", silentLog, () => undefined);
    const opened = new AsyncDisposableStack();
    const live = emptyProjection();
    const startedAt = Date.now();
    let database: Database;
    let logger: Logger;
    let model: ChannelModel;

    beforeAll(async () => {
      database = opened.use(await makeDatabase());
      logger = opened.use(await startLogger(mongoUrl(database.name)));
      await logger.ready(WAIT_MS);
      const config = loadConfig("listener", fields, {
        PORT: "0",
        LOG_LEVEL: "silent",
        RABBITMQ_URL: RABBITMQ,
        LOGGER_RPC_URL: logger.rpcUrl,
        MAIL_URL: "http://127.0.0.1:1",
      });
      opened.use(await start(config, runtime, { prefix }));
      model = await connect(RABBITMQ ?? "");
      await until(
        "the listener consumes",
        async () => {
          const looking = await model.createChannel();
          looking.on("error", () => undefined);
          const { consumerCount } = await looking.checkQueue(topology.logs.queue).catch(() => ({ consumerCount: 0 }));
          await looking.close().catch(() => undefined);
          return consumerCount > 0;
        },
        WAIT_MS,
      );
      await project(await model.createChannel(), { exchange: topology.logs.exchange, queue: `${prefix}live` }, live);
      const channel = await model.createConfirmChannel();
      for (let at = 0; at < EVENTS; at += 1) {
        const name = at % 3 === 2 ? "payment" : "authentication";
        const body = JSON.stringify({ name, data: `user-${at % USERS}@example.com logged in` });
        channel.publish(topology.logs.exchange, at % 10 === 0 ? "log.WARNING" : "log.INFO", Buffer.from(body), {
          messageId: `${prefix}${at}`,
          persistent: true,
          headers: {
            "x-created-at": new Date(startedAt - (EVENTS - at) * 1_000).toISOString(),
            "x-producer": prefix,
            "x-sequence": at + 1,
            traceparent: `00-${TRACE}-b7ad6b7169203331-01`,
          },
        });
      }
      await channel.waitForConfirms();
      await until("all are stored", async () => (await database.logs.countDocuments()) === EVENTS, WAIT_MS);
      await until("all were seen as they happened", () => live.seen.size === EVENTS, WAIT_MS);
    }, 180_000);
    afterAll(async () => {
      const cleaning = await model.createChannel();
      const queues = [...topology.queues.map(({ name }) => name), ...["live", "again", "watch"].map((q) => prefix + q)];
      await opened.disposeAsync();
      runtime.metrics[Symbol.dispose]();
      for (const queue of queues) await cleaning.deleteQueue(queue);
      for (const { name } of topology.exchanges) await cleaning.deleteExchange(name);
      await cleaning.deleteExchange(exchange);
      await model.close();
    }, 60_000);

    const exported: Export = async function* (from, to, signal) {
      const range = { from: new Date(from).toISOString(), to: new Date(to).toISOString() };
      const answer = await fetch(`${logger.app.url}/logs/export?${new URLSearchParams(range).toString()}`, { signal });
      const lines = (await answer.text()).trim().split("\n");
      expect(JSON.parse(lines.pop() ?? "")).toMatchObject({ $export: { complete: true } });
      for (const line of lines) yield JSON.parse(line) as LogItem;
    };
    /** What `logs replay` does, to an exchange of this test. */
    const replayTo = async (to: string, { stopAfter = EVENTS + 1, from = 0 } = {}): Promise<Replayed> => {
      const publishing = makeRuntime("replay", silentLog, () => undefined);
      const dependency = publishing.health.dependency("rabbitmq");
      await using publisher = makePublisher({
        url: new Secret(RABBITMQ ?? ""),
        name: "replay",
        log: silentLog,
        metrics: publishing.metrics,
        dependency,
        topology: { exchanges: [{ name: to, type: "topic" }], queues: [] },
      });
      await until("connected", () => dependency.state === "up", WAIT_MS);
      const stopping = new AbortController();
      const { signal } = stopping;
      const range = { from: from === 0 ? startedAt - 3_600_000 : from, to: startedAt, most: 20 };
      const entries = oldestFirst(exported, range, new AbortController().signal);
      const onProgress = (published: number): void => {
        if (published >= stopAfter) stopping.abort(new Error("stopped"));
      };
      // Slowly, where it is to be interrupted on its way.
      const rate = stopAfter > EVENTS ? 1_000 : 40;
      const replayed = await replay({ id: "r", exchange: to, rate, entries, publisher, signal, onProgress });
      publishing.metrics[Symbol.dispose]();
      return replayed;
    };

    test("an entry keeps the event that it was", async () => {
      const stored = await database.logs.findOne({ event_id: `${prefix}0` });
      expect(stored).toMatchObject({
        origin: { exchange: topology.logs.exchange, routing_key: "log.WARNING" },
        producer_id: prefix,
        sequence: 1,
        trace_id: TRACE,
      });
    });

    test("into nothing is told, and nothing is sent", async () => {
      expect(await replayTo(exchange)).toMatchObject({
        published: 0,
        unroutable: true,
        next: { event_id: `${prefix}0` },
      });
    }, 90_000);

    test("gives a new consumer the state of one that saw it all happen, also after it was interrupted", async () => {
      const again = emptyProjection();
      await project(await model.createChannel(), { exchange, queue: `${prefix}again` }, again);
      const watching = await model.createChannel();
      await watching.assertQueue(`${prefix}watch`);
      await watching.bindQueue(`${prefix}watch`, exchange, "log.#");
      const messages: ConsumeMessage[] = [];
      await watching.consume(`${prefix}watch`, (message) => message !== null && messages.push(message), {
        noAck: true,
      });

      const first = await replayTo(exchange, { stopAfter: 10 });
      expect(first).toMatchObject({ isCut: true, next: { event_id: expect.stringContaining(prefix) } });
      expect(first.failure).toBeUndefined();
      const rest = await replayTo(exchange, { from: Date.parse(first.next?.created_at ?? "") });
      expect(rest.isCut).toBeUndefined();
      await until("all have arrived", () => again.seen.size === EVENTS, WAIT_MS);
      expect(again.logins).toEqual(live.logins);
      expect(again.logins.size).toBe(USERS);

      // The one to go on with may have come before.
      const came = first.published + rest.published;
      await until("all were watched", () => messages.length === came, WAIT_MS);
      expect(came).toBeWithin(EVENTS, EVENTS + 2);
      expect([...new Set(messages.map(({ properties }) => String(properties.messageId)))]).toEqual(
        Array.from({ length: EVENTS }, (_, at) => `${prefix}${at}`),
      );
      const [one] = messages;
      expect(one?.fields.routingKey).toBe("log.WARNING");
      expect(one?.properties.deliveryMode).toBe(2);
      expect(one?.properties.headers).toMatchObject({ "x-replay": "r", "x-producer": prefix, "x-sequence": 1 });
      expect(one?.properties.headers?.["traceparent"]).toStartWith(`00-${TRACE}-`);

      // All of it once more changes nothing.
      await replayTo(exchange);
      await until("all came again", () => messages.length === came + EVENTS, WAIT_MS);
      expect(again.logins).toEqual(live.logins);
    }, 120_000);

    test("to all consumers is stored by nobody twice, and misses no number", async () => {
      expect(await replayTo(topology.logs.exchange)).toEqual({ published: EVENTS });
      await until(
        "the listener has handled all",
        async () => (await logger.metric("logger_duplicates_total")) === EVENTS,
        WAIT_MS,
      );
      expect(await logger.metric("logger_id_conflicts_total")).toBe(0);
      expect(await database.logs.countDocuments()).toBe(EVENTS);
      const answer = await fetch(`${logger.app.url}/logs/gaps?producer=${prefix}`);
      expect((await answer.json()) as object).toMatchObject({ data: { items: [{ stored: EVENTS, missing: 0 }] } });
      expect(live.seen.size).toBe(EVENTS);
    }, 120_000);
  },
);
