/** What waits in the outbox comes out: on a real PostgreSQL, to a real RabbitMQ, and to a mail service that does as it is told. */
import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import amqp, { type ChannelModel } from "amqplib";
import type { MailMessage } from "#contracts/mail";
import { makePublisher, type Publisher } from "#shared/amqp";
import { Secret } from "#shared/config";
import { fail, ok, type Result } from "#shared/errors";
import { makeHealth } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { type Database, makeDatabase } from "#shared/postgres";
import { Deadline } from "#shared/resilience";
import { makeMetrics } from "#shared/telemetry";
import { collectSpans } from "#shared/telemetry-testing";
import postgres from "postgres";
import { makeSealer } from "../keys.ts";
import { MIGRATIONS } from "../migrations.ts";
import { until } from "../service.test-kit.ts";
import { makeOutbox, type OutboxItem } from "./outbox.ts";
import { startRelay } from "./relay.ts";

setDefaultTimeout(30_000);
const POSTGRES = process.env["TEST_POSTGRES_URL"];
const RABBITMQ = process.env["TEST_RABBITMQ_URL"];
const name = `test_outbox_${Bun.randomUUIDv7().replaceAll("-", "")}`;
const exchanges = { identity: `${name}.identity`, logs: `${name}.logs` };
const sealer = makeSealer(new Secret("s"), "outbox");
const mail: MailMessage = { from: "a@b", to: "c@d", subject: "s", message: "m" };
const revocation = (subject: string) => ({
  kind: "identity" as const,
  revocation: { id: Bun.randomUUIDv7(), kind: "session" as const, subject, at: "", expires_at: "" },
});

describe.skipIf(POSTGRES === undefined || RABBITMQ === undefined)("outbox (needs PostgreSQL and RabbitMQ)", () => {
  const admin = postgres(POSTGRES ?? "", { max: 1, onnotice: () => undefined });
  let url = "";
  let database: Database;
  let publisher: Publisher;
  let model: ChannelModel;
  let heard: { key: string; id: string; body: Record<string, unknown>; traceparent: unknown }[] = [];
  const relays: AsyncDisposable[] = [];

  beforeAll(async () => {
    await admin`create database ${admin(name)}`;
    const at = new URL(POSTGRES ?? "");
    at.pathname = `/${name}`;
    url = at.href;
    const health = makeHealth(silentLog);
    const metrics = makeMetrics("auth", "0");
    const dependency = health.dependency("x");
    database = makeDatabase({
      url: new Secret(url),
      name,
      log: silentLog,
      metrics,
      dependency,
      migrations: MIGRATIONS,
      maxConnections: 6,
    });
    const ready = await database.ready(Deadline.after(10_000));
    if (!ready.ok) throw ready.error;
    publisher = makePublisher({
      url: new Secret(RABBITMQ ?? ""),
      name,
      log: silentLog,
      metrics,
      dependency,
      topology: { exchanges: Object.values(exchanges).map((one) => ({ name: one, type: "topic" })), queues: [] },
    });
    await until("RabbitMQ", () => publisher.state === "connected");
    model = await amqp.connect(RABBITMQ ?? "");
    const channel = await model.createChannel();
    const { queue } = await channel.assertQueue("", { exclusive: true });
    for (const exchange of Object.values(exchanges)) await channel.bindQueue(queue, exchange, "#");
    await channel.consume(
      queue,
      (message) => {
        if (message === null) return;
        const { fields, properties, content } = message;
        const body = JSON.parse(content.toString()) as Record<string, unknown>;
        heard.push({
          key: fields.routingKey,
          id: String(properties.messageId),
          body,
          traceparent: properties.headers?.["traceparent"],
        });
      },
      { noAck: true },
    );
  });
  afterEach(async () => {
    for (const relay of relays.splice(0)) await relay[Symbol.asyncDispose]();
    heard = [];
    await database.query((sql) => sql`delete from outbox`, { deadline: Deadline.after(5_000), retry: true });
  });
  afterAll(async () => {
    const channel = await model.createChannel();
    for (const exchange of Object.values(exchanges)) await channel.deleteExchange(exchange);
    await model.close();
    await publisher[Symbol.asyncDispose]();
    await database[Symbol.asyncDispose]();
    await admin`drop database if exists ${admin(name)} with (force)`;
    await admin.end();
  });

  interface Around {
    readonly publish?: Publisher["publish"];
    readonly state?: () => Publisher["state"];
    readonly sendMail?: (id: string) => Promise<Result<void>>;
    readonly pollMs?: number;
    readonly secret?: string;
  }
  /** A relay of this database, as each replica has one. */
  function begin({
    publish = (message, context) => publisher.publish(message, context),
    state = () => publisher.state,
    sendMail = async () => ok(),
    pollMs = 60_000,
    secret = "s",
  }: Around = {}) {
    const metrics = makeMetrics("auth", "0");
    const relay = startRelay({
      database,
      sealer: makeSealer(new Secret(secret), "outbox"),
      publisher: {
        publish,
        get state() {
          return state();
        },
      },
      sendMail: (_mail, id) => sendMail(id),
      log: silentLog,
      metrics,
      exchanges,
      pollMs,
    });
    relays.push(relay);
    return { relay, metrics };
  }
  const put = async (items: readonly OutboxItem[], then: () => void = () => undefined): Promise<void> => {
    const done = await database.transaction(
      async (sql) => {
        await makeOutbox(sealer).put(sql, items, {
          requestId: "req-1",
          trace: { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331", sampled: true },
        });
        then();
      },
      { deadline: Deadline.after(5_000), retry: false },
    );
    if (!done.ok) throw done.error;
  };
  const left = async (): Promise<number> => {
    const rows = await database.query((sql) => sql`select 1 from outbox`, {
      deadline: Deadline.after(5_000),
      retry: true,
    });
    return rows.ok ? rows.value.length : Number.NaN;
  };

  test("what is committed comes out at once, each where it belongs, under its id and in its trace", async () => {
    const sent: string[] = [];
    begin({
      sendMail: async (id) => {
        sent.push(id);
        return ok();
      },
    });
    const ended = revocation("session-1");
    await put([
      ended,
      { kind: "audit", data: { action: "logout", by: "user:7" } },
      { kind: "signing_keys" },
      { kind: "mail", mail },
    ]);
    await until("all out", async () => (await left()) === 0);
    await until("heard", () => heard.length === 3);
    expect(heard.map(({ key, body }) => [key, body]).toSorted(([a = ""], [b = ""]) => (a < b ? -1 : 1))).toEqual([
      ["log.INFO", { name: "audit", data: { action: "logout", by: "user:7" } }],
      ["session.revoked", ended.revocation],
      ["signing_keys.changed", {}],
    ]);
    expect(heard.find(({ key }) => key === "session.revoked")?.id).toBe(ended.revocation.id);
    expect(
      heard.every(({ traceparent }) => String(traceparent).startsWith("00-0af7651916cd43dd8448eb211c80319c-")),
    ).toBe(true);
    expect(sent).toHaveLength(1);
  });

  test("what comes out is a span of the request that put it there, with the time waited, and each try of a mail is one", async () => {
    using seen = collectSpans();
    let tries = 0;
    const items: OutboxItem[] = [
      { kind: "audit", data: { action: "logout", by: "user:7" } },
      { kind: "mail", mail },
    ];
    await put(items);
    await Bun.sleep(50);
    begin({
      sendMail: async () => {
        tries += 1;
        return tries === 1 ? fail("unavailable") : ok();
      },
      pollMs: 50,
    });
    await until("all out", async () => (await left()) === 0);
    const of = (name: string) => seen.spans.filter((span) => span.name === name);
    const parentId = "b7ad6b7169203331";
    const [audit] = of("outbox audit");
    expect(audit).toMatchObject({ trace: { traceId: "0af7651916cd43dd8448eb211c80319c", parentId } });
    expect(Number(audit?.attributes["platform.waited_ms"])).toBeGreaterThanOrEqual(50);
    expect(of(`send ${exchanges.logs}`)[0]?.trace.parentId).toBe(audit?.trace.spanId ?? "");
    expect(
      of("outbox mail").map(({ trace, attributes, error }) => [trace.parentId, attributes["platform.attempt"], error]),
    ).toEqual([
      [parentId, 1, "unavailable"],
      [parentId, 2, undefined],
    ]);
  });

  test("what is rolled back does not come out, and nothing lies readable in the table", async () => {
    const no = new Error("no");
    const failed = put([revocation("gone")], () => {
      throw no;
    });
    expect(await failed.catch(({ cause }: Error) => cause)).toBe(no);
    await put([{ kind: "mail", mail }]);
    const rows = await database.query((sql) => sql<{ body: Uint8Array }[]>`select body from outbox`, {
      deadline: Deadline.after(5_000),
      retry: true,
    });
    if (!rows.ok) throw rows.error;
    expect(rows.value).toHaveLength(1);
    expect(Buffer.from(rows.value[0]?.body ?? []).toString("latin1")).not.toContain("c@d");
  });

  test("what ends is told in order, by whichever replica, also around a failure", async () => {
    let failing = true;
    const flaky: Publisher["publish"] = async (message, context) => {
      const { subject } = JSON.parse(new TextDecoder().decode(message.body)) as { subject: string };
      return failing && subject === "order-3" ? fail("unavailable") : publisher.publish(message, context);
    };
    begin({ publish: flaky });
    begin({ publish: flaky });
    const subjects = Array.from({ length: 40 }, (_, index) => `order-${index}`);
    for (const subject of subjects) await put([revocation(subject)]);
    await until("those before it", async () => (await left()) === 37);
    failing = false;
    await until("all out", async () => (await left()) === 0);
    await until("the last is heard", () => heard.some(({ body }) => body["subject"] === "order-39"));
    // Those behind the failure may have been told before as well; after it they come once more, in order.
    const lastTold = subjects.map((subject) => heard.findLastIndex(({ body }) => body["subject"] === subject));
    expect(lastTold).toEqual(lastTold.toSorted((a, b) => a - b));
  });

  test("RabbitMQ away: nothing is lost, it is counted, mails go on, and all comes out afterwards", async () => {
    let away = true;
    const sent: string[] = [];
    const { metrics } = begin({
      state: () => (away ? "away" : publisher.state),
      pollMs: 50,
      sendMail: async (id) => {
        sent.push(id);
        return ok();
      },
    });
    await put([revocation("waits"), { kind: "audit", data: { action: "x", by: "y" } }, { kind: "mail", mail }]);
    await until("the mail", async () => sent.length === 1 && (await left()) === 2);
    expect(heard).toEqual([]);
    await until("counted", async () =>
      (await metrics.text()).includes('auth_outbox_waiting{lane="identity",service="auth"} 1'),
    );
    away = false;
    await until("heard", () => heard.length === 2);
    await until("all out", async () => (await left()) === 0);
  });

  test("a mail is tried again under its id until it is taken; one that is refused, or too old, ends", async () => {
    const tries: string[] = [];
    const { metrics } = begin({
      pollMs: 50,
      sendMail: async (id) => {
        tries.push(id);
        return tries.length < 3 ? fail("unavailable") : ok();
      },
    });
    await put([{ kind: "mail", mail }]);
    await until("taken", async () => (await left()) === 0);
    expect(new Set(tries).size).toBe(1);
    expect(tries).toHaveLength(3);
    await put([{ kind: "mail", mail, until: new Date(Date.now() - 1) }]);
    await until("given up", async () => (await left()) === 0);
    expect(tries).toHaveLength(3);
    expect(await metrics.text()).toContain('auth_outbox_total{lane="mail",result="expired",service="auth"} 1');
    await relays.pop()?.[Symbol.asyncDispose]();
    const other = begin({ sendMail: async () => fail("invalid", "no such address") });
    await put([{ kind: "mail", mail }]);
    await until("refused", async () => (await left()) === 0);
    expect(await other.metrics.text()).toContain('auth_outbox_total{lane="mail",result="refused",service="auth"} 1');
  });

  test("what was sealed with another secret waits, and is in nobody's way", async () => {
    await put([revocation("sealed by another")]);
    begin({ secret: "other", pollMs: 50 });
    const mine = revocation("mine");
    const done = await database.transaction(
      (sql) => makeOutbox(makeSealer(new Secret("other"), "outbox")).put(sql, [mine]),
      { deadline: Deadline.after(5_000), retry: false },
    );
    expect(done.ok).toBe(true);
    await until("mine", () => heard.some(({ id }) => id === mine.revocation.id));
    await until("only the other is left", async () => (await left()) === 1);
  });

  test("what was put just before the end comes out before it", async () => {
    const { relay } = begin();
    await put([revocation("last words")]);
    await relay[Symbol.asyncDispose]();
    expect(await left()).toBe(0);
  });
});
