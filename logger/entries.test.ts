import { expect, test } from "bun:test";
import { ok } from "#shared/errors";
import { silentLog } from "#shared/log";
import { makeMetrics, newContext } from "#shared/telemetry";
import { collectSpans } from "#shared/telemetry-testing";
import { documentOf } from "./documents.ts";
import { type LogRecord, makeEntries } from "./entries.ts";
import type { Stored } from "./group-commit.ts";

function makeTaken(outcome: Stored = "stored") {
  const records: LogRecord[] = [];
  const metrics = makeMetrics("logger", "0");
  metrics[Symbol.dispose]();
  const entries = makeEntries(
    {
      refusal: () => undefined,
      insert: async (items) => {
        records.push(...items);
        return ok(items.map(() => ok(outcome)));
      },
    },
    { log: silentLog, metrics },
  );
  return { entries, records, metrics };
}

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

test("a request gets an id, a time, INFO, and remembers where it came from", async () => {
  const { entries, records } = makeTaken();
  const context = newContext();
  const before = Date.now();
  expect(await entries.takeRequest({ name: "a", data: { b: 1 } }, context)).toEqual(ok());
  const [record] = records;
  expect(record).toMatchObject({
    name: "a",
    severity: "INFO",
    content: { data: { b: 1 } },
    source: "http",
    requestId: context.requestId,
    traceId: context.trace.traceId,
  });
  expect(record?.eventId).toMatch(UUID_V7);
  expect(record?.createdAt.getTime()).toBeGreaterThanOrEqual(before);
});

test("a request chooses neither id nor time", async () => {
  const { entries, records } = makeTaken();
  const asked = { name: "a", data: 1, event_id: 7, created_at: "never" };
  expect(await entries.takeRequest(asked, newContext())).toEqual(ok());
  expect(records[0]?.eventId).toMatch(UUID_V7);
});

test("an entry keeps its id, its time and its severity", async () => {
  const { entries, records } = makeTaken();
  const entry = {
    name: "a",
    data: null,
    severity: "ERROR",
    event_id: "x",
    created_at: "2026-01-02T03:04:05.678+01:00",
  };
  expect(await entries.takeEntry(entry, newContext())).toEqual(ok());
  expect(records[0]).toMatchObject({ eventId: "x", severity: "ERROR", source: "rpc" });
  expect(records[0]?.createdAt.toISOString()).toBe("2026-01-02T02:04:05.678Z");
});

const dayAhead = (ms: number): string => new Date(Date.now() + 24 * 3_600_000 + ms).toISOString();

test.each([
  ["nothing", null, /entry/],
  ["a list", [], /entry/],
  ["text", "a", /entry/],
  ["no name", { data: 1 }, /^name is needed/],
  ["an empty name", { name: "", data: 1 }, /^name/],
  ["a name of 256 characters", { name: "a".repeat(256), data: 1 }, /^name/],
  ["a name with NUL", { name: "a\0", data: 1 }, /^name/],
  ["a name that is no text", { name: 5, data: 1 }, /^name/],
  ["no data", { name: "a" }, /^data is needed/],
  ["another severity", { name: "a", data: 1, severity: "info" }, /^severity must be one of INFO, WARNING, ERROR/],
  ["an empty event_id", { name: "a", data: 1, event_id: "" }, /^event_id/],
  ["an event_id of 129 characters", { name: "a", data: 1, event_id: "a".repeat(129) }, /^event_id/],
  ["an event_id that is no text", { name: "a", data: 1, event_id: { $ne: 1 } }, /^event_id/],
  ["a created_at that is no time", { name: "a", data: 1, created_at: "yesterday" }, /^created_at/],
  ["a day that does not exist", { name: "a", data: 1, created_at: "2026-02-30T00:00:00Z" }, /^created_at/],
  ["a time far ahead", { name: "a", data: 1, created_at: dayAhead(60_000) }, /^created_at/],
  ["a number that is none", { name: "a", data: [Number.NaN] }, /^data/],
  ["__proto__ as a field", JSON.parse('{"name":"a","data":1,"__proto__":{}}'), /__proto__/],
])("an entry with %s is invalid, and nothing is stored", async (_, entry, message) => {
  const { entries, records, metrics } = makeTaken();
  const result = await entries.takeEntry(entry, newContext());
  expect(result).toMatchObject({ ok: false, error: { code: "invalid", message: expect.stringMatching(message) } });
  expect(records).toEqual([]);
  expect(await metrics.text()).toContain('logger_entries_total{result="invalid",service="logger"} 1');
});

test("a time almost a day ahead is another clock's, and taken", async () => {
  const { entries } = makeTaken();
  expect(await entries.takeEntry({ name: "a", data: 1, created_at: dayAhead(-60_000) }, newContext())).toEqual(ok());
});

test("the hash is of name, severity and data, and of nothing else", async () => {
  const { entries, records } = makeTaken();
  const variants = [
    { name: "a", data: { b: 1 } },
    { name: "a", data: { b: 1 }, severity: "INFO", event_id: "other", created_at: "2026-01-01T00:00:00Z" },
    { name: "b", data: { b: 1 } },
    { name: "a", data: { b: 1 }, severity: "ERROR" },
    { name: "a", data: { b: 2 } },
    { name: "a", data: '{"b":1}' },
  ];
  for (const entry of variants) await entries.takeEntry(entry, newContext());
  const [first, same, ...others] = records.map((record) => record.contentHash);
  expect(same).toBe(first);
  expect(new Set([first, ...others]).size).toBe(others.length + 1);
});

test("an entry keeps its producer, and the hash does not know it", async () => {
  const { entries, records } = makeTaken();
  const producer = { id: "p", sequence: 7, voided: [5, 6] };
  await entries.takeEntry({ name: "a", data: 1, producer }, newContext());
  await entries.takeEntry({ name: "a", data: 1 }, newContext());
  expect(records[0]?.producer).toEqual(producer);
  expect(records[1]).not.toHaveProperty("producer");
  expect(records[1]?.contentHash).toBe(records[0]?.contentHash ?? "");
  expect(documentOf(records[0] as LogRecord)).toMatchObject({ producer_id: "p", sequence: 7, voided: [5, 6] });
  for (const field of ["producer_id", "sequence", "voided"]) {
    expect(documentOf(records[1] as LogRecord)).not.toHaveProperty(field);
  }
});

test.each(["stored", "duplicate", "conflict"] as const)("who asks hears that an entry was %s", async (outcome) => {
  const { entries } = makeTaken(outcome);
  expect(await entries.takeOnce({ name: "a", data: 1, event_id: "x" }, newContext())).toEqual(ok(outcome));
});

test("an id that is taken by nobody knows what is success, save for who asks by what", async () => {
  const { entries } = makeTaken("taken");
  const entry = { name: "a", data: 1, event_id: "x" };
  expect(await entries.takeEntry(entry, newContext())).toEqual(ok());
  expect(await entries.takeOnce(entry, newContext())).toMatchObject({
    ok: false,
    error: { code: "unavailable", retryAfterS: 1 },
  });
});

test("who asks what became of an entry has to name it", async () => {
  const { entries, records } = makeTaken();
  const result = await entries.takeOnce({ name: "a", data: 1 }, newContext());
  expect(result).toMatchObject({ ok: false, error: { code: "invalid", message: "event_id is needed" } });
  expect(records).toEqual([]);
});

test("a bug that one entry brings to light fails that entry alone", async () => {
  const { entries, records } = makeTaken();
  const data = Object.defineProperty({}, "a", {
    enumerable: true,
    get: () => {
      throw new Error("planted");
    },
  });
  const results = await Promise.all(
    [1, data, 2].map((value) => entries.takeEntry({ name: "a", data: value }, newContext())),
  );
  expect(results).toMatchObject([{ ok: true }, { ok: false, error: { code: "internal" } }, { ok: true }]);
  expect(records).toHaveLength(2);
});

test("repeated entries are success, and counted; so are those with other content", async () => {
  const repeated = makeTaken("duplicate");
  expect(await repeated.entries.takeEntry({ name: "a", data: 1, event_id: "x" }, newContext())).toEqual(ok());
  const text = await repeated.metrics.text();
  expect(text).toContain('logger_duplicates_total{service="logger"} 1');
  expect(text).toContain('logger_id_conflicts_total{service="logger"} 0');
  const other = makeTaken("conflict");
  expect(await other.entries.takeEntry({ name: "a", data: 1, event_id: "x" }, newContext())).toEqual(ok());
  expect(await other.metrics.text()).toContain('logger_id_conflicts_total{service="logger"} 1');
});

test("an entry that names a trace is stored under it and has its span there, whatever call it came with", async () => {
  using seen = collectSpans();
  const { entries, records } = makeTaken();
  const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
  const parentId = "00f067aa0ba902b7";
  const context = newContext();
  const entry = { name: "a", data: 1, event_id: "e" };
  expect(await entries.takeEntry({ ...entry, traceparent: `00-${traceId}-${parentId}-01` }, context)).toEqual(ok());
  expect(records[0]).toMatchObject({ traceId, requestId: context.requestId });
  expect(seen.spans.filter((span) => span.trace.traceId === traceId)).toMatchObject([
    { name: "store entry", trace: { parentId }, attributes: { "log.record.uid": "e" } },
  ]);
  // Not sampled: the same trace, and no span.
  const unsampled = `00-${traceId.replace("4", "5")}-${parentId}-00`;
  expect(await entries.takeEntry({ ...entry, traceparent: unsampled }, context)).toEqual(ok());
  expect(records[1]?.traceId).toBe(traceId.replace("4", "5"));
  expect(seen.spans.some((span) => span.trace.traceId === records[1]?.traceId)).toBe(false);
  // Malformed, it is no reason to refuse an entry, nor to lose sight of it.
  expect(await entries.takeEntry({ ...entry, traceparent: "yes" }, context)).toEqual(ok());
  expect(records[2]?.traceId).toBe(context.trace.traceId);
});
