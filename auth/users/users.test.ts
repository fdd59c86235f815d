/** Managing users over real HTTP on a real PostgreSQL. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { NEEDS, startAuth, type TestAuth, withServer } from "../service.test-kit.ts";
import { readCursor, writeCursor } from "./cursor.ts";
import { add, audits, call, loggedIn, type Person } from "./users.test-kit.ts";

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
    scopes: ["logs:write", "logs:read"],
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
    cursor = (json.data["next_cursor"] ?? "") as string;
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
  expect(many.map(({ status }) => status).sort((a, b) => a - b)).toEqual([
    200,
    ...Array.from({ length: 7 }, () => 409),
  ]);
  expect((await rowOf(ann.id))?.["version"]).toBe(3);
  const from = { address: "127.0.0.1", agent: expect.any(String) };
  expect(await audits(auth, "user.changed", ann.id)).toEqual([
    {
      ...from,
      action: "user.changed",
      by: `user:${admin.id}`,
      user_id: ann.id,
      fields: ["first_name", "last_name"],
      version: 2,
    },
    { ...from, action: "user.changed", by: `user:${admin.id}`, user_id: ann.id, fields: ["first_name"], version: 3 },
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
