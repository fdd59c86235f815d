/**
 * Access as a whole: a real auth and three brokers, over a real RabbitMQ, by the typed client. Who may do what, and that
 * what ends ends everywhere.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "#shared/config";
import { makeRuntime } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { startAuth, type TestAuth } from "../../auth/service.test-kit.ts";
import { start, type Broker } from "../../broker/app.ts";
import { type Credential, makeClient } from "../../broker/client/index.ts";
import { fields } from "../../broker/config.ts";
import { until } from "../kit.ts";

setDefaultTimeout(60_000);
const POSTGRES = process.env["TEST_POSTGRES_URL"];
const RABBITMQ = process.env["TEST_RABBITMQ_URL"];
const NOWHERE = "127.0.0.1:1";
const PASSWORD = "s3cret";
const NEW_PASSWORD = "correct horse battery staple";

describe.skipIf(POSTGRES === undefined || RABBITMQ === undefined)("access (needs PostgreSQL and RabbitMQ)", () => {
  let auth: TestAuth;
  let brokers: Broker[] = [];
  const dirs: string[] = [];

  beforeAll(async () => {
    auth = await startAuth({ RABBITMQ_URL: RABBITMQ ?? "" });
    brokers = await Promise.all([1, 2, 3].map(() => startBroker()));
  });
  afterAll(async () => {
    await Promise.all(brokers.map((broker) => broker[Symbol.asyncDispose]()));
    await auth?.[Symbol.asyncDispose]();
    await Promise.all(dirs.map((dir) => rm(dir, { recursive: true, force: true })));
  });

  async function startBroker(): Promise<Broker> {
    const dir = await mkdtemp(join(tmpdir(), "access-"));
    dirs.push(dir);
    const runtime = makeRuntime("broker", silentLog, () => undefined);
    const config = loadConfig("broker", fields, {
      PORT: "0",
      ACCESS: "closed",
      AUTH_URL: auth.app.url,
      RABBITMQ_URL: RABBITMQ ?? "",
      MAIL_URL: `http://${NOWHERE}`,
      LISTENER_URL: `http://${NOWHERE}`,
      LOGGER_URL: `http://${NOWHERE}`,
      LOGGER_RPC_URL: `tcp://${NOWHERE}`,
      SPOOL_DIR: dir,
    });
    const broker = await start(config, runtime);
    const state = (name: string) => runtime.health.report().dependencies.find((one) => one.name === name)?.state;
    for (const name of ["auth_keys", "revocations", "rabbitmq", "auth"]) await until(name, () => state(name) === "up");
    return broker;
  }

  const as = (credential?: Credential, broker = brokers[0]) =>
    makeClient(broker?.url ?? "", { credential: () => credential });

  async function login(email: string, password = PASSWORD) {
    const { data, response } = await as().POST("/v1/sessions", { body: { email, password } });
    expect(response.status).toBe(201);
    if (data === undefined) throw new Error("no login");
    return data.data;
  }
  /** By whom: one of a role, logged in. */
  async function person(role: "member" | "operator" | "admin") {
    const user = await auth.addUser(role);
    const { access_token, refresh_token, session_id } = await login(user.email);
    return { ...user, refresh_token, session_id, credential: { accessToken: access_token } };
  }
  /** Needs a session, and the broker asks nobody about it: what is known here decides. */
  const isIn = async (credential: Credential, broker: Broker | undefined) =>
    (await as(credential, broker).POST("/handle", { body: { action: "log", log: { name: "n", data: "d" } } })).response
      .status === 202;
  /** How long until none of the brokers lets it in any more (ms). */
  async function untilOut(credential: Credential): Promise<number> {
    const startedAt = performance.now();
    await Promise.all(brokers.map((broker) => until("refused", async () => !(await isIn(credential, broker)), 10_000)));
    return performance.now() - startedAt;
  }
  const isInEverywhere = async (credential: Credential) =>
    (await Promise.all(brokers.map((broker) => isIn(credential, broker)))).every(Boolean);

  test("logged out at one broker: refused by all three within a second, and nobody else is", async () => {
    const other = await person("member");
    const times: number[] = [];
    const user = await auth.addUser("member");
    for (let round = 0; round < 30; round += 1) {
      const credential = { accessToken: (await login(user.email)).access_token };
      expect(await isInEverywhere(credential)).toBe(true);
      const ended = await as(credential).DELETE("/v1/sessions/current");
      expect([ended.response.status, ended.data?.data.ended]).toEqual([200, 1]);
      times.push(await untilOut(credential));
    }
    expect(await isInEverywhere(other.credential)).toBe(true);
    times.sort((a, b) => a - b);
    expect(times[15] ?? Number.POSITIVE_INFINITY).toBeLessThan(1_000);
  });

  test("a new password ends all other sessions; this one goes on", async () => {
    const user = await person("member");
    const second = { accessToken: (await login(user.email)).access_token };
    const changed = await as(user.credential).PUT("/v1/me/password", {
      body: { current_password: PASSWORD, new_password: NEW_PASSWORD },
    });
    expect([changed.response.status, changed.data?.data.ended]).toEqual([200, 1]);
    await untilOut(second);
    expect(await isInEverywhere(user.credential)).toBe(true);
    expect((await login(user.email, NEW_PASSWORD)).email).toBe(user.email);
  });

  test("another role: older tokens are refused, and refreshing gives one with what he may now", async () => {
    const admin = await person("admin");
    const user = await person("member");
    const path = { params: { path: { id: user.id } } };
    expect((await as(user.credential).GET("/v1/users")).response.status).toBe(403);
    const found = await as(admin.credential).GET("/v1/users/{id}", path);
    const version = found.data?.data.version ?? 0;
    const changed = await as(admin.credential).PATCH("/v1/users/{id}", { ...path, body: { version, role: "admin" } });
    expect([changed.response.status, changed.data?.data.role]).toEqual([200, "admin"]);
    await untilOut(user.credential);
    const refreshed = await as().POST("/v1/sessions/refresh", { body: { refresh_token: user.refresh_token } });
    const renewed = { accessToken: refreshed.data?.data.access_token ?? "" };
    expect((await as(renewed).GET("/v1/users", { params: { query: { limit: 1 } } })).data?.data.items).toHaveLength(1);

    const now = { version: changed.data?.data.version ?? 0, active: false };
    expect((await as(admin.credential).PATCH("/v1/users/{id}", { ...path, body: now })).response.status).toBe(200);
    await untilOut(renewed);
  });

  test("an API key: with its scopes at every broker, and nowhere once it is revoked", async () => {
    const user = await person("member");
    const made = await as(user.credential).POST("/v1/api-keys", { body: { name: "k", scopes: ["logs:write"] } });
    expect(made.response.status).toBe(201);
    const apiKey = made.data?.data.key ?? "";
    expect(await isInEverywhere({ apiKey })).toBe(true);
    const mail = { from: "a@example.com", to: "b@example.com", subject: "s", message: "m" };
    const refused = await as({ apiKey }).POST("/v1/mails", { body: mail });
    expect([refused.response.status, refused.response.headers.get("www-authenticate")]).toEqual([
      403,
      'Bearer realm="platform", error="insufficient_scope", scope="mails:send"',
    ]);
    // No key makes or sees keys.
    expect((await as({ apiKey }).GET("/v1/api-keys")).response.status).toBe(403);
    const rotated = await as(user.credential).POST("/v1/api-keys/{id}/rotate", {
      params: { path: { id: made.data?.data.id ?? "" } },
      body: { overlap_s: 3_600 },
    });
    const successor = { apiKey: rotated.data?.data.key ?? "" };
    expect([await isInEverywhere({ apiKey }), await isInEverywhere(successor)]).toEqual([true, true]);
    const { response } = await as(user.credential).DELETE("/v1/api-keys/{id}", {
      params: { path: { id: rotated.data?.data.id ?? "" } },
    });
    expect(response.status).toBe(200);
    await untilOut(successor);
  });

  test("a user's API key is good for no more than he is, and for nothing once he is deactivated or deleted", async () => {
    const admin = await person("admin");
    for (const end of ["deactivated", "deleted"] as const) {
      const user = await person("operator");
      const made = await as(user.credential).POST("/v1/api-keys", {
        body: { name: "k", scopes: ["logs:write", "events:read"] },
      });
      const key = { apiKey: made.data?.data.key ?? "" };
      expect(await isInEverywhere(key)).toBe(true);
      const path = { params: { path: { id: user.id } } };
      const queues = async () => (await as(key, brokers[2]).GET("/v1/events/queues")).response.status;
      expect(await queues()).not.toBe(403);
      const version = (await as(admin.credential).GET("/v1/users/{id}", path)).data?.data.version ?? 0;
      await as(admin.credential).PATCH("/v1/users/{id}", { ...path, body: { version, role: "member" } });
      await until("no operator any more", async () => (await queues()) === 403);
      expect(await isInEverywhere(key)).toBe(true);
      const { response } =
        end === "deleted"
          ? await as(admin.credential).DELETE("/v1/users/{id}", path)
          : await as(admin.credential).PATCH("/v1/users/{id}", {
              ...path,
              body: { version: version + 1, active: false },
            });
      expect([end, response.status]).toEqual([end, 200]);
      await untilOut(key);
    }
  });

  test("every route of users, sessions and keys reaches auth, and is answered by its contract", async () => {
    const admin = await person("admin");
    const user = await person("member");
    const him = { params: { path: { id: user.id } } };
    const client = as(admin.credential);
    const statuses = {
      me: (await client.GET("/v1/me")).response.status,
      name: (
        await as(user.credential).PATCH("/v1/me", {
          body: { version: (await as(user.credential).GET("/v1/me")).data?.data.version ?? 0, first_name: "Anna" },
        })
      ).response.status,
      sessions: (await client.GET("/v1/sessions")).response.status,
      hisSessions: (await client.GET("/v1/users/{id}/sessions", him)).data?.data.items[0]?.id,
      users: (await client.GET("/v1/users", { params: { query: { q: user.email } } })).data?.data.items.length,
      keys: (await client.GET("/v1/api-keys")).response.status,
      verification: (await as().POST("/v1/email-verifications", { body: { email: user.email } })).response.status,
      reset: (await as().POST("/v1/password-resets", { body: { email: "nobody@example.com" } })).response.status,
      confirm: (await as().POST("/v1/email-verifications/confirm", { body: { token: "x".repeat(32) } })).response
        .status,
      newPassword: (
        await as().POST("/v1/password-resets/confirm", {
          body: { token: "x".repeat(32), new_password: NEW_PASSWORD },
        })
      ).response.status,
      hisEnded: (await client.DELETE("/v1/users/{id}/sessions", him)).data?.data.ended,
      noSession: (await client.DELETE("/v1/sessions/{id}", { params: { path: { id: user.session_id } } })).response
        .status,
      deleted: (await client.DELETE("/v1/users/{id}", him)).response.status,
      gone: (await client.GET("/v1/users/{id}", him)).response.status,
      all: (await client.DELETE("/v1/sessions")).data?.data.ended,
    };
    expect(statuses).toEqual({
      me: 200,
      name: 200,
      sessions: 200,
      hisSessions: user.session_id,
      users: 1,
      keys: 200,
      verification: 202,
      reset: 202,
      confirm: 422,
      newPassword: 422,
      hisEnded: 1,
      noSession: 404,
      deleted: 200,
      gone: 404,
      all: 1,
    });
    await untilOut(user.credential);
    await untilOut(admin.credential);
  });

  test("auth away: what has ended stays so, and the others go on", async () => {
    const [ended, other] = [await person("member"), await person("member")];
    expect((await as(other.credential, brokers[1]).GET("/v1/me")).response.status).toBe(200);
    await as(ended.credential).DELETE("/v1/sessions/current");
    await untilOut(ended.credential);
    await auth.app[Symbol.asyncDispose]();
    expect(await isInEverywhere(other.credential)).toBe(true);
    const known = await as(other.credential, brokers[1]).GET("/v1/me");
    expect([known.response.status, known.response.headers.get("x-degraded")]).toEqual([
      200,
      expect.stringMatching(/^auth=cached;age=\d+$/),
    ]);
    for (const broker of brokers) expect(await isIn(ended.credential, broker)).toBe(false);
  });
});
