/** Users, sessions and keys through the broker's door: what auth is asked, as whom, and what of its answers is handed on. */
import { expect, test } from "bun:test";
import type { KeyHolder } from "#contracts/auth";
import { USER } from "../auth.test-kit.ts";
import { versionedBrokers } from "./v1.test-kit.ts";

const { broker, sessionToken } = versionedBrokers();

const AT = "2026-11-29T12:00:00.000Z";
const ME = { ...USER, session_id: "session-1" };
const LOGIN = {
  ...ME,
  access_token: "canary-access",
  refresh_token: "canary-refresh",
  expires_in: 600,
  refresh_expires_in: 3_600,
};
const TOKENS = {
  access_token: "canary-access",
  refresh_token: "canary-refresh",
  expires_in: 600,
  refresh_expires_in: 3_500,
  session_id: "s",
};
const MANAGED = { ...USER, extra_scopes: [] };
const KEY = { id: "k", name: "n", prefix: "pk_x", scopes: [], created_at: AT };
const NEW_KEY = { ...KEY, key: "canary-key" };
const PAGE = { items: [] };
const PASSWORD = "canary-password";
const TOKEN = "canary-token-of-a-mail";
const API_KEY = `pk_AZmPXnwQegCLPD9enSpMEQ_${"x".repeat(43)}`;

/** Method, path, body; whether it needs somebody; what auth answers; where it has that under another path. */
const ROUTES: readonly [string, string, unknown, boolean, number, unknown, string?][] = [
  ["GET", "/users?q=ann&active=true&limit=10", undefined, true, 200, PAGE],
  ["GET", "/users/7", undefined, true, 200, MANAGED],
  ["PATCH", "/users/7", { version: 1, active: false }, true, 200, MANAGED],
  ["DELETE", "/users/7", undefined, true, 200, undefined],
  ["GET", "/users/7/sessions?limit=2", undefined, true, 200, PAGE, "/sessions?user_id=7&limit=2"],
  ["DELETE", "/users/7/sessions", undefined, true, 200, { ended: 2 }, "/sessions?user_id=7"],
  ["PATCH", "/me", { version: 1, first_name: "Anna" }, true, 200, ME],
  ["PUT", "/me/password", { current_password: PASSWORD, new_password: PASSWORD }, true, 200, { ended: 1 }],
  ["POST", "/sessions", { email: "canary@example.com", password: PASSWORD }, false, 201, LOGIN],
  ["POST", "/sessions/refresh", { refresh_token: "canary-refresh-token-1" }, false, 200, TOKENS],
  ["GET", "/sessions?cursor=abc", undefined, true, 200, PAGE],
  ["DELETE", "/sessions", undefined, true, 200, { ended: 3 }],
  ["DELETE", "/sessions/current", undefined, true, 200, { ended: 1 }],
  ["DELETE", "/sessions/abc", undefined, true, 200, { ended: 1 }],
  ["POST", "/email-verifications", { email: "canary@example.com" }, false, 202, undefined],
  ["POST", "/email-verifications/confirm", { token: TOKEN }, false, 200, undefined],
  ["POST", "/password-resets", { email: "canary@example.com" }, false, 202, undefined],
  ["POST", "/password-resets/confirm", { token: TOKEN, new_password: PASSWORD }, false, 200, undefined],
  ["GET", "/api-keys?service=billing", undefined, true, 200, PAGE],
  ["POST", "/api-keys", { name: "n", scopes: [] }, true, 201, NEW_KEY],
  ["DELETE", "/api-keys/k", undefined, true, 200, KEY],
  ["POST", "/api-keys/k/rotate", { overlap_s: 60 }, true, 201, NEW_KEY],
];

async function identity(env: Record<string, string> = {}) {
  const running = await broker(env);
  async function request(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
    const answer = await fetch(`${running.app.url}/v1${path}`, {
      method,
      headers: body === undefined ? headers : { "content-type": "application/json", ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const json = (await answer.json()) as { error: boolean; message: string; data?: unknown };
    return { status: answer.status, headers: answer.headers, body: json };
  }
  const bearer = { authorization: `Bearer ${await sessionToken()}` };
  return { ...running, request, bearer };
}

test("auth is asked as it was asked here, by the caller's own credential, and answers in its own words", async () => {
  const { auth, request, bearer } = await identity();
  for (const [method, path, body, needsUser, status, data, there = path] of ROUTES) {
    auth.asked.length = 0;
    auth.answer = () => Response.json({ error: false, message: "in its own words", data }, { status });
    const headers = { "user-agent": "a browser", "x-actor": "root", "x-client-address": "1.2.3.4" };
    const answer = await request(method, path, body, needsUser ? { ...headers, ...bearer } : headers);
    const said = { error: false, message: "in its own words", ...(data === undefined ? {} : { data }) };
    expect([path, answer.status, answer.body]).toEqual([path, status, said]);
    const asked = auth.asked[0];
    expect([asked?.method, `${asked?.path}${asked?.search}`, asked?.body]).toEqual([method, there, body]);
    expect([
      asked?.headers.get("authorization") ?? null,
      asked?.headers.get("x-actor"),
      asked?.headers.get("x-client-address"),
      asked?.headers.get("x-client-agent"),
    ]).toEqual([
      needsUser ? bearer.authorization : null,
      needsUser ? `user:${USER.id}` : "127.0.0.1",
      "127.0.0.1",
      "a browser",
    ]);
  }
});

test("on a route that is for everybody a credential is not looked at: a client whose token is over can go on", async () => {
  const { auth, request } = await identity();
  auth.answer = () => Response.json({ error: false, message: "", data: TOKENS });
  const expired = { authorization: `Bearer ${await sessionToken({ livesS: -60 })}` };
  const answer = await request("POST", "/sessions/refresh", { refresh_token: "canary-refresh-token-1" }, expired);
  expect([answer.status, auth.asked[0]?.headers.has("authorization")]).toEqual([200, false]);
});

test("what auth refuses is told in its words, with a challenge where it does not know who it is", async () => {
  const { auth, request, bearer } = await identity();
  for (const [status, expected] of [
    [401, 401],
    [403, 403],
    [404, 404],
    [409, 409],
    [422, 422],
    [429, 429],
    [500, 502],
    [503, 503],
  ] as const) {
    auth.answer = () => Response.json({ error: true, message: "in its own words" }, { status });
    const answer = await request("PATCH", "/users/7", { version: 1 }, bearer);
    expect([status, answer.status]).toEqual([status, expected]);
    if (expected < 500) expect(answer.body.message).toBe("in its own words");
    expect(answer.headers.has("www-authenticate")).toBe(expected === 401);
  }
  const wrong = await request("GET", "/users/7", undefined, bearer);
  expect(wrong.status).toBe(503);
  auth.answer = () => Response.json({ error: false, message: "", data: { id: "seven" } });
  expect((await request("GET", "/users/7", undefined, bearer)).status).toBe(502);
});

test("what is not known or not valid is refused without asking auth; dots are no id", async () => {
  const { auth, request, bearer } = await identity();
  for (const [method, path, body, message] of [
    ["POST", "/sessions", { email: "a@example.com" }, "password is needed"],
    ["POST", "/sessions", { email: "a@example.com", password: "x", nonsense: 1 }, "nonsense is not a known field"],
    ["PATCH", "/users/7", { active: true }, "version is needed"],
    ["PATCH", "/me", { version: 1, role: "admin" }, "role is not a known field"],
    ["POST", "/api-keys", { name: "n", scopes: ["everything"] }, undefined],
    ["GET", "/users?role=root", undefined, undefined],
    ["GET", "/sessions?all=1", undefined, "all is not a known field"],
  ] as const) {
    const answer = await request(method, path, body, bearer);
    expect([path, answer.status]).toEqual([path, 422]);
    if (message !== undefined) expect(answer.body.message).toBe(message);
  }
  expect((await request("GET", "/users/%2e%2e", undefined, bearer)).status).toBe(404);
  expect(auth.asked).toEqual([]);
});

test("under a key a thing is made once, a refusal of the credential is no answer to keep, another caller's key is another", async () => {
  const { auth, request, bearer } = await identity();
  const make = (headers: Record<string, string>) =>
    request("POST", "/api-keys", { name: "n", scopes: [] }, { ...headers, "idempotency-key": "k" });
  auth.answer = () => Response.json({ error: true, message: "over" }, { status: 401 });
  expect((await make(bearer)).status).toBe(401);
  auth.answer = () => Response.json({ error: false, message: "made", data: NEW_KEY }, { status: 201 });
  const first = await make(bearer);
  const again = await make(bearer);
  expect([first.status, again.status, again.body]).toEqual([201, 201, first.body]);
  expect([first, again].map(({ headers }) => headers.get("idempotent-replayed"))).toEqual([null, "true"]);
  expect(auth.asked).toHaveLength(2);
  await make({ authorization: `Bearer ${await sessionToken({ claims: { sub: "8" } })}` });
  expect(auth.asked).toHaveLength(3);
});

test("a key of a service: its scopes decide, and owners are told of the service", async () => {
  const { auth, mail, call, post, request } = await identity({ ACCESS: "closed" });
  const holder: KeyHolder = { key_id: "key-1", service: "billing", scopes: ["mails:send", "users:read"] };
  auth.answer = ({ path }) =>
    Response.json({ error: false, message: "", data: path === "/api-keys/verify" ? holder : PAGE });
  const key = { "x-api-key": API_KEY };
  expect((await request("GET", "/users", undefined, key)).status).toBe(200);
  expect(auth.asked.map(({ path, headers }) => [path, headers.get("x-api-key"), headers.get("x-actor")])).toEqual([
    ["/api-keys/verify", null, null],
    ["/users", API_KEY, "service:billing"],
  ]);
  expect((await call("/v1/mails", key)).status).toBe(403);
  expect((await call("/v1/me", key)).body.message).toBe("this is for the session of a user: log in");
  const letter = { from: "a@example.com", to: "canary-to@example.com", subject: "s", message: "m" };
  const batch = [
    { action: "log", log: { name: "n", data: "d" } },
    { action: "mail", mail: letter },
    { action: "auth", auth: { email: "a@example.com", password: "x" } },
  ];
  const answer = await post("/handle", batch, key);
  const items = answer.body.data as unknown as { status: number; message: string }[];
  expect([answer.status, items[0]?.status, items[0]?.message]).toEqual([207, 403, "the scope logs:write is needed"]);
  expect([items[1]?.status, mail.asked.length]).toEqual([202, 1]);
  expect(items[2]?.status).not.toBe(403);
  // Auth away: what it said last, and so it is told.
  await auth.down();
  const alone = await post("/handle", { action: "log", log: { name: "n", data: "d" } }, key);
  expect([alone.status, alone.headers.get("www-authenticate")]).toEqual([
    403,
    'Bearer realm="platform", error="insufficient_scope", scope="logs:write"',
  ]);
});

test("closed: nobody acts without a credential, logging in is for everybody, and a wrong one is 401 also where it is open", async () => {
  const closed = await identity({ ACCESS: "closed" });
  const log = { action: "log", log: { name: "n", data: "d" } };
  const none = await closed.post("/handle", log);
  expect([none.status, none.headers.get("www-authenticate")]).toEqual([401, 'Bearer realm="platform"']);
  const batch = await closed.post("/handle", [log, { action: "nonsense" }]);
  expect((batch.body.data as unknown as { status: number }[]).map(({ status }) => status)).toEqual([401, 400]);
  expect((await closed.post("/", {})).status).toBe(401);
  expect((await closed.post("/handle", log, closed.bearer)).status).toBe(202);
  closed.auth.answer = () => Response.json({ error: false, message: "", data: LOGIN }, { status: 202 });
  const credentials = { email: "canary@example.com", password: PASSWORD };
  expect((await closed.post("/handle", { action: "auth", auth: credentials })).status).toBe(202);

  const open = await identity();
  expect((await open.post("/handle", log)).status).toBe(202);
  expect((await open.post("/handle", log, { authorization: "Bearer nonsense" })).status).toBe(401);
  expect((await open.post("/handle", log, { "x-api-key": "nonsense" })).status).toBe(401);
});

test("a login here is remembered for the time that auth is away, and a login that is told again is no news", async () => {
  const { auth, request, me } = await identity();
  auth.answer = () => Response.json({ error: false, message: "", data: LOGIN }, { status: 201 });
  const login = () =>
    request("POST", "/sessions", { email: "canary@example.com", password: PASSWORD }, { "idempotency-key": "k" });
  expect((await login()).status).toBe(201);
  auth.answer = () => Response.json({ error: true, message: "" }, { status: 401 });
  expect((await me()).status).toBe(401);
  expect((await login()).headers.get("idempotent-replayed")).toBe("true");
  await auth.down();
  expect((await me()).status).toBe(503);
});

const BY_COOKIE = { "x-session": "cookie" };
const LONG = "canary-refresh-token-of-a-page";

test("a page's refresh token comes and goes in a cookie: with the header only, and in no body", async () => {
  const { auth, request, bearer } = await identity();
  auth.answer = ({ path }) =>
    path === "/sessions"
      ? Response.json({ error: false, message: "", data: { ...LOGIN, refresh_token: LONG } }, { status: 201 })
      : path === "/sessions/refresh"
        ? Response.json({ error: false, message: "", data: { ...TOKENS, refresh_token: `${LONG}-2` } })
        : Response.json({ error: false, message: "", data: { ended: 1 } });
  const credentials = { email: "canary@example.com", password: PASSWORD };
  const plain = await request("POST", "/sessions", credentials);
  expect([plain.headers.has("set-cookie"), plain.body.data]).toEqual([false, { ...LOGIN, refresh_token: LONG }]);

  const login = await request("POST", "/sessions", credentials, BY_COOKIE);
  const { refresh_token: _, ...others } = LOGIN;
  expect([login.status, login.body.data]).toEqual([201, others]);
  expect(login.headers.get("set-cookie")).toBe(
    `platform_refresh=${LONG}; Path=/v1/sessions; Max-Age=3600; HttpOnly; SameSite=Strict`,
  );

  const cookie = `platform_refresh=${LONG}`;
  const next = await request("POST", "/sessions/refresh", {}, { ...BY_COOKIE, cookie });
  expect([next.status, auth.asked.at(-1)?.body]).toEqual([200, { refresh_token: LONG }]);
  expect(next.headers.get("set-cookie")).toStartWith(`platform_refresh=${LONG}-2; Path=/v1/sessions; Max-Age=3500;`);
  expect(JSON.stringify(next.body)).not.toContain(LONG);
  // Without the header the cookie is nothing, and what came by a body goes by the body.
  expect((await request("POST", "/sessions/refresh", {}, { cookie })).status).toBe(422);
  const inBody = await request("POST", "/sessions/refresh", { refresh_token: LONG }, { cookie });
  expect([inBody.headers.has("set-cookie"), JSON.stringify(inBody.body).includes(LONG)]).toEqual([false, true]);
  expect((await request("POST", "/sessions/refresh", { refresh_token: LONG }, BY_COOKIE)).status).toBe(422);

  const out = await request("DELETE", "/sessions/current", undefined, { ...bearer, ...BY_COOKIE, cookie });
  expect([out.status, out.headers.get("set-cookie")]).toEqual([
    200,
    "platform_refresh=; Path=/v1/sessions; Max-Age=0; HttpOnly; SameSite=Strict",
  ]);
});

test("a cookie that works no longer is taken away; one that could not be asked about stays", async () => {
  const { auth, request } = await identity();
  const refresh = (headers: Record<string, string>) =>
    request("POST", "/sessions/refresh", {}, { ...BY_COOKIE, ...headers });
  const none = await refresh({});
  expect([none.status, none.body.message]).toEqual([401, "this browser has no session: log in"]);
  expect(none.headers.get("www-authenticate")).toBe('Bearer realm="platform"');
  expect(auth.asked).toEqual([]);
  const cookie = `platform_refresh=${LONG}`;
  auth.answer = () => Response.json({ error: true, message: "log in again" }, { status: 401 });
  const over = await refresh({ cookie });
  expect([over.status, over.body.message]).toEqual([401, "log in again"]);
  expect(over.headers.get("set-cookie")).toContain("platform_refresh=; Path=/v1/sessions; Max-Age=0");
  await auth.down();
  const away = await refresh({ cookie });
  expect([away.status, away.headers.has("set-cookie")]).toEqual([503, false]);
});

test("no page of another origin may send the header that makes the cookie count", async () => {
  const { app } = await identity({ CORS_ORIGINS: "https://app.example.com" });
  const answer = await fetch(`${app.url}/v1/sessions/refresh`, {
    method: "OPTIONS",
    headers: {
      origin: "https://app.example.com",
      "access-control-request-method": "POST",
      "access-control-request-headers": "x-session",
    },
  });
  expect(answer.headers.get("access-control-allow-origin")).toBe("https://app.example.com");
  expect(answer.headers.get("access-control-allow-headers")?.toLowerCase()).not.toContain("x-session");
  expect(answer.headers.get("access-control-allow-credentials")).toBeNull();
});
