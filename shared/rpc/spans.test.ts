/** What is told of calls by RPC, at both ends. */
import { expect, test } from "bun:test";
import { ok } from "#shared/errors";
import { silentLog } from "#shared/log";
import { makeRpcClient, type RpcMethod } from "#shared/rpc";
import { type FinishedSpan, newContext, useSpans } from "#shared/telemetry";
import { collectSpans } from "#shared/telemetry-testing";
import { methods, startServer, until } from "./testing.ts";

async function open(more: Record<string, RpcMethod> = {}) {
  const test = startServer({ methods: { ...methods, ...more } });
  const { port } = test.server;
  const { metrics } = test;
  const client = makeRpcClient({ url: `tcp://127.0.0.1:${port}`, client: "test", log: silentLog, metrics });
  await until(() => client.connected, "connected");
  return {
    client,
    port,
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]();
      await test[Symbol.asyncDispose]();
    },
  };
}

const ofKind = (spans: readonly FinishedSpan[], kind: string) => spans.filter((span) => span.kind === kind);

test("a call is a span of the client within its caller's, and one of the server within that", async () => {
  using collected = collectSpans();
  await using peers = await open();
  const context = newContext(5_000);
  await peers.client.call("echo", ["canary-param"], context);
  const [client] = ofKind(collected.spans, "client");
  const [server] = ofKind(collected.spans, "server");
  expect(collected.spans.length).toBe(2);
  expect(client).toMatchObject({
    name: "echo",
    trace: { traceId: context.trace.traceId, parentId: context.trace.spanId },
    attributes: {
      "rpc.system.name": "messagepack-rpc",
      "rpc.method": "echo",
      "server.address": "127.0.0.1",
      "server.port": peers.port,
    },
  });
  expect(server).toMatchObject({
    name: "echo",
    trace: { traceId: context.trace.traceId, parentId: client?.trace.spanId ?? "" },
    attributes: { "rpc.method": "echo" },
  });
  expect(client?.error ?? server?.error).toBeUndefined();
  expect(JSON.stringify(collected.spans)).not.toContain("canary");
});

test("what a method does is within the server's span", async () => {
  using collected = collectSpans();
  let within = "";
  await using peers = await open({
    look: (_params, { trace }) => {
      within = trace.spanId;
      return ok();
    },
  });
  await peers.client.call("look", [], newContext(5_000));
  expect(ofKind(collected.spans, "server")[0]?.trace.spanId).toBe(within);
});

test.each([
  ["refuse", ["exhausted"], "exhausted"],
  ["throws", [], "internal"],
  ["rejects", [], "internal"],
])("a call that fails says how at both ends: %s", async (method, params, error) => {
  using collected = collectSpans();
  await using peers = await open();
  await peers.client.call(method, params, newContext(5_000));
  expect(collected.spans.map((span) => [span.kind, span.error])).toEqual([
    ["server", error],
    ["client", error],
  ]);
});

test("a call that was never sent is a span of the client's", async () => {
  using collected = collectSpans();
  await using peers = await open();
  await peers.client[Symbol.asyncDispose]();
  await peers.client.call("echo", [], newContext(5_000));
  expect(collected.spans).toMatchObject([{ kind: "client", name: "echo", error: "unavailable" }]);
});

test("a call that its server ran out of time for ends as deadline, whatever the method made of it", async () => {
  using collected = collectSpans();
  const gate = Promise.withResolvers<void>();
  await using peers = await open({
    late: async () => {
      await gate.promise;
      return ok("too late");
    },
  });
  await peers.client.call("late", [], newContext(50));
  expect(collected.spans).toMatchObject([{ kind: "client", error: "deadline" }]);
  // The server gives a method a little longer than its caller has.
  await Bun.sleep(400);
  gate.resolve();
  await until(() => collected.spans.length === 2, "the server's span");
  expect(collected.spans[1]).toMatchObject({ kind: "server", error: "deadline" });
});

test("a trace that is not sampled is not told of, and not even made at the server", async () => {
  let told = 0;
  using _sink = useSpans({
    isRootSampled: () => false,
    record: () => {
      told += 1;
    },
  });
  const made: boolean[] = [];
  await using peers = await open({
    look: (_params, context) => {
      made.push(context.trace.sampled);
      return ok();
    },
  });
  await peers.client.call("look", [], newContext(5_000));
  expect({ told, made }).toEqual({ told: 0, made: [false] });
});
