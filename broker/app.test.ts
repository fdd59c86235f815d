/** The broker among real neighbours: an RPC server, HTTP services that answer by the contract or off it, RabbitMQ. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect as connectTcp, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Channel, type ChannelModel, connect, type GetMessage } from "amqplib";
import { jobQueueOf, MAIL_JOB } from "#contracts/events";
import type { LogEntry } from "#contracts/logs";
import { loadConfig } from "#shared/config";
import { fail, ok, type Result } from "#shared/errors";
import { type App, makeRuntime, StartError } from "#shared/lifecycle";
import { makeLog, silentLog } from "#shared/log";
import { type RpcServer, serveRpc } from "#shared/rpc";
import { makeMetrics } from "#shared/telemetry";
import { start } from "./app.ts";
import { fields } from "./config.ts";

const RABBITMQ = process.env["TEST_RABBITMQ_URL"];
const NOWHERE = "127.0.0.1:1";
const LOGS_QUEUE = `broker-test-${Bun.randomUUIDv7()}`;
const UUID7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

const USER = {
  id: 1,
  email: "canary-mail@example.com",
  first_name: "Ann",
  last_name: "Other",
  active: 1,
  created_at: "2026-01-01T00:00:00.000Z",
  updated_at: "2026-01-01T00:00:00.000Z",
  access_token: "canary-access",
  refresh_token: "canary-refresh",
  expires_in: 600,
};
const AUTH = { action: "auth", auth: { email: USER.email, password: "canary-password" } };
const LOG = { action: "log", log: { name: "n", data: { text: "canary-data" }, severity: "WARNING" } };
const MAIL = {
  action: "mail",
  mail: { from: "a@example.com", to: "canary-to@example.com", subject: "canary-subject", message: "canary-message" },
};

async function until<T>(what: string, look: () => T | Promise<T>, ms = 10_000): Promise<NonNullable<T>> {
  const endsAt = performance.now() + ms;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== null && found !== false) return found;
    if (performance.now() > endsAt) throw new Error(`${what}: it did not come to pass`);
    await Bun.sleep(10);
  }
}

/** A service that answers as it is told, and remembers what it was asked. */
function makeService() {
  const service = {
    asked: [] as { path: string; headers: Headers; body: unknown }[],
    answer: (): Response | Promise<Response> => Response.json({ error: false, message: "" }, { status: 202 }),
    url: "",
    stop: () => server.stop(true),
  };
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const { pathname: path } = new URL(request.url);
      if (path === "/ready") return Response.json({ error: false, message: "ready" });
      service.asked.push({ path, headers: request.headers, body: await request.json() });
      return service.answer();
    },
  });
  service.url = server.url.origin;
  return service;
}

/** A logger that keeps entries in memory, can be taken away, and answers as it is told. */
function makeLogger() {
  let server: RpcServer | undefined;
  const logger = {
    stored: [] as LogEntry[],
    answer: (): Result<unknown> | Promise<Result<unknown>> => ok("Processing succeeded"),
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
          "RPCServer.LogInfo": ([entry]) => {
            logger.stored.push(entry as LogEntry);
            return logger.answer();
          },
        },
      });
      logger.port = server.port;
    },
    down: async () => server?.[Symbol.asyncDispose](),
  };
  logger.up();
  return logger;
}

/** The way to RabbitMQ, which can be shut and opened. */
async function makeGate(target: URL) {
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

const logged: string[] = [];
const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

/** A broker and its neighbours, all well. */
async function platform(env: Record<string, string> = {}) {
  const dir = await mkdtemp(join(tmpdir(), "broker-"));
  const auth = makeService();
  const mail = makeService();
  const logger = makeLogger();
  auth.answer = () => Response.json({ error: false, message: "Logged in", data: USER }, { status: 202 });
  mail.answer = () =>
    Response.json({ error: false, message: "email sent", data: { id: "x", state: "sent" } }, { status: 202 });
  const config = loadConfig("broker", fields, {
    PORT: "0",
    AUTH_URL: auth.url,
    MAIL_URL: mail.url,
    LOGGER_RPC_URL: `tcp://127.0.0.1:${logger.port}`,
    RABBITMQ_URL: `amqp://${NOWHERE}`,
    LISTENER_QUEUE: LOGS_QUEUE,
    SPOOL_DIR: dir,
    ...env,
  });
  const log = makeLog({ service: "broker", level: "debug", write: (line) => logged.push(line) });
  const runtime = makeRuntime("broker", log, () => undefined);
  const app: App = await start(config, runtime);
  closing.push(
    () => rm(dir, { recursive: true, force: true }),
    () => logger.down(),
    () => auth.stop(),
    () => mail.stop(),
    () => app[Symbol.asyncDispose](),
  );
  const isUp = (name: string) => () =>
    runtime.health.report().dependencies.some((dependency) => dependency.name === name && dependency.state === "up");
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
  return {
    app,
    auth,
    mail,
    logger,
    runtime,
    post,
    handle: (body: unknown, headers?: Record<string, string>) => post("/handle", body, headers),
    isUp,
  };
}

afterAll(() => {
  const text = logged.join("");
  expect(text).toContain('"message":"request"');
  for (const canary of text.matchAll(/canary-[a-z]+/g)) throw new Error(`in the broker's log: ${canary[0]}`);
});

test("all well: each action by its own way, with ids, and marked nowhere as degraded", async () => {
  const { handle, auth, mail, logger } = await platform();
  const login = await handle(AUTH, {
    "x-request-id": "req-1",
    traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-01`,
  });
  expect([login.status, login.body]).toEqual([202, { error: false, message: "Authenticated!", data: USER }]);
  expect(auth.asked[0]).toMatchObject({ path: "/authenticate", body: AUTH.auth });
  expect(auth.asked[0]?.headers.get("x-request-id")).toBe("req-1");
  expect(auth.asked[0]?.headers.get("traceparent")).toStartWith(`00-${"a".repeat(32)}-`);
  expect(Number(auth.asked[0]?.headers.get("x-request-timeout-ms"))).toBeLessThanOrEqual(2_500);

  const entry = await handle(LOG);
  expect([entry.status, entry.body]).toEqual([202, { error: false, message: "Logged via RPC: Processing succeeded" }]);
  expect(logger.stored[0]).toMatchObject({ ...LOG.log, event_id: expect.stringMatching(UUID7) });

  const sent = await handle(MAIL);
  expect([sent.status, sent.body.message]).toEqual([202, "Message sent to canary-to@example.com"]);
  expect(mail.asked[0]?.headers.get("idempotency-key")).toBe(String(sent.body.data?.["id"]));
  for (const { headers } of [login, entry, sent]) expect(headers.get("x-degraded")).toBeNull();
});

test("logger and RabbitMQ away: on disk, said so, and handed on under the same id when the logger is back", async () => {
  const { handle, post, logger, app } = await platform();
  await logger.down();
  const answers = await Promise.all([handle(LOG), handle(LOG), handle([LOG, { action: "x" }])]);
  expect(answers.map(({ status }) => status)).toEqual([202, 202, 207]);
  expect(answers[0]?.body).toEqual({
    error: false,
    message: "Log entry queued",
    data: { degraded: { logger: "spooled" } },
  });
  for (const { headers } of answers) expect(headers.get("x-degraded")).toBe("logger=spooled");
  expect((await post("/", {})).status).toBe(200);
  // It still accepts, so it is ready; and it says what is away.
  const ready = await fetch(`${app.url}/ready`);
  expect(ready.status).toBe(200);
  expect(await ready.json()).toMatchObject({
    data: { dependencies: expect.arrayContaining([expect.objectContaining({ name: "logger", state: "down" })]) },
  });
  logger.up();
  await until("three entries stored", () => logger.stored.length >= 3);
  expect(new Set(logger.stored.map(({ event_id }) => event_id)).size).toBe(3);
});

test("what the logger finds invalid is 422; what is its own trouble is not the client's", async () => {
  const { handle, logger } = await platform();
  logger.answer = () => fail("invalid", "name is odd");
  expect(await handle(LOG)).toMatchObject({ status: 422, body: { message: "name is odd" } });
  for (const code of ["internal", "unauthenticated", "forbidden", "not_found"] as const) {
    logger.answer = () => fail(code);
    expect(await handle(LOG)).toMatchObject({ status: 202, body: { message: "Log entry queued" } });
    logger.answer = () => ok("Processing succeeded");
  }
});

test("auth too slow: 504 within its limit", async () => {
  const { handle, auth } = await platform();
  auth.answer = () => new Promise(() => undefined);
  const { status, body, tookMs } = await handle(AUTH);
  expect([status, body]).toEqual([504, { error: true, message: "Error calling the Auth Service!!!" }]);
  expect(tookMs).toBeGreaterThan(2_000);
  expect(tookMs).toBeLessThan(3_500);
  const hurried = await handle(AUTH, { "x-request-timeout-ms": "200" });
  expect(hurried.status).toBe(504);
  expect(hurried.tookMs).toBeLessThan(1_000);
});

const refusal = (status: number, headers: Record<string, string> = {}) =>
  Response.json({ error: true, message: "in its own words" }, { status, headers });

test.each<[string, () => Response, number, string]>([
  ["no JSON", () => new Response("<html>", { status: 202 }), 502, "Error calling the Auth Service!!!"],
  ["no envelope", () => Response.json([], { status: 202 }), 502, "Error calling the Auth Service!!!"],
  [
    "no user",
    () => Response.json({ error: false, message: "" }, { status: 202 }),
    502,
    "Error calling the Auth Service!!!",
  ],
  ["another success", () => Response.json({ error: false, message: "" }), 502, "Error calling the Auth Service!!!"],
  ["a redirect", () => Response.redirect("http://127.0.0.1:1/", 302), 502, "Error calling the Auth Service!!!"],
  ["404", () => refusal(404), 502, "Error calling the Auth Service!!!"],
  ["403", () => refusal(403), 502, "Error calling the Auth Service!!!"],
  ["500", () => refusal(500), 502, "Error calling the Auth Service!!!"],
  ["503", () => refusal(503), 503, "Error calling the Auth Service!!!"],
  ["401", () => refusal(401), 401, "Invalid credentials!!!"],
  ["422", () => refusal(422), 422, "in its own words"],
  ["429", () => refusal(429, { "retry-after": "7" }), 429, "in its own words"],
])("auth answers %s", async (_what, answer, status, message) => {
  const { handle, auth } = await platform();
  auth.answer = answer;
  const given = await handle(AUTH);
  expect([given.status, given.body]).toEqual([status, { error: true, message }]);
  if (status === 429) expect(given.headers.get("retry-after")).toBe("7");
});

test("mail service and RabbitMQ away: 503, nothing was accepted", async () => {
  const { handle, mail } = await platform();
  await mail.stop();
  const { status, body, headers } = await handle(MAIL);
  expect([status, body]).toEqual([503, { error: true, message: "Error calling mail service" }]);
  expect(headers.get("retry-after")).toBeTruthy();
});

test("what is in hand when the broker stops is answered first", async () => {
  const { handle, auth, app } = await platform();
  const answer = Promise.withResolvers<Response>();
  auth.answer = () => answer.promise;
  const login = handle(AUTH);
  await until("auth asked", () => auth.asked.length === 1);
  const stopped = app[Symbol.asyncDispose]();
  await Bun.sleep(50);
  answer.resolve(Response.json({ error: false, message: "", data: USER }, { status: 202 }));
  expect((await login).status).toBe(202);
  await stopped;
});

test.each([
  ["development", undefined, "https://a.example", "*"],
  ["production", undefined, "https://a.example", null],
  ["production", "https://a.example", "https://a.example", "https://a.example"],
  ["production", "https://a.example", "https://b.example", null],
])("in %s with CORS_ORIGINS %p, %s may read: %p", async (ENVIRONMENT, origins, origin, allowed) => {
  const { app } = await platform({ ENVIRONMENT, ...(origins === undefined ? {} : { CORS_ORIGINS: origins }) });
  for (const path of ["/ping", "/nowhere"]) {
    const { headers } = await fetch(`${app.url}${path}`, { headers: { origin } });
    expect(headers.get("access-control-allow-origin")).toBe(allowed);
    expect(headers.get("access-control-allow-credentials")).toBeNull();
  }
});

test("a spool that cannot be written, or is another broker's, is told before anything is listened on", async () => {
  const dir = await mkdtemp(join(tmpdir(), "broker-"));
  closing.push(() => rm(dir, { recursive: true, force: true }));
  await writeFile(join(dir, "file"), "");
  const wrong = platform({ SPOOL_DIR: join(dir, "file") });
  expect(wrong).rejects.toThrow(StartError);
  expect(wrong).rejects.toThrow("set SPOOL_DIR");
  await platform({ SPOOL_DIR: join(dir, "spool") });
  expect(platform({ SPOOL_DIR: join(dir, "spool") })).rejects.toThrow(StartError);
});

describe.skipIf(RABBITMQ === undefined)("with RabbitMQ (needs TEST_RABBITMQ_URL)", () => {
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

  async function withGate() {
    const gate = await makeGate(new URL(RABBITMQ ?? ""));
    closing.push(() => gate.close());
    return { gate, ...(await platform({ RABBITMQ_URL: gate.url })) };
  }

  test("a hit and a login are events", async () => {
    const { post, handle } = await withGate();
    expect(await post("/", {})).toMatchObject({ status: 200, body: { error: false, message: "Hit the Broker" } });
    expect((await handle(AUTH)).status).toBe(202);
    const hit = await messageOf(LOGS_QUEUE, named("broker_hit"));
    expect(hit.fields.routingKey).toBe("log.INFO");
    expect(hit.properties).toMatchObject({
      contentType: "application/json",
      deliveryMode: 2,
      messageId: expect.stringMatching(UUID7),
      headers: { traceparent: expect.stringMatching(/^00-/), "x-created-at": expect.stringMatching(/Z$/) },
    });
    const login = await messageOf(LOGS_QUEUE, named("authentication"));
    expect(JSON.parse(login.content.toString())).toEqual({ name: "authentication", data: `${USER.email} logged in` });
  });

  test("a login that is refused is no event", async () => {
    const { handle, auth, post } = await withGate();
    auth.answer = () => refusal(401);
    expect((await handle(AUTH)).status).toBe(401);
    await post("/", {});
    const next = await messageOf(LOGS_QUEUE, () => true);
    expect(named("broker_hit")(next)).toBe(true);
  });

  test("logger away: the entry is in the queue, whole, under its id and with the time of its acceptance", async () => {
    const { handle, logger } = await withGate();
    await logger.down();
    const before = Date.now();
    const { status, body, headers } = await handle(LOG);
    expect([status, body]).toEqual([
      202,
      { error: false, message: "Log entry queued", data: { degraded: { logger: "queued" } } },
    ]);
    expect(headers.get("x-degraded")).toBe("logger=queued");
    const message = await messageOf(LOGS_QUEUE, named("n"));
    expect(message.fields.routingKey).toBe("log.WARNING");
    expect(JSON.parse(message.content.toString())).toEqual({ name: "n", data: LOG.log.data });
    expect(message.properties.messageId).toMatch(UUID7);
    const acceptedAt = Date.parse(String(message.properties.headers?.["x-created-at"]));
    expect(acceptedAt).toBeGreaterThanOrEqual(before);
    expect(acceptedAt).toBeLessThanOrEqual(Date.now());
  });

  test("an entry that the logger stored without an answer is queued under the id that it has there", async () => {
    const { handle, logger } = await withGate();
    logger.answer = () => new Promise(() => undefined);
    const { body, tookMs } = await handle(LOG);
    expect(body.message).toBe("Log entry queued");
    expect(tookMs).toBeLessThan(4_000);
    const message = await messageOf(LOGS_QUEUE, named("n"));
    expect(new Set([message.properties.messageId, ...logger.stored.map(({ event_id }) => event_id)]).size).toBe(1);
  });

  test("RabbitMQ away: a hit is a hit, and an entry is on disk; both are handed on when RabbitMQ is back", async () => {
    const { gate, post, handle, logger, isUp } = await withGate();
    gate.shut();
    await until("the loss noticed", () => !isUp("rabbitmq")());
    expect((await post("/", {})).status).toBe(200);
    await logger.down();
    expect((await handle(LOG)).headers.get("x-degraded")).toBe("logger=spooled");
    gate.open();
    const hit = await messageOf(LOGS_QUEUE, named("broker_hit"));
    expect(hit.properties.messageId).toMatch(UUID7);
    const entry = await messageOf(LOGS_QUEUE, named("n"));
    expect([entry.fields.routingKey, JSON.parse(entry.content.toString())]).toEqual([
      "log.WARNING",
      { name: "n", data: LOG.log.data },
    ]);
  });

  test("mail service away: a job, under the id that was tried before", async () => {
    const { handle, mail } = await withGate();
    mail.answer = () => refusal(503);
    const { status, body, headers } = await handle(MAIL);
    const id = String(body.data?.["id"]);
    expect([status, body]).toEqual([
      202,
      { error: false, message: "Message queued for canary-to@example.com", data: { id, degraded: { mail: "queued" } } },
    ]);
    expect(headers.get("x-degraded")).toBe("mail=queued");
    expect(new Set(mail.asked.map((asked) => asked.headers.get("idempotency-key")))).toEqual(new Set([id]));
    const job = await messageOf(jobQueueOf(MAIL_JOB), (message) => message.properties.messageId === id);
    expect(JSON.parse(job.content.toString())).toEqual(MAIL.mail);
  });
});
