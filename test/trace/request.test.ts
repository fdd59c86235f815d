/** One trace from a request at the broker to PostgreSQL and to MongoDB: broker, auth and logger in this process, all real. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "#shared/config";
import { makeRuntime } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import type { FinishedSpan } from "#shared/telemetry";
import { collectSpans } from "#shared/telemetry-testing";
import { startAuth, until } from "../../auth/service.test-kit.ts";
import { start as startBroker, type Broker } from "../../broker/app.ts";
import { fields } from "../../broker/config.ts";
import { makeDatabase, mongoUrl, startLogger, TEST_MONGODB_URL } from "../../logger/testing.ts";

const HAS_SERVERS = TEST_MONGODB_URL !== undefined && process.env["TEST_POSTGRES_URL"] !== undefined;
const PARENT = "00f067aa0ba902b7";
/** Nothing listens there. */
const NOWHERE = "127.0.0.1:9";
const stack = new AsyncDisposableStack();
let broker: Broker;

/** Names from a span up to the one that the caller named. */
function wayUp(spans: readonly FinishedSpan[], from: FinishedSpan | undefined): string[] {
  const byId = new Map(spans.map((span) => [span.trace.spanId, span]));
  const names: string[] = [];
  let at = from;
  for (; at !== undefined; at = byId.get(at.trace.parentId ?? "")) {
    names.push(at.name);
    if (at.trace.parentId === PARENT) return [...names, "caller"];
  }
  return names;
}

async function spansOf(spans: readonly FinishedSpan[], traceId: string, root: string): Promise<FinishedSpan[]> {
  const own = () => spans.filter(({ trace }) => trace.traceId === traceId);
  await until("the trace is whole", () => own().some(({ name }) => name === root));
  return own();
}

/** Asks, in a trace of its own, until it went the usual way: on a machine that is very busy a logger may seem away. */
async function ask(body: unknown): Promise<{ status: number; traceId: string }> {
  for (let tries = 0; ; tries += 1) {
    const traceId = Bun.randomUUIDv7().replaceAll("-", "");
    const answer = await fetch(`${broker.url}/handle`, {
      method: "POST",
      headers: { "content-type": "application/json", traceparent: `00-${traceId}-${PARENT}-01` },
      body: JSON.stringify(body),
    });
    await answer.text();
    expect(answer.headers.get("x-trace-id")).toBe(traceId);
    if ((answer.status < 500 && !answer.headers.has("x-degraded")) || tries === 20) {
      return { status: answer.status, traceId };
    }
    await Bun.sleep(100);
  }
}

describe.skipIf(!HAS_SERVERS)("the trace of a request (needs TEST_POSTGRES_URL and TEST_MONGODB_URL)", () => {
  beforeAll(async () => {
    const auth = stack.use(await startAuth());
    const database = stack.use(await makeDatabase());
    const logger = stack.use(await startLogger(mongoUrl(database.name)));
    await logger.ready(30_000);
    const dir = await mkdtemp(join(tmpdir(), "trace-"));
    stack.defer(() => rm(dir, { recursive: true, force: true }));
    const runtime = makeRuntime("broker", silentLog, () => undefined);
    const config = loadConfig("broker", fields, {
      PORT: "0",
      AUTH_URL: auth.app.url,
      LOGGER_URL: logger.app.url,
      LOGGER_RPC_URL: logger.rpcUrl,
      MAIL_URL: `http://${NOWHERE}`,
      LISTENER_URL: `http://${NOWHERE}`,
      RABBITMQ_URL: `amqp://${NOWHERE}`,
      SPOOL_DIR: dir,
    });
    broker = stack.use(await startBroker(config, runtime));
    const isUp = (wanted: string) =>
      runtime.health.report().dependencies.some(({ name, state }) => name === wanted && state === "up");
    await until("the broker sees logger and auth", () => isUp("logger") && isUp("auth"));
  }, 90_000);
  afterAll(() => stack.disposeAsync(), 30_000);

  test("an entry: broker, edge, RPC, logger, MongoDB, each within the one before", async () => {
    using collected = collectSpans();
    const { status, traceId } = await ask({ action: "log", log: { name: "canary-name", data: "canary-data" } });
    expect(status).toBe(202);
    const spans = await spansOf(collected.spans, traceId, "POST /handle");
    // The last one, where the broker tried twice.
    const stored = spans.findLast(({ name }) => name === "insert logs");
    expect(wayUp(spans, stored)).toEqual([
      "insert logs",
      "store entry",
      "RPCServer.LogInfo",
      "RPCServer.LogInfo",
      "broker→logger",
      "POST /handle",
      "caller",
    ]);
    expect(stored).toMatchObject({ kind: "client", attributes: { "db.system.name": "mongodb" } });
    expect(JSON.stringify(spans)).not.toContain("canary");
  });

  test("a batch: each action is a span, and each of its entries has MongoDB's step in it", async () => {
    using collected = collectSpans();
    const entry = (data: string) => ({ action: "log", log: { name: "n", data } });
    const { status, traceId } = await ask([entry("a"), entry("b"), { action: "canary" }]);
    expect(status).toBeLessThan(300);
    const spans = await spansOf(collected.spans, traceId, "POST /handle");
    const actions = spans.filter(({ name }) => name === "action");
    const of = (index: number) => actions.find(({ attributes }) => attributes["action.index"] === index);
    expect([0, 1, 2].map((index) => [of(index)?.attributes["action.name"], of(index)?.error])).toEqual([
      ["log", undefined],
      ["log", undefined],
      ["unknown", "malformed"],
    ]);
    const ways = spans.filter(({ name }) => name === "insert logs").map((span) => wayUp(spans, span));
    expect(ways.length).toBeGreaterThanOrEqual(2);
    for (const way of ways) expect(way.slice(-4)).toEqual(["broker→logger", "action", "POST /handle", "caller"]);
  });

  test("a login: broker, edge, auth, the hash and PostgreSQL, and nothing of who it is", async () => {
    using collected = collectSpans();
    const auth = { email: "canary@example.com", password: "canary-password" };
    const { status, traceId } = await ask({ action: "auth", auth });
    expect(status).toBe(401);
    const spans = await spansOf(collected.spans, traceId, "POST /handle");
    const way = ["POST /authenticate", "POST auth service", "broker→auth", "POST /handle", "caller"];
    const names = ["SELECT users", "bcrypt verify"];
    for (const wanted of names) {
      expect(
        wayUp(
          spans,
          spans.find(({ name }) => name === wanted),
        ),
      ).toEqual([wanted, ...way]);
    }
    expect(JSON.stringify(spans)).not.toContain("canary");
  });

  test("200 of 200 requests give one whole trace each", async () => {
    using collected = collectSpans();
    const ids: string[] = [];
    const left = Array.from({ length: 200 }, (_, index) => index).values();
    const caller = async (): Promise<void> => {
      for (const index of left) {
        const answer = await fetch(`${broker.url}/handle`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ action: "log", log: { name: "n", data: index } }),
        });
        await answer.text();
        ids.push(answer.headers.get("x-trace-id") ?? "");
      }
    };
    await Promise.all(Array.from({ length: 8 }, caller));
    const isWhole = (id: string): boolean => {
      const own = collected.spans.filter(({ trace }) => trace.traceId === id);
      const known = new Set(own.map(({ trace }) => trace.spanId));
      const roots = own.filter(({ trace }) => trace.parentId === undefined);
      const hangs = own.every(({ trace }) => trace.parentId === undefined || known.has(trace.parentId));
      return roots.length === 1 && hangs && own.some(({ name }) => name === "insert logs");
    };
    // Spans are told as they end, the first one last; an entry that went another way, on a machine that is very busy, is
    // stored a little later, in the same trace.
    await until("each is whole", () => ids.every(isWhole), 30_000);
    const whole = ids.filter(isWhole);
    expect({ ids: new Set(ids).size, whole: whole.length }).toEqual({ ids: 200, whole: 200 });
  }, 120_000);
});
