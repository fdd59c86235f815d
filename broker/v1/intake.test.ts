import { expect, test } from "bun:test";
import { brokers } from "../platform.test-kit.ts";

const { platform } = brokers();

const ENTRY = { name: "order", data: { a: 1 } };

async function sender(env: Record<string, string> = {}) {
  const { app, logger, ...rest } = await platform(env);
  const send = async (path: string, body: unknown, headers: Record<string, string> = {}) => {
    const answer = await fetch(`${app.url}${path}`, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: typeof body === "string" ? body : JSON.stringify(body),
    });
    const text = await answer.text();
    return { status: answer.status, headers: answer.headers, body: text === "" ? undefined : JSON.parse(text) };
  };
  return { ...rest, app, logger, send };
}

const requestOf = (...bodies: string[]) => ({
  resourceLogs: [
    { scopeLogs: [{ logRecords: bodies.map((stringValue) => ({ body: { stringValue }, severityNumber: 9 })) }] },
  ],
});

test("one entry is answered as the log action is; of several each has an outcome of its own", async () => {
  const { logger, send } = await sender();
  const one = await send("/v1/logs", ENTRY);
  expect(one).toMatchObject({ status: 202, body: { message: "Logged via RPC: Processing succeeded" } });
  expect(one.headers.get("location")).toBe(`/v1/receipts/${one.body.data.receipt_id}`);
  const bad = { ...ENTRY, event_id: "mine" };
  for (const body of [[ENTRY, bad, ENTRY], { entries: [ENTRY, bad, ENTRY] }]) {
    const several = await send("/v1/logs", body);
    expect(several).toMatchObject({
      status: 207,
      body: {
        message: "2 accepted, 1 failed",
        data: [
          { status: 202, data: { receipt_id: expect.any(String) } },
          { status: 422, error: true, message: "event_id is not a known field" },
          { status: 202 },
        ],
      },
    });
  }
  expect(logger.stored).toHaveLength(5);
  for (const body of [
    [],
    Array.from({ length: 1_001 }, () => ENTRY),
    { entries: [ENTRY], more: 1 },
    { entries: 1 },
    1,
  ]) {
    expect((await send("/v1/logs", body)).status).toBe(422);
  }
  expect((await send("/v1/logs?x=1", ENTRY)).status).toBe(422);
});

test("with an Idempotency-Key a batch happens once", async () => {
  const { logger, send } = await sender();
  const key = { "idempotency-key": "batch-1" };
  const first = await send("/v1/logs", [ENTRY, ENTRY], key);
  const again = await send("/v1/logs", [ENTRY, ENTRY], key);
  expect(again.body).toEqual(first.body);
  expect(again.headers.get("idempotent-replayed")).toBe("true");
  expect(logger.stored).toHaveLength(2);
});

test("records of OTLP that are sent again are the same entries; the logger away they are kept, and said to be", async () => {
  const { logger, send } = await sender();
  expect(await send("/otlp/v1/logs", requestOf("a", "b"))).toMatchObject({ status: 200, body: {} });
  expect(await send("/otlp/v1/logs", requestOf("a", "b"))).toMatchObject({ status: 200, body: {} });
  expect(logger.byId.size).toBe(2);
  expect([...logger.byId.values()].map(({ name, data }) => [name, data])).toEqual([
    ["otlp", { body: "a", severity_number: 9 }],
    ["otlp", { body: "b", severity_number: 9 }],
  ]);
  await logger.down();
  const kept = await send("/otlp/v1/logs", requestOf("c"));
  expect(kept).toMatchObject({ status: 200, body: {} });
  expect(kept.headers.get("x-degraded")).toStartWith("logger=");
  const batch = await send("/v1/logs", [ENTRY]);
  expect(batch).toMatchObject({ status: 207, body: { data: [{ status: 202, data: { degraded: {} } }] } });
});

test("refusals of OTLP are of its own kind, also those of access", async () => {
  const { send } = await sender({ ACCESS: "closed" });
  const refused = await send("/otlp/v1/logs", requestOf("a"));
  expect([refused.status, refused.body]).toEqual([401, { message: "a credential with logs:write is needed" }]);
  expect((await send("/v1/logs", ENTRY)).status).toBe(401);
  const open = await sender();
  expect(await open.send("/otlp/v1/logs", "{")).toMatchObject({
    status: 400,
    body: { message: "the body is not one JSON value" },
  });
});
