/** What the checklist demands of users, through a broker: what nobody learns, sees or takes that is not his. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect } from "amqplib";
import { LOGS_EXCHANGE } from "#contracts/events";
import { until } from "../../../auth/service.test-kit.ts";
import { bearer, HAS_SERVERS, type Login, NEEDS, RABBITMQ, type Said, startTrio, type Trio } from "../trio.ts";

/** Tries of each kind, and how far their medians may be apart (ms). */
const TRIES = 200;
const APART_MS = 5;
/** A machine that does other things may spoil a figure so often. */
const ATTEMPTS = 5;

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;

describe.skipIf(!HAS_SERVERS)(`users ${NEEDS}`, () => {
  let trio: Trio;
  beforeAll(async () => {
    trio = await startTrio({ BCRYPT_COST: "5" });
  }, 60_000);
  afterAll(() => trio?.[Symbol.asyncDispose](), 60_000);

  const as = (login: Login) => (method: string, path: string, body?: unknown) =>
    trio.ask(0, method, path, body, bearer(login.access_token));
  const loggedIn = async (): Promise<Login> => trio.login(await trio.register());
  async function admin(): Promise<Login> {
    const email = await trio.register();
    await trio.auth.sql`update users set role = 'admin' where email = ${email}`;
    return trio.login(email);
  }

  /** At auth itself: the way through the broker is the same for both. */
  async function timed(email: string): Promise<{ ms: number; said: string }> {
    const startedAt = performance.now();
    const { status, text } = await trio.auth.post("/authenticate", { email, password: "wrong, and long enough" });
    return { ms: performance.now() - startedAt, said: `${status} ${text}` };
  }

  test(`[1] an unknown address and a wrong password: one answer, and medians of ${TRIES} within ${APART_MS} ms`, async () => {
    const known = await trio.register();
    const inactive = await trio.register();
    await trio.auth.sql`update users set user_active = 0 where email = ${inactive}`;
    const answers = new Set<string>();
    let apart = Number.POSITIVE_INFINITY;
    for (let attempt = 0; attempt < ATTEMPTS && apart > APART_MS; attempt += 1) {
      const times: Record<"known" | "unknown" | "inactive", number[]> = { known: [], unknown: [], inactive: [] };
      for (let round = 0; round < TRIES; round += 1) {
        // By turns, so that whatever the machine does is done to all of them.
        for (const [kind, email] of [
          ["known", known],
          ["unknown", `${Bun.randomUUIDv7()}@example.com`],
          ["inactive", inactive],
        ] as const) {
          const { ms, said } = await timed(email);
          times[kind].push(ms);
          answers.add(said);
        }
      }
      const medians = Object.values(times).map(median);
      apart = Math.max(...medians) - Math.min(...medians);
    }
    expect([...answers]).toEqual(['401 {"error":true,"message":"Invalid Credentials"}']);
    expect(apart).toBeLessThan(APART_MS);
  }, 120_000);

  test("[1] whether somebody has an address cannot be asked: not by a reset, not by a verification, not by its answer", async () => {
    const known = await trio.register();
    for (const path of ["/v1/password-resets", "/v1/email-verifications"]) {
      const answers = await Promise.all(
        [known, `${Bun.randomUUIDv7()}@example.com`].map((email) => trio.ask(0, "POST", path, { email })),
      );
      const [first, second] = answers.map(({ status, message, data }) => ({ status, message, data }));
      expect([path, first]).toEqual([path, second]);
      expect([path, first?.status]).toEqual([path, 202]);
    }
  }, 30_000);

  test("[3] 64 characters of four bytes are a password, and every one of them counts", async () => {
    const email = `${Bun.randomUUIDv7()}@example.com`;
    const password = "🔑".repeat(64);
    expect((await trio.ask(0, "POST", "/v1/users", { email, password })).status).toBe(201);
    const login = (given: string) => trio.ask(0, "POST", "/v1/sessions", { email, password: given });
    expect([200, 201, 202]).toContain((await login(password)).status);
    expect((await login("🔑".repeat(63))).status).toBe(401);
    expect((await login(`${"🔑".repeat(63)}🔒`)).status).toBe(401);
  }, 30_000);

  test("[12] nobody sees, changes or ends what is another's, whatever id he asks for", async () => {
    const [ann, bob] = [await loggedIn(), await loggedIn()];
    const made = await as(bob)("POST", "/v1/api-keys", { name: "bob's", scopes: ["logs:write"] });
    const { id: keyId, key } = made.data as { id: string; key: string };
    expect([made.status, typeof key]).toEqual([201, "string"]);
    const attempts: (readonly [string, string, unknown?])[] = [
      ["GET", `/v1/users/${bob.id}`],
      ["PATCH", `/v1/users/${bob.id}`, { version: 1, first_name: "Ann's" }],
      ["DELETE", `/v1/users/${bob.id}`],
      ["GET", `/v1/users/${bob.id}/sessions`],
      ["DELETE", `/v1/users/${bob.id}/sessions`],
      ["GET", "/v1/users"],
      ["DELETE", `/v1/sessions/${bob.session_id}`],
      ["GET", `/v1/api-keys?user_id=${bob.id}`],
      ["DELETE", `/v1/api-keys/${keyId}`],
      ["POST", `/v1/api-keys/${keyId}/rotate`, {}],
    ];
    for (const [method, path, body] of attempts) {
      const said = await as(ann)(method, path, body);
      const isRefused = [403, 404].includes(said.status);
      // A list may also be told without what is not his.
      const isEmpty = said.status === 200 && (said.data["items"] as unknown[] | undefined)?.length === 0;
      expect([method, path, said.status, isRefused || isEmpty]).toEqual([method, path, said.status, true]);
      expect(JSON.stringify(said)).not.toContain(bob.email);
    }
    const own = JSON.stringify([
      (await as(ann)("GET", "/v1/sessions")).data,
      (await as(ann)("GET", "/v1/api-keys")).data,
      (await as(ann)("GET", "/v1/me")).data,
    ]);
    for (const his of [bob.session_id, keyId, bob.email]) expect(own).not.toContain(his);
    // He is as he was.
    expect((await as(bob)("GET", "/v1/me")).data).toMatchObject({ first_name: "", session_id: bob.session_id });
    expect((await trio.ask(1, "POST", "/", undefined, { "x-api-key": key })).status).toBe(200);
  }, 30_000);

  test("[13] role, scopes, activity, versions and ids are not the caller's to set", async () => {
    const extras: Record<string, unknown> = {
      role: "admin",
      scopes: ["users:manage"],
      extra_scopes: ["users:manage"],
      active: true,
      user_active: 1,
      id: 1,
      access_version: 99,
      email_verified: true,
      email_verified_at: "2026-01-01T00:00:00Z",
      password_hash: "x",
      created_at: "2026-01-01T00:00:00Z",
    };
    const login = await loggedIn();
    const { data: before } = await as(login)("GET", "/v1/me");
    for (const [name, value] of Object.entries(extras)) {
      const email = `${Bun.randomUUIDv7()}@example.com`;
      const registered = await trio.ask(0, "POST", "/v1/users", { email, password: trio.password, [name]: value });
      expect([name, registered.status, registered.message]).toEqual([name, 422, expect.stringContaining(name)]);
      const changed = await as(login)("PATCH", "/v1/me", { version: before["version"], [name]: value });
      expect([name, changed.status]).toEqual([name, 422]);
    }
    expect((await as(login)("GET", "/v1/me")).data).toEqual(before);
    expect(before).toMatchObject({ role: "member", email_verified: false });
  }, 30_000);

  test("[11] a key can do no more than who made it, is stored as a hash alone, and is revoked everywhere", async () => {
    const member = await loggedIn();
    for (const body of [
      { name: "more", scopes: ["users:manage"] },
      { name: "a service's", service: "elsewhere", scopes: ["logs:write"] },
    ]) {
      expect([body.name, (await as(member)("POST", "/v1/api-keys", body)).status]).toEqual([body.name, 403]);
    }
    const { data } = await as(member)("POST", "/v1/api-keys", { name: "mine", scopes: ["logs:write"] });
    const { id, key } = data as { id: string; key: string };
    const rows = await trio.auth.sql`select row_to_json(api_keys)::text as row from api_keys`;
    expect(JSON.stringify(rows)).not.toContain(key.slice(-20));
    expect(JSON.stringify((await as(member)("GET", "/v1/api-keys")).data)).not.toContain(key.slice(-20));
    const taken = (): Promise<number[]> =>
      Promise.all(
        [0, 1, 2].map(async (at) => (await trio.ask(at, "POST", "/", undefined, { "x-api-key": key })).status),
      );
    expect(await taken()).toEqual([200, 200, 200]);
    expect((await as(member)("DELETE", `/v1/api-keys/${id}`)).status).toBe(200);
    await until("refused everywhere", async () => (await taken()).every((status) => status === 401), 2_000);
  }, 30_000);

  test("[32] what was done about identity is told to the audit: by whom, on what, and from where", async () => {
    const model = await connect(RABBITMQ ?? "");
    const channel = await model.createChannel();
    const { queue } = await channel.assertQueue("", { exclusive: true });
    await channel.bindQueue(queue, LOGS_EXCHANGE, "log.#");
    const heard: { action: string; by: string; address?: string }[] = [];
    await channel.consume(
      queue,
      (message) => {
        const event = JSON.parse(message?.content.toString() ?? "{}") as {
          name?: string;
          data?: (typeof heard)[number];
        };
        if (event.name === "audit" && event.data !== undefined) heard.push(event.data);
      },
      { noAck: true },
    );
    const boss = await admin();
    const login = await loggedIn();
    const mine = as(login);
    const done = (said: Said): Said => {
      expect([said.status < 300, said.message]).toEqual([true, said.message]);
      return said;
    };
    const { id } = done(await mine("POST", "/v1/api-keys", { name: "k", scopes: ["logs:write"] })).data as {
      id: string;
    };
    done(await mine("DELETE", `/v1/api-keys/${id}`));
    const { version } = done(await as(boss)("GET", `/v1/users/${login.id}`)).data;
    done(await as(boss)("PATCH", `/v1/users/${login.id}`, { version, role: "operator" }));
    const again = await trio.login(login.email);
    done(
      await as(again)("PUT", "/v1/me/password", {
        current_password: trio.password,
        new_password: "another one that is long",
      }),
    );
    done(await as(again)("DELETE", "/v1/sessions/current"));
    const expected: Record<string, string> = {
      "login.ok": `user:${login.id}`,
      "api_key.created": `user:${login.id}`,
      "api_key.revoked": `user:${login.id}`,
      "user.changed": `user:${boss.id}`,
      "password.changed": `user:${login.id}`,
      logout: `user:${login.id}`,
    };
    const missing = (): string[] =>
      Object.entries(expected)
        .filter(([action, by]) => !heard.some((entry) => entry.action === action && entry.by === by))
        .map(([action]) => action);
    await until("all of it", () => missing().length === 0, 10_000).catch(() => expect(missing()).toEqual([]));
    for (const entry of heard.filter(({ by }) => by === `user:${login.id}`)) {
      expect([entry.action, entry.address]).toEqual([
        entry.action,
        expect.stringMatching(/^(::1|(::ffff:)?127\.0\.0\.1)$/),
      ]);
    }
    expect(JSON.stringify(heard)).not.toContain(trio.password);
    await model.close();
  }, 60_000);
});
