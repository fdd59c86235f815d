import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { SeverityNumber } from "@opentelemetry/api";
import { OTLPLogExporter as JsonExporter } from "@opentelemetry/exporter-logs-otlp-http";
import { OTLPLogExporter as ProtobufExporter } from "@opentelemetry/exporter-logs-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchLogRecordProcessor, LoggerProvider } from "@opentelemetry/sdk-logs";
import {
  type Database,
  type Logger,
  makeDatabase,
  makeProxy,
  mongoUrl,
  NEEDS_MONGODB,
  startLogger,
  TEST_MONGODB_URL,
} from "../testing.ts";

const record = (stringValue: string, more: object = {}) => ({
  timeUnixNano: "1544712660300000000",
  body: { stringValue },
  ...more,
});
const requestOf = (...logRecords: unknown[]) => ({ resourceLogs: [{ scopeLogs: [{ logRecords }] }] });

describe.skipIf(TEST_MONGODB_URL === undefined)(`intake at the logger ${NEEDS_MONGODB}`, () => {
  let database: Database;
  let logger: Logger;
  beforeAll(async () => {
    database = await makeDatabase();
    logger = await startLogger(mongoUrl(database.name));
    await logger.ready();
  });
  afterAll(async () => {
    await logger?.[Symbol.asyncDispose]();
    await database?.[Symbol.asyncDispose]();
  });

  const PATH = "/otlp/v1/logs";
  const otlp = (body: unknown, headers: Record<string, string> = {}) => logger.post(body, PATH, headers);
  const bodies = async (name = "otlp") =>
    (await database.logs.find({ name }).toArray())
      .map((document) => String((document["data"] as { body: unknown }).body))
      .sort((a, b) => (a < b ? -1 : 1));

  test.each([
    ["JSON", JsonExporter, "none"],
    ["JSON, gzip", JsonExporter, "gzip"],
    ["Protocol Buffers", ProtobufExporter, "none"],
    ["Protocol Buffers, gzip", ProtobufExporter, "gzip"],
  ])(
    "a real exporter's records are stored: %s",
    async (title, Exporter, compression) => {
      const exporter = new Exporter({ url: `${logger.app.url}${PATH}`, compression: compression as never });
      const provider = new LoggerProvider({
        resource: resourceFromAttributes({ "service.name": `shop ${title}` }),
        processors: [new BatchLogRecordProcessor({ exporter, exportTimeoutMillis: 10_000 })],
      });
      const source = provider.getLogger("checkout", "1.2.3");
      for (let index = 0; index < 100; index += 1) {
        source.emit({
          severityNumber: SeverityNumber.ERROR,
          severityText: "error",
          body: `order ${index} failed`,
          attributes: { "order.id": index, tags: ["a", "b"], nested: { any: true } },
        });
      }
      source.emit({ eventName: `${title}.placed`, severityNumber: SeverityNumber.WARN });
      await provider.forceFlush();
      await provider.shutdown();
      const documents = await database.logs.find({ name: `shop ${title}` }).toArray();
      expect(documents).toHaveLength(100);
      expect(documents[0]).toMatchObject({
        severity: "ERROR",
        source: "otlp",
        data: {
          body: expect.stringMatching(/^order \d+ failed$/),
          attributes: { order: { id: expect.any(Number) }, tags: ["a", "b"], nested: { any: true } },
          resource: { service: { name: `shop ${title}` } },
          scope: { name: "checkout", version: "1.2.3" },
        },
      });
      expect(await database.logs.countDocuments({ name: `${title}.placed`, severity: "WARNING" })).toBe(1);
    },
    20_000,
  );

  test("what is sent again is stored once; the trace is the record's", async () => {
    const traceId = "5b8efff798038103d269b633813fc60c";
    const request = requestOf(record("one", { traceId }), record("two"), record("two"));
    for (const _ of [1, 2, 3]) {
      const answer = await otlp(request);
      expect([answer.status, answer.headers.get("content-type"), await answer.text()]).toEqual([
        200,
        "application/json",
        "{}",
      ]);
    }
    expect(await bodies()).toEqual(["one", "two", "two"]);
    expect(await database.logs.findOne({ trace_id: traceId })).toMatchObject({
      created_at: new Date("2018-12-13T14:51:00.300Z"),
      data: { body: "one" },
    });
  });

  test("a bad record refuses itself only, and is told with its reason", async () => {
    const answer = await otlp(requestOf(record("good"), record("bad", { severityNumber: 99 })));
    expect(answer.status).toBe(200);
    expect(await answer.json()).toEqual({
      partialSuccess: {
        rejectedLogRecords: "1",
        errorMessage: "log record 1: severityNumber must be a whole number of 0 to 24",
      },
    });
    expect(await bodies()).toContain("good");
    const uid = { attributes: [{ key: "log.record.uid", value: { stringValue: "u1" } }] };
    await otlp(requestOf(record("first of u1", uid)));
    const again = await otlp(requestOf(record("other of u1", uid)));
    expect(await again.text()).toContain("another record has its log.record.uid");
  });

  test("what cannot be decoded is 400, in the request's own type; other types and what grows too large are refused", async () => {
    const protobuf = { "content-type": "application/x-protobuf" };
    const gzip = { "content-encoding": "gzip" };
    const wrong = await otlp("{");
    expect([wrong.status, await wrong.json()]).toEqual([400, { message: "the body is not one JSON value" }]);
    const broken = await otlp(new Uint8Array([255, 255]), protobuf);
    expect([broken.status, broken.headers.get("content-type")]).toEqual([400, "application/x-protobuf"]);
    expect(await broken.text()).toContain("no ExportLogsServiceRequest");
    const empty = await otlp(new Uint8Array(), protobuf);
    expect([empty.status, await empty.text()]).toEqual([200, ""]);
    expect((await otlp("not gzip", gzip)).status).toBe(400);
    expect((await otlp(requestOf(), { "content-encoding": "br" })).status).toBe(415);
    expect((await otlp("text", { "content-type": "text/plain" })).status).toBe(415);
    const bomb = gzipSync(Buffer.alloc(64 * 1_048_576, " "));
    const refused = await otlp(new Uint8Array(bomb), gzip);
    expect([refused.status, await refused.json()]).toEqual([
      413,
      { message: "the body is larger than 4194304 bytes once it is inflated" },
    ]);
    expect((await otlp("x".repeat(1_048_577))).status).toBe(413);
  });

  test("while MongoDB is away all is to be sent again", async () => {
    using proxy = await makeProxy();
    await using other = await startLogger(mongoUrl(database.name, proxy.host));
    await other.ready();
    proxy.cut();
    const answer = await other.post(requestOf(record("later"), record("bad", { severityNumber: 99 })), PATH);
    expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "1"]);
    expect(await answer.json()).toEqual({ message: "MongoDB is unavailable" });
  });

  test("several entries by one POST: each has an outcome of its own", async () => {
    const post = async (body: unknown, headers = {}) => {
      const answer = await logger.post(body, "/logs", headers);
      return [answer.status, await answer.json()];
    };
    const logged = { status: 202, error: false, message: "logged" };
    const one = { name: "batch", data: { body: "1" } };
    const bad = { name: "", data: { body: "2" } };
    const refused = { status: 422, error: true, message: "name must be text of 1 to 255 characters" };
    expect(await post(one)).toEqual([202, { error: false, message: "logged" }]);
    expect(await post([one, bad, one])).toEqual([
      207,
      { error: false, message: "2 logged, 1 failed", data: [logged, refused, logged] },
    ]);
    expect(await post({ entries: [one] })).toMatchObject([207, { message: "1 logged" }]);
    expect(await bodies("batch")).toEqual(["1", "1", "1", "1"]);
    expect(await post([])).toMatchObject([422, { error: true }]);
    expect(await post(Array.from({ length: 1_001 }, () => one))).toMatchObject([422, { error: true }]);
    const key = { "idempotency-key": "k1" };
    for (const _ of [1, 2]) expect(await post([one, one], key)).toMatchObject([207, { message: "2 logged" }]);
    expect(await bodies("batch")).toHaveLength(6);
    expect(await post([{ ...one, data: { body: "x" } }, one], key)).toMatchObject([
      207,
      { message: "1 logged, 1 failed" },
    ]);
  });
});
