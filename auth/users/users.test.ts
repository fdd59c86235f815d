/** Managing users over real HTTP on a real PostgreSQL. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { NEEDS, startAuth, type TestAuth, withServer } from "../service.test-kit.ts";
import { readCursor, writeCursor } from "./cursor.ts";
import { add, audits, call, lettersTo, loggedIn, parcels, type Person, tokenOf } from "./users.test-kit.ts";

setDefaultTimeout(30_000);
let auth: TestAuth;
let admin: Person;
beforeAll(async () => {
  if (process.env["TEST_POSTGRES_URL"] === undefined) return;
  auth = await startAuth();
  admin = await loggedIn(auth, { role: "admin", email: "root@example.com" });
});
afterAll(() => auth?.[Symbol.asyncDispose]());

const get = (path: string, token = admin.token) => call(auth, "GET", path, { token });
const patch = (id: number, body: object, token = admin.token) => call(auth, "PATCH", `/users/${id}`, { token, body });
const remove = (id: number, token = admin.token) => call(auth, "DELETE", `/users/${id}`, { token });
const rowOf = async (id: number) => (await auth.sql`select * from users where id = ${id}`)[0];
const statusOfMe = async (token: string) => (await get("/me", token)).status;

withServer(`a user as those see him who manage users; never his hash ${NEEDS}`, async () => {
  const ann = await loggedIn(auth, { scopes: ["logs:read"] });
  const reply = await get(`/users/${ann.id}`);
  expect([reply.status, reply.json.message]).toEqual([200, "User"]);
  expect(reply.json.data).toEqual({
    id: ann.id,
    email: ann.email,
    first_name: "",
    last_name: "",
    active: 1,
    created_at: expect.stringMatching(/Z$/),
    updated_at: expect.stringMatching(/Z$/),
    role: "member",
    extra_scopes: ["logs:read"],
    scopes: ["logs:write", "logs:read", "mails:send"],
    email_verified: false,
    version: expect.any(Number),
    ...("last_login_at" in reply.json.data ? { last_login_at: expect.any(String) } : {}),
  });
  expect(reply.text).not.toContain("$2b$");
  for (const id of ["0", "x", "99999999", "99999999999", "1%20or%201=1"])
    expect([id, (await get(`/users/${id}`)).status]).toEqual([id, 404]);
});

withServer(`whoever has not the scope: 403 that names it; without a token 401 ${NEEDS}`, async () => {
  const member = await loggedIn(auth);
  const reader = await loggedIn(auth, { scopes: ["users:read"] });
  const target = await add(auth);
  for (const path of ["/users", `/users/${target.id}`]) {
    expect((await call(auth, "GET", path)).status).toBe(401);
    const refused = await get(path, member.token);
    expect([refused.status, refused.headers.get("www-authenticate")]).toEqual([
      403,
      'Bearer error="insufficient_scope", scope="users:read"',
    ]);
    expect((await get(path, reader.token)).status).toBe(200);
  }
  for (const token of [member.token, reader.token]) {
    expect((await patch(target.id, { version: 1, first_name: "x" }, token)).status).toBe(403);
    expect((await remove(target.id, token)).status).toBe(403);
  }
  expect((await call(auth, "DELETE", `/users/${target.id}`)).status).toBe(401);
  expect(await rowOf(target.id)).toMatchObject({ first_name: null, version: 1 });
});

withServer(`a list page by page, newest first: who comes and goes meanwhile shifts nothing ${NEEDS}`, async () => {
  const ids: number[] = [];
  for (let n = 0; n < 7; n += 1) ids.unshift((await add(auth, { email: `page-${n}@paging.example` })).id);
  const seen: number[] = [];
  let cursor = "";
  for (let page = 0; page < 4; page += 1) {
    const { status, json } = await get(`/users?q=@paging.example&limit=2${cursor && `&cursor=${cursor}`}`);
    expect(status).toBe(200);
    const items = json.data["items"] as { id: number }[];
    seen.push(...items.map(({ id }) => id));
    if (page === 1) {
      // One who was seen goes, and one comes.
      await auth.sql`delete from users where id = ${ids[0] ?? 0}`;
      await add(auth, { email: "late@paging.example" });
    }
    cursor = String(json.data["next_cursor"] ?? "");
    expect([page, cursor !== ""]).toEqual([page, page < 3]);
  }
  expect(seen).toEqual(ids);
});

withServer(`search: part of address or name, without regard to case, and wildcards are text ${NEEDS}`, async () => {
  const named = await add(auth, { email: "per_cent@search.example" });
  await auth.sql`update users set first_name = 'Ann 100%', last_name = 'Ö\\Brien' where id = ${named.id}`;
  const other = await add(auth, { email: "perxcent@search.example", role: "operator", active: 0 });
  const found = async (query: string): Promise<number[]> => {
    const { json } = await get(`/users?${query}`);
    return (json.data["items"] as { id: number }[]).map(({ id }) => id);
  };
  const q = (text: string): string => `q=${encodeURIComponent(text)}`;
  expect(await found(q("SEARCH.example"))).toEqual([other.id, named.id]);
  expect(await found(q("per_cent"))).toEqual([named.id]);
  expect(await found(q("100%"))).toEqual([named.id]);
  expect(await found(q("100% ö\\b"))).toEqual([named.id]);
  expect(await found(q("%search%"))).toEqual([]);
  expect(await found(q("' or 1=1 --"))).toEqual([]);
  expect(await found(`${q("search.example")}&active=false`)).toEqual([other.id]);
  expect(await found(`${q("search.example")}&role=operator&active=true`)).toEqual([]);
  for (const bad of [
    "limit=0",
    "limit=201",
    "role=root",
    "active=1",
    "q=",
    "odd=1",
    "cursor=x",
    "cursor=YmVmb3JlIDA",
    "q=%00",
  ])
    expect([bad, (await get(`/users?${bad}`)).status]).toEqual([bad, 422]);
});

test("a cursor is what was written, and nothing else", () => {
  expect(readCursor(writeCursor(7))).toEqual({ ok: true, value: 7 });
  for (const bad of [
    "",
    "7",
    Buffer.from("before 07").toString("base64url"),
    `${writeCursor(7)}=`,
    writeCursor(2 ** 31),
  ])
    expect([bad, readCursor(bad).ok]).toEqual([bad, false]);
});

withServer(`a change names its version: another one is 409, and nothing is lost ${NEEDS}`, async () => {
  const ann = await add(auth);
  const first = await patch(ann.id, { version: 1, first_name: "Ann", last_name: "Other" });
  expect([first.status, first.json.data["version"], first.json.data["first_name"]]).toEqual([200, 2, "Ann"]);
  const stale = await patch(ann.id, { version: 1, first_name: "Bob" });
  expect([stale.status, stale.json.message]).toEqual([409, "the user has changed meanwhile: this is version 2 now"]);
  // What is so already is no change.
  expect((await patch(ann.id, { version: 2, first_name: "Ann" })).json.data["version"]).toBe(2);
  const many = await Promise.all(
    Array.from({ length: 8 }, (_, n) => patch(ann.id, { version: 2, first_name: `name ${n}` })),
  );
  expect(many.map(({ status }) => status).sort()).toEqual([200, ...Array.from({ length: 7 }, () => 409)]);
  expect((await rowOf(ann.id))?.["version"]).toBe(3);
  expect(await audits(auth, "user.changed", ann.id)).toEqual([
    {
      action: "user.changed",
      by: `user:${admin.id}`,
      user_id: ann.id,
      fields: ["first_name", "last_name"],
      version: 2,
    },
    { action: "user.changed", by: `user:${admin.id}`, user_id: ann.id, fields: ["first_name"], version: 3 },
  ]);
});

withServer(`what is no field of a change is 422, and changes nothing ${NEEDS}`, async () => {
  const ann = await loggedIn(auth);
  const before = await rowOf(ann.id);
  for (const body of [
    {},
    { first_name: "x" },
    { version: 0, first_name: "x" },
    { version: 1, id: 1 },
    { version: 1, user_active: 0 },
    { version: 1, active: 0 },
    { version: 1, password: "another one" },
    { version: 1, email_verified: true },
    { version: 1, role: "root" },
    { version: 1, extra_scopes: ["all"] },
    { version: 1, extra_scopes: ["logs:read", "logs:read"] },
    { version: 1, email: "a@example.com,b@example.com" },
    { version: 1, first_name: "\0" },
  ])
    expect([body, (await patch(ann.id, body)).status]).toEqual([body, 422]);
  for (const body of [
    { version: 1, role: "admin" },
    { version: 1, extra_scopes: ["users:manage"] },
    { version: 1, email: "other@example.com" },
    { version: 1, active: true },
    { version: 1, user_active: 1 },
    { version: 1, id: 1 },
    { version: 1, email_verified: true },
  ])
    expect([body, (await call(auth, "PATCH", "/me", { token: ann.token, body })).status]).toEqual([body, 422]);
  expect(await rowOf(ann.id)).toEqual(before);
});

withServer(`a user changes his own name, and goes on with his session ${NEEDS}`, async () => {
  const ann = await loggedIn(auth);
  const { version } = (await get("/me", ann.token)).json.data;
  const mine = (body: object) => call(auth, "PATCH", "/me", { token: ann.token, body });
  const reply = await mine({ version, first_name: "Ann" });
  expect([reply.status, reply.json.data["first_name"], reply.json.data["version"]]).toEqual([
    200,
    "Ann",
    Number(version) + 1,
  ]);
  expect((await mine({ version, first_name: "Bob" })).status).toBe(409);
  expect(await statusOfMe(ann.token)).toBe(200);
  expect((await call(auth, "PATCH", "/me", { body: { version: 1 } })).status).toBe(401);
});

withServer(`deactivated: his sessions end, and it is told; active again, he logs in ${NEEDS}`, async () => {
  const ann = await loggedIn(auth);
  const { version } = (await get(`/users/${ann.id}`)).json.data;
  const off = await patch(ann.id, { version: Number(version), active: false });
  expect([off.status, off.json.data["active"]]).toEqual([200, 0]);
  expect(await statusOfMe(ann.token)).toBe(401);
  expect((await auth.post("/authenticate", { email: ann.email, password: "long enough" })).status).toBe(401);
  expect(await auth.sql`select end_reason from sessions where user_id = ${ann.id}`).toMatchObject([
    { end_reason: "deactivated" },
  ]);
  const told = (await parcels(auth)).flatMap((parcel) => (parcel.to === "identity" ? [parcel.body] : []));
  expect(told).toContainEqual(
    expect.objectContaining({ kind: "user", subject: String(ann.id), access_version: 2 }) as never,
  );
  const on = await patch(ann.id, { version: Number(version) + 1, active: true });
  expect(on.json.data["active"]).toBe(1);
  expect(await statusOfMe(ann.token)).toBe(401);
  expect(await statusOfMe(await tokenOf(auth, ann.email))).toBe(200);
  expect((await audits(auth, "user.changed", ann.id)).map(({ active }) => active)).toEqual([
    { from: 1, to: 0 },
    { from: 0, to: 1 },
  ]);
});

withServer(`another role: tokens of before count no longer, those of after say it ${NEEDS}`, async () => {
  const ann = await loggedIn(auth);
  const { version } = (await get(`/users/${ann.id}`)).json.data;
  const reply = await patch(ann.id, {
    version: Number(version),
    role: "operator",
    extra_scopes: ["users:read", "keys:manage"],
  });
  expect(reply.json.data).toMatchObject({ role: "operator", extra_scopes: ["users:read", "keys:manage"] });
  expect(await statusOfMe(ann.token)).toBe(401);
  const token = await tokenOf(auth, ann.email);
  expect((await get("/users?limit=1", token)).status).toBe(200);
  expect((await audits(auth, "user.changed", ann.id))[0]).toMatchObject({
    role: { from: "member", to: "operator" },
    extra_scopes: { from: [], to: ["users:read", "keys:manage"] },
  });
});

withServer(`nobody gives what he has not, nor touches who has more ${NEEDS}`, async () => {
  const manager = await loggedIn(auth, { scopes: ["users:read", "users:manage"] });
  const member = await add(auth);
  const higher = await add(auth, { scopes: ["logs:read"] });
  const by = (id: number, body: object) => patch(id, { version: 1, ...body }, manager.token);
  for (const [id, body] of [
    [member.id, { role: "admin" }],
    [member.id, { role: "operator" }],
    [member.id, { extra_scopes: ["logs:read"] }],
    [higher.id, { first_name: "x" }],
    [higher.id, { email: "taken.over@example.com" }],
    [higher.id, { active: false }],
    [higher.id, { extra_scopes: [] }],
    [admin.id, { email: "taken.over@example.com", version: (await rowOf(admin.id))?.["version"] as number }],
  ] as const) {
    expect([body, (await by(id, body)).status]).toEqual([body, 403]);
  }
  const self = (await rowOf(manager.id))?.["version"] as number;
  expect((await by(manager.id, { version: self, role: "admin" })).status).toBe(403);
  expect((await remove(higher.id, manager.token)).status).toBe(403);
  expect((await by(member.id, { first_name: "Ann", extra_scopes: ["users:read"] })).status).toBe(200);
  expect((await remove(member.id, manager.token)).status).toBe(200);
});

withServer(`another address: not verified, asked, and nobody else's ${NEEDS}`, async () => {
  const ann = await add(auth);
  await auth.sql`update users set email_verified_at = now() where id = ${ann.id}`;
  const other = await add(auth);
  expect((await patch(ann.id, { version: 1, email: other.email.toUpperCase() })).status).toBe(409);
  // Another spelling of his own is no other address.
  const spelt = await patch(ann.id, { version: 1, email: ann.email.toUpperCase() });
  expect(spelt.json.data).toMatchObject({ email: ann.email.toUpperCase(), email_verified: true });
  const moved = await patch(ann.id, { version: 2, email: "moved@example.com" });
  expect(moved.json.data).toMatchObject({ email: "moved@example.com", email_verified: false, version: 3 });
  expect(await lettersTo(auth, "moved@example.com")).toMatchObject([{ template: "verify-address" }]);
  expect(JSON.stringify(await audits(auth, "user.changed", ann.id))).not.toContain("moved@");
  const race = await Promise.all([
    patch(ann.id, { version: 3, email: "wanted@example.com" }),
    patch(other.id, { version: 1, email: "Wanted@example.com" }),
  ]);
  expect(race.map(({ status }) => status).sort()).toEqual([200, 409]);
});

withServer(`deleted: he and his sessions are gone, his id is left in the audit ${NEEDS}`, async () => {
  const ann = await loggedIn(auth);
  expect((await remove(ann.id)).status).toBe(200);
  expect(await statusOfMe(ann.token)).toBe(401);
  expect((await auth.sql`select 1 from sessions where user_id = ${ann.id}`).length).toBe(0);
  expect(await audits(auth, "user.deleted", ann.id)).toEqual([
    { action: "user.deleted", by: `user:${admin.id}`, user_id: ann.id },
  ]);
  expect((await remove(ann.id)).status).toBe(404);
  expect((await get(`/users/${ann.id}`)).status).toBe(404);
});

withServer(`the last active administrator stays one, also when two demote each other ${NEEDS}`, async () => {
  await using apart = await startAuth();
  const one = await loggedIn(apart, { role: "admin" });
  await add(apart, { role: "admin", active: 0 });
  const change = async (id: number, body: object, token: string) => {
    const [row] = await apart.sql<{ version: number }[]>`select version from users where id = ${id}`;
    const reply = await call(apart, "PATCH", `/users/${id}`, { token, body: { version: row?.version, ...body } });
    return [reply.status, reply.json.message] as const;
  };
  const last = [409, "this is the last active administrator: make another one first"] as const;
  expect(await change(one.id, { role: "operator" }, one.token)).toEqual(last);
  expect(await change(one.id, { active: false }, one.token)).toEqual(last);
  expect((await call(apart, "DELETE", `/users/${one.id}`, { token: one.token })).status).toBe(409);
  expect(await change(one.id, { first_name: "Ann" }, one.token)).toEqual([200, "User changed"]);
  for (let round = 0; round < 5; round += 1) {
    const left = await loggedIn(apart, { role: "admin" });
    const right = await loggedIn(apart, { role: "admin" });
    await apart.sql`update users set user_active = 0 where role = 'admin' and id not in (${left.id}, ${right.id})`;
    const replies = await Promise.all([
      change(left.id, { role: "member" }, left.token),
      change(right.id, { active: false }, right.token),
    ]);
    expect(replies.map(([status]) => status).sort()).toEqual([200, 409]);
    expect((await apart.sql`select 1 from users where role = 'admin' and user_active = 1`).length).toBe(1);
  }
});
