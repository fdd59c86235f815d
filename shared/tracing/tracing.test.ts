/** Which traces are recorded, and the way of their spans out: to a stand-in of a collector over HTTP. */
import { expect, test } from "bun:test";
import { ConfigError, loadConfig } from "#shared/config";
import { makeLog, silentLog } from "#shared/log";
import {
  inSpan,
  newContext,
  newTrace,
  preciseNow,
  recordSpan,
  type Trace,
  traceFromOutside,
  traceOf,
  traceparentOf,
} from "#shared/telemetry";
import {
  makeSpanTally,
  type SpanCount,
  startTracing,
  tracesUrlField,
  tracingFields,
  tracingOf,
  tracingProblemsOf,
  type TracingSettings,
} from "#shared/tracing";
import { makePipeline, type PipelineOptions, type Sent } from "./pipeline.ts";
import { makeSampler, makeTokens } from "./sampler.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT = "00f067aa0ba902b7";
const FIELDS = { ...tracingFields, ...tracesUrlField };

function settingsOf(environment: Record<string, string>): TracingSettings | undefined {
  return tracingOf("broker", "1.2.3", loadConfig("broker", FIELDS, environment, tracingProblemsOf));
}

async function until(done: () => boolean, ms = 5_000): Promise<void> {
  const end = performance.now() + ms;
  while (!done()) {
    if (performance.now() > end) throw new Error("not in time");
    await Bun.sleep(5);
  }
}

test("samplers by their names", () => {
  const decide = (name: string, argument: number) => {
    const sampler = makeSampler({ name: name as never, argument });
    return [
      sampler.isRootSampled(TRACE),
      sampler.isContinuedSampled(TRACE, true, false),
      sampler.isContinuedSampled(TRACE, false, false),
    ];
  };
  expect(decide("always_on", 0)).toEqual([true, true, true]);
  expect(decide("always_off", 0)).toEqual([false, false, false]);
  expect(decide("traceidratio", 1)).toEqual([true, true, true]);
  expect(decide("traceidratio", 0)).toEqual([false, false, false]);
  expect(decide("parentbased_always_on", 0)).toEqual([true, true, false]);
  expect(decide("parentbased_always_off", 0)).toEqual([false, true, false]);
  expect(decide("parentbased_traceidratio", 0)).toEqual([false, true, false]);
  expect(decide("parentbased_ratelimited", 5)).toEqual([true, true, false]);
  expect(decide("parentbased_ratelimited", 0)).toEqual([false, true, false]);
});

test("a ratio takes that part of all, and the same ones everywhere", () => {
  const samplers = [0, 1].map(() => makeSampler({ name: "parentbased_traceidratio", argument: 0.25 }));
  const ids = Array.from({ length: 2_000 }, () => newTrace().traceId);
  const [here, there] = samplers.map((sampler) => ids.filter((id) => sampler.isRootSampled(id)));
  expect(here).toEqual(there as string[]);
  expect(here?.length).toBeGreaterThan(400);
  expect(here?.length).toBeLessThan(600);
});

test("so many a second begin here, as many again are those that somebody outside asks for, and ours are not bounded", () => {
  let now = 0;
  const sampler = makeSampler({ name: "parentbased_ratelimited", argument: 10 }, () => now);
  const roots = () => Array.from({ length: 100 }, () => sampler.isRootSampled(TRACE)).filter(Boolean).length;
  const outside = () =>
    Array.from({ length: 100 }, () => sampler.isContinuedSampled(TRACE, true, true)).filter(Boolean).length;
  expect([roots(), outside(), roots(), outside()]).toEqual([10, 10, 0, 0]);
  now += 500;
  expect([outside(), roots()]).toEqual([5, 5]);
  now += 60_000;
  expect([outside(), roots()]).toEqual([10, 10]);
  expect(Array.from({ length: 100 }, () => sampler.isContinuedSampled(TRACE, true, false)).every(Boolean)).toBe(true);
  const rare = makeTokens(0.1, () => now);
  expect([rare(), rare()]).toEqual([true, false]);
  now += 10_000;
  expect([rare(), rare()]).toEqual([true, false]);
});

test("what is not recorded keeps its ids; a trace from outside says so", async () => {
  const settings = settingsOf({ OTEL_TRACES_SAMPLER: "parentbased_always_off" }) as TracingSettings;
  await using _tracing = startTracing(settings, { log: silentLog, onCount: () => undefined });
  const trace = traceFromOutside(`00-${TRACE}-${PARENT}-00`);
  expect(trace).toMatchObject({ traceId: TRACE, parentId: PARENT, sampled: false, fromOutside: true });
  expect(traceparentOf(trace)).toEndWith("-00");
  expect(traceOf(`00-${TRACE}-${PARENT}-01`)).toMatchObject({ sampled: true });
  expect(traceOf(`00-${TRACE}-${PARENT}-01`).fromOutside).toBeUndefined();
  expect(newTrace().sampled).toBe(false);
});

test("configuration: what goes where", () => {
  expect(settingsOf({ OTEL_SDK_DISABLED: "TRUE" })).toBeUndefined();
  expect(tracingOf("x", "1", {})).toBeUndefined();
  const plain = settingsOf({});
  expect(plain?.sampler).toEqual({ name: "parentbased_ratelimited", argument: 50 });
  expect(plain?.destinations).toMatchObject([
    { name: "platform", url: "http://localhost:8082/otlp/v1/traces", encoding: "json" },
  ]);
  expect(settingsOf({ TRACES_URL: "off" })?.destinations).toEqual([]);
  const collector = (environment: Record<string, string>) =>
    settingsOf({ TRACES_URL: "off", ...environment })?.destinations;
  expect(collector({ OTEL_EXPORTER_OTLP_ENDPOINT: "https://otel.example.com/x/" })).toMatchObject([
    {
      name: "collector",
      url: "https://otel.example.com/x/v1/traces",
      encoding: "protobuf",
      headers: {},
      batch: { queueSpans: 2_048, batchSpans: 512, delayMs: 5_000, requestMs: 10_000, exportMs: 30_000 },
    },
  ]);
  expect(collector({ OTEL_TRACES_EXPORTER: "otlp" })).toMatchObject([{ url: "http://localhost:4318/v1/traces" }]);
  expect(collector({ OTEL_TRACES_EXPORTER: "none", OTEL_EXPORTER_OTLP_ENDPOINT: "http://x" })).toEqual([]);
  expect(
    collector({
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://x/y",
      OTEL_EXPORTER_OTLP_HEADERS: "api-key=a%20b,other=c=d",
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
    }),
  ).toMatchObject([{ url: "http://x/y", headers: { "api-key": "a b", other: "c=d" }, encoding: "json" }]);
  expect(
    settingsOf({ OTEL_SERVICE_NAME: "gateway", OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=a%2Cb" })
      ?.resource,
  ).toMatchObject({
    "service.name": "gateway",
    "service.version": "1.2.3",
    "deployment.environment.name": "a,b",
  });
});

test.each([
  ["OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"],
  ["OTEL_EXPORTER_OTLP_HEADERS", "canary"],
  ["OTEL_EXPORTER_OTLP_HEADERS", "a=canary%0d%0ab"],
  ["OTEL_RESOURCE_ATTRIBUTES", "a=b;c"],
  ["OTEL_TRACES_SAMPLER", "jaeger_remote"],
  ["OTEL_TRACES_SAMPLER_ARG", "-1"],
  ["OTEL_SDK_DISABLED", "yes"],
  ["TRACES_URL", "http://user:canary@x"],
])("configuration that is wrong is refused: %s=%s", (name, value) => {
  expect(() => settingsOf({ [name]: value })).toThrow(ConfigError);
  if (name.endsWith("HEADERS")) expect(() => settingsOf({ [name]: value })).toThrow(/^(?!.*canary)/s);
});

test("values that do not fit together are refused", () => {
  expect(() => settingsOf({ OTEL_TRACES_SAMPLER: "traceidratio", OTEL_TRACES_SAMPLER_ARG: "2" })).toThrow(
    "from 0 to 1",
  );
  expect(() => settingsOf({ OTEL_BSP_MAX_QUEUE_SIZE: "10" })).toThrow("OTEL_BSP_MAX_EXPORT_BATCH_SIZE must be at most");
});

/** A destination that answers as it is told to, and what became of the items. */
function pipelineTo(
  answers: (items: readonly number[], attempt: number) => Sent | Promise<Sent>,
  options: Partial<PipelineOptions<number>> = {},
) {
  const tally = makeSpanTally();
  const batches: number[][] = [];
  const lines: string[] = [];
  const pipeline = makePipeline<number>({
    name: "test",
    queueSpans: 10,
    batchSpans: 4,
    delayMs: 20,
    requestMs: 1_000,
    exportMs: 5_000,
    log: makeLog({ service: "test", write: (line) => void lines.push(line) }),
    onCount: tally.add,
    send: (items) => {
      batches.push([...items]);
      return Promise.resolve(answers(items, batches.length));
    },
    ...options,
  });
  const counts = (): Record<string, number> =>
    Object.fromEntries(tally.take().map(({ result, spans }: SpanCount) => [result, spans]));
  return { pipeline, batches, counts, lines };
}

const SENT: Sent = { sent: true, rejected: 0 };
const AWAY: Sent = { sent: false, reason: "unavailable", why: "status 503" };

test("what waits goes in batches: at once where there is a whole one, else after a while", async () => {
  const { pipeline, batches, counts } = pipelineTo(() => SENT);
  for (let item = 0; item < 6; item += 1) pipeline.add(item);
  await until(() => batches.length === 2);
  expect(batches).toEqual([
    [0, 1, 2, 3],
    [4, 5],
  ]);
  await pipeline.stop(100);
  expect(counts()).toEqual({ exported: 6 });
});

test("a full queue drops what comes, and nobody waits", async () => {
  const gate = Promise.withResolvers<Sent>();
  const { pipeline, counts } = pipelineTo(() => gate.promise);
  for (let item = 0; item < 100; item += 1) pipeline.add(item);
  // Four are on their way, ten wait.
  expect([pipeline.isFull, counts()]).toEqual([true, { queue_full: 86 }]);
  gate.resolve(SENT);
  await pipeline.stop(1_000);
  expect(counts()).toEqual({ exported: 14 });
  pipeline.add(1);
  expect(counts()).toEqual({ stopped: 1 });
});

test("what is away is tried again with a growing wait, as long as may be", async () => {
  const back = pipelineTo((_items, attempt) => (attempt < 3 ? AWAY : SENT));
  back.pipeline.add(1);
  await until(() => back.batches.length === 3);
  await back.pipeline.stop(100);
  expect(back.counts()).toEqual({ exported: 1 });
  const gone = pipelineTo(() => AWAY, { exportMs: 700 });
  gone.pipeline.add(1);
  gone.pipeline.add(2);
  await until(() => gone.lines.length > 0);
  expect(gone.counts()).toEqual({ unavailable: 2 });
  expect(gone.lines.join("")).toContain("status 503");
  await gone.pipeline.stop(10);
});

test("a destination that says when to come again is not asked before, nor waited for beyond the end", async () => {
  const later = pipelineTo((_items, attempt) => (attempt === 1 ? { ...AWAY, retryAfterMs: 1_500 } : SENT));
  const startedAt = performance.now();
  later.pipeline.add(1);
  await until(() => later.batches.length === 2);
  expect(performance.now() - startedAt).toBeGreaterThan(1_480);
  const never = pipelineTo(() => ({ ...AWAY, retryAfterMs: 60_000 }));
  never.pipeline.add(1);
  await until(() => never.lines.length > 0);
  expect([never.batches.length, never.counts()]).toEqual([1, { unavailable: 1 }]);
  await later.pipeline.stop(10);
});

test("what is too large goes in halves; what is refused is dropped at once; a part that is rejected is counted", async () => {
  const halves = pipelineTo((items) =>
    items.length > 1 ? { sent: false, reason: "too_large", why: "status 413" } : SENT,
  );
  for (const item of [1, 2, 3]) halves.pipeline.add(item);
  await until(() => halves.batches.length === 5);
  await halves.pipeline.stop(100);
  expect(halves.counts()).toEqual({ exported: 3 });
  const refused = pipelineTo(() => ({ sent: false, reason: "refused", why: "status 400" }));
  refused.pipeline.add(1);
  await refused.pipeline.stop(100);
  expect([refused.batches.length, refused.counts()]).toEqual([1, { refused: 1 }]);
  const partly = pipelineTo(() => ({ sent: true, rejected: 1 }));
  for (const item of [1, 2, 3]) partly.pipeline.add(item);
  await partly.pipeline.stop(100);
  expect(partly.counts()).toEqual({ exported: 2, rejected: 1 });
});

test("stopping sends what waits, and takes no longer than it may", async () => {
  const { pipeline, counts } = pipelineTo(() => SENT, { delayMs: 60_000 });
  pipeline.add(1);
  await pipeline.stop(100);
  expect(counts()).toEqual({ exported: 1 });
  const away = pipelineTo(() => AWAY);
  for (let item = 0; item < 8; item += 1) away.pipeline.add(item);
  const startedAt = performance.now();
  await away.pipeline.stop(100);
  expect(performance.now() - startedAt).toBeLessThan(1_000);
  expect(Object.values(away.counts()).reduce((sum, count) => sum + count, 0)).toBe(8);
});

/** A collector that keeps requests, and answers as told. */
function collector(answer: () => Response = () => Response.json({})) {
  const requests: { path: string; headers: Headers; body: Uint8Array }[] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      requests.push({ path: new URL(request.url).pathname, headers: request.headers, body: await request.bytes() });
      return answer();
    },
  });
  return { requests, url: `http://127.0.0.1:${server.port}`, [Symbol.asyncDispose]: () => server.stop(true) };
}

function tracingTo(url: string, environment: Record<string, string> = {}) {
  const settings = settingsOf({
    TRACES_URL: "off",
    OTEL_TRACES_SAMPLER: "always_on",
    OTEL_EXPORTER_OTLP_ENDPOINT: url,
    OTEL_BSP_SCHEDULE_DELAY: "20",
    OTEL_EXPORTER_OTLP_HEADERS: "api-key=secret",
    ...environment,
  }) as TracingSettings;
  const tally = makeSpanTally();
  return { tally, tracing: startTracing(settings, { log: silentLog, onCount: tally.add }) };
}

const SPAN_TRACE: Trace = {
  traceId: TRACE,
  spanId: "aaaaaaaaaaaaaaaa",
  parentId: PARENT,
  sampled: true,
  fromOutside: true,
};

test("a span leaves with its own ids, times, kind, attributes, links, events and error", async () => {
  await using there = collector();
  const { tracing, tally } = tracingTo(there.url, { OTEL_EXPORTER_OTLP_PROTOCOL: "http/json" });
  const startedAt = 1_790_000_000_000.25;
  recordSpan(SPAN_TRACE, {
    name: "POST /handle",
    kind: "server",
    startedAt,
    endedAt: startedAt + 1.5,
    attributes: {
      "http.response.status_code": 503,
      "x.none": undefined,
      "x.list": ["a", "b"],
      "x.long": "x".repeat(5_000),
    },
    links: [{ traceId: "b".repeat(32), spanId: "c".repeat(16) }],
    events: [{ name: "retry", at: startedAt + 1, attributes: { attempt: 2 } }],
    error: "unavailable",
  });
  await tracing[Symbol.asyncDispose]();
  expect(tally.take()).toEqual([{ destination: "collector", result: "exported", spans: 1 }]);
  const [sent] = there.requests;
  expect([sent?.path, sent?.headers.get("content-type"), sent?.headers.get("api-key")]).toEqual([
    "/v1/traces",
    "application/json",
    "secret",
  ]);
  // What sends spans makes none.
  expect(sent?.headers.get("traceparent")).toEndWith("-00");
  const { resourceSpans } = JSON.parse(new TextDecoder().decode(sent?.body)) as {
    resourceSpans: { resource: { attributes: unknown[] }; scopeSpans: { spans: Record<string, unknown>[] }[] }[];
  };
  expect(resourceSpans[0]?.resource.attributes).toContainEqual({
    key: "service.name",
    value: { stringValue: "broker" },
  });
  const span = resourceSpans[0]?.scopeSpans[0]?.spans[0];
  expect(span).toMatchObject({
    traceId: TRACE,
    spanId: "aaaaaaaaaaaaaaaa",
    parentSpanId: PARENT,
    name: "POST /handle",
    kind: 2,
    startTimeUnixNano: "1790000000000250000",
    endTimeUnixNano: "1790000000001750000",
    status: { code: 2 },
    links: [{ traceId: "b".repeat(32), spanId: "c".repeat(16) }],
    events: [
      { name: "retry", timeUnixNano: "1790000000001250000", attributes: [{ key: "attempt", value: { intValue: 2 } }] },
    ],
  });
  expect(span?.["attributes"]).toEqual([
    { key: "http.response.status_code", value: { intValue: 503 } },
    { key: "x.list", value: { arrayValue: { values: [{ stringValue: "a" }, { stringValue: "b" }] } } },
    { key: "x.long", value: { stringValue: "x".repeat(2_048) } },
    { key: "error.type", value: { stringValue: "unavailable" } },
    { key: "platform.parent.outside", value: { boolValue: true } },
  ]);
});

test("spans of one trace hang together as they were made", async () => {
  await using there = collector();
  const { tracing } = tracingTo(there.url, { OTEL_EXPORTER_OTLP_PROTOCOL: "http/json" });
  const context = newContext(1_000);
  await inSpan(context, "outer", {}, (outer) => inSpan(outer, "inner", {}, () => Promise.resolve()));
  await tracing[Symbol.asyncDispose]();
  const body = JSON.parse(new TextDecoder().decode(there.requests[0]?.body)) as {
    resourceSpans: { scopeSpans: { spans: Record<string, string>[] }[] }[];
  };
  const [inner, outer] = body.resourceSpans[0]?.scopeSpans[0]?.spans ?? [];
  expect([inner?.["name"], outer?.["name"], inner?.["parentSpanId"]]).toEqual(["inner", "outer", outer?.["spanId"]]);
  expect([inner?.["traceId"], outer?.["parentSpanId"]]).toEqual([context.trace.traceId, context.trace.spanId]);
});

test.each([
  [429, 2],
  [502, 2],
  [503, 2],
  [504, 2],
  [400, 1],
  [401, 1],
  [500, 1],
  [307, 1],
])("a collector that answers %d is asked %d times", async (status, times) => {
  let asked = 0;
  await using there = collector(() => {
    asked += 1;
    return asked === 1
      ? new Response("no", { status, headers: { "retry-after": "0", location: "http://127.0.0.1:1" } })
      : Response.json({});
  });
  const { tracing, tally } = tracingTo(there.url);
  recordSpan(SPAN_TRACE, { name: "x", startedAt: preciseNow() });
  await until(() => there.requests.length >= times);
  await Bun.sleep(times === 1 ? 50 : 0);
  await tracing[Symbol.asyncDispose]();
  expect([there.requests.length, tally.take()[0]?.result]).toEqual([times, times === 2 ? "exported" : "refused"]);
});

test("a collector that never answers costs a second at the end, and its spans are counted", async () => {
  const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
  const { tracing, tally } = tracingTo(`http://127.0.0.1:${server.port}`);
  recordSpan(SPAN_TRACE, { name: "x", startedAt: preciseNow() });
  const startedAt = performance.now();
  await tracing[Symbol.asyncDispose]();
  expect(performance.now() - startedAt).toBeLessThan(2_500);
  expect(tally.take()).toEqual([{ destination: "collector", result: "stopped", spans: 1 }]);
  server.stop(true);
});
