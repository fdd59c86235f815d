/** Who is let in, with plain objects at the ports. */
import { expect, test } from "bun:test";
import { Failure, fail, ok, type Result } from "#shared/errors";
import { silentLog } from "#shared/log";
import { Deadline } from "#shared/resilience";
import { makeMetrics } from "#shared/telemetry";
import { DEVELOPMENT_USER, isDevelopmentUser } from "../development-user.ts";
import { type LoginPorts, makeLogin } from "./login.ts";
import type { NewSession, StoredUser } from "../store.ts";

const ann: StoredUser = {
  id: 7,
  email: "ann@example.com",
  firstName: "Ann",
  lastName: "",
  passwordHash: "hash of s3cret",
  active: 1,
  createdAt: new Date("2020-01-02T03:04:05Z"),
  updatedAt: new Date("2021-01-02T03:04:05Z"),
  role: "member",
  extraScopes: ["logs:read"],
  version: 3,
  accessVersion: 2,
  emailVerifiedAt: null,
  lastLoginAt: null,
};

/** A login over `users`, and what it did. */
function loginOver(
  users: StoredUser[],
  ports: Partial<LoginPorts["store"]> = {},
  outdated = false,
  isRefused: LoginPorts["isRefused"] = () => false,
) {
  const seen = {
    verified: [] as (string | undefined)[],
    sessions: [] as NewSession[],
    renewed: [] as string[],
    asked: [] as string[],
  };
  const metrics = makeMetrics("auth", "0");
  const login = makeLogin({
    store: {
      async findUser(email) {
        seen.asked.push(email);
        return ok(users.find((user) => user.email === email));
      },
      async replaceHash(id, from, to) {
        seen.renewed.push(`${id}: ${from} -> ${to}`);
        return ok();
      },
      async addSession(session) {
        seen.sessions.push(session);
        return ok();
      },
      ...ports,
    },
    passwords: {
      async verify(password, stored) {
        seen.verified.push(stored);
        const matches = stored === `hash of ${password}`;
        return ok({ matches, outdated: matches && outdated });
      },
      hash: async (password) => ok(`new hash of ${password}`),
    },
    tokens: { sign: async (userId, sid) => ok(`token of ${userId} in ${sid}`) },
    isRefused,
    log: silentLog,
    metrics,
  });
  return {
    seen,
    metrics,
    login: (email: string, password: string) => login({ email, password }, Deadline.after(1_000)),
    dispose: () => login[Symbol.asyncDispose](),
  };
}

const failureOf = (result: Result<unknown>): Failure | undefined => (result.ok ? undefined : result.error);

test("the right password gives the user and his tokens; only a digest of the refresh token is stored", async () => {
  const { login, seen } = loginOver([ann]);
  const result = await login("ann@example.com", "s3cret");
  if (!result.ok) throw result.error;
  const [session] = seen.sessions;
  expect(result.value).toEqual({
    id: 7,
    email: "ann@example.com",
    first_name: "Ann",
    last_name: "",
    active: 1,
    created_at: "2020-01-02T03:04:05.000Z",
    updated_at: "2021-01-02T03:04:05.000Z",
    session_id: session?.id ?? "",
    role: "member",
    scopes: ["logs:write", "logs:read", "mails:send"],
    email_verified: false,
    version: 3,
    access_token: `token of 7 in ${session?.id}`,
    refresh_token: expect.stringMatching(/^[A-Za-z0-9_-]{43}$/),
    expires_in: 600,
  });
  const digest = new Bun.CryptoHasher("sha256").update(result.value.refresh_token).digest("hex");
  expect(Buffer.from(session?.tokenHash ?? []).toString("hex")).toBe(digest);
});

test("credentials that everybody knows are let in nowhere, and the answer is that of a wrong password", async () => {
  const known = { ...ann, email: DEVELOPMENT_USER.email, passwordHash: `hash of ${DEVELOPMENT_USER.password}` };
  const changed = { ...known, passwordHash: "hash of another" };
  const strict = loginOver([known], {}, false, isDevelopmentUser);
  const refused = failureOf(await strict.login("admin@example.com", "verysecret"));
  const wrong = failureOf(await strict.login("admin@example.com", "guess"));
  expect([refused?.code, refused?.message]).toEqual([wrong?.code, wrong?.message]);
  expect(strict.seen).toMatchObject({ sessions: [], renewed: [] });
  expect((await loginOver([changed], {}, false, isDevelopmentUser).login("admin@example.com", "another")).ok).toBe(
    true,
  );
  expect((await loginOver([known]).login("admin@example.com", "verysecret")).ok).toBe(true);
});

test("no two logins have the same tokens", async () => {
  const { login, seen } = loginOver([ann]);
  await login("ann@example.com", "s3cret");
  await login("ann@example.com", "s3cret");
  const [first, second] = seen.sessions;
  expect(first?.id).not.toBe(second?.id);
  expect(first?.tokenHash).not.toEqual(second?.tokenHash);
});

test.each([
  ["wrong password", [ann], "guess", "hash of s3cret"],
  ["unknown address", [], "s3cret", undefined],
  ["inactive user", [{ ...ann, active: 0 }], "s3cret", "hash of s3cret"],
])("%s: refused in the same words, after a hash was verified", async (_case, users, password, verified) => {
  const { login, seen, metrics } = loginOver(users);
  expect(failureOf(await login("ann@example.com", password))).toMatchObject({
    code: "unauthenticated",
    message: "Invalid Credentials",
  });
  expect(seen.verified).toEqual([verified]);
  expect(seen.sessions).toEqual([]);
  expect(await metrics.text()).toContain('auth_logins_total{result="refused",service="auth"} 1');
});

test("an address with NUL is nobody's, and is not asked for", async () => {
  const { login, seen } = loginOver([ann]);
  expect(failureOf(await login("ann@example.com\0", "s3cret"))?.code).toBe("unauthenticated");
  expect(seen).toMatchObject({ asked: [], verified: [undefined] });
});

test("a failing database is said to be one, before a password was looked at", async () => {
  const { login, seen } = loginOver([ann], { findUser: async () => fail("unavailable") });
  expect(failureOf(await login("ann@example.com", "s3cret"))?.code).toBe("unavailable");
  expect(seen.verified).toEqual([]);
});

test("a session that could not be stored is no login", async () => {
  const { login } = loginOver([ann], { addSession: async () => fail("deadline") });
  expect(failureOf(await login("ann@example.com", "s3cret"))?.code).toBe("deadline");
});

test("a hash of an older cost is renewed once after the answer, however many logins there are", async () => {
  const { login, seen, dispose } = loginOver([ann], {}, true);
  const results = await Promise.all([login(ann.email, "s3cret"), login(ann.email, "s3cret")]);
  await dispose();
  expect(results.every((result) => result.ok)).toBe(true);
  expect(seen.renewed).toEqual(["7: hash of s3cret -> new hash of s3cret"]);
});
