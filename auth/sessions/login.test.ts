/** Who is let in, with plain objects at the ports. */
import { expect, test } from "bun:test";
import { Failure, fail, ok, type Result } from "#shared/errors";
import { silentLog } from "#shared/log";
import type { Sql } from "#shared/postgres";
import { makeMetrics, newContext } from "#shared/telemetry";
import type { OutboxItem } from "../outbox/outbox.ts";
import type { Place } from "../place.ts";
import type { StoredUser } from "../store.ts";
import { DEVELOPMENT_USER, isDevelopmentUser } from "../development-user.ts";
import { type LoginPorts, makeLogin } from "./login.ts";
import type { Refusal } from "./refusals.ts";
import type { NewSession } from "./session-store.ts";

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

const HERE: Place = { address: "192.0.2.7", agent: "Firefox/140.0" };

/** A login over `users`, and what it did. `earlier`: where the user was before. */
function loginOver(
  users: StoredUser[],
  ports: Partial<LoginPorts["store"] & LoginPorts["sessions"]> = {},
  { outdated = false, earlier = [] as Place[], beyond = [] as string[] } = {},
  isRefused: LoginPorts["isRefused"] = () => false,
) {
  const seen = {
    verified: [] as (string | undefined)[],
    sessions: [] as NewSession[],
    renewed: [] as string[],
    asked: [] as string[],
    refused: [] as Refusal[],
    ended: [] as string[],
    put: [] as OutboxItem[],
    newPlaces: [] as Place[],
  };
  const metrics = makeMetrics("auth", "0");
  // Nothing here talks SQL.
  const sql = undefined as unknown as Sql;
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
      ...ports,
    },
    sessions: {
      async open(session, andThen) {
        seen.sessions.push(session);
        const user = users.find(
          ({ id, passwordHash }) => id === session.user.id && passwordHash === session.user.passwordHash,
        );
        if (user === undefined) return ok(undefined);
        await andThen(sql, { user, earlier });
        return ok(user);
      },
      beyond: async () => beyond,
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
    tokens: { sign: async ({ user, sessionId }) => ok(`token of ${user.id} in ${sessionId}`) },
    ending: {
      async endSession(_sql, _userId, sessionId, reason) {
        seen.ended.push(`${sessionId}: ${reason}`);
        return true;
      },
    },
    outbox: {
      async put(_sql, items) {
        seen.put.push(...items);
      },
      ring: () => undefined,
    },
    idleMs: 30 * 86_400_000,
    onNewPlace: async (_sql, _user, place) => seen.newPlaces.push(place),
    onRefused: (refusal) => seen.refused.push(refusal),
    isRefused,
    log: silentLog,
    metrics,
  });
  return {
    seen,
    metrics,
    login: (email: string, password: string) => login({ email, password }, { ...newContext(1_000), client: HERE }),
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
    scopes: ["logs:write", "logs:read"],
    email_verified: false,
    version: 3,
    access_token: `token of 7 in ${session?.id}`,
    refresh_token: expect.stringMatching(/^[A-Za-z0-9_-]{43}$/),
    expires_in: 600,
    refresh_expires_in: expect.any(Number),
  });
  const digest = new Bun.CryptoHasher("sha256").update(result.value.refresh_token).digest("hex");
  expect(Buffer.from(session?.tokenHash ?? []).toString("hex")).toBe(digest);
});

test("credentials that everybody knows are let in nowhere, and the answer is that of a wrong password", async () => {
  const known = { ...ann, email: DEVELOPMENT_USER.email, passwordHash: `hash of ${DEVELOPMENT_USER.password}` };
  const changed = { ...known, passwordHash: "hash of another" };
  const strict = loginOver([known], {}, {}, isDevelopmentUser);
  const refused = failureOf(await strict.login("admin@example.com", "verysecret"));
  const wrong = failureOf(await strict.login("admin@example.com", "guess"));
  expect([refused?.code, refused?.message]).toEqual([wrong?.code, wrong?.message]);
  expect(strict.seen).toMatchObject({ sessions: [], renewed: [], refused: [{ userId: 7 }, { userId: 7 }] });
  expect((await loginOver([changed], {}, {}, isDevelopmentUser).login("admin@example.com", "another")).ok).toBe(true);
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
  expect(seen.refused).toEqual([{ email: "ann@example.com", userId: users[0]?.id, place: HERE }]);
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
  const { login } = loginOver([ann], { open: async () => fail("deadline") });
  expect(failureOf(await login("ann@example.com", "s3cret"))?.code).toBe("deadline");
});

test("a hash of an older cost is renewed once after the answer, however many logins there are", async () => {
  const { login, seen, dispose } = loginOver([ann], {}, { outdated: true });
  const results = await Promise.all([login(ann.email, "s3cret"), login(ann.email, "s3cret")]);
  await dispose();
  expect(results.every((result) => result.ok)).toBe(true);
  expect(seen.renewed).toEqual(["7: hash of s3cret -> new hash of s3cret"]);
});

test("a login is told to the audit with its place; one from a new place, to the user", async () => {
  const known = loginOver([ann], {}, { earlier: [{ address: "192.0.2.200", agent: "Firefox/139.1" }] });
  await known.login(ann.email, "s3cret");
  expect(known.seen.newPlaces).toEqual([]);
  const data = { action: "login.ok", by: "user:7", session_id: known.seen.sessions[0]?.id };
  expect(known.seen.put).toEqual([{ kind: "audit", severity: "INFO", data }]);
  const elsewhere = loginOver([ann], {}, { earlier: [{ address: "198.51.100.1", agent: "Firefox/140.0" }] });
  await elsewhere.login(ann.email, "s3cret");
  expect(elsewhere.seen.newPlaces).toEqual([HERE]);
  expect(elsewhere.seen.put).toMatchObject([{ data: { new_place: true } }]);
  const first = loginOver([ann]);
  await first.login(ann.email, "s3cret");
  expect(first.seen.newPlaces).toEqual([]);
});

test("the sessions beyond the most that he may have end", async () => {
  const { login, seen } = loginOver([ann], {}, { beyond: ["oldest", "older"] });
  await login(ann.email, "s3cret");
  expect(seen.ended).toEqual(["oldest: too_many", "older: too_many"]);
});

test("a password that was changed while it was looked at: looked at once more, as it is now", async () => {
  const users = [ann];
  const { login, seen } = loginOver(users, {
    async findUser() {
      // The second look finds what was changed meanwhile.
      const found = users[0];
      users[0] = { ...ann, passwordHash: "hash of another" };
      return ok(found);
    },
  });
  expect(failureOf(await login(ann.email, "s3cret"))?.code).toBe("unauthenticated");
  expect(seen.verified).toEqual(["hash of s3cret", "hash of another"]);
});
