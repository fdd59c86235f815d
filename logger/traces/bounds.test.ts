/** What is kept has its bounds: in number and age on a real server; and where the server does not take what comes. */
import { expect, test } from "bun:test";
import { makeRuntime } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { Deadline } from "#shared/resilience";
import { connectMongo } from "../mongo.ts";
import { makeDatabase, mongoUrl, NEEDS_MONGODB, TEST_MONGODB_URL, until } from "../testing.ts";
import { makeTraceStore, type TraceStore } from "./store.ts";
import { makeTraces } from "./traces.ts";

const hex = (digits: number): string => crypto.getRandomValues(Buffer.alloc(digits / 2)).toString("hex");
const later = (): Deadline => Deadline.after(10_000);

/** One trace with so many spans, as OTLP has it. */
function request(at: number, spans = 1, traceId = hex(32)) {
  const nanos = String(BigInt(at) * 1_000_000n);
  const span = () => ({ traceId, spanId: hex(16), name: "x", startTimeUnixNano: nanos, endTimeUnixNano: nanos });
  return { resourceSpans: [{ scopeSpans: [{ spans: Array.from({ length: spans }, span) }] }] };
}

function tracesOn(store: TraceStore, options: { max?: number; maxAgeS?: number } = {}) {
  const { metrics } = makeRuntime("test", silentLog, () => undefined);
  const limits = { queueSpans: 10, writeEveryMs: 5, pruneEveryMs: 50 };
  const traces = makeTraces({
    store,
    log: silentLog,
    metrics,
    max: 100,
    maxAgeS: 3_600,
    maxSpans: 100,
    limits,
    ...options,
  });
  return { traces, text: () => metrics.text(), end: () => metrics[Symbol.dispose]() };
}

test.skipIf(TEST_MONGODB_URL === undefined)(
  `what is too old or too much is removed, the oldest first, with all of its spans ${NEEDS_MONGODB}`,
  async () => {
    await using database = await makeDatabase();
    const { health, metrics } = makeRuntime("test", silentLog, () => undefined);
    metrics[Symbol.dispose]();
    await using connection = connectMongo({
      url: mongoUrl(database.name),
      dependency: health.dependency("mongodb"),
      log: silentLog,
      metrics,
      onRefused: () => undefined,
    });
    await until(() => connection.logs !== undefined, "connected");
    const store = makeTraceStore(connection);
    const spans = database.client.db(database.name).collection("trace_spans");
    const now = Date.now();
    {
      const { traces, end } = tracesOn(store, { max: 3 });
      const ids = [1, 2, 3, 4, 5].map(() => hex(32));
      for (const [index, id] of ids.entries()) {
        traces.take(request(now - 10_000 + index, 2, id));
        // Another write, and so another document of its spans.
        await until(async () => (await spans.countDocuments({ trace_id: id })) === 1, "stored");
      }
      await until(async () => (await spans.countDocuments({})) === 3, "two are removed");
      expect((await store.oldest(10, later())).map(({ _id }) => _id)).toEqual(ids.slice(2));
      await traces[Symbol.asyncDispose]();
      end();
    }
    const { traces, end } = tracesOn(store, { maxAgeS: 5 });
    traces.take(request(now + 60_000));
    await until(async () => (await store.count(later())) === 1, "those that are older are removed");
    expect(await spans.countDocuments({})).toBe(1);
    await traces[Symbol.asyncDispose]();
    end();
  },
  30_000,
);

test("more than may wait is refused as a whole, and taken later; what cannot be stored is counted", async () => {
  const gate = Promise.withResolvers<void>();
  let written = 0;
  const store = {
    write: async (parts) => {
      await gate.promise;
      if (written > 0) throw new Error("away");
      written += parts.length;
    },
    count: () => Promise.resolve(0),
    oldest: () => Promise.resolve([]),
  } as Partial<TraceStore> as TraceStore;
  const { traces, text, end } = tracesOn(store);
  const now = Date.now();
  expect(traces.take(request(now, 4)).ok).toBe(true);
  await until(
    async () => (await text()).includes('logger_trace_spans_waiting{service="test"} 0'),
    "the first are on their way",
  );
  expect(traces.take(request(now, 8)).ok).toBe(true);
  expect(traces.take(request(now, 3))).toMatchObject({ ok: false, error: { code: "exhausted", retryAfterS: 1 } });
  expect(traces.take(request(now, 2)).ok).toBe(true);
  gate.resolve();
  await traces[Symbol.asyncDispose]();
  expect(await text()).toContain('logger_trace_spans_stored_total{service="test"} 4');
  expect(await text()).toContain('logger_trace_spans_dropped_total{reason="unavailable",service="test"} 10');
  end();
});

test("a logger that stops waits a second for a store that does not answer, however much waits", async () => {
  const store = {
    // Of no answer, as an insert that is on its way when MongoDB hangs.
    write: (_, deadline) => deadline.bound(new Promise<never>(() => undefined), "MongoDB"),
    count: () => Promise.resolve(0),
    oldest: () => Promise.resolve([]),
  } as Partial<TraceStore> as TraceStore;
  const { traces, text, end } = tracesOn(store);
  const now = Date.now();
  traces.take(request(now, 4));
  await until(
    async () => (await text()).includes('logger_trace_spans_waiting{service="test"} 0'),
    "the first are on their way",
  );
  traces.take(request(now, 10));
  const stopsAt = performance.now();
  await traces[Symbol.asyncDispose]();
  expect(performance.now() - stopsAt).toBeWithin(900, 2_500);
  expect(await text()).toContain('logger_trace_spans_dropped_total{reason="unavailable",service="test"} 14');
  end();
});
