/** Sessions over real HTTP on a real PostgreSQL: which there are, and what ends them. */
import { afterAll, beforeAll, expect, setDefaultTimeout } from "bun:test";
import type { RevocationList } from "#contracts/identity";
import type { SessionPage } from "#contracts/auth";
import { NEEDS, startAuth, type TestAuth, withServer } from "../service.test-kit.ts";

setDefaultTimeout(60_000);
let auth: TestAuth | undefined;
const running = (): TestAuth => {
  if (auth === undefined) throw new Error("not started");
  return auth;
};
beforeAll(async () => {
  if (process.env["TEST_POSTGRES_URL"] !== undefined) auth = await startAuth();
});
afterAll(() => auth?.[Symbol.asyncDispose]());

const isIn = async (token: string) => (await running().ask("GET", "/me", token)).status === 200;
const list = async (token: string, query = ""): Promise<SessionPage> =>
  (await running().ask("GET", `/sessions${query}`, token)).json.data as unknown as SessionPage;
const actions = async () =>
  (await running().waiting()).flatMap((parcel) => (parcel.to === "audit" ? [parcel.data] : []));

withServer(`his sessions, newest first, a page after the other, with where they came from ${NEEDS}`, async () => {
  const { addUser, login, sql } = running();
  const user = await addUser();
  const phone = await login(user.email, "Phone/1");
  const desk = await login(user.email, "Desk/2");
  const here = await login(user.email, "Here/3");
  const [stored] = await sql<{ last_login_at: Date | null }[]>`select last_login_at from users where id = ${user.id}`;
  expect(stored?.last_login_at).not.toBeNull();
  const all = await list(here.access_token);
  expect(all.items.map(({ id, agent, current, address, user_id }) => [id, agent, current, address, user_id])).toEqual([
    [here.session_id, "Here/3", true, "127.0.0.1", user.id],
    [desk.session_id, "Desk/2", false, "127.0.0.1", user.id],
    [phone.session_id, "Phone/1", false, "127.0.0.1", user.id],
  ]);
  const first = await list(here.access_token, "?limit=2");
  expect(first.items).toHaveLength(2);
  const second = await list(here.access_token, `?limit=2&cursor=${first.next_cursor}`);
  expect([second.items.map(({ id }) => id), second.next_cursor]).toEqual([[phone.session_id], undefined]);
  for (const query of ["?cursor=x", "?limit=0", "?limit=201", "?user_id=0", "?more=1"]) {
    expect([query, (await running().ask("GET", `/sessions${query}`, here.access_token)).status]).toEqual([query, 422]);
  }
});

withServer(`one session is ended, another one logs out, then all ${NEEDS}`, async () => {
  const { addUser, login, ask } = running();
  const user = await addUser();
  const [one, two, three, four] = [
    await login(user.email),
    await login(user.email),
    await login(user.email),
    await login(user.email),
  ];
  const ended = await ask("DELETE", `/sessions/${one?.session_id}`, two?.access_token ?? "");
  expect([ended.status, ended.json.data]).toEqual([200, { ended: 1 }]);
  expect(await isIn(one?.access_token ?? "")).toBe(false);
  expect((await ask("DELETE", `/sessions/${one?.session_id}`, two?.access_token ?? "")).status).toBe(404);
  expect((await ask("DELETE", "/sessions/current", two?.access_token ?? "")).status).toBe(200);
  expect(await isIn(two?.access_token ?? "")).toBe(false);
  expect((await running().post("/sessions/refresh", { refresh_token: two?.refresh_token })).status).toBe(401);
  expect((await ask("DELETE", "/sessions", three?.access_token ?? "")).json.data).toEqual({ ended: 2 });
  expect(await isIn(four?.access_token ?? "")).toBe(false);
  const told = (await actions()).filter(({ by }) => by === `user:${user.id}`).map(({ action }) => action);
  expect(told).toEqual(["login.ok", "login.ok", "login.ok", "login.ok", "session.ended", "logout", "sessions.ended"]);
});

withServer(`another user's sessions: 404 to end, 403 to see, but for who manages users ${NEEDS}`, async () => {
  const { addUser, login, ask } = running();
  const ann = await addUser();
  const session = await login(ann.email);
  const bob = await login((await addUser()).email);
  const operator = await login((await addUser("operator")).email);
  const admin = await login((await addUser("admin")).email);
  for (const { access_token } of [bob, operator]) {
    expect((await ask("DELETE", `/sessions/${session.session_id}`, access_token)).status).toBe(404);
    const seen = await ask("GET", `/sessions?user_id=${ann.id}`, access_token);
    expect([seen.status, seen.headers.get("www-authenticate")]).toEqual([
      403,
      'Bearer error="insufficient_scope", scope="users:read"',
    ]);
    expect((await ask("DELETE", `/sessions?user_id=${ann.id}`, access_token)).status).toBe(403);
  }
  expect(await isIn(session.access_token)).toBe(true);
  expect((await list(admin.access_token, `?user_id=${ann.id}`)).items.map(({ id }) => id)).toEqual([
    session.session_id,
  ]);
  expect((await ask("DELETE", `/sessions/${session.session_id}`, admin.access_token)).status).toBe(200);
  await login(ann.email);
  expect((await ask("DELETE", `/sessions?user_id=${ann.id}`, admin.access_token)).json.data).toEqual({ ended: 1 });
  expect(await isIn(session.access_token)).toBe(false);
});

withServer(`a new password: the other sessions end, the old one is of no use ${NEEDS}`, async () => {
  const { addUser, login, ask, post } = running();
  const user = await addUser();
  const here = await login(user.email);
  const other = await login(user.email);
  const change = (current_password: string, new_password: string) =>
    ask("PUT", "/me/password", here.access_token, { current_password, new_password });
  expect((await change("wrong", "a new passphrase")).status).toBe(422);
  expect((await change("s3cret", "password1")).json.message).toContain("most common");
  expect((await change("s3cret", "short")).status).toBe(422);
  const mails = async () =>
    (await running().waiting()).flatMap((parcel) =>
      parcel.to === "mail" && parcel.mail.to === user.email ? [parcel.mail] : [],
    );
  expect(await mails()).toEqual([]);
  const done = await change("s3cret", "a new passphrase");
  expect([done.status, done.json.data]).toEqual([200, { ended: 1 }]);
  expect([await isIn(here.access_token), await isIn(other.access_token)]).toEqual([true, false]);
  expect(await mails()).toMatchObject([
    { template: { name: "account-changed", variables: { address: user.email, change: "password" } } },
  ]);
  expect(JSON.stringify(await mails())).not.toContain("passphrase");
  const status = async (password: string) => (await post("/authenticate", { email: user.email, password })).status;
  expect([await status("s3cret"), await status("a new passphrase")]).toEqual([401, 202]);
  const told = await actions();
  expect(told).toContainEqual(expect.objectContaining({ action: "password.changed", by: `user:${user.id}`, ended: 1 }));
  expect(JSON.stringify(told)).not.toContain("passphrase");
});

withServer(
  `whoever found an open session tries out no passwords: 429 after ten, and the audit tells ${NEEDS}`,
  async () => {
    const { begin, addUser, login, ask } = running();
    await using replica = await begin({ LOGIN_THROTTLE: "on" });
    const user = await addUser();
    const session = await login(user.email, "test", replica);
    const change = (current_password: string) =>
      ask("PUT", "/me/password", session.access_token, { current_password, new_password: "a new passphrase" }, replica);
    const guesses: number[] = [];
    for (let times = 0; times < 30 && guesses.at(-1) !== 429; times += 1) guesses.push((await change("guess")).status);
    expect([guesses.at(0), guesses.at(-1)]).toEqual([422, 429]);
    const blocked = await change("s3cret");
    expect([blocked.status, Number(blocked.headers.get("retry-after")) > 0]).toEqual([429, true]);
    await replica[Symbol.asyncDispose]();
    const entry = (await actions()).find(({ action, user_id }) => action === "login.refused" && user_id === user.id);
    expect(entry?.["times"]).toBe(guesses.length - 1);
  },
);

withServer(`the oldest session ends where there are more than a hundred ${NEEDS}`, async () => {
  const { addUser, login, sql } = running();
  const user = await addUser();
  const oldest = await login(user.email);
  await sql`
    insert into sessions (id, user_id, created_at, expires_at)
    select gen_random_uuid(), ${user.id}, now() + n * interval '1 millisecond', now() + interval '1 day'
    from generate_series(1, 99) n`;
  expect(await isIn(oldest.access_token)).toBe(true);
  const last = await login(user.email);
  expect([await isIn(oldest.access_token), await isIn(last.access_token)]).toEqual([false, true]);
  const [row] = await sql`select end_reason from sessions where id = ${oldest.session_id}`;
  expect(row?.["end_reason"]).toBe("too_many");
  const entry = (await actions()).find(
    ({ session_id, reason }) => session_id === oldest.session_id && reason !== undefined,
  );
  expect(entry).toMatchObject({ action: "session.ended", by: "auth", user_id: user.id, reason: "too_many" });
});

withServer(
  `of a user's sessions that are over the newest thousand are kept, however often he logs in ${NEEDS}`,
  async () => {
    const { addUser, login, sql } = running();
    const user = await addUser();
    const first = await login(user.email);
    await sql`
    insert into sessions (id, user_id, expires_at, ended_at, end_reason)
    select ('ffffffff-0000-7000-8000-' || lpad(i::text, 12, '0'))::uuid, ${user.id}, now(), now(), 'logout'
    from generate_series(1, 1040) i`;
    await login(user.email);
    const kept = await sql<{ id: string; over: boolean }[]>`
    select id, ended_at is not null as over from sessions where user_id = ${user.id} order by id`;
    const over = kept.filter(({ over: isOver }) => isOver);
    expect([over.length, over[0]?.id]).toEqual([1_000, "ffffffff-0000-7000-8000-000000000041"]);
    expect(await isIn(first.access_token)).toBe(true);
  },
);

withServer(`without a token 401, everywhere ${NEEDS}`, async () => {
  for (const [method, path] of [
    ["GET", "/sessions"],
    ["DELETE", "/sessions"],
    ["DELETE", "/sessions/current"],
    ["DELETE", `/sessions/${Bun.randomUUIDv7()}`],
    ["PUT", "/me/password"],
  ] as const) {
    const reply = await running().ask(method, path, "", method === "PUT" ? { nonsense: 1 } : undefined);
    expect([method, path, reply.status, reply.headers.get("www-authenticate")]).toEqual([method, path, 401, "Bearer"]);
  }
});

withServer(`revocations: all that matter, then what came since, a thousand at a time ${NEEDS}`, async () => {
  const { get, sql, addUser, login, ask } = running();
  const ask1 = async (since?: string): Promise<RevocationList> =>
    (await get(`/revocations${since === undefined ? "" : `?since=${encodeURIComponent(since)}`}`)).json
      .data as unknown as RevocationList;
  await sql`delete from revocations`;
  await sql`
    insert into revocations (id, kind, subject, at, expires_at)
    select gen_random_uuid(), 'session', n::text, now() - interval '1 minute', now() + interval '10 minutes' from generate_series(1, 1500) n`;
  await sql`
    insert into revocations (id, kind, subject, at, expires_at)
    values (gen_random_uuid(), 'session', 'over', now() - interval '1 hour', now() - interval '1 minute')`;
  const first = await ask1();
  expect([first.items.length, first.more]).toEqual([1_000, true]);
  const second = await ask1(first.as_of);
  expect([second.items.length, second.more]).toEqual([500, false]);
  const subjects = new Set([...first.items, ...second.items].map(({ subject }) => subject));
  expect([subjects.size, subjects.has("over")]).toEqual([1_500, false]);
  const user = await addUser();
  const session = await login(user.email);
  await ask("DELETE", "/sessions/current", session.access_token);
  const third = await ask1(second.as_of);
  expect(third.items).toEqual([
    {
      id: expect.any(String),
      kind: "session",
      subject: session.session_id,
      at: expect.stringMatching(/Z$/),
      expires_at: expect.stringMatching(/Z$/),
    },
  ]);
  for (const since of ["x", "2026-01-01T00:00:00Z/x", "2026-13-01T00:00:00Z"]) {
    expect((await get(`/revocations?since=${encodeURIComponent(since)}`)).status).toBe(422);
  }
});

withServer(
  `refused logins are in the audit: an entry an account, however many there are, nothing of what was typed ${NEEDS}`,
  async () => {
    const { addUser, post, sql } = running();
    await sql`delete from outbox`;
    await using replica = await running().begin();
    const user = await addUser();
    const guess = (email: string) => post("/authenticate", { email, password: "guess-canary" }, {}, replica);
    for (let times = 0; times < 5; times += 1) await guess(user.email);
    for (let index = 0; index < 60; index += 1) await guess(`nobody-canary-${index}@example.com`);
    await replica[Symbol.asyncDispose]();
    const told = (await actions()).filter(({ action }) => action === "login.refused");
    const sum = told.reduce((times, entry) => times + Number(entry["times"]), 0);
    expect(sum).toBe(65);
    expect(told.length).toBeLessThanOrEqual(102);
    expect(told).toContainEqual(expect.objectContaining({ user_id: user.id, by: "unknown" }));
    expect(told).toContainEqual(expect.objectContaining({ account: expect.stringMatching(/^[0-9a-f]{16}$/) }));
    expect(JSON.stringify(told)).not.toContain("canary");
  },
);
