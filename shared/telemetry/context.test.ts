import { expect, test } from "bun:test";
import {
  childOf,
  idsOf,
  newContext,
  newTrace,
  requestIdOf,
  traceHeaders,
  traceOf,
  traceparentOf,
  traceFromOutside,
  within,
} from "#shared/telemetry";
import { collectSpans } from "#shared/telemetry-testing";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT = "00f067aa0ba902b7";

test("a traceparent is continued: the same trace, a span of our own, the sampling as it was decided", () => {
  using _sink = collectSpans();
  for (const [flags, sampled] of [
    ["01", true],
    ["00", false],
    ["03", true],
    ["fe", false],
  ] as const) {
    const trace = traceOf(`00-${TRACE}-${PARENT}-${flags}`);
    expect(trace).toMatchObject({ traceId: TRACE, sampled });
    expect(trace.spanId).toMatch(/^[0-9a-f]{16}$/);
    expect(trace.spanId).not.toBe(PARENT);
    expect(traceparentOf(trace)).toBe(`00-${TRACE}-${trace.spanId}-${sampled ? "01" : "00"}`);
  }
});

test("a process whose spans go nowhere begins no trace that is recorded, nor lets one in from outside", () => {
  expect(newTrace().sampled).toBe(false);
  expect(newContext().trace.sampled).toBe(false);
  const asked = `00-${TRACE}-${PARENT}-01`;
  expect(traceFromOutside(asked)).toMatchObject({ traceId: TRACE, sampled: false });
  // Another of ours has its root.
  expect(traceOf(asked)).toMatchObject({ traceId: TRACE, sampled: true });
});

test("a version that is still to come is read as far as version 00 goes", () => {
  expect(traceOf(`cc-${TRACE}-${PARENT}-01`).traceId).toBe(TRACE);
  expect(traceOf(`cc-${TRACE}-${PARENT}-01-what-the-future-will-be-like`).traceId).toBe(TRACE);
});

// The cases of the W3C's own test suite (trace-context/test/test.py) that concern one header.
test.each([
  ["nothing", undefined],
  ["no text", 7],
  ["empty", ""],
  ["version ff", `ff-${TRACE}-${PARENT}-01`],
  ["a version of one digit", `0-${TRACE}-${PARENT}-01`],
  ["a version that is no number", `.0-${TRACE}-${PARENT}-01`],
  ["version 00 with more behind it", `00-${TRACE}-${PARENT}-01-extra`],
  ["version 00 with a dash behind it", `00-${TRACE}-${PARENT}-01-`],
  ["more without a dash", `cc-${TRACE}-${PARENT}-01.extra`],
  ["a trace id of zeros", `00-${"0".repeat(32)}-${PARENT}-01`],
  ["a parent id of zeros", `00-${TRACE}-${"0".repeat(16)}-01`],
  ["capital letters", `00-${TRACE.toUpperCase()}-${PARENT}-01`],
  ["a trace id that is too short", `00-${TRACE.slice(1)}-${PARENT}-01`],
  ["a trace id that is too long", `00-${TRACE}a-${PARENT}-01`],
  ["a parent id that is too long", `00-${TRACE}-${PARENT}a-01`],
  ["no flags", `00-${TRACE}-${PARENT}`],
  ["flags that are no number", `00-${TRACE}-${PARENT}-.1`],
  ["two headers that were joined", `00-${TRACE}-${PARENT}-01,00-${TRACE}-${PARENT}-01`],
  ["a line break at its end", `00-${TRACE}-${PARENT}-01\n`],
])("a traceparent that is malformed begins a new trace: %s", (_what, header) => {
  const trace = traceOf(header);
  expect(trace.traceId).not.toBe(TRACE);
  expect(traceparentOf(trace)).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
});

test("no two traces are alike", () => {
  expect(new Set(Array.from({ length: 1_000 }, () => newTrace().traceId)).size).toBe(1_000);
});

test.each(["a", "req-1", "A1._:/+=@-", "x".repeat(128)])("request id %j is the caller's", (id) => {
  expect(requestIdOf(id)).toBe(id);
});

test.each([undefined, null, 7, "", " a", "a b", "a\nb", "a\n", "ü", "x".repeat(129), '{"a":1}', "a;b"])(
  "request id %j is replaced by one of ours",
  (id) => {
    expect(requestIdOf(id)).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  },
);

test("a context within a shorter time stays the same request and trace", () => {
  const outer = newContext(1_000);
  const inner = within(outer, 10);
  expect(inner).toMatchObject({ requestId: outer.requestId, trace: outer.trace });
  expect(inner.deadline.remainingMs()).toBeLessThanOrEqual(10);
  expect(within(outer, 60_000).deadline.remainingMs()).toBeLessThanOrEqual(1_000);
});

test("what other tracers wrote into tracestate goes on to every span of the trace, as it came", () => {
  const state = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE";
  const trace = childOf(traceOf(`00-${TRACE}-${PARENT}-01`, state));
  expect(traceHeaders(trace)).toEqual({ traceparent: traceparentOf(trace), tracestate: state });
});

test.each([
  ["none", undefined],
  ["empty", ""],
  ["too long", `a=${"b".repeat(511)}`],
  ["with a line break", "a=b\r\nx-other: 1"],
])("a tracestate that is no good is left out: %s", (_what, state) => {
  expect(Object.keys(traceHeaders(traceOf(`00-${TRACE}-${PARENT}-01`, state)))).toEqual(["traceparent"]);
});

test("a tracestate without a traceparent that is good counts for nothing", () => {
  expect(Object.keys(traceHeaders(traceOf("malformed", "a=b")))).toEqual(["traceparent"]);
});

test("lines of a log are tied to a request by its id and its trace", () => {
  const context = newContext();
  expect(idsOf(context)).toEqual({ request_id: context.requestId, trace_id: context.trace.traceId });
});
