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
const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
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

const ask = (path: string, body: unknown) =>
  fetch(`${broker.url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", traceparent: `00-${TRACE}-${PARENT}-01` },
    body: JSON.stringify(body),
  });

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
    const answer = await ask("/handle", { action: "log", log: { name: "canary-name", data: "canary-data" } });
    expect(answer.status).toBe(202);
    expect(answer.headers.get("x-trace-id")).toBe(TRACE);
    const spans = await spansOf(collected.spans, TRACE, "POST /handle");
    const stored = spans.find(({ name }) => name === "insert logs");
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
    expect((await ask("/handle", [entry("a"), entry("b"), { action: "canary" }])).status).toBeLessThan(300);
    const spans = await spansOf(collected.spans, TRACE, "POST /handle");
    const actions = spans.filter(({ name }) => name === "action");
    expect(actions.map(({ attributes, error }) => [attributes["action.name"], error]).sort()).toEqual([
      ["log", undefined],
      ["log", undefined],
      ["unknown", "malformed"],
    ]);
    const ways = spans.filter(({ name }) => name === "insert logs").map((span) => wayUp(spans, span));
    expect(ways.map((way) => way.slice(-4))).toEqual(
      ways.map(() => ["broker→logger", "action", "POST /handle", "caller"]),
    );
    expect(ways.length).toBe(2);
  });

  test("a login: broker, edge, auth, the hash and PostgreSQL, and nothing of who it is", async () => {
    using collected = collectSpans();
    const auth = { email: "canary@example.com", password: "canary-password" };
    expect((await ask("/handle", { action: "auth", auth })).status).toBe(401);
    const spans = await spansOf(collected.spans, TRACE, "POST /handle");
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

  test("1,000 of 1,000 requests give one whole trace each", async () => {
    using collected = collectSpans();
    const ids: string[] = [];
    const left = Array.from({ length: 1_000 }, (_, index) => index).values();
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
    await Promise.all(Array.from({ length: 16 }, caller));
    await until("all are told", () => collected.spans.filter(({ name }) => name === "POST /handle").length === 1_000);
    const whole = ids.filter((id) => {
      const own = collected.spans.filter(({ trace }) => trace.traceId === id);
      const known = new Set(own.map(({ trace }) => trace.spanId));
      const roots = own.filter(({ trace }) => trace.parentId === undefined);
      const hangs = own.every(({ trace }) => trace.parentId === undefined || known.has(trace.parentId));
      return roots.length === 1 && hangs && own.some(({ name }) => name === "insert logs");
    });
    expect({ ids: new Set(ids).size, whole: whole.length }).toEqual({ ids: 1_000, whole: 1_000 });
  }, 60_000);
});
