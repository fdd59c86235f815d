import { describe, expect, test } from "bun:test";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { fail, ok } from "#shared/errors";
import { decodeLogs, type OtlpEntry, responseOf, takenOf } from "#shared/otlp";

const TRACE = "5b8efff798038103d269b633813fc60c";
const SPAN = "eee19b7ec3c1b174";
const text = (key: string, stringValue: string) => ({ key, value: { stringValue } });
const RESOURCE = { attributes: [text("service.name", "shop"), text("service.version", "1.2")] };

function requestOf(logRecords: readonly unknown[], more: object = {}): Uint8Array {
  const scope = { name: "my.library", version: "1.0.0", attributes: [text("scope.kind", "test")] };
  const body = { resourceLogs: [{ resource: RESOURCE, scopeLogs: [{ scope, logRecords, ...more }] }] };
  return Buffer.from(JSON.stringify(body));
}

function entriesOf(logRecords: readonly unknown[]) {
  const decoded = decodeLogs(requestOf(logRecords), "json");
  if (!decoded.ok) throw decoded.error;
  return decoded.value;
}

function entryOf(record: unknown): OtlpEntry {
  const [entry] = entriesOf([record]);
  if (entry === undefined || !entry.ok) throw entry?.error ?? new Error("nothing");
  return entry.value;
}

test("a record becomes an entry with all that it says", () => {
  const entry = entryOf({
    timeUnixNano: "1544712660300000123",
    observedTimeUnixNano: "1544712660300000999",
    severityNumber: 10,
    severityText: "Information",
    traceId: TRACE.toUpperCase(),
    spanId: SPAN,
    flags: 1,
    body: { stringValue: "Example log record" },
    attributes: [
      text("http.request.method", "GET"),
      { key: "http.response.status_code", value: { intValue: "200" } },
      { key: "big", value: { intValue: "9223372036854775807" } },
      { key: "ratio", value: { doubleValue: 0.5 } },
      { key: "nan", value: { doubleValue: "NaN" } },
      { key: "on", value: { boolValue: true } },
      { key: "bytes", value: { bytesValue: "aGk=" } },
      { key: "list", value: { arrayValue: { values: [{ stringValue: "a" }, { intValue: 2 }] } } },
      { key: "map", value: { kvlistValue: { values: [text("__proto__", "x"), text("a.b", "y")] } } },
    ],
    whatTheFutureHas: { any: "thing" },
  });
  expect(entry).toMatchObject({
    name: "shop",
    severity: "INFO",
    createdAt: "2018-12-13T14:51:00.300Z",
    traceId: TRACE,
    spanId: SPAN,
    copy: 0,
  });
  expect(JSON.stringify(entry.data)).toBe(
    JSON.stringify({
      body: "Example log record",
      attributes: {
        http: { request: { method: "GET" }, response: { status_code: 200 } },
        big: "9223372036854775807",
        ratio: 0.5,
        nan: "NaN",
        on: true,
        bytes: "aGk=",
        list: ["a", 2],
        map: JSON.parse('{"__proto__":"x","a.b":"y"}'),
      },
      severity_text: "Information",
      severity_number: 10,
      time_unix_nano: "1544712660300000123",
      observed_time_unix_nano: "1544712660300000999",
      span_id: SPAN,
      flags: 1,
      resource: { service: { name: "shop", version: "1.2" } },
      scope: { name: "my.library", version: "1.0.0", attributes: { scope: { kind: "test" } } },
    }),
  );
});

test.each([
  [0, undefined, "INFO"],
  [0, "Warn", "WARNING"],
  [0, "FATAL", "ERROR"],
  [0, "notice", "INFO"],
  [1, undefined, "INFO"],
  [12, "ERROR", "INFO"],
  [13, undefined, "WARNING"],
  [16, undefined, "WARNING"],
  [17, undefined, "ERROR"],
  [24, undefined, "ERROR"],
])("severity number %p, text %p is %p", (severityNumber, severityText, severity) => {
  expect(entryOf({ severityNumber, severityText }).severity).toBe(severity as never);
});

test("the name is the event's, else the resource's, else the scope's", () => {
  expect(entryOf({ eventName: "order.placed" }).name).toBe("order.placed");
  expect(entryOf({ attributes: [text("event.name", "old.way")] }).name).toBe("old.way");
  expect(entryOf({ eventName: `${"x".repeat(300)}\0` }).name).toBe("x".repeat(255));
  const bare = decodeLogs(Buffer.from('{"resourceLogs":[{"scopeLogs":[{"logRecords":[{}]}]}]}'), "json");
  expect(bare).toMatchObject({ ok: true, value: [{ ok: true, value: { name: "otlp", data: {} } }] });
});

test("keys of attributes that cannot be nested stay as they were sent, all of them", () => {
  const attributes = (...keys: string[]) =>
    entryOf({ attributes: keys.map((key) => text(key, key)) }).data["attributes"] as Record<string, unknown>;
  expect(attributes("a", "a.b")).toEqual({ a: "a", "a.b": "a.b" });
  expect(attributes("a.b", "a")).toEqual({ "a.b": "a.b", a: "a" });
  expect(attributes("a..b", "c.d")).toEqual({ "a..b": "a..b", "c.d": "c.d" });
  expect(Object.keys(attributes("__proto__.polluted"))).toEqual(["__proto__.polluted"]);
  expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  expect(Object.keys(attributes(Array.from({ length: 9 }, () => "a").join(".")))).toEqual(["a.a.a.a.a.a.a.a.a"]);
  const map = { kvlistValue: { values: [text("b", "in the map")] } };
  const both = entryOf({ attributes: [{ key: "a", value: map }, text("a.c", "x")] });
  expect(both.data["attributes"]).toEqual({ a: { b: "in the map" }, "a.c": "x" });
});

test("the same record has the same key whenever it comes; two in one request are two", () => {
  const record = { timeUnixNano: "1544712660300000000", body: { stringValue: "again" } };
  const [first, second] = entriesOf([record, record]);
  const [again] = entriesOf([record]);
  expect(first).toEqual(again as never);
  expect(second).toMatchObject({ value: { key: (first as { value: OtlpEntry }).value.key, copy: 1 } });
  for (const other of [
    { ...record, traceId: TRACE },
    { ...record, timeUnixNano: "1544712660300000001" },
  ]) {
    expect(entryOf(other).key).not.toBe(entryOf(record).key);
  }
  const named = { ...record, attributes: [text("log.record.uid", "01JCQ")] };
  expect(entriesOf([named, { ...named, severityNumber: 17 }])).toMatchObject([
    { value: { key: "uid:01JCQ", copy: 0 } },
    { value: { key: "uid:01JCQ", copy: 0 } },
  ]);
});

test("one bad record refuses itself only", () => {
  let deep: unknown = { stringValue: "bottom" };
  for (let level = 0; level < 33; level += 1) deep = { arrayValue: { values: [deep] } };
  const many = { arrayValue: { values: Array.from({ length: 20_001 }, () => ({ intValue: "1" })) } };
  const ahead = String(BigInt(Date.now() + 25 * 3_600_000) * 1_000_000n);
  const good = { body: { stringValue: "good" } };
  const outcomes = entriesOf([
    good,
    null,
    { severityNumber: "high" },
    { severityNumber: 25 },
    { timeUnixNano: "tomorrow" },
    { timeUnixNano: "-1" },
    { timeUnixNano: ahead },
    { body: deep },
    { body: many },
    { body: { stringValue: "x".repeat(1_048_577) } },
    good,
  ]);
  expect(outcomes.map((outcome) => (outcome.ok ? "ok" : outcome.error.message))).toEqual([
    "ok",
    "it is no log record",
    "severityNumber must be a whole number of 0 to 24",
    "severityNumber must be a whole number of 0 to 24",
    "timeUnixNano must be nanoseconds since 1970",
    "timeUnixNano must be nanoseconds since 1970",
    "its time lies more than a day ahead",
    "nested deeper than 32 levels",
    "more than 20000 values",
    "it is larger than 1048576 bytes",
    "ok",
  ]);
});

test("a text that was cut within a character is kept", () => {
  expect(entryOf({ body: { stringValue: "cut \ud83d" } }).data["body"]).toBe("cut \ufffd");
});

describe("in Protocol Buffers", () => {
  const nested = (writer: BinaryWriter, field: number, write: (inner: BinaryWriter) => BinaryWriter) =>
    write(writer.tag(field, WireType.LengthDelimited).fork()).join();
  const request = (...records: ((writer: BinaryWriter) => BinaryWriter)[]) =>
    nested(new BinaryWriter(), 1, (resourceLogs) =>
      nested(resourceLogs, 2, (scopeLogs) => {
        for (const record of records) nested(scopeLogs, 2, record);
        return scopeLogs;
      }),
    ).finish();
  const body = (value: string) => (writer: BinaryWriter) =>
    nested(writer, 5, (any) => any.tag(1, WireType.LengthDelimited).string(value));

  test("a record whose bytes are none refuses itself only, and what is not known is skipped", () => {
    const broken = (writer: BinaryWriter) => writer.tag(5, WireType.LengthDelimited).raw(Uint8Array.of(100, 1));
    const future = (writer: BinaryWriter) =>
      body("with more")(writer).tag(99, WireType.LengthDelimited).string("new").tag(2, WireType.Bit64).fixed64(1);
    const decoded = decodeLogs(request(body("one"), broken, future), "protobuf");
    expect(decoded).toMatchObject({
      ok: true,
      value: [
        { ok: true, value: { data: { body: "one" } } },
        { ok: false, error: { message: "it is no log record" } },
        { ok: true, value: { data: { body: "with more" } } },
      ],
    });
  });

  test("what is no request is refused as a whole, and nothing at all is an empty one", () => {
    for (const bytes of [
      Uint8Array.of(0xff),
      Buffer.from("{}"),
      Uint8Array.of(10, 127, 1),
      Buffer.from("hello world"),
    ]) {
      expect(decodeLogs(bytes, "protobuf")).toMatchObject({ ok: false, error: { code: "malformed" } });
    }
    expect(decodeLogs(undefined, "protobuf")).toEqual(ok([]));
    expect(decodeLogs(new Uint8Array(), "protobuf")).toEqual(ok([]));
  });

  test("bytes that would become very many values are not decoded to their end", () => {
    const wrapped = (field: number, bytes: Uint8Array) =>
      new BinaryWriter().tag(field, WireType.LengthDelimited).bytes(bytes).finish();
    const refused = (scopeLogs: Uint8Array) => {
      const body = wrapped(1, wrapped(2, scopeLogs));
      expect(body.byteLength).toBeLessThan(1_048_576);
      return decodeLogs(body, "protobuf");
    };
    const emptyRecords = Buffer.alloc(900_000, Uint8Array.of(0x12, 0));
    expect(refused(emptyRecords)).toMatchObject({ ok: false, error: { code: "too_large" } });
    const oneOfMany = wrapped(2, Buffer.alloc(900_000, Uint8Array.of(0x38, 1)));
    expect(refused(oneOfMany)).toMatchObject({ ok: false, error: { code: "too_large" } });
  });

  test("values within values end at a depth", () => {
    let value = new BinaryWriter().tag(1, WireType.LengthDelimited).string("bottom").finish();
    for (let level = 0; level < 200; level += 1) {
      const values = new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(value).finish();
      value = new BinaryWriter().tag(5, WireType.LengthDelimited).bytes(values).finish();
    }
    const decoded = decodeLogs(
      request((writer) => writer.tag(5, WireType.LengthDelimited).bytes(value)),
      "protobuf",
    );
    expect(decoded).toMatchObject({ ok: true, value: [{ ok: false }] });
  });
});

test.each(["null", "[]", '"text"', "{", '{"resourceLogs":{}}', ""])("%p is no request", (json) => {
  expect(decodeLogs(Buffer.from(json), "json")).toMatchObject({ ok: false, error: { code: "malformed" } });
});

test("what could not be kept for now is told for all; what never can is counted, with reasons", () => {
  const bad = fail("invalid", "no");
  expect(takenOf([ok(), bad, ok()])).toEqual(ok({ rejected: 1, message: "log record 1: no" }));
  expect(takenOf([bad, bad, bad, bad, bad])).toEqual(
    ok({ rejected: 5, message: "log record 0: no; log record 1: no; log record 2: no; and 2 more" }),
  );
  expect(takenOf([bad, ok(), fail("unavailable", "away")])).toMatchObject({
    ok: false,
    error: { code: "unavailable", retryAfterS: 1 },
  });
  expect(takenOf([])).toEqual(ok({ rejected: 0, message: "" }));
});

test("answers are of the request's type, and say nothing where nothing was rejected", () => {
  expect(responseOf({ rejected: 0, message: "" }, "json")).toEqual({ type: "application/json", body: "{}" });
  expect(responseOf({ rejected: 2, message: "no" }, "json").body).toBe(
    '{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"no"}}',
  );
  expect(responseOf({ rejected: 0, message: "" }, "protobuf")).toEqual({
    type: "application/x-protobuf",
    body: new Uint8Array(),
  });
  expect(responseOf({ rejected: 2, message: "no" }, "protobuf").body).toEqual(
    Uint8Array.of(10, 6, 8, 2, 18, 2, ...Buffer.from("no")),
  );
});
