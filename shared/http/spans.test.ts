/** What is told of requests to a service, and of its own to another: by a service that calls itself. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { makeJsonClient } from "#shared/client";
import { Failure, fail, ok } from "#shared/errors";
import { contextOf, envelope, httpApp, type Listening, listen } from "#shared/http";
import { makeRuntime } from "#shared/lifecycle";
import { makeLog } from "#shared/log";
import { makeEdge } from "#shared/resilience";
import { type FinishedSpan, newContext, overEdge, useSpans } from "#shared/telemetry";
import { collectSpans } from "#shared/telemetry-testing";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT = "00f067aa0ba902b7";
const TRACEPARENT = `00-${TRACE}-${PARENT}-01`;

const lines: string[] = [];
const runtime = makeRuntime(
  "test",
  makeLog({ service: "test", level: "debug", write: (line) => lines.push(line) }),
  () => undefined,
);
let server: Listening;
beforeAll(() => {
  const app = httpApp(runtime, ["https://app.example.com"])
    .get("/things/:id", ({ request }) => envelope("thing", { state: request.headers.get("tracestate") }))
    .get("/fails", () => {
      throw new Failure("unavailable", "away");
    })
    .get("/calls", async ({ request }) => {
      const client = makeJsonClient("the test service", server.url);
      const answer = await client.request("GET", "/things/canary-id", undefined, contextOf(request));
      return envelope("called", answer.ok ? answer.value.envelope.data : undefined);
    });
  server = listen(app, { HOST: "127.0.0.1", PORT: 0 });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  runtime.metrics[Symbol.dispose]();
});

/** The span of a request is told once it is answered, which its sender may know first. */
async function spanOf(spans: readonly FinishedSpan[], name: string): Promise<FinishedSpan> {
  for (const endsAt = performance.now() + 5_000; performance.now() < endsAt; await Bun.sleep(2)) {
    const found = spans.find((span) => span.name === name);
    if (found !== undefined) return found;
  }
  throw new Error(`no span ${name}: ${JSON.stringify(spans.map((span) => span.name))}`);
}

const call = (path: string, headers: Record<string, string> = {}, method = "GET") =>
  fetch(`${server.url}${path}`, { method, headers });

test("a request is a span of the trace that it came with, told by its route and without what its sender chose", async () => {
  using collected = collectSpans();
  const answer = await call("/things/canary-id?q=canary-query", {
    traceparent: TRACEPARENT,
    "user-agent": "canary-agent",
  });
  expect(answer.headers.get("x-trace-id")).toBe(TRACE);
  const span = await spanOf(collected.spans, "GET /things/:id");
  expect(span).toMatchObject({
    kind: "server",
    trace: { traceId: TRACE, parentId: PARENT },
    attributes: {
      "http.request.method": "GET",
      "http.route": "/things/:id",
      "http.response.status_code": 200,
      "url.scheme": "http",
    },
  });
  expect(span.error).toBeUndefined();
  expect(span.endedAt).toBeGreaterThanOrEqual(span.startedAt);
  expect(Math.abs(span.startedAt - Date.now())).toBeLessThan(10_000);
  expect(JSON.stringify(span)).not.toContain("canary");
  const line = lines.find((text) => text.includes(TRACE));
  expect(JSON.parse(line ?? "{}")).toMatchObject({
    message: "request",
    trace_id: TRACE,
    request_id: expect.any(String),
  });
});

test("a failure of ours is an error of its span; a refusal, an unknown path and a foreign method are none", async () => {
  using collected = collectSpans();
  await Promise.all([call("/fails"), call("/canary-path"), call("/things/1", {}, "PROPFIND")]);
  expect(await spanOf(collected.spans, "GET /fails")).toMatchObject({
    error: "unavailable",
    attributes: { "http.response.status_code": 503 },
  });
  const unknown = await spanOf(collected.spans, "GET");
  expect(unknown.attributes).toMatchObject({ "http.response.status_code": 404 });
  expect(unknown.error).toBeUndefined();
  expect((await spanOf(collected.spans, "HTTP")).attributes).toMatchObject({ "http.request.method": "_OTHER" });
  expect(JSON.stringify(collected.spans)).not.toContain("canary");
});

test.each([
  ["an answer", "GET", "/things/1", 200],
  ["a failure", "GET", "/fails", 503],
  ["an unknown path", "GET", "/nowhere", 404],
  ["a method that is not allowed", "DELETE", "/things/1", 405],
  ["a preflight", "OPTIONS", "/things/1", 204],
  ["a probe", "GET", "/ping", 200],
])("%s has the trace's id in a header that pages may read", async (_what, method, path, status) => {
  const headers = {
    origin: "https://app.example.com",
    "access-control-request-method": "GET",
    traceparent: TRACEPARENT,
  };
  const answer = await call(path, headers, method);
  expect(answer.status).toBe(status);
  expect(answer.headers.get("x-trace-id")).toBe(TRACE);
  expect(answer.headers.get("access-control-expose-headers")).toContain("X-Trace-Id");
});

test("a malformed traceparent begins a new trace, and the answer says which", async () => {
  using collected = collectSpans();
  const answer = await call("/things/1", { traceparent: `${TRACEPARENT}-and-more`, tracestate: "a=b" });
  const given = answer.headers.get("x-trace-id");
  expect(given).toMatch(/^[0-9a-f]{32}$/);
  expect(given).not.toBe(TRACE);
  expect((await spanOf(collected.spans, "GET /things/:id")).trace).toEqual({
    traceId: given ?? "",
    spanId: expect.any(String),
    sampled: true,
  });
});

test("probes are no spans", async () => {
  using collected = collectSpans();
  await Promise.all(["/ping", "/ready", "/metrics"].map((path) => call(path)));
  await call("/things/1");
  await spanOf(collected.spans, "GET /things/:id");
  expect(collected.spans.map(({ name }) => name)).toEqual(["GET /things/:id"]);
});

test("what is not told takes no place among the traces that are recorded", async () => {
  const begun: string[] = [];
  const told: FinishedSpan[] = [];
  using _sink = useSpans({
    isRootSampled: (traceId) => {
      begun.push(traceId);
      return true;
    },
    record: (span) => void told.push(span),
  });
  for (const path of ["/ping", "/ready?x=1", "/metrics"]) await call(path);
  await call("/things/1", { origin: "https://app.example.com", "access-control-request-method": "GET" }, "OPTIONS");
  expect(begun).toEqual([]);
  const answer = await call("/things/1?at=/ping");
  expect(begun).toEqual([answer.headers.get("x-trace-id") ?? ""]);
  await spanOf(told, "GET /things/:id");
});

test("a call to another service is a span between two of its servers', and hands tracestate on as it came", async () => {
  using collected = collectSpans();
  const answer = await call("/calls", { traceparent: TRACEPARENT, tracestate: "rojo=1,congo=2" });
  expect(await answer.json()).toMatchObject({ data: { state: "rojo=1,congo=2" } });
  const outer = await spanOf(collected.spans, "GET /calls");
  const client = await spanOf(collected.spans, "GET test service");
  const inner = await spanOf(collected.spans, "GET /things/:id");
  expect([client.trace.parentId, inner.trace.parentId]).toEqual([outer.trace.spanId, client.trace.spanId]);
  expect(client).toMatchObject({
    kind: "client",
    attributes: {
      "http.request.method": "GET",
      "http.response.status_code": 200,
      "peer.service": "test service",
      "server.address": "127.0.0.1",
      "server.port": server.port,
    },
  });
  expect(JSON.stringify(collected.spans)).not.toContain("canary");
});

test("tries of a call are spans side by side under one of its edge, which counts them", async () => {
  using collected = collectSpans();
  const edge = makeEdge({ name: "test→other", attemptMs: 1_000, totalMs: 3_000, retries: 1, concurrent: 1 });
  const client = makeJsonClient("the other service", "http://127.0.0.1:9");
  const context = newContext(3_000);
  const told = await overEdge(edge, context, (inner) => client.request("GET", "/", undefined, inner));
  expect(told).toMatchObject({ ok: false, error: { code: "unavailable" } });
  const [first, second, whole] = collected.spans;
  expect(collected.spans.map(({ name, error }) => [name, error])).toEqual([
    ["GET other service", "unavailable"],
    ["GET other service", "unavailable"],
    ["test→other", "unavailable"],
  ]);
  expect(whole).toMatchObject({
    trace: { parentId: context.trace.spanId },
    attributes: { "edge.tries": 2, "edge.state": "closed" },
    events: [{ name: "tried again" }],
  });
  expect([first?.trace.parentId, second?.trace.parentId]).toEqual([whole?.trace.spanId, whole?.trace.spanId]);
});

test("an open circuit is seen on the span: nothing was tried", async () => {
  const edge = makeEdge({ name: "test→sick", attemptMs: 100, totalMs: 100, concurrent: 1, minimumCalls: 1 });
  const run = () => overEdge(edge, newContext(1_000), async () => fail("unavailable", "sick"));
  await run();
  while (edge.state === "closed") await run();
  using collected = collectSpans();
  await overEdge(edge, newContext(1_000), async () => ok());
  expect(collected.spans).toMatchObject([
    { name: "test→sick", error: "unavailable", attributes: { "edge.tries": 0, "edge.state": "open" } },
  ]);
});

test("where a trace is not sampled nothing is told, and it goes on as not sampled", async () => {
  let told = 0;
  using _sink = useSpans({
    isRootSampled: () => true,
    record: () => {
      told += 1;
    },
  });
  const answer = await call("/calls", { traceparent: `00-${TRACE}-${PARENT}-00` });
  expect(answer.headers.get("x-trace-id")).toBe(TRACE);
  await call("/ping");
  expect(told).toBe(0);
});
