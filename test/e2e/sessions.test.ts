/**
 * Auth away, through the whole platform on real parts: valid access tokens go on working from keys and from memory,
 * marked as such; logins are refused honestly; forged tokens never work.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { importJWK, type JWK, SignJWT } from "jose";
import postgres from "postgres";
import { ACCESS_TOKEN, type LoginReply, type MeView } from "#contracts/auth";
import type { HealthReport } from "#contracts/health";
import { Secret } from "#shared/config";
import { makeSealer } from "../../auth/keys.ts";
import { HAS_BACKING, type Platform, START_MS, startPlatform, until } from "../kit.ts";

const ADMIN = { email: "admin@example.com", password: "verysecret" };
const AUTH_SECRET = "a secret of this test, of more than 32 characters";
const OPERATOR_TOKEN = "operators-token-of-this-test";

let count = 0;
const newUser = () => ({ email: `e2e-${process.pid}-${(count += 1)}@example.com`, password: "correct horse battery" });

describe.skipIf(!HAS_BACKING)("sessions while auth is away (needs the backing services of `bun run test`)", () => {
  let platform: Platform;
  beforeAll(async () => {
    platform = await startPlatform({ env: { AUTH_SECRET, OPERATOR_TOKEN, BCRYPT_COST: "4" } });
    // Ready is each by itself; what the broker knows of the others comes some seconds later.
    await until("nothing degraded", async () => !(await get("/v1/health")).body.message.startsWith("Degraded"), 30_000);
  }, START_MS);
  // One that failed in the middle is not the next one's problem.
  afterEach(async () => {
    if (auth().state !== "running") await authBack();
  }, 40_000);
  afterAll(() => platform?.[Symbol.asyncDispose](), 60_000);

  async function get(path: string, token?: string) {
    const startedAt = performance.now();
    const answer = await fetch(`${platform.url("broker")}${path}`, {
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      signal: AbortSignal.timeout(10_000),
    });
    const body = (await answer.json()) as { error: boolean; message: string; data?: unknown };
    return { status: answer.status, headers: answer.headers, body, tookMs: performance.now() - startedAt };
  }
  const me = (token: string) => get("/v1/me", token);
  const login = async (user: { email: string; password: string } = ADMIN) => {
    const answer = await platform.handle({ action: "auth", auth: { email: user.email, password: user.password } });
    expect(answer.status).toBe(202);
    return answer.body.data as LoginReply;
  };
  const userOf = (answer: { body: { data?: unknown } }) => answer.body.data as MeView & { degraded?: unknown };
  const auth = () => platform.stack.part("auth");

  /** Killed as a crash would, and kept away. */
  async function killAuth(): Promise<void> {
    auth().kill("SIGKILL");
    await auth().stop();
  }
  async function authBack(): Promise<void> {
    await auth().start();
    await until("auth ready", () => auth().state === "running", 30_000);
  }
  const isFresh = async (token: string) => {
    const answer = await me(token);
    return answer.status === 200 && answer.headers.get("x-degraded") === null;
  };
  const database = () => postgres(`${platform.stack.backing.get("postgres")?.url}/users`, { max: 1 });

  /** What auth itself would sign, with its own key: for tokens that it gives nobody. */
  async function signAsAuth(claims: Record<string, unknown>, header: Record<string, unknown> = {}): Promise<string> {
    const sql = database();
    try {
      const [row] = await sql<{ kid: string; private_jwk: Uint8Array }[]>`
        select kid, private_jwk from signing_keys where retired_at is null`;
      const text = makeSealer(new Secret(AUTH_SECRET)).open(row!.private_jwk, row!.kid);
      const privateKey = await importJWK(JSON.parse(text!) as JWK, ACCESS_TOKEN.algorithm);
      return await new SignJWT(claims)
        .setProtectedHeader({ alg: ACCESS_TOKEN.algorithm, typ: ACCESS_TOKEN.type, kid: row!.kid, ...header })
        .sign(privateKey);
    } finally {
      await sql.end({ timeout: 1 });
    }
  }
  const claimsOf = (token: string) =>
    JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as Record<string, unknown>;

  test("a session's user is told by auth, and by memory while auth is killed; nobody logs in meanwhile; fresh again at once", async () => {
    const { access_token, refresh_token: _t, expires_in: _s, refresh_expires_in: _r, ...user } = await login();
    const fresh = await me(access_token);
    expect(fresh.status).toBe(200);
    expect(userOf(fresh)).toMatchObject({ id: user.id, email: ADMIN.email, session_id: claimsOf(access_token)["sid"] });
    expect(fresh.headers.get("x-degraded")).toBeNull();

    await killAuth();
    const kept = await me(access_token);
    expect(kept.status).toBe(200);
    expect(kept.tookMs).toBeLessThan(2_500);
    const marked = kept.headers.get("x-degraded") ?? "";
    expect(marked).toMatch(/^auth=cached;age=\d+$/);
    expect(userOf(kept)).toEqual({ ...userOf(fresh), degraded: { auth: marked.slice("auth=".length) } });

    const startedAt = performance.now();
    const refused = await platform.handle({ action: "auth", auth: ADMIN });
    expect(performance.now() - startedAt).toBeLessThan(3_000);
    expect([refused.status, refused.body.message]).toEqual([503, "Error calling the Auth Service!!!"]);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    const registered = await platform.post("broker", "/v1/users", newUser());
    expect([registered.status, registered.headers.has("retry-after")]).toEqual([503, true]);

    // Whatever is asked meanwhile: every valid session works.
    const all = await Promise.all(Array.from({ length: 100 }, () => me(access_token)));
    expect(new Set(all.map(({ status }) => status))).toEqual(new Set([200]));
    // Its time is over, by auth's own signature: remembered or not, it is refused.
    const now = Math.floor(Date.now() / 1_000);
    const over = await signAsAuth({ ...claimsOf(access_token), iat: now - 700, exp: now - 100 });
    expect((await me(over)).status).toBe(401);
    const health = await get("/v1/health");
    expect([health.status, health.body.message]).toEqual([200, "Degraded: auth does not answer"]);

    await authBack();
    await until("fresh within 2 s", () => isFresh(access_token), 2_000);
    expect((await me(over)).status).toBe(401);
    await login();
  }, 60_000);

  test("a login whose session nobody has asked for is remembered too", async () => {
    const { access_token } = await login();
    await killAuth();
    const answer = await me(access_token);
    expect(answer.status).toBe(200);
    expect(userOf(answer)).toMatchObject({
      email: ADMIN.email,
      degraded: { auth: expect.stringMatching(/^cached;age=/) },
    });
    await authBack();
    await until("fresh", () => isFresh(access_token), 2_000);
  }, 60_000);

  test("a broker that is started while auth is away knows no key and no session, and says so", async () => {
    const { access_token } = await login();
    await killAuth();
    await platform.stack.part("broker").restart();
    await until("the broker ready", () => platform.stack.part("broker").state === "running", 30_000);
    const answer = await me(access_token);
    expect([answer.status, Number(answer.headers.get("retry-after")) > 0]).toEqual([503, true]);
    expect((await me("nonsense")).status).toBe(401);
    await authBack();
    await until("fresh", () => isFresh(access_token), 5_000);
  }, 60_000);

  test("a user who is disabled, and a session that is ended, are refused at once and remembered by nobody", async () => {
    const user = newUser();
    expect((await platform.post("broker", "/v1/users", user)).status).toBe(201);
    const [first, second] = await Promise.all([login(user), login(user)]);
    for (const { access_token } of [first, second]) expect((await me(access_token)).status).toBe(200);
    const sql = database();
    await sql`delete from sessions where id = ${String(claimsOf(first.access_token)["sid"])}`;
    // Behind auth's back: it hears of it from PostgreSQL.
    await until("it is refused", async () => (await me(first.access_token)).status === 401);
    expect((await me(second.access_token)).status).toBe(200);
    await sql`update users set user_active = 0 where email = ${user.email}`;
    await until("he is refused", async () => (await me(second.access_token)).status === 401);
    await sql.end({ timeout: 1 });
    await killAuth();
    for (const { access_token } of [first, second]) expect((await me(access_token)).status).toBe(503);
    await authBack();
    await until("refused again", async () => (await me(second.access_token)).status === 401, 5_000);
  }, 60_000);

  test("no forged token works, whether auth is there or not", async () => {
    const { access_token } = await login();
    const claims = claimsOf(access_token);
    const [header = "", payload = "", signature = ""] = access_token.split(".");
    const { kid } = JSON.parse(Buffer.from(header, "base64url").toString()) as { kid: string };
    const keySet = (await (await fetch(`${platform.url("auth")}/.well-known/jwks.json`)).json()) as { keys: JWK[] };
    const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
    const none = (alg: string) => `${encode({ alg, typ: ACCESS_TOKEN.type, kid })}.${payload}.`;
    const forger = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]);
    if (!("privateKey" in forger)) throw new Error("no key pair");
    const jwk = await crypto.subtle.exportKey("jwk", forger.publicKey);
    const by = (more: Record<string, unknown>) =>
      new SignJWT(claims)
        .setProtectedHeader({ alg: ACCESS_TOKEN.algorithm, typ: ACCESS_TOKEN.type, ...more })
        .sign(forger.privateKey);
    const forged = new Map<string, string>([
      ["alg none", none("none")],
      ["alg None", none("None")],
      ["alg none with the signature", `${none("none")}${signature}`],
      ["another's key under auth's kid", await by({ kid })],
      ["its own key in the header", await by({ kid, jwk })],
      ["another audience", await signAsAuth({ ...claims, aud: "elsewhere" })],
      ["another issuer", await signAsAuth({ ...claims, iss: "elsewhere" })],
      ["another typ", await signAsAuth(claims, { typ: "JWT" })],
      ["another user's id", await signAsAuth({ ...claims, sub: "0" })],
      ["a changed payload", `${header}.${encode({ ...claims, sub: "2" })}.${signature}`],
      [
        "a changed header",
        `${encode({ alg: ACCESS_TOKEN.algorithm, typ: ACCESS_TOKEN.type, kid, x: 1 })}.${payload}.${signature}`,
      ],
    ]);
    for (const { x, ...key } of keySet.keys) {
      for (const secret of [
        Buffer.from(x ?? "", "base64url"),
        Buffer.from(x ?? ""),
        Buffer.from(JSON.stringify({ ...key, x })),
      ]) {
        forged.set(
          `HS256 with the public key, ${secret.length} bytes`,
          await new SignJWT(claims).setProtectedHeader({ alg: "HS256", typ: ACCESS_TOKEN.type, kid }).sign(secret),
        );
      }
    }
    const accepted = async () => {
      const answers = await Promise.all(
        [...forged].map(async ([what, token]) => ({ what, status: (await me(token)).status })),
      );
      return answers.filter(({ status }) => status !== 401);
    };
    expect((await me(access_token)).status).toBe(200);
    expect(await accepted()).toEqual([]);
    expect((await me(await by({ kid: "unknown" }))).status).toBe(401);
    await killAuth();
    expect((await me(access_token)).status).toBe(200);
    expect(await accepted()).toEqual([]);
    // Whether auth has such a key nobody can tell now.
    expect((await me(await by({ kid: "unknown" }))).status).toBe(503);
    await authBack();
  }, 60_000);

  test("registered through the broker: once under a key, and refused for an address that is taken", async () => {
    const user = newUser();
    const headers = { "idempotency-key": `key-${user.email}` };
    const first = await platform.post("broker", "/v1/users", user, headers);
    expect([first.status, first.body.message]).toEqual([201, "User registered"]);
    expect(first.body.data).toMatchObject({ email: user.email, mail_id: expect.any(String) });
    expect(JSON.stringify(first.body)).not.toContain("password");
    const again = await platform.post("broker", "/v1/users", user, headers);
    expect(again.status).toBe(201);
    expect(again.headers.get("idempotent-replayed")).toBe("true");
    expect((await platform.post("broker", "/v1/users", user)).status).toBe(409);
    expect((await me((await login(user)).access_token)).body.data).toMatchObject({ email: user.email });
  }, 30_000);

  test("operators see queues, dead letters and gaps of the real owners, and nobody else does", async () => {
    const member = newUser();
    expect((await platform.post("broker", "/v1/users", member)).status).toBe(201);
    const { access_token } = await login(member);
    for (const path of ["/v1/events/queues", "/v1/events/dead-letters?limit=5", "/v1/logs/gaps?limit=5"]) {
      expect((await get(path)).status).toBe(401);
      expect((await get(path, access_token)).status).toBe(403);
      const answer = await get(path, OPERATOR_TOKEN);
      expect([path, answer.status, Array.isArray((answer.body.data as { items?: unknown }).items)]).toEqual([
        path,
        200,
        true,
      ]);
    }
    const headers = { authorization: `Bearer ${OPERATOR_TOKEN}` };
    const replay = await platform.post("broker", "/v1/events/dead-letters/replay", { dry_run: true }, headers);
    expect([replay.status, replay.body.data]).toMatchObject([200, { done: 0 }]);
    const careless = await platform.post("broker", "/v1/events/dead-letters/drop", {}, headers);
    expect(careless.status).toBe(422);
  }, 30_000);

  test("the platform's health is one answer: all five and what is behind them", async () => {
    const answer = await until("all well", async () => {
      const health = await get("/v1/health", OPERATOR_TOKEN);
      return health.body.message === "All is well" ? health : undefined;
    });
    const { services, backing } = answer.body.data as HealthReport;
    expect(services.map(({ name, state }) => `${name} ${state}`)).toEqual([
      "broker up",
      "auth up",
      "logger up",
      "mail up",
      "listener up",
    ]);
    expect(backing.map(({ name, state }) => `${name} ${state}`)).toEqual([
      "postgres up",
      "mongodb up",
      "rabbitmq up",
      "smtp up",
    ]);
  }, 30_000);
});
