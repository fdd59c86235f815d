/** What the broker's tests share: neighbours that answer by the contract or off it, and a broker among them. */
import { afterAll, afterEach, beforeAll } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { connect as connectTcp, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Channel, type ChannelModel, connect, type GetMessage } from "amqplib";
import type { QueueView } from "#contracts/dead-letters";
import { type FoundEntry, LOG_SUCCEEDED, type LogEntry, RPC_FIND, RPC_LOG_INFO, RPC_LOG_ONCE } from "#contracts/logs";
import type { Receipt } from "#contracts/receipts";
import { loadConfig } from "#shared/config";
import { ok, type Result } from "#shared/errors";
import { makeRuntime } from "#shared/lifecycle";
import { makeLog, silentLog } from "#shared/log";
import { type RpcServer, serveRpc } from "#shared/rpc";
import { makeMetrics } from "#shared/telemetry";
import { start } from "./app.ts";
import { fields } from "./config.ts";

export const RABBITMQ = process.env["TEST_RABBITMQ_URL"];
const NOWHERE = "127.0.0.1:1";
export const LOGS_QUEUE = `broker-test-${Bun.randomUUIDv7()}`;

export const UUID7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

export const USER = {
  id: 1,
  email: "canary-mail@example.com",
  first_name: "Ann",
  last_name: "Other",
  active: 1,
  created_at: "2026-01-01T00:00:00.000Z",
  updated_at: "2026-01-01T00:00:00.000Z",
  session_id: "01998f5e-7c10-7d01-9b3c-3f5e9d2a4c11",
  role: "member",
  scopes: ["logs:write", "mails:send"],
  email_verified: false,
  version: 1,
  access_token: "canary-access",
  refresh_token: "canary-refresh",
  expires_in: 600,
  refresh_expires_in: 2_592_000,
};
export const AUTH = { action: "auth", auth: { email: USER.email, password: "canary-password" } };
export const LOG = { action: "log", log: { name: "n", data: { text: "canary-data" }, severity: "WARNING" } };
export const MAIL = {
  action: "mail",
  mail: { from: "a@example.com", to: "canary-to@example.com", subject: "canary-subject", message: "canary-message" },
};

/** Looks every 10 ms until `look` gives something. */
export async function until<T>(what: string, look: () => T | Promise<T>, ms = 10_000): Promise<NonNullable<T>> {
  const endsAt = performance.now() + ms;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== null && found !== false) return found;
    if (performance.now() > endsAt) throw new Error(`${what}: it did not come to pass`);
    await Bun.sleep(10);
  }
}

/** A service that answers as it is told, and remembers what it was asked. */
export function makeService() {
  const service = {
    /** What it tells the broker's figures: its metrics, and of queues. */
    tellMetrics: (): string | Response | Promise<Response> => "",
    metricsAskedWith: undefined as Headers | undefined,
    queues: [] as QueueView[],
    /** Its key set (RFC 7517). */
    keys: { keys: [] as object[] },
    asked: [] as { method: string; path: string; search: string; headers: Headers; body: unknown }[],
    ready: (): Response | Promise<Response> =>
      Response.json({ error: false, message: "ready", data: { dependencies: [] } }),
    answer: (_path: string): Response | Promise<Response> =>
      Response.json({ error: false, message: "" }, { status: 202 }),
    url: "",
    stop: () => server.stop(true),
  };
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const { pathname: path, search } = new URL(request.url);
      if (path === "/ready") return service.ready();
      if (path === "/.well-known/jwks.json") return Response.json(service.keys);
      if (path === "/revocations") {
        const data = { items: [], as_of: "0", more: false };
        return Response.json({ error: false, message: "Revocations", data });
      }
      const { method, headers } = request;
      // The broker's figures, on nobody's behalf.
      if (path === "/metrics") {
        service.metricsAskedWith = headers;
        const told = await service.tellMetrics();
        return typeof told === "string" ? new Response(told) : told;
      }
      if (path === "/events/queues" && !headers.has("x-actor"))
        return Response.json({ error: false, message: "queues", data: { items: service.queues } });
      const text = await request.text();
      service.asked.push({ method, path, search, headers, body: text === "" ? undefined : JSON.parse(text) });
      return service.answer(path);
    },
  });
  service.url = server.url.origin;
  return service;
}

/** A logger that keeps entries in memory, one of an id, can be taken away, and answers as it is told. */
export function makeLogger() {
  let server: RpcServer | undefined;
  const logger = {
    /** Everything that was handed over, also what it had. */
    stored: [] as LogEntry[],
    /** In place of its own answer to an entry. */
    answer: undefined as (() => Result<unknown> | Promise<Result<unknown>>) | undefined,
    /** In place of its own answer to a lookup. */
    find: undefined as (() => Result<unknown> | Promise<Result<unknown>>) | undefined,
    byId: new Map<string, LogEntry>(),
    take(entry: LogEntry): "stored" | "duplicate" | "conflict" {
      const id = entry.event_id ?? "";
      const before = logger.byId.get(id);
      logger.stored.push(entry);
      if (before === undefined) logger.byId.set(id, entry);
      if (before === undefined) return "stored";
      return Bun.deepEquals([before.name, before.data], [entry.name, entry.data]) ? "duplicate" : "conflict";
    },
    port: 0,
    up() {
      const metrics = makeMetrics("logger", "0");
      metrics[Symbol.dispose]();
      server = serveRpc({
        host: "127.0.0.1",
        port: logger.port,
        server: "logger",
        version: "0",
        log: silentLog,
        metrics,
        drainMs: 100,
        methods: {
          [RPC_LOG_INFO]: ([entry]) => {
            logger.take(entry as LogEntry);
            return logger.answer?.() ?? ok(LOG_SUCCEEDED);
          },
          [RPC_LOG_ONCE]: ([entry]) => {
            const outcome = logger.take(entry as LogEntry);
            return logger.answer?.() ?? ok(outcome);
          },
          [RPC_FIND]: ([ids]) => logger.find?.() ?? ok((ids as string[]).map(foundOf)),
        },
      });
      logger.port = server.port;
    },
    down: async () => server?.[Symbol.asyncDispose](),
  };
  const foundOf = (id: string): FoundEntry | null => {
    const entry = logger.byId.get(id);
    if (entry === undefined) return null;
    const { name, severity = "INFO", created_at = "" } = entry;
    return { event_id: id, name, severity, created_at, stored_at: "2026-01-02T00:00:00.000Z" };
  };
  logger.up();
  return logger;
}

/** The way to RabbitMQ, which can be shut and opened. */
export async function makeGate(target: URL) {
  const sockets = new Set<Socket>();
  let open = true;
  const listener = createServer((client) => {
    if (!open) {
      client.destroy();
      return;
    }
    const server = connectTcp(Number(target.port || 5672), target.hostname);
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      sockets.add(from);
      from.on("error", () => undefined);
      from.on("close", () => {
        sockets.delete(from);
        to.destroy();
      });
      from.pipe(to);
    }
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const url = new URL(target);
  url.hostname = "127.0.0.1";
  url.port = String((listener.address() as { port: number }).port);
  return {
    url: url.href,
    shut: () => {
      open = false;
      for (const socket of sockets) socket.destroy();
    },
    open: () => {
      open = true;
    },
    close: () => new Promise((resolve) => listener.close(resolve)),
  };
}

export const refusal = (status: number, headers: Record<string, string> = {}) =>
  Response.json({ error: true, message: "in its own words" }, { status, headers });

/** A broker for each test of a file, closed after it; at the end nothing confidential is in its log. */
export function brokers() {
  const logged: string[] = [];
  const closing: (() => unknown)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0).toReversed()) await close();
  });
  afterAll(async () => {
    // It is logged after its answer is given.
    await until("a request in the log", () => logged.some((line) => line.includes('"message":"request"')));
    const text = logged.join("");
    for (const canary of text.matchAll(/canary-[a-z]+/g)) throw new Error(`in the broker's log: ${canary[0]}`);
  });

  /** A broker and its neighbours, all well; RabbitMQ is away unless given. */
  async function platform(env: Record<string, string> = {}) {
    const dir = await mkdtemp(join(tmpdir(), "broker-"));
    const auth = makeService();
    const mail = makeService();
    const listener = makeService();
    const logger = makeLogger();
    auth.answer = () => Response.json({ error: false, message: "Logged in", data: USER }, { status: 202 });
    mail.answer = () =>
      Response.json({ error: false, message: "email sent", data: { id: "x", state: "sent" } }, { status: 202 });
    listener.answer = () =>
      Response.json({ error: false, message: "", data: { found: null, queued: false, complete: true } });
    closing.push(
      () => rm(dir, { recursive: true, force: true }),
      () => logger.down(),
      () => auth.stop(),
      () => mail.stop(),
      () => listener.stop(),
    );
    const settings = {
      PORT: "0",
      AUTH_URL: auth.url,
      MAIL_URL: mail.url,
      LISTENER_URL: listener.url,
      LOGGER_URL: `http://${NOWHERE}`,
      LOGGER_RPC_URL: `tcp://127.0.0.1:${logger.port}`,
      RABBITMQ_URL: `amqp://${NOWHERE}`,
      LISTENER_QUEUE: LOGS_QUEUE,
      SPOOL_DIR: dir,
      // Tests ask faster than people: those of limits say which they want.
      RATE_LIMITS: "off",
      ...env,
    };

    /** One more broker with these neighbours; of two at a time each needs a `SPOOL_DIR` of its own. */
    async function startBroker(own: Record<string, string> = {}) {
      const config = loadConfig("broker", fields, { ...settings, ...own });
      const log = makeLog({ service: "broker", level: "debug", write: (line) => logged.push(line) });
      const runtime = makeRuntime("broker", log, () => undefined);
      const app = await start(config, runtime);
      closing.push(() => app[Symbol.asyncDispose]());
      const isUp = (name: string) => () =>
        runtime.health
          .report()
          .dependencies.some((dependency) => dependency.name === name && dependency.state === "up");
      await until("the logger connected", isUp("logger"));
      if (env["RABBITMQ_URL"] !== undefined) await until("RabbitMQ connected", isUp("rabbitmq"));

      async function post(path: string, body: unknown, headers: Record<string, string> = {}) {
        const startedAt = performance.now();
        const answer = await fetch(`${app.url}${path}`, {
          method: "POST",
          body: JSON.stringify(body),
          headers: { "content-type": "application/json", ...headers },
        });
        const tookMs = performance.now() - startedAt;
        const json = (await answer.json()) as { error: boolean; message: string; data?: Record<string, unknown> };
        return { status: answer.status, headers: answer.headers, body: json, tookMs };
      }
      async function get(path: string) {
        const answer = await fetch(`${app.url}${path}`);
        const json = (await answer.json()) as { error: boolean; message: string; data?: unknown };
        return { status: answer.status, headers: answer.headers, body: json };
      }
      return {
        app,
        runtime,
        post,
        get,
        handle: (body: unknown, headers?: Record<string, string>) => post("/handle", body, headers),
        receipt: async (id: unknown) => {
          const told = await get(`/v1/receipts/${encodeURIComponent(String(id))}`);
          return { ...told, receipt: told.body.data as Receipt };
        },
        isUp,
      };
    }
    return { ...(await startBroker()), auth, mail, listener, logger, startBroker };
  }

  /** With RabbitMQ, through a gate. */
  async function withGate() {
    const gate = await makeGate(new URL(RABBITMQ ?? ""));
    closing.push(() => gate.close());
    return { gate, ...(await platform({ RABBITMQ_URL: gate.url })) };
  }

  return { platform, withGate, closing };
}

/** What is in the queues of a file's RabbitMQ, as a consumer that takes one message at a time. */
export function queues() {
  let model: ChannelModel;
  let channel: Channel;
  beforeAll(async () => {
    model = await connect(RABBITMQ ?? "");
    channel = await model.createChannel();
  });
  afterAll(async () => {
    await channel.deleteQueue(LOGS_QUEUE);
    await model.close();
  });

  /** The next message of a queue that is the one looked for; others are put back. */
  const messageOf = (queue: string, wanted: (message: GetMessage) => boolean): Promise<GetMessage> =>
    until(`a message in ${queue}`, async () => {
      const others: GetMessage[] = [];
      try {
        for (;;) {
          const message = await channel.get(queue);
          if (message === false) return undefined;
          if (wanted(message)) {
            channel.ack(message);
            return message;
          }
          others.push(message);
        }
      } finally {
        for (const other of others) channel.nack(other, false, true);
      }
    });
  const named = (name: string) => (message: GetMessage) =>
    (JSON.parse(message.content.toString()) as { name: string }).name === name;
  return { messageOf, named };
}
