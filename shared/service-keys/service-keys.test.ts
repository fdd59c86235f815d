/** Keys between services, over HTTP: who gets in, who is believed, and what the one who calls makes of a refusal. */
import { afterAll, expect, test } from "bun:test";
import { makeJsonClient } from "#shared/client";
import { loadConfig, Secret } from "#shared/config";
import { actorOf, clientOf, envelope, exposureOf, httpApp, type Listening, listen } from "#shared/http";
import { makeRuntime } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import {
  type KnownCaller,
  makeCallers,
  makeServiceKey,
  serviceCallersField,
  serviceKeyField,
  serviceKeyProblems,
} from "#shared/service-keys";
import { newContext } from "#shared/telemetry";

const opened = new AsyncDisposableStack();
const broker = makeServiceKey();
const next = makeServiceKey();
const listener = makeServiceKey();
const unlisted = makeServiceKey();

const known: readonly KnownCaller[] = [
  { name: "broker", sha256: broker.sha256 },
  { name: "broker", sha256: next.sha256 },
  { name: "listener", sha256: listener.sha256 },
  { name: "unlisted", sha256: unlisted.sha256 },
];
const TABLE = { broker: ["*"], listener: ["POST /send", "GET /mails/:id"] };

/** @param shown `METRICS` and `METRICS_TOKEN`. */
function open(
  callers: readonly KnownCaller[] | undefined,
  shown: { METRICS?: "off"; METRICS_TOKEN?: Secret } = {},
): Listening {
  const { METRICS, METRICS_TOKEN } = shown;
  const exposure = exposureOf({ ENVIRONMENT: "production", ALLOWED_HOSTS: [], METRICS, METRICS_TOKEN });
  const runtime = makeRuntime("test", silentLog, () => undefined);
  opened.use(runtime.metrics);
  const app = httpApp(runtime, [], { callers: makeCallers(callers, TABLE), exposure })
    .get("/who", ({ request }) => envelope(actorOf(request), clientOf(request)))
    .get("/me", ({ set }) => {
      set.status = 401;
      return { error: true, message: "no such session" };
    })
    .post("/send", () => envelope("sent"))
    .post("/mails", () => envelope("sent"))
    .get("/mails/:id", ({ params }) => envelope(params.id))
    .get("/.well-known/jwks.json", () => ({ keys: [] }));
  return opened.use(listen(app, { HOST: "127.0.0.1", PORT: 0 }));
}

const closed = open(known);
afterAll(() => opened.disposeAsync());

async function ask(key: string | undefined, method: string, path: string, headers: Record<string, string> = {}) {
  const shown = key === undefined ? {} : { "x-service-key": key };
  const body = method === "POST" ? { body: "{}" } : {};
  const reply = await fetch(`${closed.url}${path}`, {
    method,
    headers: { "content-type": "application/json", ...shown, ...headers },
    ...body,
  });
  return { status: reply.status, challenge: reply.headers.get("www-authenticate"), text: await reply.text() };
}

test("without a key that is known nothing is answered but what is free", async () => {
  for (const path of ["/ping", "/metrics", "/.well-known/jwks.json"]) {
    expect(await ask(undefined, "GET", path)).toMatchObject({ status: 200, challenge: null });
  }
  expect((await ask(undefined, "GET", "/ready")).status).not.toBe(401);
  const wrong = [
    "",
    "x",
    broker.key.slice(0, -1),
    `${broker.key}x`,
    broker.key.toLowerCase(),
    broker.sha256,
    makeServiceKey().key,
  ];
  for (const key of [undefined, ...wrong]) {
    for (const [method, path] of [
      ["GET", "/who"],
      ["POST", "/send"],
      ["POST", "/ping"],
      ["GET", "/ping/"],
      ["GET", "/nowhere"],
    ] as const) {
      const refused = await ask(key, method, path);
      expect([method, path, refused.status, refused.challenge]).toEqual([method, path, 401, "ServiceKey"]);
      if (key !== undefined && key !== "") expect(refused.text).not.toContain(key);
    }
  }
});

test("each caller may what its table says: both keys of one that changes it, nothing without a table", async () => {
  for (const { key } of [broker, next]) {
    expect(await ask(key, "POST", "/send")).toMatchObject({ status: 200, challenge: null });
    expect((await ask(key, "GET", "/nowhere")).status).toBe(404);
  }
  expect((await ask(listener.key, "POST", "/send")).status).toBe(200);
  expect((await ask(listener.key, "GET", "/mails/7?x=/")).status).toBe(200);
  for (const [method, path] of [
    ["POST", "/mails"],
    ["GET", "/mails/7/x"],
    ["GET", "/mails/"],
    ["GET", "/send"],
    ["POST", "/send/"],
    ["GET", "/who"],
    ["POST", "/x?POST /send"],
  ] as const) {
    expect([path, await ask(listener.key, method, path)]).toMatchObject([
      path,
      { status: 403, challenge: "ServiceKey" },
    ]);
  }
  expect(await ask(unlisted.key, "POST", "/send")).toMatchObject({ status: 403 });
});

test("metrics are for a caller who may ask for everything, whoever else may see them", async () => {
  const token = "a-token-of-the-metrics";
  for (const shown of [{ METRICS: "off" }, { METRICS_TOKEN: new Secret(token) }] as const) {
    const isOff = "METRICS" in shown;
    const server = open(known, shown);
    const status = async (headers: Record<string, string>) =>
      (await fetch(`${server.url}/metrics`, { headers })).status;
    const refused = isOff ? 404 : 401;
    for (const key of [broker.key, next.key]) expect(await status({ "x-service-key": key })).toBe(200);
    for (const key of [listener.key, unlisted.key, makeServiceKey().key, ""])
      expect(await status({ "x-service-key": key })).toBe(refused);
    expect(await status({})).toBe(refused);
    expect(await status({ authorization: `Bearer ${token}` })).toBe(isOff ? 404 : 200);
  }
});

test("a body of a stranger is not read", async () => {
  const refused = await ask(undefined, "POST", "/send", { "content-type": "text/plain" });
  expect(refused.status).toBe(401);
});

test("of a caller that is known, actor and client are believed, where they are sane", async () => {
  const told = {
    "x-actor": "user:1",
    "x-client-address": "2001:db8::1",
    "x-client-agent": "curl/8",
    "user-agent": "Bun",
  };
  expect(JSON.parse((await ask(broker.key, "GET", "/who", told)).text)).toMatchObject({
    message: "user:1",
    data: { address: "2001:db8::1", agent: "curl/8" },
  });
  const odd = {
    "x-actor": "x".repeat(201),
    "x-client-address": "<script>",
    "user-agent": `caf\u00e9 ${"x".repeat(300)}`,
  };
  expect(JSON.parse((await ask(broker.key, "GET", "/who", odd)).text)).toMatchObject({
    message: "service:broker",
    data: { address: "127.0.0.1", agent: `caf? ${"x".repeat(251)}` },
  });
});

test("without known callers everybody gets in, and is believed", async () => {
  const server = open(undefined);
  const reply = await fetch(`${server.url}/who`, { headers: { "x-actor": "user:1", "x-client-address": "192.0.2.1" } });
  expect(await reply.json()).toMatchObject({ message: "user:1", data: { address: "192.0.2.1" } });
});

test("the client shows its key and tells whom it asks for; a key that is refused is no refusal of that one", async () => {
  const context = { ...newContext(5_000), client: { address: "192.0.2.7", agent: "Firefox" } };
  const client = makeJsonClient("test", closed.url, { key: new Secret(broker.key) });
  expect(await client.request("GET", "/who", undefined, context)).toMatchObject({
    ok: true,
    value: { envelope: { message: "service:broker", data: { address: "192.0.2.7", agent: "Firefox" } } },
  });
  expect(await client.request("GET", "/me", undefined, context)).toMatchObject({ ok: true, value: { status: 401 } });
  for (const key of [undefined, new Secret(makeServiceKey().key), new Secret(listener.key)]) {
    const refused = await makeJsonClient("test", closed.url, { key }).request("GET", "/me", undefined, context);
    expect(refused).toMatchObject({ ok: false, error: { code: "bad_gateway" } });
  }
});

test("configuration: what a key and a list of callers look like, and what production needs", () => {
  const fields = { SERVICE_KEY: serviceKeyField, SERVICE_CALLERS: serviceCallersField };
  const sha256 = "a".repeat(64);
  const callers = (text: string) => loadConfig("x", fields, { SERVICE_CALLERS: text }).SERVICE_CALLERS;
  expect(callers(`broker:${sha256}, auth:${"b".repeat(64)}`)).toEqual([
    { name: "broker", sha256 },
    { name: "auth", sha256: "b".repeat(64) },
  ]);
  expect(callers("")).toBeUndefined();
  for (const bad of [
    ",",
    "broker",
    `broker:${sha256.slice(1)}`,
    `broker:${sha256.toUpperCase()}`,
    `b:${sha256},c:${sha256}`,
    `broker:${sha256},`,
  ]) {
    expect(() => callers(bad)).toThrow("SERVICE_CALLERS must be");
  }
  expect(() => loadConfig("x", fields, { SERVICE_KEY: "canary" })).toThrow(/^(?!.*canary)/s);
  expect(loadConfig("x", fields, { SERVICE_KEY: broker.key }).SERVICE_KEY?.reveal()).toBe(broker.key);
  const needed = ["SERVICE_KEY", "SERVICE_CALLERS"] as const;
  expect(serviceKeyProblems({ ENVIRONMENT: "development" }, needed)).toEqual([]);
  expect(serviceKeyProblems({ ENVIRONMENT: "production" }, needed)).toHaveLength(2);
  expect(serviceKeyProblems({ ENVIRONMENT: "production", SERVICE_KEY: new Secret(broker.key) }, needed)).toEqual([
    expect.stringContaining("SERVICE_CALLERS is missing"),
  ]);
});
