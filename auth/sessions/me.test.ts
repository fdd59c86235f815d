/** `GET /me` over real HTTP on a real PostgreSQL. */
import { afterAll, beforeAll, expect, setDefaultTimeout } from "bun:test";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { ACCESS_TOKEN } from "#contracts/auth";
import { NEEDS, startAuth, type TestAuth, withServer } from "../service.test-kit.ts";

setDefaultTimeout(30_000);
let auth: TestAuth | undefined;
const running = (): TestAuth => {
  if (auth === undefined) throw new Error("not started");
  return auth;
};

beforeAll(async () => {
  if (process.env["TEST_POSTGRES_URL"] !== undefined) auth = await startAuth();
});
afterAll(() => auth?.[Symbol.asyncDispose]());

/** A user who has just logged in, and his access token. */
async function loggedIn(email: string): Promise<{ id: number; token: string }> {
  const { sql, post } = running();
  const hash = Bun.password.hashSync("s3cret", { algorithm: "bcrypt", cost: 4 });
  await sql`insert into users (email, password, user_active) values (${email}, ${hash}, 1)`;
  const { json } = await post("/authenticate", { email, password: "s3cret" });
  return { id: Number(json.data["id"]), token: String(json.data["access_token"]) };
}
const me = (token: string) => running().get("/me", { authorization: `Bearer ${token}` });
const claimsOf = (token: string) =>
  JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as Record<string, string>;

withServer(`an access token gives its user and its session ${NEEDS}`, async () => {
  const { id, token } = await loggedIn("ann@example.com");
  const reply = await me(token);
  expect(reply.status).toBe(200);
  expect(reply.json).toEqual({
    error: false,
    message: "The user of this session",
    data: {
      id,
      email: "ann@example.com",
      first_name: "",
      last_name: "",
      active: 1,
      created_at: expect.stringMatching(/Z$/),
      updated_at: expect.stringMatching(/Z$/),
      session_id: claimsOf(token)["sid"],
      role: "member",
      scopes: ["logs:write"],
      email_verified: false,
      version: 1,
    },
  });
});

withServer(`no token: 401 that says how to come; a broken one: 401 that says so ${NEEDS}`, async () => {
  const bare = await running().get("/me");
  expect([bare.status, bare.headers.get("www-authenticate")]).toEqual([401, "Bearer"]);
  const basic = await running().get("/me", { authorization: "Basic YTpi" });
  expect([basic.status, basic.headers.get("www-authenticate")]).toEqual([401, "Bearer"]);
  const { token } = await loggedIn("broken@example.com");
  const [header = "", payload = "", signature = ""] = token.split(".");
  const b64 = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const broken = [
    "x",
    "a.b.c",
    "....",
    `${header}.${payload}.`,
    `${header}.${payload}.${signature.slice(0, -4)}`,
    `${header}.${b64({ ...claimsOf(token), sub: "1" })}.${signature}`,
    `${b64({ alg: "none", typ: "at+jwt" })}.${payload}.`,
    `${b64({ alg: "HS256", typ: "at+jwt" })}.${payload}.${signature}`,
    `${b64({ alg: "EdDSA", typ: "at+jwt", kid: "other" })}.${payload}.${signature}`,
    `${b64({ alg: "EdDSA", typ: "at+jwt", crit: ["b64"], b64: false })}.${payload}.${signature}`,
    `${b64(null)}.${payload}.${signature}`,
    `${b64([])}.${b64(7)}.${signature}`,
    `${header}.${payload}.${"A".repeat(86)}`,
  ];
  for (const bad of broken) {
    const reply = await me(bad);
    expect([bad, reply.status, reply.headers.get("www-authenticate")]).toEqual([
      bad,
      401,
      'Bearer error="invalid_token"',
    ]);
    expect(reply.json).toEqual({ error: true, message: "the access token is not valid" } as never);
  }
});

withServer(`a token signed with our key and off the profile is refused: each claim counts ${NEEDS}`, async () => {
  const { id, token } = await loggedIn("profile@example.com");
  const { sql } = running();
  const { privateKey, publicKey } = await generateKeyPair("EdDSA", { crv: "Ed25519", extractable: true });
  // A retired key still verifies, and its private half needs not be sealed by us to be known here.
  await sql`insert into signing_keys (kid, public_jwk, private_jwk, retired_at)
    values ('test', ${JSON.stringify({ ...(await exportJWK(publicKey)), kid: "test", alg: "EdDSA", use: "sig" })}::text::jsonb, '', now())`;
  await using replica = await running().begin();
  const now = Math.floor(Date.now() / 1_000);
  const right = {
    iss: ACCESS_TOKEN.issuer,
    aud: ACCESS_TOKEN.audience,
    sub: String(id),
    client_id: ACCESS_TOKEN.clientId,
    sid: claimsOf(token)["sid"],
    jti: "1",
    auth_time: now,
    scope: "logs:write mails:send",
    av: 1,
    iat: now,
    exp: now + 60,
  };
  const status = async (claims: Record<string, unknown>, typ: string = ACCESS_TOKEN.type) => {
    const signed = await new SignJWT(claims).setProtectedHeader({ alg: "EdDSA", typ, kid: "test" }).sign(privateKey);
    return (await running().get("/me", { authorization: `Bearer ${signed}` }, replica)).status;
  };
  expect(await status(right)).toBe(200);
  expect(await status(right, "JWT")).toBe(401);
  for (const [claim, value] of [
    ["iss", "another"],
    ["aud", "another"],
    ["sub", "0"],
    ["sub", String(id + 1)],
    ["sub", "9e99"],
    ["sub", "99999999999"],
    ["sid", "x"],
    ["sid", Bun.randomUUIDv7()],
    ["exp", now - 60],
    // What he may has changed since it was signed.
    ["av", 0],
    ["av", "1"],
  ] as const) {
    expect([claim, value, await status({ ...right, [claim]: value })]).toEqual([claim, value, 401]);
  }
  for (const claim of Object.keys(right)) {
    const { [claim as keyof typeof right]: _, ...without } = right;
    expect([claim, await status(without)]).toEqual([claim, 401]);
  }
});

withServer(`a session that has ended, a user who is not active or gone: 401 at once ${NEEDS}`, async () => {
  const { sql } = running();
  const expired = await loggedIn("expired@example.com");
  await sql`update sessions set expires_at = now() where user_id = ${expired.id}`;
  expect((await me(expired.token)).status).toBe(401);
  const inactive = await loggedIn("inactive@example.com");
  await sql`update users set user_active = 0 where id = ${inactive.id}`;
  expect((await me(inactive.token)).status).toBe(401);
  const gone = await loggedIn("gone@example.com");
  await sql`delete from users where id = ${gone.id}`;
  expect((await me(gone.token)).status).toBe(401);
});
