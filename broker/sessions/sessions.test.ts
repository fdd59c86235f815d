/** Access tokens: whose are believed, and with which keys, while auth is there and while it is not. */
import { afterEach, beforeAll, expect, test } from "bun:test";
import { exportSPKI, importJWK, SignJWT } from "jose";
import { ACCESS_TOKEN, type MeView } from "#contracts/auth";
import { fixed, makePool } from "#shared/discovery";
import { fail, type FailureCode, ok, type Result } from "#shared/errors";
import { makeRuntime } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { newContext } from "#shared/telemetry";
import { makeAuthDouble, makeKey, sign, type TestKey, type TokenOptions, USER } from "../auth.test-kit.ts";
import { makeKeySet } from "./key-set.ts";
import { until } from "../platform.test-kit.ts";
import { makeSessions, type SessionsOptions } from "./sessions.ts";

let key: TestKey;
let other: TestKey;
beforeAll(async () => {
  [key, other] = await Promise.all([makeKey(), makeKey()]);
});
const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

interface Options {
  readonly up?: boolean;
  readonly refreshMs?: number;
  readonly apartMs?: number;
  readonly ask?: SessionsOptions["ask"];
  readonly maxAgeS?: number;
}

async function withAuth(options: Options = {}) {
  const { metrics, health, log } = makeRuntime("broker", silentLog, () => undefined);
  const auth = makeAuthDouble([key]);
  if (options.up === false) await auth.down();
  const dependency = health.dependency("auth_keys", { required: false });
  const keys = makeKeySet({
    auth: makePool({ service: "auth", source: fixed([auth.url]), log }),
    dependency,
    log,
    apartMs: 20,
    ...options,
  });
  closing.push(
    () => auth.down(),
    () => metrics[Symbol.dispose](),
    () => keys[Symbol.asyncDispose](),
  );
  const { ask = () => Promise.resolve(fail("unavailable")), maxAgeS = 600 } = options;
  const revocations = { ofToken: () => "stands" as const };
  const sessions = makeSessions({ keys, revocations, ask, maxAgeS, metrics });
  const verify = (token: string | undefined, ms = 5_000) => sessions.verify(token, newContext(ms));
  if (options.up !== false) await until("the keys", () => dependency.state === "up");
  return { auth, dependency, verify, sessions };
}
const codeOf = (result: Result<unknown>): string => (result.ok ? "ok" : result.error.code);

test("a token of auth's is believed, and tells user, session and end", async () => {
  const { verify } = await withAuth();
  const token = await sign(key);
  const exp = Math.floor(Date.now() / 1_000) + 600;
  expect(await verify(token)).toEqual({
    ok: true,
    value: { sub: "7", sid: "session-1", exp: expect.any(Number), token, scopes: new Set(USER.scopes) },
  });
  const result = await verify(token);
  expect(Math.abs((result.ok ? result.value.exp : 0) - exp)).toBeLessThanOrEqual(2);
});

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
const withKey = (options: TokenOptions) => () => sign(key, options);

test.each<[string, () => string | undefined | Promise<string>]>([
  ["none at all", () => undefined],
  ["empty", () => ""],
  ["no JWT", () => "abc"],
  ["alg none, without a signature", async () => unsigned(await sign(key), "none")],
  ["alg None", async () => unsigned(await sign(key), "None")],
  ["HS256 with the public key as the secret", () => symmetric("jwk")],
  ["HS256 with the public key's PEM as the secret", () => symmetric("pem")],
  ["another name of the same algorithm", withKey({ header: { alg: "Ed25519" } })],
  ["a key of somebody else under auth's kid", () => sign(other, { header: { kid: key.kid } })],
  ["a kid that auth does not have", () => sign(other)],
  ["no kid", withKey({ header: { kid: undefined } })],
  ["a kid that is a path", withKey({ header: { kid: "../../etc/passwd" } })],
  ["its own key in the header", () => sign(other, { header: { jwk: other.publicJwk } })],
  [
    "its own key in the header, under auth's kid",
    () => sign(other, { header: { jwk: other.publicJwk, kid: key.kid } }),
  ],
  ["a place to fetch a key from", () => sign(other, { header: { jku: "http://127.0.0.1:1/jwks.json" } })],
  ["a critical header that nobody knows", withKey({ header: { crit: ["x"], x: 1 } })],
  ["typ JWT", withKey({ header: { typ: "JWT" } })],
  ["no typ", withKey({ header: { typ: undefined } })],
  ["another audience", withKey({ claims: { aud: "elsewhere" } })],
  ["another issuer", withKey({ claims: { iss: "https://evil.example" } })],
  ["over for 6 s", withKey({ livesS: -6 })],
  ["not valid before in 10 s", withKey({ claims: { nbf: Math.floor(Date.now() / 1_000) + 10 } })],
  ["no exp", withKey({ claims: { exp: undefined } })],
  ["no iat", withKey({ claims: { iat: undefined } })],
  ["no sub", withKey({ claims: { sub: undefined } })],
  ["no sid", withKey({ claims: { sid: undefined } })],
  ["a sub that is no user's id", withKey({ claims: { sub: "7 OR 1=1" } })],
  ["a sid that is no text", withKey({ claims: { sid: { a: 1 } } })],
  ["a changed payload", async () => changed(await sign(key), 1)],
  ["a changed signature", async () => changed(await sign(key), 2)],
])("refused: %s", async (_what, forge) => {
  const { verify } = await withAuth();
  expect(codeOf(await verify(await forge()))).toBe("unauthenticated");
  expect(codeOf(await verify(await sign(key)))).toBe("ok");
});

test("no token with any one character changed is believed", async () => {
  const { verify } = await withAuth();
  const token = await sign(key);
  const believed: number[] = [];
  for (let at = 0; at < token.length; at += 1) {
    const wrong = token.charAt(at) === "A" ? "B" : "A";
    if ((await verify(`${token.slice(0, at)}${wrong}${token.slice(at + 1)}`, 1)).ok) believed.push(at);
  }
  // The last character of a signature of 64 bytes has 4 bits that mean nothing (RFC 4648 §3.5).
  expect(believed.filter((at) => at !== token.length - 1)).toEqual([]);
});

test("clocks may be 5 s apart", async () => {
  const { verify } = await withAuth();
  expect(codeOf(await verify(await sign(key, { livesS: -3 })))).toBe("ok");
});

test("keys that are known go on verifying while auth is away, and a key that is not can be told by nobody", async () => {
  const { auth, verify } = await withAuth();
  await auth.down();
  expect(codeOf(await verify(await sign(key)))).toBe("ok");
  const unknown = await verify(await sign(other));
  expect(unknown).toMatchObject({ ok: false, error: { code: "unavailable", retryAfterS: 2 } });
  expect(codeOf(await verify(await unsignedOf()))).toBe("unauthenticated");
  async function unsignedOf() {
    return unsigned(await sign(key), "none");
  }
});

test("a broker that starts while auth is away says so, and knows the keys soon after auth is there", async () => {
  const { auth, verify, dependency } = await withAuth({ up: false });
  await until("told", () => dependency.state === "down");
  expect(codeOf(await verify(await sign(key), 500))).toBe("unavailable");
  auth.up();
  await until("verified", async () => (await verify(await sign(key))).ok, 5_000);
  expect(dependency.state).toBe("up");
});

test("a new key is known at once, and a flood of unknown ones asks auth twice a second", async () => {
  const { auth, verify } = await withAuth({ apartMs: 500 });
  auth.keys = [key, other];
  expect(codeOf(await verify(await sign(other)))).toBe("ok");
  const before = auth.keySetsAsked;
  const startedAt = performance.now();
  const forge = (n: number) => sign(other, { header: { kid: `forged-${n}` } });
  const forged = await Promise.all(Array.from({ length: 200 }, async (_, n) => verify(await forge(n))));
  expect(new Set(forged.map(codeOf))).toEqual(new Set(["unauthenticated"]));
  // Those who do not wait for the answer cause no more questions than those who do.
  for (let n = 0; n < 20; n += 1) expect((await verify(await forge(n), 20)).ok).toBe(false);
  const tookMs = performance.now() - startedAt;
  expect(auth.keySetsAsked - before).toBeLessThanOrEqual(Math.ceil(tookMs / 500) + 1);
});

test("a retired key is forgotten when the keys are read again", async () => {
  const { auth, verify } = await withAuth({ refreshMs: 20 });
  auth.keys = [other];
  await until("forgotten", async () => codeOf(await verify(await sign(key), 100)) === "unauthenticated", 5_000);
});

test.each<[string, () => Response]>([
  ["500", () => new Response("", { status: 500 })],
  ["a redirect", () => Response.redirect("http://127.0.0.1:1/", 302)],
  ["no JSON", () => new Response("<html>")],
  ["null", () => Response.json(null)],
  ["no keys", () => Response.json({ keys: [] })],
  ["keys of another kind", () => Response.json({ keys: [{ kty: "oct", k: "AAAA", kid: "x" }, null, 7] })],
  [
    "a private key",
    () => Response.json({ keys: [{ ...key.publicJwk, d: Buffer.alloc(32, 1).toString("base64url") }] }),
  ],
])("auth's key set is %s: what was known stays", async (_what, answer) => {
  const { auth, verify } = await withAuth({ refreshMs: 20 });
  auth.keySet = answer;
  const asked = auth.keySetsAsked;
  await until("read again", () => auth.keySetsAsked >= asked + 2);
  expect(codeOf(await verify(await sign(key)))).toBe("ok");
});

test("a key of the key set that is broken is not used, and the others are", async () => {
  const { auth, verify } = await withAuth({ refreshMs: 20 });
  auth.keySet = () => Response.json({ keys: [{ ...other.publicJwk, x: "AA" }, key.publicJwk] });
  const asked = auth.keySetsAsked;
  await until("read again", () => auth.keySetsAsked >= asked + 2);
  expect(codeOf(await verify(await sign(other)))).toBe("unauthenticated");
  expect(codeOf(await verify(await sign(key)))).toBe("ok");
});

const ME: MeView = { ...USER, session_id: "session-1" };

/** Sessions whose auth answers as it is told. */
async function withAnswers(maxAgeS = 600) {
  const auth = { answer: (): Result<MeView> => ok(ME) };
  const { sessions, verify } = await withAuth({ ask: () => Promise.resolve(auth.answer()), maxAgeS });
  const current = async (options?: TokenOptions) => {
    const session = await verify(await sign(key, options));
    if (!session.ok) throw session.error;
    return sessions.current(session.value, newContext(1_000));
  };
  return { auth, sessions, current };
}

test("auth away: the user as he was known, marked with its age; and fresh again when auth is back", async () => {
  const { auth, current } = await withAnswers();
  expect(await current()).toEqual(ok({ user: ME }));
  for (const code of ["unavailable", "deadline", "bad_gateway"] as const) {
    auth.answer = () => fail(code);
    expect(await current()).toEqual(ok({ user: ME, degraded: { auth: "cached;age=0" } }));
  }
  auth.answer = () => ok({ ...ME, first_name: "Anna" });
  expect(await current()).toEqual(ok({ user: { ...ME, first_name: "Anna" } }));
});

test.each<[string, FailureCode]>([
  ["a session that auth refuses", "unauthenticated"],
  ["a user who may not", "forbidden"],
])("%s: nothing is remembered of it", async (_what, code) => {
  const { auth, current } = await withAnswers();
  await current();
  auth.answer = () => fail(code);
  expect(codeOf(await current())).toBe(code);
  auth.answer = () => fail("unavailable");
  expect(codeOf(await current())).toBe("unavailable");
});

test("auth away: nothing known, switched off, or the token over by our own clock is never answered from memory", async () => {
  const known = await withAnswers();
  known.auth.answer = () => fail("unavailable");
  expect(await known.current()).toMatchObject({ ok: false, error: { code: "unavailable", retryAfterS: 1 } });
  known.auth.answer = () => ok(ME);
  await known.current();
  known.auth.answer = () => fail("unavailable");
  expect(codeOf(await known.current())).toBe("ok");
  // Within the tolerance for clocks: auth would have had the last word.
  expect(codeOf(await known.current({ livesS: -2 }))).toBe("unauthenticated");

  const off = await withAnswers(0);
  await off.current();
  off.auth.answer = () => fail("unavailable");
  expect(codeOf(await off.current())).toBe("unavailable");
});

test("too many requests at auth is not auth being away", async () => {
  const { auth, current } = await withAnswers();
  await current();
  auth.answer = () => fail("exhausted");
  expect(codeOf(await current())).toBe("exhausted");
});

test("an answer for another session or user is none", async () => {
  const { auth, current } = await withAnswers();
  for (const wrong of [{ session_id: "session-2" }, { id: 8 }]) {
    auth.answer = () => ok({ ...ME, ...wrong });
    expect(codeOf(await current())).toBe("bad_gateway");
  }
});

test("a login through this broker is remembered, without its tokens", async () => {
  const { auth, sessions, current } = await withAnswers();
  sessions.opened({
    ...ME,
    access_token: await sign(key),
    refresh_token: "canary",
    expires_in: 600,
    refresh_expires_in: 9,
  });
  auth.answer = () => fail("unavailable");
  expect(await current()).toEqual(ok({ user: ME, degraded: { auth: "cached;age=0" } }));
});

function unsigned(token: string, alg: string): string {
  return `${encode({ alg, typ: ACCESS_TOKEN.type, kid: key.kid })}.${token.split(".")[1]}.`;
}

async function symmetric(as: "jwk" | "pem"): Promise<string> {
  const publicKey = await importJWK(key.publicJwk, ACCESS_TOKEN.algorithm, { extractable: true });
  const secret =
    as === "jwk"
      ? Buffer.from(key.publicJwk.x ?? "", "base64url")
      : Buffer.from(await exportSPKI(publicKey as CryptoKey));
  const payload = JSON.parse(Buffer.from((await sign(key)).split(".")[1] ?? "", "base64url").toString()) as object;
  return new SignJWT({ ...payload })
    .setProtectedHeader({ alg: "HS256", typ: ACCESS_TOKEN.type, kid: key.kid })
    .sign(secret);
}

function changed(token: string, part: number): string {
  const parts = token.split(".");
  const bytes = Buffer.from(parts[part] ?? "", "base64url");
  bytes.writeUInt8(bytes.readUInt8(20) ^ 1, 20);
  parts[part] = bytes.toString("base64url");
  return parts.join(".");
}
