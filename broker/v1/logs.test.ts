/** Exports of log entries, through the broker's door. */
import { expect, test } from "bun:test";
import type { LogExportEnd } from "#contracts/log-queries";
import type { FinishedSpan } from "#shared/telemetry";
import { collectSpans } from "#shared/telemetry-testing";
import { versionedBrokers } from "./v1.test-kit.ts";

const { broker, sessionToken } = versionedBrokers();
const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const PATH = "/v1/logs/export";

const exportOf = (body: ReadableStream<Uint8Array> | string): Response =>
  new Response(body, { headers: { "content-type": "application/x-ndjson" } });

test("an export is one call of the request's trace, asked for as its caller asks", async () => {
  using collected = collectSpans();
  const { app, logger } = await broker();
  const text = '{"name":"a"}\n{"$export":{"complete":true,"entries":1}}\n';
  logger.answer = () => exportOf(text);
  const answer = await fetch(`${app.url}${PATH}?name=a`, {
    headers: {
      authorization: `Bearer ${await sessionToken()}`,
      traceparent: `00-${TRACE}-00f067aa0ba902b7-01`,
      tracestate: "rojo=1",
    },
  });
  expect([answer.status, await answer.text()]).toEqual([200, text]);
  const [asked] = logger.asked.filter(({ path }) => path === "/logs/export");
  const calls = (span: FinishedSpan): boolean => span.trace.traceId === TRACE && span.name === "GET logger";
  const span = collected.spans.find(calls);
  expect(span).toMatchObject({ kind: "client", attributes: { "http.response.status_code": 200 } });
  expect([asked?.headers.get("traceparent"), asked?.headers.get("tracestate")]).toEqual([
    `00-${TRACE}-${span?.trace.spanId}-01`,
    "rojo=1",
  ]);
});

test("HEAD begins no export", async () => {
  const { app, logger } = await broker();
  const headers = { authorization: `Bearer ${await sessionToken()}` };
  const answer = await fetch(`${app.url}${PATH}`, { method: "HEAD", headers });
  expect([answer.status, answer.headers.get("content-type")]).toEqual([200, "application/x-ndjson"]);
  expect((await fetch(`${app.url}${PATH}?nam=a`, { method: "HEAD", headers })).status).toBe(422);
  expect(logger.asked.filter(({ path }) => path === "/logs/export")).toEqual([]);
});

test("an export ends with the credential that it was asked for with", async () => {
  const { app, logger } = await broker();
  const left = Promise.withResolvers<void>();
  logger.answer = () =>
    exportOf(
      new ReadableStream<Uint8Array>({
        start: (controller) => controller.enqueue(new TextEncoder().encode('{"name":"a"}\n')),
        cancel: () => left.resolve(),
      }),
    );
  const headers = { authorization: `Bearer ${await sessionToken({ livesS: 2 })}` };
  const answer = await fetch(`${app.url}${PATH}`, { headers });
  const lines = (await answer.text()).trim().split("\n");
  expect(lines).toHaveLength(2);
  const { $export: end } = JSON.parse(lines[1] ?? "") as LogExportEnd;
  expect(end).toEqual({ complete: false, entries: 1, error: "the credential no longer counts" });
  await left.promise;
}, 30_000);
