/** Who may change what of whom, and what follows from it: over real HTTP on a real PostgreSQL. */
import { afterAll, beforeAll, expect, setDefaultTimeout } from "bun:test";
import { NEEDS, startAuth, type TestAuth, until, withServer } from "../service.test-kit.ts";
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
  const manager = await loggedIn(auth, { scopes: ["users:read", "users:manage", "mails:send"] });
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
  const spellings = [ann.email, ann.email.toUpperCase()];
  const told = async () => (await Promise.all(spellings.map((to) => lettersTo(auth, to)))).flat();
  expect(await told()).toEqual([]);
  const moved = await patch(ann.id, { version: 2, email: "moved@example.com" });
  expect(moved.json.data).toMatchObject({ email: "moved@example.com", email_verified: false, version: 3 });
  expect(await lettersTo(auth, "moved@example.com")).toMatchObject([{ template: "verify-address" }]);
  // Whose it was until then is told, not where it went to.
  expect(await told()).toMatchObject([
    { template: "account-changed", variables: { address: ann.email.toUpperCase(), change: "address" } },
  ]);
  expect(JSON.stringify(await told())).not.toContain("moved@");
  expect(JSON.stringify(await audits(auth, "user.changed", ann.id))).not.toContain("moved@");
  for (let round = 0; round < 10; round += 1) {
    const pair = [await add(auth), await add(auth), await add(auth)];
    const race = await Promise.all(
      pair.map(({ id }, n) => patch(id, { version: 1, email: `${n === 1 ? "W" : "w"}anted-${round}@example.com` })),
    );
    expect(race.map(({ status }) => status).sort((a, b) => a - b)).toEqual([200, 409, 409]);
  }
});

withServer(
  `each change of an address is told and sends its link, however many there were and were asked for ${NEEDS}`,
  async () => {
    const ann = await add(auth);
    const addresses = [ann.email, ...[1, 2, 3, 4, 5].map((n) => `moved-${n}-${ann.email}`)];
    // Where he asked himself, for all that an hour has, and more.
    for (let n = 0; n < 4; n += 1) {
      await auth.post("/email-verifications", { email: ann.email });
      await until("looked at", async () => (await auth.sql`select 1 from mail_requests`).length === 0);
    }
    // There and back again: to an address that was sent three already.
    const way = [...addresses.slice(1), ann.email];
    for (const [n, email] of way.entries())
      expect([email, (await patch(ann.id, { version: n + 1, email })).status]).toEqual([email, 200]);
    const names = await Promise.all(
      addresses.map(async (to) => (await lettersTo(auth, to)).map(({ template }) => template)),
    );
    expect(names[0]).toEqual([...Array<string>(3).fill("verify-address"), "account-changed", "verify-address"]);
    for (const others of names.slice(1)) expect(others).toEqual(["verify-address", "account-changed"]);
  },
);

withServer(
  `what an administrator sent to other addresses keeps nobody from asking for a link to his own ${NEEDS}`,
  async () => {
    const ann = await add(auth);
    const last = `third-${ann.email}`;
    for (const [n, email] of [`first-${ann.email}`, `second-${ann.email}`, last].entries())
      expect((await patch(ann.id, { version: n + 1, email })).status).toBe(200);
    await auth.post("/email-verifications", { email: last });
    await until("the link", async () => (await lettersTo(auth, last)).length === 2);
  },
);

withServer(`an account that is not active: its owner is told of the change, no link goes out ${NEEDS}`, async () => {
  const ann = await add(auth, { active: 0 });
  const email = `moved-${ann.email}`;
  expect((await patch(ann.id, { version: 1, email })).status).toBe(200);
  expect(await lettersTo(auth, ann.email)).toMatchObject([{ template: "account-changed" }]);
  expect(await lettersTo(auth, email)).toEqual([]);
});

withServer(`deleted: he and his sessions are gone, his id is left in the audit ${NEEDS}`, async () => {
  const ann = await loggedIn(auth);
  expect((await remove(ann.id)).status).toBe(200);
  expect(await statusOfMe(ann.token)).toBe(401);
  expect((await auth.sql`select 1 from sessions where user_id = ${ann.id}`).length).toBe(0);
  expect(await audits(auth, "user.deleted", ann.id)).toEqual([
    {
      action: "user.deleted",
      by: `user:${admin.id}`,
      user_id: ann.id,
      address: "127.0.0.1",
      agent: expect.any(String),
    },
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
    expect(replies.map(([status]) => status).sort((a, b) => a - b)).toEqual([200, 409]);
    expect((await apart.sql`select 1 from users where role = 'admin' and user_active = 1`).length).toBe(1);
  }
});
