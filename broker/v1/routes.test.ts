/** `/v1` at a real broker, with doubles of auth, listener and logger that answer by their contracts or not at all. */
import { beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeAuthDouble, makeKey, sign, type TestKey, type TokenOptions, USER } from "../auth.test-kit.ts";
import { brokers, makeService, until } from "../platform.test-kit.ts";

let key: TestKey;
beforeAll(async () => {
  key = await makeKey();
});
const { platform, closing } = brokers();
const OPERATOR_TOKEN = "canary-operators-token";
const REGISTRATION = { email: "ann@example.com", password: "canary-password" };

async function broker(env: Record<string, string> = {}) {
  const auth = makeAuthDouble([key]);
  closing.push(() => auth.down());
  const listener = makeService();
  closing.push(() => listener.stop());
  const logger = makeService();
  closing.push(() => logger.stop());
  const running = await platform({ AUTH_URL: auth.url, LISTENER_URL: listener.url, LOGGER_URL: logger.url, ...env });
  await until("auth's keys", running.isUp("auth_keys"));

  async function call(path: string, headers: Record<string, string> = {}, at = running.app.url) {
    const startedAt = performance.now();
    const answer = await fetch(`${at}${path}`, { headers });
    const body = (await answer.json()) as { error: boolean; message: string; data?: Record<string, unknown> };
    return { status: answer.status, headers: answer.headers, body, tookMs: performance.now() - startedAt };
  }
  const me = async (options: TokenOptions = {}, at = running.app.url) =>
    call("/v1/me", { authorization: `Bearer ${await sign(key, options)}` }, at);
  return { ...running, auth, listener, logger, call, me };
}

describe("/v1/me", () => {
  test("the user as auth tells, asked with the caller's token, id and time", async () => {
    const { auth, call } = await broker();
    const token = await sign(key);
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
    const token = await sign(key);
    for (const headers of [
      {},
      { cookie: `access_token=${token}` },
      { "x-api-key": token },
      { authorization: token },
      { authorization: `Basic ${token}` },
      { authorization: `Bearer ${token}, Bearer ${token}` },
    ] as Record<string, string>[]) {
      const answer = await call("/v1/me", headers);
      expect([answer.status, answer.body]).toEqual([401, { error: true, message: "a bearer token is needed" }]);
      expect(answer.headers.get("www-authenticate")).toStartWith('Bearer realm="platform"');
    }
    expect((await call(`/v1/me?access_token=${token}`)).status).toBe(422);
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
    const spool = await mkdtemp(join(tmpdir(), "broker-"));
    closing.push(() => rm(spool, { recursive: true, force: true }));
    const again = await startBroker({ SPOOL_DIR: spool });
    const answer = await me({}, again.app.url);
    expect(answer.status).toBe(503);
    expect(answer.body.message).toContain("auth service is away");
    expect(answer.headers.get("retry-after")).toBe("2");
    auth.up();
    await until("fresh", async () => (await me({}, again.app.url)).status === 200, 5_000);
  });

  test("a login through this broker is remembered, before anybody asked who it is", async () => {
    const { auth, me, handle } = await broker();
    const tokens = { access_token: await sign(key), refresh_token: "canary-refresh", expires_in: 600 };
    auth.answer = () => Response.json({ error: false, message: "", data: { ...USER, ...tokens } }, { status: 202 });
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

describe("operators' routes", () => {
  const OUTCOME = { matched: 2, done: 2, left: 0, scanned: 9, complete: true, audit_id: "a" };
  const PAGE = { items: [], scanned: 0, complete: true };
  const GAPS = { items: [], entries: 0, missing: 0 };
  const READS = ["/v1/events/queues", "/v1/events/dead-letters", "/v1/logs/gaps"];
  const DOES = ["/v1/events/dead-letters/replay", "/v1/events/dead-letters/drop"];

  /** Who answers well, whatever is asked. */
  async function operators(env: Record<string, string> = {}) {
    const running = await broker(env);
    running.listener.answer = (path) => {
      const data = path.endsWith("queues") ? { items: [] } : path.endsWith("dead-letters") ? PAGE : OUTCOME;
      return Response.json({ error: false, message: "in its own words", data });
    };
    running.logger.answer = () => Response.json({ error: false, message: "in its own words", data: GAPS });
    return running;
  }

  test("each is asked of its owner, with what was given and whose doing it is, and answered in the owner's words", async () => {
    const { listener, logger, call, post } = await operators();
    expect((await call("/v1/events/queues")).body).toEqual({
      error: false,
      message: "in its own words",
      data: { items: [] },
    });
    const query = "parked=logs&routing_key=log.%23&error=a%20%26%20b&older_than_s=1.5&limit=7&cursor=abc%3D";
    expect((await call(`/v1/events/dead-letters?${query}`)).body.data).toEqual(PAGE);
    expect((await call("/v1/logs/gaps?producer=p%2F1&limit=2")).body.data).toEqual(GAPS);
    const replay = { routing_key: "log.*", rate: 50, limit: 10, dry_run: true };
    const headers = { "x-actor": "root", "x-forwarded-for": "1.2.3.4" };
    expect((await post("/v1/events/dead-letters/replay", replay, headers)).body.data).toEqual(OUTCOME);
    expect((await post("/v1/events/dead-letters/drop", { all: true })).body.data).toEqual(OUTCOME);

    expect(listener.asked.map(({ path, search, body }) => [path, search, body])).toEqual([
      ["/events/queues", "", undefined],
      ["/events/dead-letters", expect.any(String), undefined],
      ["/events/dead-letters/replay", "", replay],
      ["/events/dead-letters/drop", "", { all: true }],
    ]);
    const handedOn = new URLSearchParams(listener.asked[1]?.search);
    expect(Object.fromEntries(handedOn)).toEqual(Object.fromEntries(new URLSearchParams(query)));
    expect(Object.fromEntries(new URLSearchParams(logger.asked[0]?.search))).toEqual({ producer: "p/1", limit: "2" });
    for (const { headers: sent } of listener.asked) expect(sent.get("x-actor")).toBe("127.0.0.1");
    const times = listener.asked.map(({ headers: sent }) => Number(sent.get("x-request-timeout-ms")));
    expect(times[0]).toBeLessThanOrEqual(10_000);
    expect(times[2]).toBeGreaterThan(20_000);
    expect(times[2]).toBeLessThanOrEqual(25_000);
  });

  test("what is not known or not valid is refused without asking the owner", async () => {
    const { listener, logger, call, post } = await operators();
    for (const [path, message] of [
      ["/v1/events/queues?limit=1", "limit is not a known field"],
      ["/v1/events/dead-letters?nonsense=1", "nonsense is not a known field"],
      ["/v1/events/dead-letters?limit=0", "limit must be a whole number of at least 1"],
      ["/v1/events/dead-letters?parked=mine", "parked must be one of logs, jobs, unrouted"],
      ["/v1/events/dead-letters?limit=1&limit=2", "limit is there twice"],
      ["/v1/logs/gaps?severity=INFO", "severity is not a known field"],
    ]) {
      const answer = await call(path ?? "");
      expect([path, answer.status, answer.body.message]).toEqual([path, 422, message]);
    }
    for (const [path, body, message] of [
      ["replay", { all: true }, "all is not a known field"],
      ["replay", { rate: 0 }, "rate must be a number of at most 10000"],
      ["drop", { rate: 1 }, "rate is not a known field"],
      ["drop", { dry_run: "yes" }, "dry_run must be true or false"],
    ] as const) {
      const answer = await post(`/v1/events/dead-letters/${path}`, body);
      expect([path, answer.status, answer.body.message]).toEqual([path, 422, message]);
    }
    expect((await post("/v1/events/dead-letters/drop?all=true", {})).status).toBe(422);
    expect([...listener.asked, ...logger.asked]).toEqual([]);
  });

  test("what the owner refuses is told in its words; its own troubles are 502, 503 and 504 with a time to try again", async () => {
    const { listener, post, call } = await operators();
    for (const [status, expected] of [
      [409, 409],
      [422, 422],
      [404, 502],
      [403, 502],
      [500, 502],
      [503, 503],
    ] as const) {
      listener.answer = () => Response.json({ error: true, message: "in its own words" }, { status });
      const answer = await post("/v1/events/dead-letters/drop", { id: "x" });
      expect([status, answer.status]).toEqual([status, expected]);
      if (expected < 500) expect(answer.body.message).toBe("in its own words");
      else expect(answer.headers.get("retry-after")).toBeTruthy();
    }
    listener.answer = () => Response.json({ error: false, message: "", data: { items: 7 } });
    expect((await call("/v1/events/queues")).status).toBe(502);
    await listener.stop();
    const away = await call("/v1/events/queues");
    expect([away.status, away.headers.has("retry-after")]).toEqual([503, true]);
  });

  test("with a token set: nobody else gets in, and it is the operator's doing", async () => {
    const { listener, call, post, app } = await operators({ OPERATOR_TOKEN });
    const session = await sign(key);
    for (const path of READS) {
      const none = await call(path);
      expect([none.status, none.headers.get("www-authenticate")]).toEqual([401, 'Bearer realm="platform"']);
      const wrong = await call(path, { authorization: `Bearer ${OPERATOR_TOKEN}x` });
      expect([wrong.status, wrong.headers.get("www-authenticate")]).toEqual([
        401,
        'Bearer realm="platform", error="invalid_token"',
      ]);
      expect((await call(path, { authorization: `Bearer ${session}` })).status).toBe(403);
      expect((await call(path, { authorization: `Bearer ${OPERATOR_TOKEN}` })).status).toBe(200);
    }
    for (const path of DOES) {
      expect((await post(path, { nonsense: 1 })).status).toBe(401);
      expect((await post(path, { id: "x" }, { authorization: `Bearer ${OPERATOR_TOKEN}` })).status).toBe(200);
    }
    expect(new Set(listener.asked.map(({ headers }) => headers.get("x-actor")))).toEqual(new Set(["operator"]));
    expect(listener.asked.some(({ headers }) => headers.has("authorization"))).toBe(false);
    expect((await fetch(`${app.url}/openapi.json`)).status).toBe(200);
  });

  test("without a token: a session's user is named in development, and in production nobody gets in", async () => {
    const open = await operators();
    await open.call("/v1/events/queues", { authorization: `Bearer ${await sign(key)}` });
    await open.call("/v1/events/queues", { authorization: "Bearer nonsense" });
    expect(open.listener.asked.map(({ headers }) => headers.get("x-actor"))).toEqual([`user:${USER.id}`, "127.0.0.1"]);

    const closed = await operators({ ENVIRONMENT: "production", RECEIPT_SECRET: "x".repeat(32) });
    for (const path of READS) {
      const answer = await closed.call(path, { authorization: `Bearer ${await sign(key)}` });
      expect([answer.status, answer.body.message]).toEqual([403, "closed: the broker's OPERATOR_TOKEN has to be set"]);
    }
    expect(closed.listener.asked).toEqual([]);
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

  test("what services say of their troubles is for operators", async () => {
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
    expect(errorsIn((await call("/v1/health")).body.data)).toEqual([]);
  });
});
