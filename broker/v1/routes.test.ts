/** Sessions, registration and health under `/v1`, through the broker's door. */
import { describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from "jose";
import { USER } from "../auth.test-kit.ts";
import { until } from "../platform.test-kit.ts";
import { OPERATOR_TOKEN, versionedBrokers } from "./v1.test-kit.ts";

const { broker, sessionToken, closing } = versionedBrokers();
const REGISTRATION = { email: "ann@example.com", password: "canary-password" };

/** Each broker needs one of its own. */
async function spoolDir(): Promise<string> {
  const spool = await mkdtemp(join(tmpdir(), "broker-"));
  closing.push(() => rm(spool, { recursive: true, force: true }));
  return spool;
}

test("the keys of access tokens are published, also while auth is away: a token verifies with them", async () => {
  const { auth, app } = await broker();
  await auth.down();
  const answer = await fetch(`${app.url}/.well-known/jwks.json`);
  expect([answer.status, answer.headers.get("cache-control")]).toEqual([200, "public, max-age=60"]);
  const set = (await answer.json()) as JSONWebKeySet;
  expect(set.keys.map((key) => Object.keys(key).sort())).toEqual([["alg", "crv", "kid", "kty", "use", "x"]]);
  const { payload } = await jwtVerify(await sessionToken(), createLocalJWKSet(set), { algorithms: ["EdDSA"] });
  expect(payload["sid"]).toBe("session-1");
});

describe("/v1/me", () => {
  test("the user as auth tells, asked with the caller's token, id and time", async () => {
    const { auth, call } = await broker();
    const token = await sessionToken();
    const answer = await call("/v1/me", { authorization: `bearer  ${token}`, "x-request-id": "req-1" });
    expect([answer.status, answer.body]).toEqual([
      200,
      { error: false, message: "The user of this session", data: { ...USER, session_id: "session-1" } },
    ]);
    expect(answer.headers.get("x-degraded")).toBeNull();
    expect(answer.headers.get("cache-control")).toBe("no-store");
    expect(auth.asked).toHaveLength(1);
    expect(auth.asked[0]?.headers.get("authorization")).toBe(`Bearer ${token}`);
    expect(auth.asked[0]?.headers.get("x-request-id")).toBe("req-1");
    expect(Number(auth.asked[0]?.headers.get("x-request-timeout-ms"))).toBeLessThanOrEqual(1_000);
  });

  test("a token elsewhere than in Authorization: Bearer is none", async () => {
    const { auth, call } = await broker();
    const token = await sessionToken();
    for (const headers of [
      {},
      { cookie: `access_token=${token}` },
      { "x-api-key": token },
      { authorization: token },
      { authorization: `Basic ${token}` },
      { authorization: `Bearer ${token}, Bearer ${token}` },
    ] as Record<string, string>[]) {
      const answer = await call("/v1/me", headers);
      const message = "x-api-key" in headers ? "the API key is not valid" : "a bearer token is needed";
      expect([answer.status, answer.body]).toEqual([401, { error: true, message }]);
      expect(answer.headers.get("www-authenticate")).toStartWith('Bearer realm="platform"');
    }
    expect((await call(`/v1/me?access_token=${token}`)).status).toBe(401);
    const two = await call("/v1/me", { authorization: `Bearer ${token}`, "x-api-key": "pk_0123456789_abcdefghij" });
    expect([two.status, two.body.message]).toEqual([400, "one credential is needed: Authorization or X-Api-Key"]);
    const refused = await call("/v1/me", { authorization: `Bearer ${token}x` });
    expect([refused.status, refused.body.message]).toEqual([401, "the access token is not valid"]);
    expect(refused.headers.get("www-authenticate")).toBe('Bearer realm="platform", error="invalid_token"');
    expect(auth.asked).toEqual([]);
  });

  test("auth away: from memory, marked, at once; login 503 with Retry-After; auth back: fresh within 2 s", async () => {
    const { auth, me, handle } = await broker();
    await me();
    await auth.down();
    const answer = await me();
    expect(answer).toMatchObject({ status: 200, body: { data: { ...USER, degraded: { auth: "cached;age=0" } } } });
    expect(answer.headers.get("x-degraded")).toBe("auth=cached;age=0");
    const later = await until("older", async () => {
      const again = await me();
      return again.headers.get("x-degraded") === "auth=cached;age=1" ? again : undefined;
    });
    expect(later.status).toBe(200);
    const login = await handle({ action: "auth", auth: { email: USER.email, password: "canary-password" } });
    expect([login.status, login.body.message]).toEqual([503, "Error calling the Auth Service!!!"]);
    expect(login.headers.get("retry-after")).toBeTruthy();
    expect(login.tookMs).toBeLessThan(3_000);
    expect((await me({ livesS: -6 })).status).toBe(401);
    expect((await me({ claims: { sid: "session-2" } })).status).toBe(503);
    auth.up();
    await until("fresh", async () => (await me()).headers.get("x-degraded") === null, 2_000);
  }, 20_000);

  test("auth connected but dead: from memory within 2.5 s, then at once while the circuit is open", async () => {
    const { auth, me } = await broker();
    await me();
    auth.answer = () => new Promise(() => undefined);
    const first = await Promise.all(Array.from({ length: 25 }, () => me()));
    expect(new Set(first.map(({ status, headers }) => `${status} ${headers.get("x-degraded")?.slice(0, 15)}`))).toEqual(
      new Set(["200 auth=cached;age"]),
    );
    expect(Math.max(...first.map(({ tookMs }) => tookMs))).toBeLessThan(2_500);
    const fast: number[] = [];
    for (let n = 0; n < 20; n += 1) fast.push((await me()).tookMs);
    // Now and then one of them is the circuit's probe.
    expect(fast.filter((ms) => ms < 50).length).toBeGreaterThanOrEqual(15);
  }, 20_000);

  test.each<[string, () => Response]>([
    ["500", () => Response.json({ error: true, message: "" }, { status: 500 })],
    ["no JSON", () => new Response("<html>")],
    ["no user", () => Response.json({ error: false, message: "", data: {} })],
    ["404", () => Response.json({ error: true, message: "no such route" }, { status: 404 })],
    ["503", () => Response.json({ error: true, message: "" }, { status: 503 })],
  ])("auth answers %s: from memory", async (_what, answer) => {
    const { auth, me } = await broker();
    await me();
    auth.answer = answer;
    expect((await me()).headers.get("x-degraded")).toBe("auth=cached;age=0");
    expect((await me({ claims: { sid: "session-2" } })).status).toBe(503);
  });

  test("a session that auth has ended: 401, and never again from memory", async () => {
    const { auth, me } = await broker();
    await me();
    auth.answer = () => Response.json({ error: true, message: "the access token is not valid" }, { status: 401 });
    const refused = await me();
    expect([refused.status, refused.body.data]).toEqual([401, undefined]);
    expect(refused.headers.get("www-authenticate")).toContain("invalid_token");
    await auth.down();
    const away = await me();
    expect(away.status).toBe(503);
    expect(away.headers.get("retry-after")).toBeTruthy();
  });

  test("limit 0 switches memory off", async () => {
    const { auth, me } = await broker({ SESSION_CACHE_MAX_AGE_S: "0" });
    await me();
    await auth.down();
    expect((await me()).status).toBe(503);
  });

  test("a broker that starts while auth is away says so honestly", async () => {
    const { auth, me, startBroker } = await broker();
    await me();
    await auth.down();
    const again = await startBroker({ SPOOL_DIR: await spoolDir() });
    const answer = await me({}, again.app.url);
    expect(answer.status).toBe(503);
    expect(answer.body.message).toContain("auth service is away");
    expect(answer.headers.get("retry-after")).toBe("2");
    auth.up();
    await until("fresh", async () => (await me({}, again.app.url)).status === 200, 5_000);
  });

  test("a login through this broker is remembered, before anybody asked who it is", async () => {
    const { auth, me, handle } = await broker();
    const tokens = {
      access_token: await sessionToken(),
      refresh_token: "canary-refresh",
      expires_in: 600,
      refresh_expires_in: 9,
    };
    auth.answer = () =>
      Response.json(
        { error: false, message: "", data: { ...USER, session_id: "session-1", ...tokens } },
        { status: 202 },
      );
    expect((await handle({ action: "auth", auth: REGISTRATION })).status).toBe(202);
    await auth.down();
    const answer = await me();
    expect([answer.status, answer.body.data]).toEqual([
      200,
      { ...USER, session_id: "session-1", degraded: { auth: "cached;age=0" } },
    ]);
  });
});

describe("POST /v1/users", () => {
  const REGISTERED = { ...USER, registration: "pending", mail_id: "m" };

  test("registered: as auth tells, with the key that the caller gave", async () => {
    const { auth, post } = await broker();
    const headers = { "idempotent-replayed": "true" };
    auth.answer = () =>
      Response.json({ error: false, message: "User registered", data: REGISTERED }, { status: 201, headers });
    const answer = await post("/v1/users", REGISTRATION, { "idempotency-key": '"key-1"', "x-actor": "me" });
    expect([answer.status, answer.body]).toEqual([201, { error: false, message: "User registered", data: REGISTERED }]);
    expect(answer.headers.get("idempotent-replayed")).toBe("true");
    expect(auth.asked[0]).toMatchObject({ method: "POST", path: "/users", body: REGISTRATION });
    expect(auth.asked[0]?.headers.get("idempotency-key")).toBe("key-1");
    expect(auth.asked[0]?.headers.get("x-actor")).toBeNull();
    expect((await post("/v1/users", REGISTRATION, { "idempotency-key": "" })).status).toBe(422);
  });

  test.each([
    ["role", { ...REGISTRATION, role: "admin" }, "role is not a known field"],
    ["user_active", { ...REGISTRATION, user_active: 1 }, "user_active is not a known field"],
    ["id", { ...REGISTRATION, id: 1 }, "id is not a known field"],
    ["no password", { email: "ann@example.com" }, "password is needed"],
    ["a short password", { ...REGISTRATION, password: "short" }, "password must be text of 8 to 1024 characters"],
    ["two addresses", { ...REGISTRATION, email: "a@b.cd, e@f.gh" }, "email must be one plain e-mail address"],
  ])("refused without asking auth: %s", async (_what, body, message) => {
    const { auth, post } = await broker();
    const answer = await post("/v1/users", body);
    expect([answer.status, answer.body]).toEqual([422, { error: true, message }]);
    expect(auth.asked).toEqual([]);
  });

  test.each([
    [409, 409, "in its own words"],
    [422, 422, "in its own words"],
    [429, 429, "in its own words"],
    [401, 502, "The auth service is away: send the registration again"],
    [500, 502, "The auth service is away: send the registration again"],
    [503, 503, "The auth service is away: send the registration again"],
  ])("auth answers %p: %p", async (status, expected, message) => {
    const { auth, post } = await broker();
    auth.answer = () => Response.json({ error: true, message: "in its own words" }, { status });
    const answer = await post("/v1/users", REGISTRATION);
    expect([answer.status, answer.body]).toEqual([expected, { error: true, message }]);
    expect(answer.headers.has("retry-after")).toBe(expected >= 429);
  });

  test("auth away: 503 with Retry-After", async () => {
    const { auth, post } = await broker();
    await auth.down();
    const answer = await post("/v1/users", REGISTRATION);
    expect(answer.status).toBe(503);
    expect(answer.headers.get("retry-after")).toBeTruthy();
  });
});

describe("/v1/health", () => {
  interface Service {
    name: string;
    state: string;
    dependencies: { name: string; last_error?: string }[];
  }
  const servicesOf = (data: unknown) => (data as { services: Service[] }).services;

  test("every service with its state, asked side by side, and a sentence of what is degraded", async () => {
    const { auth, logger, call } = await broker();
    logger.ready = () =>
      Response.json(
        {
          error: true,
          message: "not ready",
          data: {
            dependencies: [
              {
                name: "mongodb",
                state: "down",
                required: true,
                since: "2026-01-01T00:00:00Z",
                last_error: "secret host",
              },
            ],
          },
        },
        { status: 503 },
      );
    const answer = await call("/v1/health");
    expect([answer.status, answer.body.error]).toEqual([200, false]);
    expect(answer.body.message).toContain("logger is not ready (mongodb)");
    const services = servicesOf(answer.body.data);
    expect(services.map(({ name, state }) => `${name} ${state}`)).toEqual([
      "broker degraded",
      "auth up",
      "logger not_ready",
      "mail up",
      "listener up",
    ]);
    expect(services[2]?.dependencies).toMatchObject([{ name: "mongodb", last_error: "secret host" }]);
    expect(answer.body.data?.["backing"]).toMatchObject([
      { name: "postgres", state: "unknown", seen_by: [] },
      { name: "mongodb", state: "down", seen_by: ["logger"] },
      { name: "rabbitmq", state: "down", seen_by: ["broker"] },
      { name: "smtp", state: "unknown" },
    ]);
    await auth.down();
    expect((await call("/v1/health")).body.message).toContain("auth does not answer");
    expect((await call("/v1/health?deep=1")).status).toBe(422);
  });

  test("a service that never answers costs a second, and many who ask cost no more than one", async () => {
    const { logger, call } = await broker();
    let asked = 0;
    logger.ready = () => {
      asked += 1;
      return new Promise(() => undefined);
    };
    const answers = await Promise.all(Array.from({ length: 20 }, () => call("/v1/health")));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(Math.max(...answers.map(({ tookMs }) => tookMs))).toBeLessThan(1_500);
    expect(servicesOf(answers[0]?.body.data)[2]).toMatchObject({ name: "logger", state: "away" });
    expect(asked).toBeLessThanOrEqual(2);
  });

  test("every instance is asked; a service that is without one of them is degraded, and the sentence says so", async () => {
    const { auth, mail, startBroker } = await broker();
    const two = await startBroker({ MAIL_URL: `${mail.url},http://127.0.0.1:1`, SPOOL_DIR: await spoolDir() });
    const call = two.get;
    const { body } = await call("/v1/health");
    expect(body.message).toContain("1 of 2 instances of mail is away");
    expect(servicesOf(body.data)[3]).toMatchObject({
      name: "mail",
      state: "degraded",
      instances: [{ state: "up" }, { state: "away" }],
    });
    expect(body.data).toMatchObject({ registry: { mode: "dns", state: "off", announced: 0 } });
    expect(auth.asked).toEqual([]);
  });

  test("what services say of their troubles, where they are and of what version, is for operators", async () => {
    const { call } = await broker({ OPERATOR_TOKEN });
    const errorsIn = (data: unknown) =>
      servicesOf(data)
        .flatMap(({ dependencies }) => dependencies)
        .filter((one) => "last_error" in one);
    await until(
      "RabbitMQ told",
      async () =>
        errorsIn((await call("/v1/health", { authorization: `Bearer ${OPERATOR_TOKEN}` })).body.data).length > 0,
    );
    const anonymous = (await call("/v1/health")).body.data;
    expect(errorsIn(anonymous)).toEqual([]);
    expect(JSON.stringify(anonymous)).not.toMatch(/"(url|version|last_error)"|http:|127\.0\.0\.1/);
    const told = (await call("/v1/health", { authorization: `Bearer ${OPERATOR_TOKEN}` })).body.data;
    expect(servicesOf(told)[1]).toMatchObject({ instances: [{ url: expect.stringMatching(/^http:/) as string }] });
  });
});
