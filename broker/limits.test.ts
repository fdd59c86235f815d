/** Rate limits of a running broker: who is counted as one, what is told, and that nothing is a way around. */
import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HAS_REDIS, NEEDS_REDIS, startRedis } from "#shared/redis-testing";
import { AUTH, brokers, LOG, refusal, until } from "./platform.test-kit.ts";
import { limitRulesOf } from "./limits.ts";

const withRedis = test.skipIf(!HAS_REDIS);

const { platform, closing } = brokers();
const DAY = "*=3/d";

test("development has no limit unless one is configured; production has some", async () => {
  expect(limitRulesOf({ ENVIRONMENT: "development", RATE_LIMITS: undefined })).toEqual([]);
  expect(limitRulesOf({ ENVIRONMENT: "production", RATE_LIMITS: undefined }).map(({ name }) => name)).toEqual([
    "*",
    "POST /v1/sessions",
    "PUT /v1/me/password",
    "POST /v1/users",
    "POST /v1/email-verifications",
    "POST /v1/password-resets",
    "POST /v1/api-keys",
  ]);
  expect(limitRulesOf({ ENVIRONMENT: "production", RATE_LIMITS: [] })).toEqual([]);
  const { handle } = await platform();
  const { headers } = await handle(LOG);
  expect(headers.get("ratelimit")).toBeNull();
});

test("429 says what the limit is and when to come back; what is watched is never limited", async () => {
  const { handle, app } = await platform({ RATE_LIMITS: DAY });
  const first = await handle(LOG, { origin: "https://app.example.com" });
  expect(first.status).toBe(202);
  expect(first.headers.get("ratelimit-policy")).toBe('"*";q=3;w=86400');
  expect(first.headers.get("ratelimit")).toMatch(/^"\*";r=2;t=8[678]\d\d\d$/);
  const exposed = first.headers.get("access-control-expose-headers") ?? "";
  for (const name of ["RateLimit", "RateLimit-Policy", "Retry-After"]) expect(exposed).toContain(name);
  await handle(LOG);
  await handle(LOG);
  const { status, headers, body } = await handle(LOG, { origin: "https://app.example.com" });
  expect({ status, body }).toEqual({
    status: 429,
    body: { error: true, message: "too many requests: try again later" },
  });
  const waitS = Number(headers.get("retry-after"));
  expect(waitS).toBeGreaterThan(86_000);
  expect(headers.get("ratelimit")).toBe(`"*";r=0;t=${waitS}`);
  expect(headers.get("access-control-allow-origin")).toBe("*");
  expect(headers.get("x-request-id")).not.toBeNull();
  for (const path of ["/ping", "/ready", "/metrics"]) expect((await fetch(`${app.url}${path}`)).status).toBe(200);
  const preflight = await fetch(`${app.url}/handle`, {
    method: "OPTIONS",
    headers: { origin: "https://app.example.com", "access-control-request-method": "POST" },
  });
  expect(preflight.status).toBe(204);
  expect(await (await fetch(`${app.url}/metrics`)).text()).toMatch(
    /rate_limited_requests_total\{[^}]*rule="\*"[^}]*\} 1\n/,
  );
});

test("neither another credential, nor what a request says of its way, nor another spelling is a way around", async () => {
  const { app } = await platform({ RATE_LIMITS: "GET /v1/receipts/:id=3/d" });
  const ask = async (path: string, init: RequestInit = {}): Promise<number> =>
    (await fetch(`${app.url}${path}`, init)).status;
  for (const id of ["a", "b", "c"]) expect(await ask(`/v1/receipts/${id}`)).toBe(404);
  const ways: [string, RequestInit?][] = [
    ["/v1/receipts/d"],
    ["/v1/receipts/d/"],
    ["/v1/receipts/d?x=/ping"],
    ["/v1/x/../receipts/d"],
    ["/v1/receipts/d", { method: "HEAD" }],
    ["/v1/receipts/d", { headers: { authorization: "Bearer another" } }],
    ["/v1/receipts/d", { headers: { "x-api-key": "pk_another" } }],
    ["/v1/receipts/d", { headers: { "x-forwarded-for": "203.0.113.9", forwarded: "for=203.0.113.9" } }],
    ["/v1/receipts/d", { headers: { "x-client-address": "203.0.113.9" } }],
  ];
  for (const [path, init] of ways) expect([path, await ask(path, init)]).toEqual([path, 429]);
  // What the router does not take for that route is not counted under it.
  const other = await fetch(`${app.url}/v1/%72eceipts/d`);
  expect([other.status, await other.json()]).toEqual([404, { error: true, message: "no such route" }]);
});

test("a credential that is used from many addresses is one caller, and clients behind a trusted proxy are several", async () => {
  const { handle } = await platform({ RATE_LIMITS: DAY, TRUSTED_PROXIES: "127.0.0.0/8,::1" });
  const from = (address: string, more: Record<string, string> = {}) =>
    handle(LOG, { "x-forwarded-for": `6.6.6.6, ${address}`, ...more }).then(({ status }) => status);
  for (const host of [1, 2, 3])
    expect(await from(`203.0.113.${host}`, { authorization: "Bearer shared" })).not.toBe(429);
  expect(await from("203.0.113.4", { authorization: "Bearer shared" })).toBe(429);
  // Refused, so not counted: three are left for that address.
  for (let asked = 0; asked < 3; asked += 1) expect(await from("203.0.113.4")).toBe(202);
  expect(await from("203.0.113.4")).toBe(429);
  expect(await from("203.0.113.5")).toBe(202);
  for (let host = 1; host <= 3; host += 1) expect(await from(`2001:db8::${host}`)).toBe(202);
  expect(await from("2001:db8::4")).toBe(429);
  expect(await from("2001:db8:0:1::4")).toBe(202);
});

test("nor is a credential in another spelling, or beside another, another caller", async () => {
  const spellings: [string, (host: number) => Record<string, string>][] = [
    ["of the scheme", (host) => ({ authorization: `${["Bearer", "bearer", "BEARER", "bEarer"][host]} shared` })],
    ["of the space", (host) => ({ authorization: `Bearer${" ".repeat(host + 1)}shared` })],
    ["beside another", (host) => ({ "x-api-key": "pk_shared", authorization: `Basic ${host}` })],
  ];
  for (const [what, headersOf] of spellings) {
    const { handle } = await platform({ RATE_LIMITS: DAY, TRUSTED_PROXIES: "127.0.0.0/8,::1" });
    const statuses: number[] = [];
    for (const host of [0, 1, 2, 3])
      statuses.push((await handle(LOG, { "x-forwarded-for": `203.0.113.${host}`, ...headersOf(host) })).status);
    expect([what, statuses.map((status) => status === 429)]).toEqual([what, [false, false, false, true]]);
  }
});

test("a request is refused before its body is there", async () => {
  const { handle, app } = await platform({ RATE_LIMITS: "*=1/d" });
  await handle(LOG);
  const answer = Promise.withResolvers<string>();
  const { hostname, port } = new URL(app.url);
  const socket = connect(Number(port), hostname, () =>
    socket.write("POST /handle HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"),
  );
  socket.on("data", (bytes) => answer.resolve(bytes.toString()));
  socket.on("error", answer.reject);
  expect(await answer.promise).toStartWith("HTTP/1.1 429 ");
  socket.destroy();
});

test("a refusal by a part behind is told as its own, not as what is left here", async () => {
  const { handle, auth } = await platform({ RATE_LIMITS: "*=100/s" });
  auth.answer = () => refusal(429, { "retry-after": "15" });
  const { status, headers } = await handle(AUTH);
  expect(status).toBe(429);
  expect([headers.get("retry-after"), headers.get("ratelimit")]).toEqual(["15", '"limit";r=0;t=15']);
});

withRedis(
  `three brokers that share Redis count together; killed under load there is no 5xx, and each goes on alone ${NEEDS_REDIS}`,
  async () => {
    const redis = await startRedis();
    closing.push(() => redis[Symbol.asyncDispose]());
    const env = { RATE_LIMITS: "*=60/d", REDIS_URL: redis.url, TRUSTED_PROXIES: "127.0.0.0/8,::1" };
    const one = await platform(env);
    const dirs = await Promise.all([1, 2].map(() => mkdtemp(join(tmpdir(), "broker-"))));
    closing.push(() => Promise.all(dirs.map((dir) => rm(dir, { recursive: true, force: true }))));
    const all = [one, ...(await Promise.all(dirs.map((SPOOL_DIR) => one.startBroker({ SPOOL_DIR }))))];
    for (const broker of all) await until("Redis connected", broker.isUp("redis"));
    /** Decisions without Redis so far: on a machine that is busy its answer may be late. */
    const alone = async (): Promise<number> => {
      const texts = await Promise.all(all.map(async ({ app }) => (await fetch(`${app.url}/metrics`)).text()));
      const found = texts.flatMap((text) => [
        ...text.matchAll(/rate_limit_decisions_total\{[^}]*by="process"[^}]*\} (\d+)/g),
      ]);
      return found.reduce((sum, [, times]) => sum + Number(times), 0);
    };
    let round = 0;
    await until(
      "a round that Redis decided all of",
      async () => {
        round += 1;
        for (const broker of all) await until("Redis in use", broker.isUp("redis"));
        const before = await alone();
        const from = { "x-forwarded-for": `203.0.113.${round}` };
        const statuses = await Promise.all(
          Array.from({ length: 150 }, async (_, index) => (await all[index % 3]?.post("/", {}, from))?.status ?? 0),
        );
        if ((await alone()) !== before) return false;
        expect(statuses.filter((status) => status === 200)).toHaveLength(60);
        expect(statuses.filter((status) => status === 429)).toHaveLength(90);
        return true;
      },
      20_000,
    );

    const state = { stop: false };
    const seen: number[] = [];
    const load = Promise.all(
      all.map(async (broker) => {
        while (!state.stop) seen.push((await broker.post("/", {})).status);
      }),
    );
    await until("there is load", () => seen.length > 30);
    await redis.kill();
    await until("Redis is known to be away", () => all.every((broker) => !broker.isUp("redis")()));
    const since = seen.length;
    await until("there is load without it", () => seen.length > since + 300);
    await redis.up();
    await until("Redis is back", () => all.every((broker) => broker.isUp("redis")()));
    state.stop = true;
    await load;
    expect(seen.filter((status) => status !== 200 && status !== 429)).toEqual([]);
    // At most: sixty by each Redis, and sixty by each broker alone.
    expect(seen.filter((status) => status === 200).length).toBeLessThanOrEqual(5 * 60);
  },
);
