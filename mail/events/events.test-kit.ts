/** Events on a database, an exchange and receivers of their own. */
import { connect as connectTcp, createServer, type Socket } from "node:net";
import amqp, { type ConsumeMessage } from "amqplib";
import postgres from "postgres";
import type { MailEvent, MailState } from "#contracts/mail";
import { loadConfig, Secret } from "#shared/config";
import { makeHealth } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { makeDatabase } from "#shared/postgres";
import { Deadline } from "#shared/resilience";
import { makeMetrics } from "#shared/telemetry";
import { MIGRATIONS } from "../migrations.ts";
import { type EventsOptions, startEvents } from "./events.ts";
import { webhookFields } from "./targets.ts";

export const POSTGRES_URL = process.env["TEST_POSTGRES_URL"];
export const RABBITMQ_URL = process.env["TEST_RABBITMQ_URL"];
/** Nothing listens there. */
export const NOWHERE = "amqp://127.0.0.1:1";
/** 32 bytes each. */
export const SECRET = `whsec_${Buffer.alloc(32, "a").toString("base64")}`;
export const NEXT_SECRET = `whsec_${Buffer.alloc(32, "b").toString("base64")}`;

export async function until(what: string, holds: () => boolean | Promise<boolean>, ms = 15_000): Promise<void> {
  const endsAt = performance.now() + ms;
  while (!(await holds())) {
    if (performance.now() > endsAt) throw new Error(`waited in vain: ${what}`);
    await Bun.sleep(10);
  }
}

export interface Arrived {
  readonly event: MailEvent;
  readonly message: ConsumeMessage;
}

/** A queue that is bound to an exchange, with what has come so far. */
export interface Bound extends AsyncDisposable {
  readonly arrived: Arrived[];
}

/** The exchange has to exist. @param mine which events are kept. */
export async function bind(
  exchange: string,
  key: string,
  mine: (event: MailEvent) => boolean = () => true,
): Promise<Bound> {
  const model = await amqp.connect(RABBITMQ_URL ?? "");
  const channel = await model.createChannel();
  const { queue } = await channel.assertQueue("", { exclusive: true, autoDelete: true });
  await channel.bindQueue(queue, exchange, key);
  const arrived: Arrived[] = [];
  await channel.consume(
    queue,
    (message) => {
      if (message === null) return;
      const event = JSON.parse(message.content.toString()) as MailEvent;
      if (mine(event)) arrived.push({ event, message });
    },
    { noAck: true },
  );
  return { arrived, [Symbol.asyncDispose]: () => model.close() };
}

/** A way to RabbitMQ that can be shut. */
export async function makeGate(url: string) {
  const target = new URL(url);
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
  const through = new URL(url);
  through.hostname = "127.0.0.1";
  through.port = String((listener.address() as { port: number }).port);
  const shut = (): void => {
    open = false;
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: through.href,
    shut,
    open: () => {
      open = true;
    },
    async [Symbol.asyncDispose]() {
      shut();
      await new Promise((resolve) => listener.close(resolve));
    },
  };
}

/** Inserts mails whose state is changed as the outbox does: by SQL, so that the trigger writes the events. */
export function makeMails(sql: postgres.Sql) {
  return {
    /** A mail that is being sent to one recipient. @returns its id, which is also its recipient's. */
    async add(traceparent = ""): Promise<string> {
      const id = Bun.randomUUIDv7();
      await sql.begin(async (tx) => {
        await tx`
          INSERT INTO mail_messages (id, content_hash, sender, subject, content, message_id, request_id, traceparent)
          VALUES (${id}, '\\x00', 'me@example.com', 'Hello', '{}', ${`<${id}@localhost>`}, 'request-1', ${traceparent})`;
        await tx`
          INSERT INTO mail_outbox (id, mail_id, recipient, state, claim, lease_until, expires_at)
          VALUES (${id}, ${id}, 'ann@example.org', 'sending', ${id}, now() + interval '1 hour', now() + interval '1 day')`;
      });
      return id;
    },
    async become(id: string, state: MailState, reply?: { code: number; text: string; command: string }): Promise<void> {
      await sql`
        UPDATE mail_outbox SET state = ${state}, attempt = attempt + 1, updated_at = now(),
          lease_until = CASE WHEN ${state === "sending"} THEN now() + interval '1 hour' END, next_at = 'infinity',
          smtp_code = ${reply?.code ?? null}, smtp_text = ${reply?.text ?? null}, smtp_command = ${reply?.command ?? null}
        WHERE id = ${id}`;
    },
  };
}

export interface RunOptions extends Partial<EventsOptions> {
  readonly webhooks?: string;
  readonly secret?: string;
  readonly rabbitmq?: string;
}

let scenes = 0;

/** A database of its own, and any number of processes' worth of events on it. */
export async function makeScene() {
  scenes += 1;
  const name = `mail_events_test_${process.pid}_${scenes}_${Date.now()}`;
  const admin = postgres(POSTGRES_URL ?? "", { max: 1, onnotice: () => undefined });
  await admin.unsafe(`CREATE DATABASE ${name}`);
  const databaseUrl = Object.assign(new URL(POSTGRES_URL ?? ""), { pathname: `/${name}` }).href;
  const sql = postgres(databaseUrl, { max: 4, onnotice: () => undefined });
  const exchange = `t${Bun.randomUUIDv7()}.mail`;
  const closing = new AsyncDisposableStack();

  /** As one replica of the service runs it. */
  async function run({ webhooks, secret = SECRET, rabbitmq = RABBITMQ_URL ?? NOWHERE, ...more }: RunOptions = {}) {
    const env = webhooks === undefined ? {} : { WEBHOOK_URLS: webhooks, WEBHOOK_SECRET: secret };
    const config = loadConfig("mail", webhookFields, env);
    const health = makeHealth(silentLog);
    const metrics = makeMetrics("test", "0");
    const stack = new AsyncDisposableStack();
    stack.use(metrics);
    const database = stack.use(
      makeDatabase({
        url: new Secret(databaseUrl),
        name: "test",
        log: silentLog,
        metrics,
        dependency: health.dependency("postgres"),
        migrations: MIGRATIONS,
      }),
    );
    const up = await database.ready(Deadline.after(20_000));
    if (!up.ok) throw up.error;
    const events = stack.use(
      startEvents({
        database,
        rabbitmqUrl: new Secret(rabbitmq),
        targets: config.WEBHOOK_URLS ?? [],
        keys: config.WEBHOOK_SECRET ?? [],
        types: config.WEBHOOK_EVENTS,
        log: silentLog,
        metrics,
        health,
        pollMs: 50,
        exchange,
        ...more,
      }),
    );
    const stateOf = (dependency: string) =>
      health.report().dependencies.find((report) => report.name === dependency)?.state;
    const replica = {
      health,
      metrics,
      stateOf,
      wake: () => events.wake(),
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    };
    closing.use(replica);
    if (rabbitmq === RABBITMQ_URL) await until("RabbitMQ connected", () => stateOf("rabbitmq") === "up");
    return replica;
  }

  return {
    databaseUrl,
    sql,
    exchange,
    run,
    mails: makeMails(sql),
    unpublished: async () => {
      const [row] = await sql<{ n: number }[]>`SELECT count(*)::int AS n FROM mail_events WHERE published_at IS NULL`;
      return row?.n ?? 0;
    },
    hooks: () =>
      sql<
        {
          url: string;
          attempt: number;
          status: number | null;
          error: string | null;
          delivered_at: Date | null;
          gave_up_at: Date | null;
          lease_until: Date | null;
          wait_s: number;
        }[]
      >`SELECT *, extract(epoch FROM next_at - now())::float8 AS wait_s FROM mail_webhooks ORDER BY url`,
    async [Symbol.asyncDispose]() {
      await closing.disposeAsync();
      await sql.end();
      await admin.unsafe(`DROP DATABASE ${name} WITH (FORCE)`);
      await admin.end();
      if (RABBITMQ_URL === undefined) return;
      const model = await amqp.connect(RABBITMQ_URL);
      const channel = await model.createChannel();
      await channel.deleteExchange(exchange);
      await model.close();
    },
  };
}

export type Scene = Awaited<ReturnType<typeof makeScene>>;

export interface Call {
  readonly path: string;
  readonly query: string;
  readonly headers: Headers;
  readonly body: Uint8Array;
  readonly event: MailEvent;
}

/** A receiver of webhooks that answers as it is told. */
export function makeReceiver(answer: (call: Call, nth: number) => Response | Promise<Response>) {
  const calls: Call[] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const { pathname, search } = new URL(request.url);
      const body = new Uint8Array(await request.arrayBuffer());
      const event = JSON.parse(new TextDecoder().decode(body)) as MailEvent;
      const call = { path: pathname, query: search, headers: request.headers, body, event };
      return answer(call, calls.push(call));
    },
  });
  return {
    calls,
    url: server.url.href.replace(/\/$/, ""),
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}
