import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ObjectId } from "mongodb";
import { decodeData, type StoredData } from "./data.ts";
import {
  type Database,
  type Logger,
  makeDatabase,
  mongoUrl,
  NEEDS_MONGODB,
  startLogger,
  TEST_MONGODB_URL,
} from "./testing.ts";

const MIB = 1_048_576;

describe.skipIf(TEST_MONGODB_URL === undefined)(`the logger over HTTP ${NEEDS_MONGODB}`, () => {
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

  test.each(["/log", "/api/log"])("POST %s stores the entry and answers 202 logged", async (path) => {
    const name = `route ${path}`;
    const answer = await logger.post({ name, data: { user: 7 }, severity: "WARNING" }, path, { "x-request-id": "r-1" });
    expect(answer.status).toBe(202);
    expect(await answer.json()).toEqual({ error: false, message: "logged" });
    expect(answer.headers.get("x-request-id")).toBe("r-1");
    expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
    const document = await database.logs.findOne({ name });
    expect(document).toMatchObject({ data: { user: 7 }, severity: "WARNING", source: "http", request_id: "r-1" });
    expect(document?._id).toBeInstanceOf(ObjectId);
    expect(document?.["created_at"]).toBeInstanceOf(Date);
    expect(document?.["stored_at"]).toBeInstanceOf(Date);
    expect(document?.["event_id"]).toMatch(/^[0-9a-f-]{36}$/);
    expect(document?.["trace_id"]).toMatch(/^[0-9a-f]{32}$/);
  });

  test("severity is INFO by default, and fields that are not known are ignored", async () => {
    const answer = await logger.post({ name: "plain", data: "text", event_id: "mine", other: { a: 1 } });
    expect(answer.status).toBe(202);
    const document = await database.logs.findOne({ name: "plain" });
    expect(document).toMatchObject({ data: "text", severity: "INFO" });
    expect(document?.["event_id"]).not.toBe("mine");
    expect(document).not.toHaveProperty("other");
  });

  test.each([
    ["operators", '{"$where":"1","$gt":{"$ne":null}}'],
    ["dots and empty keys", '{"a.b":{"":1},".":2}'],
    ["__proto__", '{"__proto__":{"admin":true},"constructor":{"prototype":1}}'],
    ["NUL", '{"a\\u0000b":"c\\u0000d"}'],
    ["numbers", "[0,-0,1.5,2147483648,9007199254740991,1e308,5e-324]"],
    ["null", "null"],
    ["false", "false"],
    ["empty text", '""'],
    ["lists in lists", "[[[1],[]],{}]"],
  ])("data with %s comes back as it was sent", async (what, data) => {
    const name = `data ${what}`;
    expect((await logger.post(`{"name":"${name}","data":${data}}`)).status).toBe(202);
    const document = await database.logs.findOne({ name });
    expect(JSON.stringify(decodeData(document as unknown as StoredData))).toBe(JSON.stringify(JSON.parse(data)));
    expect(({} as Record<string, unknown>)["admin"]).toBeUndefined();
  });

  test("a body of the full megabyte is stored", async () => {
    const head = '{"name":"large","data":"';
    const body = `${head}${"\\u0000".repeat((MIB - head.length - 2) / 6)}`;
    const full = `${body}${"x".repeat(MIB - body.length - 2)}"}`;
    expect(full.length).toBe(MIB);
    expect((await logger.post(full)).status).toBe(202);
    expect(await database.logs.countDocuments({ name: "large" })).toBe(1);
  });

  const nested = (levels: number): string => `{"name":"bad","data":${"[".repeat(levels)}${"]".repeat(levels)}}`;
  test.each([
    ["no JSON", "{", 400],
    ["two values", '{"name":"bad","data":1} {}', 400],
    ["nothing", "", 400],
    ["bytes that are not UTF-8", new Uint8Array([0x22, 0xff, 0x22]), 400],
    ["null", "null", 422],
    ["a list", '[{"name":"bad","data":1}]', 422],
    ["a number", "5", 422],
    ["no name", '{"data":1}', 422],
    ["no data", '{"name":"bad"}', 422],
    ["a name that is no text", '{"name":{"$ne":1},"data":1}', 422],
    ["an empty name", '{"name":"","data":1}', 422],
    ["a name of 256 characters", `{"name":"${"a".repeat(256)}","data":1}`, 422],
    ["NUL in the name", '{"name":"bad\\u0000","data":1}', 422],
    ["another severity", '{"name":"bad","data":1,"severity":"FATAL"}', 422],
    ["__proto__ as a field", '{"name":"bad","data":1,"__proto__":{"a":1}}', 422],
    ["a number that no double holds", '{"name":"bad","data":[1e400]}', 422],
    ["an unpaired surrogate", '{"name":"bad","data":"\\ud800"}', 422],
    ["a nesting of 33", nested(33), 422],
    ["a nesting of 100,000", nested(100_000), 422],
    ["20,001 values", `{"name":"bad","data":[${"1,".repeat(20_000)}1]}`, 422],
    ["a megabyte and a byte", `{"name":"bad","data":"${"a".repeat(MIB)}"}`, 413],
  ] as [string, string | Uint8Array, number][])(
    "a body with %s is refused, and nothing is stored",
    async (_, body, status) => {
      const answer = await logger.post(body);
      expect(answer.status).toBe(status);
      expect(await answer.json()).toEqual({ error: true, message: expect.any(String) });
      expect(answer.headers.get("x-request-id")).not.toBeNull();
      expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
      expect(await database.logs.countDocuments({ name: /^bad/ })).toBe(0);
    },
  );

  test("another content type is 415", async () => {
    for (const type of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]) {
      const answer = await logger.post('{"name":"bad","data":1}', "/log", { "content-type": type });
      expect(answer.status).toBe(415);
    }
    expect(await database.logs.countDocuments({ name: /^bad/ })).toBe(0);
  });

  test("another method is 405 with Allow, another path 404", async () => {
    const method = await fetch(`${logger.app.url}/log`);
    expect(method.status).toBe(405);
    expect(method.headers.get("allow")).toBe("POST");
    const path = await logger.post({ name: "bad", data: 1 }, "/nothing");
    expect(path.status).toBe(404);
    expect(await path.json()).toEqual({ error: true, message: expect.any(String) });
  });

  test("/ping, /ready and /metrics answer", async () => {
    const ping = await fetch(`${logger.app.url}/ping`);
    expect([ping.status, await ping.text()]).toEqual([200, "OK"]);
    const ready = await fetch(`${logger.app.url}/ready`);
    expect(ready.status).toBe(200);
    expect(await ready.json()).toMatchObject({
      error: false,
      data: { dependencies: [{ name: "mongodb", state: "up" }] },
    });
    const metrics = await (await fetch(`${logger.app.url}/metrics`)).text();
    for (const name of ["entries_total", "batch_size_sum", "store_seconds_sum", "queue_entries", "duplicates_total"]) {
      expect(metrics).toContain(`logger_${name}`);
    }
    expect(metrics).toContain("logger_id_conflicts_total");
  });

  test("many at once are each stored once, in few writes", async () => {
    const before = await logger.metric("logger_batch_size_count");
    const answers = await Promise.all(
      Array.from({ length: 300 }, (_, index) => logger.post({ name: "many", data: index })),
    );
    expect(answers.every((answer) => answer.status === 202)).toBe(true);
    const documents = await database.logs.find({ name: "many" }).toArray();
    expect(documents.map((document) => Number(document["data"])).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 300 }, (_, index) => index),
    );
    expect((await logger.metric("logger_batch_size_count")) - before).toBeLessThan(150);
  });
});
