/** A listener on a real RabbitMQ under names of its own, with a logger and a mail service in miniature. */
import { connect, type GetMessage } from "amqplib";
import { MAIL_JOB } from "#contracts/events";
import type { LogEntry } from "#contracts/logs";
import { topologyOf } from "#shared/amqp";
import { type Environment, loadConfig } from "#shared/config";
import { fail, type FailureCode, ok, type Result } from "#shared/errors";
import { makeRuntime } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { type RpcServer, serveRpc } from "#shared/rpc";
import { makeMetrics } from "#shared/telemetry";
import { start, type StartOptions } from "./app.ts";
import { fields } from "./config.ts";
import { JOB_NAMES } from "./jobs.ts";

export const RABBITMQ = process.env["TEST_RABBITMQ_URL"];

export async function until(condition: () => boolean | Promise<boolean>, ms = 20_000): Promise<void> {
  const endsAt = performance.now() + ms;
  while (!(await condition())) {
    if (performance.now() > endsAt) throw new Error("it did not come to pass");
    await Bun.sleep(10);
  }
}

/** A logger that keeps entries in memory, counts how often each was stored, and can be taken away. */
function makeLogger() {
  const stored = new Map<string, LogEntry>();
  const audited: LogEntry[] = [];
  let port = 0;
  let server: RpcServer | undefined;
  const logger = {
    stored,
    duplicates: 0,
    calls: 0,
    delayMs: 2,
    failing: false,
    /** Entries that it breaks at, and what it then says. */
    breaksAt: (_entry: LogEntry): FailureCode | undefined => undefined,
    get url() {
      return `tcp://127.0.0.1:${port}`;
    },
    up() {
      const metrics = makeMetrics("logger", "0");
      metrics[Symbol.dispose]();
      server = serveRpc({
        host: "127.0.0.1",
        port,
        server: "test",
        version: "0",
        log: silentLog,
        metrics,
        drainMs: 100,
        methods: {
          "RPCServer.Ping": () => ok("OK"),
          "RPCServer.LogInfo": ([entry]) => {
            audited.push(entry as LogEntry);
            return ok("Processing succeeded");
          },
          "RPCServer.LogBatch": async ([entries]): Promise<Result<unknown>> => {
            logger.calls += 1;
            await Bun.sleep(logger.delayMs);
            if (logger.failing) return fail("unavailable", "no database");
            return ok(
              (entries as LogEntry[]).map((entry) => {
                const code = logger.breaksAt(entry);
                if (code !== undefined) return { error: { code, message: `the logger broke at ${entry.name}` } };
                if (entry.name === "refused") return { error: { code: "invalid", message: "I do not like it" } };
                const id = entry.event_id ?? "";
                if (stored.has(id)) logger.duplicates += 1;
                stored.set(id, entry);
                return { ok: true };
              }),
            );
          },
        },
      });
      port = server.port;
    },
    async down() {
      await server?.[Symbol.asyncDispose]();
    },
  };
  return logger;
}

/** A mail service in miniature. */
function makeMail() {
  const mail = {
    status: 202,
    got: [] as { key: string | null; body: unknown }[],
    /** Of those that came. */
    traceparents: [] as (string | null)[],
    /** When each mail of a sender who sent too many was refused (ms), and whether he still has to wait. */
    refusedAt: [] as number[],
    isQuotaUsedUp: true,
    server: Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      async fetch(request): Promise<Response> {
        const answer = (status: number, message: string): Response =>
          Response.json({ error: status > 299, message }, { status });
        if (new URL(request.url).pathname === "/ready") return answer(200, "ready");
        const body = (await request.json()) as { from: string; to: string };
        if (body.from.startsWith("stranger")) return answer(403, "stranger@example.com may not send");
        if (body.from.startsWith("greedy") && mail.isQuotaUsedUp) {
          mail.refusedAt.push(performance.now());
          return Response.json(
            { error: true, message: "too many" },
            { status: 429, headers: { "retry-after": "0.3" } },
          );
        }
        if (body.to.startsWith("refused")) return answer(422, "to is not wanted");
        if (body.to.startsWith("unlucky")) return answer(503, "not now");
        mail.traceparents.push(request.headers.get("traceparent"));
        mail.got.push({ key: request.headers.get("idempotency-key"), body });
        return answer(mail.status, "done");
      },
    }),
  };
  return mail;
}

export interface KitOptions extends StartOptions {
  /** Kinds of jobs, where they are not the listener's own. */
  jobs?: readonly string[];
}

export async function setUp(environment: Environment = {}, { jobs = JOB_NAMES, ...options }: KitOptions = {}) {
  const prefix = `t${Bun.randomUUIDv7()}.`;
  const topology = topologyOf({
    prefix,
    jobs,
    ...(options.retryTiers === undefined ? {} : { retryTiers: options.retryTiers }),
  });
  const logger = makeLogger();
  logger.up();
  const mail = makeMail();
  const model = await connect(RABBITMQ ?? "");
  model.on("error", () => undefined);
  const channel = await model.createConfirmChannel();
  channel.on("error", () => undefined);
  const allVariables = {
    PORT: "0",
    RABBITMQ_URL: RABBITMQ,
    LOGGER_RPC_URL: logger.url,
    MAIL_URL: `http://127.0.0.1:${mail.server.port}`,
    LOG_LEVEL: "silent",
    ...environment,
  };
  const config = loadConfig("listener", fields, allVariables);
  const stops: number[] = [];
  const workers: Worker[] = [];
  const runtime = makeRuntime("listener", silentLog, (code) => stops.push(code));
  const openWorker = (): Worker => {
    const worker = options.openWorker?.() ?? new Worker(new URL("./worker.ts", import.meta.url));
    workers.push(worker);
    return worker;
  };
  const count = async (queue: string): Promise<number> => (await channel.checkQueue(queue)).messageCount;
  const publish = (key: string, body: string | Uint8Array, options = {}): void => {
    channel.publish(topology.logs.exchange, key, Buffer.from(body as string), options);
  };
  return {
    prefix,
    topology,
    logger,
    mail,
    model,
    channel,
    runtime,
    stops,
    workers,
    count,
    consumes: async (queue: string): Promise<boolean> => {
      // Asking for a queue that is not there yet would cost the channel.
      const own = await model.createChannel();
      own.on("error", () => undefined);
      const consumers = await own.checkQueue(queue).then(
        ({ consumerCount }) => consumerCount,
        () => 0,
      );
      await own.close().catch(() => undefined);
      return consumers > 0;
    },
    publish,
    environment: allVariables,
    listen: () => start(config, runtime, { ...options, prefix, openWorker }),
    /** Started, and everything it needs is up. */
    async listening() {
      const app = await start(config, runtime, { ...options, prefix, openWorker });
      await until(() => runtime.health.ready);
      await until(async () => (await channel.checkQueue(topology.logs.queue)).consumerCount === config.WORKERS);
      return app;
    },
    async deadLetters(queue: string): Promise<GetMessage[]> {
      const messages: GetMessage[] = [];
      for (let got = await channel.get(queue); got !== false; got = await channel.get(queue)) messages.push(got);
      return messages;
    },
    async [Symbol.asyncDispose]() {
      runtime.metrics[Symbol.dispose]();
      await mail.server.stop(true);
      await logger.down();
      const cleaning = await model.createChannel();
      for (const { name } of topology.queues) await cleaning.deleteQueue(name);
      for (const { name } of topology.exchanges) await cleaning.deleteExchange(name);
      await model.close();
    },
  };
}

export type Kit = Awaited<ReturnType<typeof setUp>>;

export const mailQueueOf = (kit: Kit): string => kit.topology.jobs.queues.get(MAIL_JOB) ?? "";

export function feed({ publish }: Kit, from: number, to: number): void {
  for (let index = from; index < to; index += 1) {
    publish(
      ["log.INFO", "log.WARNING", "log.ERROR"][index % 3] ?? "",
      JSON.stringify({ name: `n${index}`, data: { index } }),
      {
        messageId: `m${index}`,
        persistent: true,
      },
    );
  }
}

export const all = (to: number): string[] => Array.from({ length: to }, (_, index) => `m${index}`).sort();
