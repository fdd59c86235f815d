import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect } from "node:net";
import { Failure } from "#shared/errors";
import { failureOfAnswer, makeJsonClient } from "#shared/client";
import { actorOf, clientOf, contextOf, envelope, httpApp, type Listening, listen } from "#shared/http";
import { makeRuntime } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { makeMetrics, newContext, within } from "#shared/telemetry";
import { metricOf } from "#shared/telemetry-testing";

const runtime = makeRuntime("test", silentLog, () => undefined);
const slow = Promise.withResolvers<void>();
const left = Promise.withResolvers<string>();
let server: Listening;

beforeAll(() => {
  const app = httpApp(runtime, ["https://app.example.com"], { bodiless: ["/ignores", "/links/*"] })
    .post("/echo", ({ body, request }) => envelope(contextOf(request).requestId, body))
    .post("/ignores", () => envelope("no body needed"))
    .post("/links/:token", ({ params, body }) => envelope("no body needed", [params.token, body]))
    .post("/links", ({ body }) => envelope("read", body))
    .get("/actor", ({ request }) => envelope(actorOf(request), clientOf(request)))
    .delete("/owned/:id", ({ params, body }) => envelope("gone", [params.id, body]))
    .delete("/things/:id", () => envelope("gone"))
    .get("/things/:id", ({ params }) => envelope("thing", params))
    .get("/fails", () => {
      throw new Failure("unavailable", "auth is away", { retryAfterS: 1.2, cause: new Error("secret host name") });
    })
    .get("/bug", () => {
      throw new TypeError("secret detail");
    })
    .get("/slow", async () => {
      await slow.promise;
      return envelope("done");
    })
    .get("/left", ({ request }) => {
      const { signal } = contextOf(request).deadline;
      signal.addEventListener("abort", () => left.resolve((signal.reason as Error).name));
      return new Promise<never>(() => undefined);
    });
  server = listen(app, { HOST: "127.0.0.1", PORT: 0 });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  runtime.metrics[Symbol.dispose]();
});

const call = (path: string, init: RequestInit = {}) => fetch(`${server.url}${path}`, init);
const post = (
  body: string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>,
  type: string | null = "application/json",
  headers: Record<string, string> = {},
) =>
  call("/echo", { method: "POST", body, headers: { ...headers, ...(type === null ? {} : { "content-type": type }) } });

/** Sends bytes as they are, and gives back all that is answered until the server closes or falls silent. */
function raw(text: string | Uint8Array, until: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    let seen = "";
    const socket = connect(server.port, "127.0.0.1", () => socket.write(text));
    socket.on("data", (chunk) => {
      seen += chunk.toString("latin1");
      if (until.test(seen)) socket.destroy();
    });
    socket.on("close", () => resolve(seen));
    socket.on("error", reject);
    socket.setTimeout(5_000, () => socket.destroy());
  });
}

test("/ping is OK, /ready names what is missing, /metrics counts by route", async () => {
  expect(await (await call("/ping")).text()).toBe("OK");
  const dependency = runtime.health.dependency("postgres");
  dependency.down(new Error("connect ECONNREFUSED postgres://user:canary@host"));
  const away = await call("/ready");
  const report = (await away.json()) as { data: { dependencies: object[] } };
  expect(away.status).toBe(503);
  expect(report.data.dependencies[0]).toMatchObject({ name: "postgres", state: "down" });
  expect(JSON.stringify(report)).not.toContain("canary");
  dependency.up();
  expect((await call("/ready")).status).toBe(200);
  expect(await (await call("/metrics")).text()).toMatch(/http_request_duration_seconds_count\{.*route="\/ping".*\} 1/);
});

test.each([
  ["200", "/ping", "GET"],
  ["404", "/nowhere", "GET"],
  ["405", "/echo", "GET"],
  ["500", "/bug", "GET"],
  ["503", "/fails", "GET"],
  ["413", "/echo", "POST"],
])("a %s carries request id, security and CORS headers", async (status, path, method) => {
  const body = status === "413" ? "x".repeat(1_048_577) : undefined;
  const reply = await call(path, {
    method,
    headers: { origin: "https://app.example.com" },
    ...(body === undefined ? {} : { body }),
  });
  expect(String(reply.status)).toBe(status);
  expect(reply.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
  expect(reply.headers.get("x-content-type-options")).toBe("nosniff");
  expect(reply.headers.get("content-security-policy")).toContain("default-src 'none'");
  expect(reply.headers.get("access-control-allow-origin")).toBe("https://app.example.com");
  expect(reply.headers.get("vary")).toContain("Origin");
});

test.each([
  "https://evil.example",
  "constructor",
  "null",
  "https://app.example.com.evil.example",
  "https://evil-app.example.com",
  "http://app.example.com",
  "*",
])("origin %s may not read", async (origin) => {
  expect((await call("/ping", { headers: { origin } })).headers.get("access-control-allow-origin")).toBeNull();
});

test.each([
  [[], null],
  [["*"], "*"],
  [["https://APP.example.com"], "https://app.example.com"],
])("with %j configured, an origin may read as %p, without credentials", async (origins, expected) => {
  const other = makeRuntime("test", silentLog, () => undefined);
  const headers = { host: "localhost", origin: "https://app.example.com" };
  const reply = await httpApp(other, origins).handle(new Request("http://localhost/ping", { headers }));
  other.metrics[Symbol.dispose]();
  expect(reply.headers.get("access-control-allow-origin")).toBe(expected);
  expect(reply.headers.get("access-control-allow-credentials")).toBeNull();
});

test("a preflight is answered for the allowed origin", async () => {
  const reply = await call("/echo", {
    method: "OPTIONS",
    headers: {
      origin: "https://app.example.com",
      "access-control-request-method": "POST",
      "access-control-request-headers": "content-type",
    },
  });
  expect(reply.status).toBe(204);
  expect(reply.headers.get("access-control-allow-origin")).toBe("https://app.example.com");
  expect(reply.headers.get("access-control-allow-methods")).toContain("POST");
  expect(reply.headers.get("access-control-allow-headers")).toContain("Content-Type");
});

test("a sane request id is the caller's, any other is replaced", async () => {
  expect(await (await post("1", "application/json", { "x-request-id": "abc-1" })).json()).toEqual({
    error: false,
    message: "abc-1",
    data: 1,
  });
  for (const odd of ["a b", "x".repeat(129), "<script>"]) {
    expect((await post("1", "application/json", { "x-request-id": odd })).headers.get("x-request-id")).not.toBe(odd);
  }
});

test.each([
  ["not JSON", "{bad", "application/json", 400],
  ["two values", "1 2", "application/json", 400],
  ["nothing", "", "application/json", 400],
  ["no content type", "{}", null, 415],
  ["text", "{}", "text/plain", 415],
  ["a form", "a=1", "application/x-www-form-urlencoded", 415],
  ["another charset", "{}", "application/json; charset=latin1", 415],
  ["a charset that is right", "{}", "application/json; charset=UTF-8", 200],
  ["a list where JSON is looked for", "{}", "text/plain, application/json", 415],
  ["nesting of 100,000", "[".repeat(100_000) + "]".repeat(100_000), "application/json", 422],
  ["1 MiB", `"${"a".repeat(1_048_574)}"`, "application/json", 200],
  ["1 MiB and a byte", `"${"a".repeat(1_048_575)}"`, "application/json", 413],
])("a body that is %s", async (_what, body, type, status) => {
  const reply = await post(new TextEncoder().encode(body), type);
  expect(reply.status).toBe(status);
  expect(await reply.json()).toMatchObject({ error: status >= 400 });
});

test("a chunked body is cut off at the limit too", async () => {
  const stream = new ReadableStream<Uint8Array>({
    pull(controller) {
      controller.enqueue(new Uint8Array(65_536).fill(0x20));
    },
  });
  const reply = await Promise.race([
    post(stream).then((answer) => answer.status),
    Bun.sleep(5_000).then(() => "no answer"),
  ]).catch((error: unknown) => String(error));
  // The server may close while the client still sends: either outcome ends the upload.
  expect([
    413,
    "Error: The socket connection was closed unexpectedly. For more information, pass `verbose: true` in the second argument to fetch()",
  ]).toContain(reply as never);
});

test("a length that is claimed and never sent is refused before anything is read", async () => {
  const seen = await raw(
    "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n{",
    /\}$/,
  );
  expect(seen).toStartWith("HTTP/1.1 413 ");
  expect(seen).toContain('{"error":true,"message":"the body is larger than 1048576 bytes"}');
});

test("a body that a route does not want is ignored, whatever it is", async () => {
  const reply = await call("/ignores", { method: "POST", body: "{bad", headers: { "content-type": "text/plain" } });
  expect(await reply.json()).toEqual({ error: false, message: "no body needed" });
});

test("a path that ends in * stands for all that begin so, and for nothing else", async () => {
  const form = { method: "POST", body: "{bad", headers: { "content-type": "application/x-www-form-urlencoded" } };
  expect(await (await call("/links/a%2Fb", form)).json()).toMatchObject({ data: ["a/b", null] });
  expect((await call("/links", form)).status).toBe(415);
});

test("what somebody outside says of actor and client is not believed", async () => {
  const headers = { "x-actor": "root", "x-client-address": "192.0.2.1", "x-client-agent": "liar", "user-agent": "own" };
  const reply = await call("/actor", { headers });
  expect(await reply.json()).toEqual({
    error: false,
    message: "127.0.0.1",
    data: { address: "127.0.0.1", agent: "own" },
  });
});

test.each([
  ["two", "Host: a\r\nHost: b\r\n"],
  ["one that is none", "Host: a b/@?#[\r\n"],
  ["an empty one", "Host: \r\n"],
])("a Host header: %s", async (_what, headers) => {
  const seen = await raw(`GET /nowhere HTTP/1.1\r\n${headers}\r\n`, /\}$/);
  expect(seen).toStartWith("HTTP/1.1 400 ");
  expect(seen.toLowerCase()).toContain("x-content-type-options: nosniff");
  expect(seen).toEndWith('{"error":true,"message":"one valid Host header is needed"}');
});

test("a short Host does not move where the path begins", async () => {
  expect(await raw("GET //x/fails HTTP/1.1\r\nHost: a\r\n\r\n", /\}$/)).toStartWith("HTTP/1.1 404 ");
  expect(await raw("GET /things/7 HTTP/1.1\r\nHost: a\r\n\r\n", /\}$/)).toStartWith("HTTP/1.1 200 ");
});

test("a DELETE needs no body, and what it has for one is ignored", async () => {
  for (const body of [undefined, "{bad"]) {
    const reply = await call("/things/7", { method: "DELETE", ...(body === undefined ? {} : { body }) });
    expect(await reply.json()).toEqual({ error: false, message: "gone" });
  }
});

test("a body that is compressed is refused, not unpacked", async () => {
  expect((await post("{}", "application/json", { "content-encoding": "gzip" })).status).toBe(415);
  expect((await post("{}", "application/json", { "content-encoding": "identity" })).status).toBe(200);
});

test("a body that does not arrive in the request's time is answered, and its connection closed", async () => {
  const head = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nX-Request-Timeout-Ms: 100\r\n";
  for (const framing of ["Content-Length: 9\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n9\r\n{"]) {
    const seen = await raw(head + framing, /never/);
    expect(seen).toStartWith("HTTP/1.1 504 ");
    expect(seen).toContain('{"error":true,"message":"the body took too long to arrive"}');
  }
});

test("405 names what is allowed, and a method nobody knows is refused everywhere", async () => {
  const reply = await call("/things/7", { method: "PUT" });
  expect(reply.status).toBe(405);
  expect(reply.headers.get("allow")).toBe("DELETE, GET, HEAD");
  // A parameter is not empty: no route is there at all.
  expect((await call("/things/")).status).toBe(404);
  expect(await raw("TRACE /ping HTTP/1.1\r\nHost: a\r\n\r\n", /\}$/)).toStartWith("HTTP/1.1 405 ");
});

test("a failure shows its message, a bug shows nothing, neither shows its cause", async () => {
  const failed = await call("/fails");
  expect(failed.headers.get("retry-after")).toBe("2");
  expect(await failed.json()).toEqual({ error: true, message: "auth is away" });
  expect(await (await call("/bug")).json()).toEqual({ error: true, message: "internal error" });
});

test("when the client goes away, the work's signal fires", async () => {
  const gone = new AbortController();
  const reply = call("/left", { signal: gone.signal }).catch(() => "aborted");
  await Bun.sleep(50);
  gone.abort();
  expect(await reply).toBe("aborted");
  expect(await left.promise).toBe("AbortError");
});

test("the client carries id and time along, and tells away from slow from nonsense", async () => {
  const client = makeJsonClient("test", server.url);
  const context = newContext(5_000);
  const echoed = await client.request("POST", "/echo", { a: 1 }, context);
  expect(echoed).toMatchObject({
    ok: true,
    value: { status: 200, envelope: { message: context.requestId, data: { a: 1 } } },
  });
  const refused = await client.request("GET", "/fails", undefined, context);
  expect(refused.ok && failureOfAnswer(refused.value)).toMatchObject({
    code: "unavailable",
    message: "auth is away",
    retryAfterS: 2,
  });
  expect(await client.request("GET", "/ping", undefined, context)).toMatchObject({
    ok: false,
    error: { code: "bad_gateway" },
  });
  expect(await client.request("GET", "/slow", undefined, within(context, 100))).toMatchObject({
    ok: false,
    error: { code: "deadline" },
  });
  const nobody = makeJsonClient("nobody", "http://127.0.0.1:1");
  expect(await nobody.request("GET", "/ping", undefined, context)).toMatchObject({
    ok: false,
    error: { code: "unavailable" },
  });
});

test("the client counts its requests by who was asked and what was answered; two of one service count together", async () => {
  const metrics = makeMetrics("test", "1");
  metrics[Symbol.dispose]();
  const context = newContext(5_000);
  const count = (labels: string) =>
    metricOf(metrics, `http_client_request_duration_seconds_count{service="test",${labels}`);
  for (const [name, path] of [
    ["the mail service", "/fails"],
    ["mail", "/fails"],
    ["the listener", "/ping"],
  ] as const)
    await makeJsonClient(name, server.url, { metrics }).request("GET", path, undefined, context);
  await makeJsonClient("the auth service", "http://127.0.0.1:1", { metrics }).request("GET", "/", undefined, context);
  expect(await count('peer="mail",status="503"')).toBe(2);
  expect(await count('peer="listener",status="200"')).toBe(1);
  expect(await count('peer="auth",status="none"')).toBe(1);
});

test("closing waits for the request in hand and takes no new one", async () => {
  const pending = call("/slow");
  await Bun.sleep(50);
  const closed = server[Symbol.asyncDispose]();
  await Bun.sleep(20);
  expect(
    await call("/ping").then(
      () => "answered",
      () => "refused",
    ),
  ).toBe("refused");
  slow.resolve();
  expect((await pending).status).toBe(200);
  await closed;
});
