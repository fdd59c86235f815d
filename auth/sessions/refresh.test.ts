/** Refreshing over real HTTP on a real PostgreSQL: rotation, grace, reuse, and how long a session lasts. */
import { afterAll, beforeAll, expect, setDefaultTimeout } from "bun:test";
import type { TokenReply } from "#contracts/auth";
import { NEEDS, type Reply, startAuth, type TestAuth, withServer } from "../service.test-kit.ts";

setDefaultTimeout(60_000);
let auth: TestAuth | undefined;
const running = (): TestAuth => {
  if (auth === undefined) throw new Error("not started");
  return auth;
};
beforeAll(async () => {
  if (process.env["TEST_POSTGRES_URL"] !== undefined)
    auth = await startAuth({ SESSION_IDLE_DAYS: "10", SESSION_MAX_DAYS: "20" });
});
afterAll(() => auth?.[Symbol.asyncDispose]());

const refresh = (token: string, at = running().app): Promise<Reply> =>
  running().post("/sessions/refresh", { refresh_token: token }, { "user-agent": "test" }, at);
async function refreshed(token: string, at = running().app): Promise<TokenReply> {
  const reply = await refresh(token, at);
  if (reply.status !== 200) throw new Error(`${reply.status} ${reply.text}`);
  return reply.json.data as unknown as TokenReply;
}
/** The 10 s of grace are over for the tokens of a session that have been followed. */
const afterGrace = (sessionId: string) =>
  running()
    .sql`update refresh_tokens set rotated_at = rotated_at - interval '11 seconds' where session_id = ${sessionId}`;
const sessionOf = async (id: string) =>
  (
    await running().sql<{ end_reason: string | null; days: number; total: number }[]>`
    select end_reason, extract(epoch from expires_at - now())::float8 / 86400 as days,
      extract(epoch from expires_at - created_at)::float8 / 86400 as total from sessions where id = ${id}`
  )[0];
const claimsOf = (token: string) =>
  JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as Record<string, unknown>;

withServer(
  `a refresh token gives the next one and an access token of the same session, as the user is now ${NEEDS}`,
  async () => {
    const { addUser, login, sql, ask } = running();
    const user = await addUser();
    const first = await login(user.email);
    await sql`update users set role = 'operator', access_version = 2 where id = ${user.id}`;
    expect((await ask("GET", "/me", first.access_token)).status).toBe(401);
    const next = await refreshed(first.refresh_token);
    expect(next.session_id).toBe(first.session_id);
    expect(next.refresh_token).not.toBe(first.refresh_token);
    expect(next).toMatchObject({ expires_in: 600, refresh_token: expect.stringMatching(/^[\w-]{43}$/) });
    expect([first.refresh_expires_in, next.refresh_expires_in]).toEqual([10 * 86_400, 10 * 86_400]);
    const [before, after] = [claimsOf(first.access_token), claimsOf(next.access_token)];
    expect(after).toMatchObject({ sid: first.session_id, roles: ["operator"], av: 2, auth_time: before["auth_time"] });
    expect(String(after["scope"]).split(" ")).toContain("logs:read");
    expect((await ask("GET", "/me", next.access_token)).status).toBe(200);
    // Nothing of a token is stored but its SHA-256.
    const stored = JSON.stringify(await sql`select encode(token_hash, 'escape') as t from refresh_tokens`);
    expect([stored.includes(first.refresh_token), stored.includes(next.refresh_token)]).toEqual([false, false]);
  },
);

withServer(`twenty at once, at two replicas: one successor ${NEEDS}`, async () => {
  const { addUser, login, begin, app, sql } = running();
  await using other = await begin();
  const first = await login((await addUser()).email);
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, index) => refreshed(first.refresh_token, index % 2 === 0 ? app : other)),
  );
  expect(new Set(answers.map(({ refresh_token }) => refresh_token)).size).toBe(1);
  expect(await sql`select 1 from refresh_tokens where session_id = ${first.session_id}`).toHaveLength(2);
});

withServer(`a lost answer: the same successor again within 10 s, and that one goes on ${NEEDS}`, async () => {
  const { addUser, login } = running();
  const first = await login((await addUser()).email);
  const lost = await refreshed(first.refresh_token);
  const again = await refreshed(first.refresh_token);
  expect(again.refresh_token).toBe(lost.refresh_token);
  const next = await refreshed(again.refresh_token);
  // Somebody who is two steps behind gets what counts now.
  expect((await refreshed(first.refresh_token)).refresh_token).toBe(next.refresh_token);
  expect((await sessionOf(first.session_id))?.end_reason).toBeNull();
});

withServer(`two tabs that refresh 1,000 times, each with what it has: nobody is logged out ${NEEDS}`, async () => {
  const { addUser, login } = running();
  const first = await login((await addUser()).email);
  let refused = 0;
  const tab = async (): Promise<void> => {
    let token = first.refresh_token;
    for (let round = 0; round < 500; round += 1) {
      const reply = await refresh(token);
      if (reply.status === 200) token = (reply.json.data as unknown as TokenReply).refresh_token;
      else refused += 1;
    }
  };
  await Promise.all([tab(), tab()]);
  expect(refused).toBe(0);
  expect((await sessionOf(first.session_id))?.end_reason).toBeNull();
});

withServer(`an old token after the grace: the session ends, is revoked, and the audit has it ${NEEDS}`, async () => {
  const { addUser, login, sql, ask, waiting } = running();
  const user = await addUser();
  const first = await login(user.email);
  const other = await login(user.email);
  const next = await refreshed(first.refresh_token);
  await afterGrace(first.session_id);
  const replayed = await refresh(first.refresh_token);
  expect([replayed.status, replayed.json]).toEqual([
    401,
    { error: true, message: "the refresh token is not valid: log in again" } as never,
  ]);
  expect((await sessionOf(first.session_id))?.end_reason).toBe("reuse");
  expect((await refresh(next.refresh_token)).status).toBe(401);
  expect((await ask("GET", "/me", next.access_token)).status).toBe(401);
  const revoked = await sql`select kind from revocations where subject = ${first.session_id}`;
  expect([...revoked]).toEqual([{ kind: "session" }]);
  const parcels = await waiting();
  expect(parcels).toContainEqual({
    to: "audit",
    severity: "WARNING",
    at: expect.any(String),
    data: {
      action: "session.reuse",
      by: `user:${user.id}`,
      session_id: first.session_id,
      address: "127.0.0.1",
      agent: "test",
    },
  });
  expect(parcels).toContainEqual(
    expect.objectContaining({
      to: "identity",
      key: "session.revoked",
      body: expect.objectContaining({ subject: first.session_id }),
    }),
  );
  // His other sessions go on.
  expect((await refresh(other.refresh_token)).status).toBe(200);
});

withServer(`of a session's old tokens the newest 5,000 are kept, however often it is refreshed ${NEEDS}`, async () => {
  const { addUser, login, sql } = running();
  const first = await login((await addUser()).email);
  await sql`
    insert into refresh_tokens (token_hash, session_id, expires_at, rotated_at)
    select sha256(i::text::bytea), ${first.session_id}, now() + interval '1 day', now() - i * interval '1 minute'
    from generate_series(1, 5050) i`;
  await sql`update sessions set refreshes = 499 where id = ${first.session_id}`;
  const second = await refreshed(first.refresh_token);
  const [kept] = await sql<{ count: number; oldest: number }[]>`
    select count(*)::int as count, extract(epoch from now() - min(rotated_at))::int / 60 as oldest
    from refresh_tokens where session_id = ${first.session_id} and rotated_at is not null`;
  expect(kept).toEqual({ count: 5_000, oldest: 4_999 });
  expect((await refresh(second.refresh_token)).status).toBe(200);
});

withServer(`a session lasts 10 days after its last use, and 20 in all ${NEEDS}`, async () => {
  const { addUser, login, sql } = running();
  const first = await login((await addUser()).email);
  const age = (days: number) => sql`
    update sessions set created_at = created_at - ${days} * interval '1 day', expires_at = expires_at - ${days} * interval '1 day'
    where id = ${first.session_id}`;
  expect(Math.round((await sessionOf(first.session_id))?.days ?? 0)).toBe(10);
  await age(8);
  const second = await refreshed(first.refresh_token);
  expect(Math.round((await sessionOf(first.session_id))?.days ?? 0)).toBe(10);
  await age(7);
  const third = await refreshed(second.refresh_token);
  const held = await sessionOf(first.session_id);
  expect([Math.round(held?.days ?? 0), Math.round(held?.total ?? 0)]).toEqual([5, 20]);
  expect(Math.round(third.refresh_expires_in / 86_400)).toBe(5);
  await age(5);
  expect((await refresh(third.refresh_token)).status).toBe(401);
});

withServer(
  `an inactive user, an ended session, nonsense: 401 in the same words, and nothing ends for it ${NEEDS}`,
  async () => {
    const { addUser, login, sql } = running();
    const user = await addUser();
    const first = await login(user.email);
    await sql`update users set user_active = 0 where id = ${user.id}`;
    const inactive = await refresh(first.refresh_token);
    await sql`update users set user_active = 1 where id = ${user.id}`;
    await sql`update sessions set ended_at = now(), end_reason = 'logout' where id = ${first.session_id}`;
    const ended = await refresh(first.refresh_token);
    const unknown = await refresh("x".repeat(43));
    expect(new Set([inactive, ended, unknown].map(({ status, text }) => `${status} ${text}`)).size).toBe(1);
    expect([unknown.status, unknown.headers.get("www-authenticate")]).toEqual([401, "Bearer"]);
    for (const body of [
      {},
      { refresh_token: 1 },
      { refresh_token: "short" },
      { refresh_token: "x".repeat(43), more: 1 },
    ]) {
      expect((await running().post("/sessions/refresh", body)).status).toBe(422);
    }
  },
);
