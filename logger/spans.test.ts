import { expect, test } from "bun:test";
import { RPC_LOG_BATCH } from "#contracts/logs";
import { ok } from "#shared/errors";
import { silentLog } from "#shared/log";
import { makeMetrics, newContext } from "#shared/telemetry";
import { collectSpans } from "#shared/telemetry-testing";
import { type LogRecord, makeEntries } from "./entries.ts";
import { takeAll } from "./intake/batch.ts";
import { takeRecords } from "./intake/otlp.ts";
import { methodsOf } from "./rpc.ts";

function makeTaken() {
  const records: LogRecord[] = [];
  const metrics = makeMetrics("logger", "0");
  metrics[Symbol.dispose]();
  const insert = async (items: readonly LogRecord[]) => {
    records.push(...items);
    return ok(items.map(() => ok("stored" as const)));
  };
  return { entries: makeEntries({ refusal: () => undefined, insert }, { log: silentLog, metrics }), records };
}

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const manyOf = (count: number) => Array.from({ length: count }, (_, index) => ({ name: "a", data: index }));

test("some entries of a batch have a span each, many have one together, and those of other traces their own", async () => {
  using seen = collectSpans();
  const { entries, records } = makeTaken();
  const names = () => seen.spans.splice(0).map(({ name }) => name);
  expect(await takeAll(entries, manyOf(2), undefined, newContext())).toHaveLength(2);
  expect(names()).toEqual(["store entry", "store entry"]);
  expect(await takeAll(entries, manyOf(1_000), undefined, newContext())).toHaveLength(1_000);
  expect(names()).toEqual(["store entries"]);
  const context = newContext();
  const own = { name: "a", data: 1, event_id: "own", traceparent: `00-${TRACE}-00f067aa0ba902b7-01` };
  const logBatch = methodsOf(entries, undefined as never)[RPC_LOG_BATCH];
  expect(await logBatch?.([[...manyOf(500), own]], context)).toMatchObject({ ok: true });
  expect(names()).toEqual(["store entry", "store entries"]);
  expect(records.at(-1)?.traceId).toBe(TRACE);
  expect(records.at(-2)?.traceId).toBe(context.trace.traceId);
});

test("records of OpenTelemetry are stored with their traces, and put no spans into them", async () => {
  using seen = collectSpans();
  const { entries, records } = makeTaken();
  const record = { name: "a", data: 1, severity: "INFO", copy: 0 } as const;
  const both = [ok({ ...record, key: "one", traceId: TRACE }), ok({ ...record, key: "two" })];
  const context = newContext();
  expect(await takeRecords(entries, both as never, context)).toEqual([ok(), ok()]);
  expect(records.map(({ traceId }) => traceId)).toEqual([TRACE, context.trace.traceId]);
  expect(records.every(({ trace }) => trace === undefined)).toBe(true);
  expect(seen.spans).toMatchObject([
    { name: "store entries", trace: { traceId: context.trace.traceId }, attributes: { "logger.entries": 2 } },
  ]);
});
