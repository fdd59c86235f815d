/** API keys over HTTP on a real PostgreSQL: who may make, see and end them, and what one is worth. */
import { afterAll, beforeAll, expect, setDefaultTimeout } from "bun:test";
import type { Role, Scope } from "#contracts/scopes";
import { Secret } from "#shared/config";
import { makeSealer } from "../keys.ts";
import { NEEDS, type Reply, startAuth, type TestAuth, until, withServer } from "../service.test-kit.ts";

setDefaultTimeout(30_000);

const SECRET = "the secret of this test: 32 characters and more";
const KEY = /^pk_[\w-]{22}_[\w-]{43}$/;
const DAY_MS = 86_400_000;
const sealer = makeSealer(new Secret(SECRET), "outbox");

let started: TestAuth | undefined;
const auth = (): TestAuth => {
  if (started === undefined) throw new Error("not started");
  return started;
};
beforeAll(async () => {
  if (process.env["TEST_POSTGRES_URL"] !== undefined) started = await startAuth({ AUTH_SECRET: SECRET });
});
afterAll(() => started?.[Symbol.asyncDispose]());

interface User {
  readonly id: number;
  readonly headers: Record<string, string>;
}

/** Somebody who has logged in. */
async function userWith(role: Role, extra: readonly Scope[] = []): Promise<User> {
  const email = `${Bun.randomUUIDv7()}@example.com`;
  const hash = Bun.password.hashSync("password", { algorithm: "bcrypt", cost: 4 });
  const [row] = await auth().sql<{ id: number }[]>`
    insert into users (email, password, user_active, role, extra_scopes)
    values (${email}, ${hash}, 1, ${role}, ${[...extra]}) returning id`;
  const login = await auth().post("/authenticate", { email, password: "password" });
  return { id: row?.id ?? 0, headers: { authorization: `Bearer ${String(login.json.data["access_token"])}` } };
}

const make = (headers: Record<string, string>, body: object = {}): Promise<Reply> =>
  auth().post("/api-keys", { name: "ci", scopes: ["logs:write"], ...body }, headers);
const verify = (key: unknown): Promise<Reply> => auth().post("/api-keys/verify", { key });
const rotate = (headers: Record<string, string>, id: unknown, body: object = {}): Promise<Reply> =>
  auth().post(`/api-keys/${String(id)}/rotate`, body, headers);
const list = (headers: Record<string, string>, query = ""): Promise<Reply> => auth().get(`/api-keys${query}`, headers);
async function revoke(headers: Record<string, string>, id: unknown): Promise<{ status: number; json: Reply["json"] }> {
  const reply = await fetch(`${auth().app.url}/api-keys/${String(id)}`, { method: "DELETE", headers });
  return { status: reply.status, json: (await reply.json()) as Reply["json"] };
}
const byKey = (reply: Reply): Record<string, string> => ({ "x-api-key": String(reply.json.data["key"]) });
const itemsOf = (reply: Reply) => reply.json.data["items"] as Record<string, unknown>[];

/** What was put into the outbox about a key, opened; the relay may be at it. */
async function toldOf(id: unknown): Promise<Record<string, unknown>[]> {
  const rows = await auth().sql<{ id: string; body: Uint8Array }[]>`select id, body from outbox order by seq`;
  const parcels = rows.map((row) => JSON.parse(sealer.open(row.body, row.id) ?? "{}") as Record<string, unknown>);
  return parcels.filter((parcel) => JSON.stringify(parcel).includes(String(id)));
}

withServer(`a key is shown once, stored as a hash, and says whose it is ${NEEDS}`, async () => {
  const ann = await userWith("member");
  const made = await make(ann.headers, { name: "build server" });
  expect(made).toMatchObject({
    status: 201,
    json: { data: { name: "build server", user_id: ann.id, scopes: ["logs:write"] } },
  });
  const { key, id, prefix } = made.json.data as Record<string, string>;
  expect(key).toMatch(KEY);
  expect(key).toStartWith(`${prefix}_`);
  expect(await verify(key)).toMatchObject({
    status: 200,
    json: { data: { key_id: id, user_id: ann.id, scopes: ["logs:write"] } },
  });
  // Nothing of its secret is anywhere in the database.
  const secret = (key ?? "").slice(-43);
  const [row] = await auth().sql<
    { text: string }[]
  >`select row_to_json(k)::text as text from api_keys k where id = ${id ?? ""}`;
  expect(row?.text).toContain(new Bun.CryptoHasher("sha256").update(key ?? "").digest("hex"));
  expect(row?.text).not.toContain(secret);
  expect((await list(ann.headers)).text).not.toContain(secret);
  const told = await toldOf(id);
  expect(told).toMatchObject([
    {
      to: "audit",
      data: { action: "api_key.created", by: `user:${ann.id}`, name: "build server", scopes: ["logs:write"] },
    },
  ]);
  expect(JSON.stringify(told)).not.toContain(secret);
});

withServer(`what is no key, or not quite one, opens nothing ${NEEDS}`, async () => {
  const ann = await userWith("member");
  const { key } = (await make(ann.headers)).json.data as { key: string };
  const other = (await make(ann.headers)).json.data["key"] as string;
  const wrong = [
    "x",
    key.slice(0, -1),
    `${key}A`,
    key.toUpperCase(),
    `${other.slice(0, 26)}${key.slice(26)}`,
    key.slice(0, 25),
    ` ${key}`,
  ];
  for (const text of wrong) expect([text, (await verify(text)).status]).toEqual([text, 401]);
  for (const body of [{}, { key: 1 }, { key: "" }, { key, more: 1 }]) {
    expect((await auth().post("/api-keys/verify", body)).status).toBe(422);
  }
  expect((await list({ "x-api-key": "x" })).status).toBe(401);
  expect((await list({})).status).toBe(401);
});

withServer(`nobody gives a key what he has not himself; what he loses his keys lose ${NEEDS}`, async () => {
  const ann = await userWith("member", ["logs:read"]);
  expect((await make(ann.headers, { scopes: ["logs:read", "users:read"] })).json.message).toContain("users:read");
  const made = await make(ann.headers, { scopes: ["logs:read", "logs:write"] });
  const { key } = made.json.data;
  await auth().sql`update users set extra_scopes = '{}' where id = ${ann.id}`;
  expect((await verify(key)).json.data["scopes"]).toEqual(["logs:write"]);
  await auth().sql`update users set user_active = 0 where id = ${ann.id}`;
  expect((await verify(key)).status).toBe(401);
  await auth().sql`update users set user_active = 1 where id = ${ann.id}`;
  expect((await verify(key)).status).toBe(200);
  await auth().sql`delete from users where id = ${ann.id}`;
  expect((await verify(key)).status).toBe(401);
});

withServer(`a key makes, sees and ends no keys of its user ${NEEDS}`, async () => {
  const ann = await userWith("member");
  const made = await make(ann.headers);
  const key = byKey(made);
  expect((await make(key)).status).toBe(403);
  expect((await list(key)).status).toBe(403);
  expect((await rotate(key, made.json.data["id"])).status).toBe(404);
  expect((await revoke(key, made.json.data["id"])).status).toBe(404);
});

withServer(`keys of services and of others are for those who manage keys ${NEEDS}`, async () => {
  const ann = await userWith("member");
  const root = await userWith("admin");
  const reader = await userWith("member", ["users:read"]);
  expect((await make(ann.headers, { service: "billing" })).status).toBe(403);
  const service = await make(root.headers, { service: "billing", scopes: ["mails:send", "keys:manage"] });
  expect(await verify(service.json.data["key"])).toMatchObject({
    json: { data: { service: "billing", scopes: ["mails:send", "keys:manage"] } },
  });
  // A service that manages keys gives what it has.
  expect((await make(byKey(service), { service: "billing-2", scopes: ["mails:send"] })).status).toBe(201);
  expect((await make(byKey(service), { service: "billing-2", scopes: ["logs:write"] })).status).toBe(403);
  expect((await make(byKey(service), { scopes: [] })).status).toBe(403);

  const anns = await make(ann.headers);
  const { id } = anns.json.data;
  const stranger = await userWith("operator");
  for (const { status } of [await rotate(stranger.headers, id), await revoke(stranger.headers, id)])
    expect(status).toBe(404);
  for (const query of [`?user_id=${ann.id}`, "?service=billing", "?service=*"]) {
    expect((await list(stranger.headers, query)).status).toBe(403);
    expect((await list(reader.headers, query)).status).toBe(200);
  }
  expect(itemsOf(await list(root.headers, `?user_id=${ann.id}`)).map((item) => item["id"])).toEqual([id]);
  expect(itemsOf(await list(root.headers, "?service=billing"))).toHaveLength(1);
  expect(itemsOf(await list(root.headers, "?service=*"))).toHaveLength(2);
  expect((await list(root.headers, `?service=billing&user_id=${ann.id}`)).status).toBe(422);
  expect((await list(byKey(service))).status).toBe(422);
  // Whoever rotates a key gets it: not somebody else's, and not one that may more.
  expect((await rotate(root.headers, id)).status).toBe(403);
  const wide = await make(root.headers, { service: "wide", scopes: ["logs:read"] });
  expect((await rotate(byKey(service), wide.json.data["id"])).status).toBe(403);
  expect((await revoke(root.headers, id)).status).toBe(200);
  expect((await verify(anns.json.data["key"])).status).toBe(401);
});

withServer(`revoked it is over at once, told in the same transaction, and once ${NEEDS}`, async () => {
  const ann = await userWith("member");
  const made = await make(ann.headers);
  const { id, key } = made.json.data;
  for (let time = 0; time < 2; time += 1) {
    expect(await revoke(ann.headers, id)).toMatchObject({
      status: 200,
      json: { data: { revoked_at: expect.any(String) } },
    });
    expect((await verify(key)).status).toBe(401);
  }
  const rows = await auth().sql`select kind from revocations where subject = ${String(id)}`;
  expect([...rows]).toEqual([{ kind: "api_key" }]);
  const told = await toldOf(id);
  expect(told.filter(({ to }) => to === "identity")).toMatchObject([{ key: "api_key.revoked", body: { subject: id } }]);
  expect(told.filter(({ to }) => to === "audit")).toMatchObject([
    { data: { action: "api_key.created" } },
    { data: { action: "api_key.revoked", by: `user:${ann.id}` } },
  ]);
  expect((await rotate(ann.headers, id)).status).toBe(409);
  for (const other of [Bun.randomUUIDv7(), "x", "..%2f"]) expect((await revoke(ann.headers, other)).status).toBe(404);
});

withServer(`rotated, both keys count until the overlap is over ${NEEDS}`, async () => {
  const ann = await userWith("member");
  const made = await make(ann.headers, { expires_at: new Date(Date.now() + 30 * DAY_MS).toISOString() });
  const { id, key } = made.json.data;
  const next = await rotate(ann.headers, id, { overlap_s: 3_600 });
  expect(next).toMatchObject({
    status: 201,
    json: { data: { name: "ci", scopes: ["logs:write"], user_id: ann.id } },
  });
  expect(String(next.json.data["key"])).toMatch(KEY);
  expect(Math.round((Date.parse(String(next.json.data["expires_at"])) - Date.now()) / DAY_MS)).toBe(30);
  for (const each of [key, next.json.data["key"]]) expect((await verify(each)).status).toBe(200);
  const old = itemsOf(await list(ann.headers)).find((item) => item["id"] === id);
  expect(old?.["rotated_to"]).toBe(next.json.data["id"]);
  const leftMs = Date.parse(String(old?.["expires_at"])) - Date.now();
  expect(leftMs).toBeGreaterThan(3_500_000);
  expect(leftMs).toBeLessThanOrEqual(3_600_000);
  expect((await rotate(ann.headers, id)).status).toBe(409);
  // The end of the overlap, brought forward.
  await auth().sql`update api_keys set expires_at = now() where id = ${String(id)}`;
  expect((await verify(key)).status).toBe(401);
  expect((await verify(next.json.data["key"])).status).toBe(200);

  const last = await rotate(ann.headers, next.json.data["id"], { overlap_s: 0 });
  expect((await verify(next.json.data["key"])).status).toBe(401);
  expect((await verify(last.json.data["key"])).status).toBe(200);
  expect((await toldOf(next.json.data["id"])).filter(({ to }) => to === "identity")).toHaveLength(1);
  for (const overlap_s of [-1, 2_592_001, 1.5]) {
    expect((await rotate(ann.headers, last.json.data["id"], { overlap_s })).status).toBe(422);
  }
});

withServer(`twenty who rotate one key at once: one does ${NEEDS}`, async () => {
  const ann = await userWith("member");
  const { id } = (await make(ann.headers)).json.data;
  const tries = await Promise.all(Array.from({ length: 20 }, () => rotate(ann.headers, id)));
  expect(tries.map(({ status }) => status).sort((a, b) => a - b)).toEqual([201, ...Array<number>(19).fill(409)]);
  expect(itemsOf(await list(ann.headers))).toHaveLength(2);
});

withServer(`a key ends at its time, which lies in the future when it is made ${NEEDS}`, async () => {
  const ann = await userWith("member");
  for (const expires_at of ["2020-01-01T00:00:00Z", "tomorrow", "2030-02-30T00:00:00Z"]) {
    expect((await make(ann.headers, { expires_at })).status).toBe(422);
  }
  const expires_at = new Date(Date.now() + 3_600_000).toISOString();
  const made = await make(ann.headers, { expires_at });
  expect((await verify(made.json.data["key"])).json.data["expires_at"]).toBe(expires_at);
  await auth().sql`update api_keys set expires_at = now() where id = ${String(made.json.data["id"])}`;
  expect((await verify(made.json.data["key"])).status).toBe(401);
  for (const body of [
    { name: "" },
    { name: "a\nb" },
    { scopes: ["root"] },
    { scopes: ["logs:write", "logs:write"] },
    { service: "A B" },
    { user_id: 1 },
  ]) {
    expect([body, (await make(ann.headers, body)).status]).toEqual([body, 422]);
  }
});

withServer(
  `fifty keys at most that count, also of those who hurry; those that are over make room ${NEEDS}`,
  async () => {
    const ann = await userWith("member");
    await auth().sql`
    insert into api_keys (id, user_id, name, prefix, key_hash, scopes, created_by)
    select gen_random_uuid(), ${ann.id}, 'old', 'pk_', sha256(gen_random_uuid()::text::bytea), '{}', 'test' from generate_series(1, 48)`;
    const tries = await Promise.all(Array.from({ length: 6 }, () => make(ann.headers)));
    expect(tries.map(({ status }) => status).sort((a, b) => a - b)).toEqual([201, 201, 409, 409, 409, 409]);
    await auth().sql`update api_keys set revoked_at = now() where user_id = ${ann.id} and name = 'old'`;
    expect((await make(ann.headers)).status).toBe(201);
    // Of those that are over a hundred are kept.
    await auth().sql`
    insert into api_keys (id, user_id, name, prefix, key_hash, scopes, created_by, revoked_at)
    select gen_random_uuid(), ${ann.id}, 'over', 'pk_', sha256(gen_random_uuid()::text::bytea), '{}', 'test', now() from generate_series(1, 100)`;
    expect((await make(ann.headers)).status).toBe(201);
    const [{ count } = { count: 0 }] = await auth().sql<
      { count: number }[]
    >`select count(*)::int as count from api_keys where user_id = ${ann.id} and revoked_at is not null`;
    expect(count).toBe(100);
  },
);

withServer(`the list is paged, newest first, and each key is in it once ${NEEDS}`, async () => {
  const ann = await userWith("member");
  const made: unknown[] = [];
  for (let index = 0; index < 7; index += 1)
    made.unshift((await make(ann.headers, { name: `key ${index}` })).json.data["id"]);
  const seen: unknown[] = [];
  let cursor = "";
  do {
    const page = await list(ann.headers, `?limit=3${cursor}`);
    seen.push(...itemsOf(page).map((item) => item["id"]));
    const { next_cursor: next } = page.json.data as { next_cursor?: string };
    cursor = next === undefined ? "" : `&cursor=${next}`;
  } while (cursor !== "");
  expect(seen).toEqual(made);
  for (const query of ["?limit=0", "?limit=201", "?cursor=x", "?cursor=AAAAAAAAAAAAAAAAAAAAAB", "?more=1"]) {
    expect([query, (await list(ann.headers, query)).status]).toEqual([query, 422]);
  }
});

withServer(`its last use is written to the minute, at the latest when auth ends in order ${NEEDS}`, async () => {
  const ann = await userWith("member");
  const { id, key } = (await make(ann.headers)).json.data;
  const replica = await auth().begin();
  try {
    expect((await auth().post("/api-keys/verify", { key }, {}, replica)).status).toBe(200);
  } finally {
    await replica[Symbol.asyncDispose]();
  }
  const used = await until(
    "last_used_at",
    async () => itemsOf(await list(ann.headers)).find((item) => item["id"] === id)?.["last_used_at"],
  );
  const at = Date.parse(String(used));
  expect(at % 60_000).toBe(0);
  expect(Date.now() - at).toBeLessThan(180_000);
});
