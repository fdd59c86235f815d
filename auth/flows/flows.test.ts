/** Verified addresses and forgotten passwords over real HTTP on a real PostgreSQL; mails as they lie in the outbox. */
import { afterAll, beforeAll, expect, setDefaultTimeout } from "bun:test";
import { NEEDS, startAuth, type TestAuth, until, withServer } from "../service.test-kit.ts";
import { add, audits, call, lettersTo, loggedIn, parcels, PASSWORD, tokenOf } from "../users/users.test-kit.ts";

setDefaultTimeout(30_000);
let auth: TestAuth;
beforeAll(async () => {
  if (process.env["TEST_POSTGRES_URL"] !== undefined) {
    auth = await startAuth({ PUBLIC_URL: "https://app.example.com", WELCOME_FROM: "hello@app.example.com" });
  }
});
afterAll(() => auth?.[Symbol.asyncDispose]());

const SAME = { error: false, message: "If the address is that of a user, a mail is on its way to it" };
const WORTHLESS = "token is not valid: it was used, its time is over, or it never was one";
const forget = (email: string) => auth.post("/password-resets", { email });
const verify = (email: string) => auth.post("/email-verifications", { email });
const reset = (token: string, new_password: string) => auth.post("/password-resets/confirm", { token, new_password });
const confirm = (token: string) => auth.post("/email-verifications/confirm", { token });
const isVerified = async (id: number) =>
  (await auth.sql`select email_verified_at from users where id = ${id}`)[0]?.["email_verified_at"] !== null;
/** Until all that was asked for was looked at. */
const looked = () => until("looked at", async () => (await auth.sql`select 1 from mail_requests`).length === 0);
/** The link of the newest mail to an address, once there are so many. */
const linkOf = (email: string, count = 1): Promise<string> =>
  until(`mail ${count} to ${email}`, async () => (await lettersTo(auth, email))[count - 1]?.token);
let passwords = 0;
const another = (): string => `another one ${(passwords += 1)}`;

withServer(`who registers is sent a link, and his address is verified by it, once ${NEEDS}`, async () => {
  const email = "Ann@verify.example";
  const { json } = await auth.post("/users", { email, password: PASSWORD });
  const id = Number(json.data["id"]);
  const [letter, ...more] = await lettersTo(auth, email);
  expect([letter?.template, more.length]).toEqual(["verify-address", 0]);
  expect(letter?.variables).toEqual({
    address: email,
    verify_url: `https://app.example.com/verify-address#token=${letter?.token}`,
    expires_minutes: 4_320,
  });
  expect(letter?.token).toMatch(/^[\w-]{43}$/);
  expect(await isVerified(id)).toBe(false);
  const stored = await auth.sql`select * from one_time_tokens where user_id = ${id}`;
  expect(JSON.stringify(stored)).not.toContain(letter?.token ?? "?");
  const done = await confirm(letter?.token ?? "");
  expect([done.status, done.json]).toEqual([200, { error: false, message: "Address verified" } as never]);
  expect(await isVerified(id)).toBe(true);
  expect((await confirm(letter?.token ?? "")).json.message).toBe(WORTHLESS);
  expect(await audits(auth, "user.registered", id)).toHaveLength(1);
  expect(await audits(auth, "user.address_verified", id)).toHaveLength(1);
});

withServer(`a member may send mails once his address is verified: refreshing tells so ${NEEDS}`, async () => {
  const { email } = await add(auth);
  const login = await auth.post("/authenticate", { email, password: PASSWORD });
  const { access_token: before, refresh_token } = login.json.data as Record<string, string>;
  const me = (token: string | undefined) => call(auth, "GET", "/me", { token: token ?? "" });
  expect((await me(before)).json.data["scopes"]).toEqual(["logs:write"]);
  const asked = { token: before ?? "", body: { name: "x", scopes: ["mails:send"] } };
  expect((await call(auth, "POST", "/api-keys", asked)).status).toBe(403);
  await verify(email);
  expect((await confirm(await linkOf(email))).status).toBe(200);
  expect((await me(before)).status).toBe(401);
  const refreshed = await auth.post("/sessions/refresh", { refresh_token });
  expect((await me(String(refreshed.json.data["access_token"]))).json.data["scopes"]).toEqual([
    "logs:write",
    "mails:send",
  ]);
});

withServer(
  `the same answer for an address that is known, unknown, not active or verified; a mail for one only ${NEEDS}`,
  async () => {
    const known = await add(auth);
    const off = await add(auth, { active: 0 });
    const verified = await add(auth);
    await auth.sql`update users set email_verified_at = now() where id = ${verified.id}`;
    const addresses = [known.email, off.email, verified.email, "nobody@example.com"];
    for (const ask of [forget, verify]) {
      for (const email of addresses) {
        const reply = await ask(email);
        expect([email, reply.status, reply.json]).toEqual([email, 202, SAME as never]);
      }
    }
    await looked();
    const sent = await Promise.all(
      addresses.map(async (email) => (await lettersTo(auth, email)).map(({ template }) => template).sort()),
    );
    expect(sent).toEqual([["reset-password", "verify-address"], [], ["reset-password"], []]);
  },
);

withServer(`what is asked for is written before the answer: one row, whoever it is for ${NEEDS}`, async () => {
  // While this table is locked, nobody can look at a request; the answers come all the same.
  const known = await add(auth);
  const held = Promise.withResolvers<void>();
  const locked = Promise.withResolvers<void>();
  const locking = auth.sql.begin(async (sql) => {
    await sql`lock table one_time_tokens in access exclusive mode`;
    locked.resolve();
    await held.promise;
  });
  await locked.promise;
  try {
    expect([(await forget(known.email)).status, (await forget("nobody@example.com")).status]).toEqual([202, 202]);
  } finally {
    held.resolve();
    await locking;
  }
  await linkOf(known.email);
});

withServer(
  `a forgotten password: a new one by the link, all sessions end, the old one is worth nothing ${NEEDS}`,
  async () => {
    const ann = await loggedIn(auth);
    expect((await forget(ann.email.toUpperCase())).status).toBe(202);
    const token = await linkOf(ann.email);
    const [letter] = await lettersTo(auth, ann.email);
    expect(letter?.variables).toEqual({
      address: ann.email,
      reset_url: `https://app.example.com/reset-password#token=${token}`,
      expires_minutes: 60,
    });
    // Later than that the mail is not sent any more.
    expect(Math.abs(Date.parse(letter?.until ?? "") - Date.now() - 3_600_000)).toBeLessThan(60_000);
    const chosen = another();
    // What may not be chosen leaves the link as it was.
    for (const bad of ["password1", ann.email, "short"])
      expect([bad, (await reset(token, bad)).status]).toEqual([bad, 422]);
    const done = await reset(token, chosen);
    expect([done.status, done.json.message]).toEqual([200, "Password changed; all sessions have ended"]);
    expect((await call(auth, "GET", "/me", { token: ann.token })).status).toBe(401);
    expect((await auth.post("/authenticate", { email: ann.email, password: PASSWORD })).status).toBe(401);
    expect(await tokenOf(auth, ann.email, chosen)).not.toBe("");
    expect(await isVerified(ann.id)).toBe(true);
    const told = async () => (await lettersTo(auth, ann.email)).slice(1);
    const changed = { address: ann.email, change: "password", at: expect.stringMatching(/Z$/) };
    expect(await told()).toMatchObject([
      { template: "account-changed", variables: { ...changed, url: "https://app.example.com/reset-password" } },
    ]);
    const again = await reset(token, another());
    expect([again.status, again.json.message]).toEqual([422, WORTHLESS]);
    // Of what was refused there is nothing to tell.
    expect(await told()).toHaveLength(1);
    expect(await audits(auth, "reset_password.asked", ann.id)).toHaveLength(1);
    expect(await audits(auth, "user.password_reset", ann.id)).toHaveLength(1);
    expect(JSON.stringify((await parcels(auth)).filter(({ to }) => to === "audit"))).not.toContain(token);
  },
);

withServer(`of several links all count until one is used; then none does ${NEEDS}`, async () => {
  const ann = await add(auth);
  await forget(ann.email);
  const first = await linkOf(ann.email);
  await looked();
  await forget(ann.email);
  const second = await linkOf(ann.email, 2);
  const replies = await Promise.all([first, second, first, second].map((token) => reset(token, another())));
  expect(replies.map(({ status }) => status).sort((a, b) => a - b)).toEqual([200, 422, 422, 422]);
  for (const token of [first, second]) expect((await reset(token, another())).status).toBe(422);
});

withServer.each([
  ["its time is over", (id: number) => auth.sql`update one_time_tokens set expires_at = now() where user_id = ${id}`],
  [
    "the address is another",
    (id: number) => auth.sql`update users set email = 'elsewhere@example.com' where id = ${id}`,
  ],
  ["the user is not active", (id: number) => auth.sql`update users set user_active = 0 where id = ${id}`],
  [
    "it is for something else",
    (id: number) => auth.sql`update one_time_tokens set purpose = 'verify_address' where user_id = ${id}`,
  ],
  ["the user is gone", (id: number) => auth.sql`delete from users where id = ${id}`],
])(`a link is worth nothing once %s ${NEEDS}`, async (_what, change) => {
  const ann = await add(auth);
  await forget(ann.email);
  const token = await linkOf(ann.email);
  await change(ann.id);
  const reply = await reset(token, another());
  expect([reply.status, reply.json.message]).toEqual([422, WORTHLESS]);
});

withServer(
  `an account is sent three mails of a kind an hour; who asks for more is told the same ${NEEDS}`,
  async () => {
    const ann = await add(auth);
    for (let n = 0; n < 5; n += 1) {
      expect((await forget(ann.email)).json).toEqual(SAME as never);
      await looked();
    }
    expect(await lettersTo(auth, ann.email)).toHaveLength(3);
    await auth.sql`update one_time_tokens set created_at = now() - interval '61 minutes' where user_id = ${ann.id}`;
    await forget(ann.email);
    await linkOf(ann.email, 4);
  },
);

withServer(
  `whoever asks for all links that an hour has does not keep the owner from what he must know ${NEEDS}`,
  async () => {
    const ann = await loggedIn(auth);
    for (let n = 0; n < 5; n += 1) {
      await forget(ann.email);
      await looked();
    }
    for (const [current_password, new_password] of [
      [PASSWORD, "another one 0"],
      ["another one 0", PASSWORD],
      [PASSWORD, "another one 0"],
      ["another one 0", PASSWORD],
      [PASSWORD, "another one 0"],
    ]) {
      const body = { current_password, new_password };
      expect((await call(auth, "PUT", "/me/password", { token: ann.token, body })).status).toBe(200);
    }
    const names = (await lettersTo(auth, ann.email)).map(({ template }) => template);
    expect(names.filter((name) => name === "reset-password")).toHaveLength(3);
    expect(names.filter((name) => name === "account-changed")).toHaveLength(5);
  },
);

withServer(
  `the same address asked for many times at once: one row waits, and no more mails than an hour has ${NEEDS}`,
  async () => {
    const ann = await add(auth);
    const replies = await Promise.all(Array.from({ length: 20 }, () => forget(ann.email)));
    expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([202]));
    await looked();
    expect((await lettersTo(auth, ann.email)).length).toBeLessThanOrEqual(3);
  },
);

withServer(`what is no such request: 422 that names the field; a guessed token: 422 ${NEEDS}`, async () => {
  for (const path of ["/password-resets", "/email-verifications"])
    for (const body of [
      {},
      { email: "x" },
      { email: "a@example.com,b@example.com" },
      { email: "a@example.com", id: 1 },
    ])
      expect([path, body, (await auth.post(path, body)).status]).toEqual([path, body, 422]);
  for (const token of ["", "x".repeat(19), "x".repeat(129), "x".repeat(42) + "'", "../".repeat(10)])
    expect([token, (await confirm(token)).status]).toEqual([token, 422]);
  expect((await confirm("x".repeat(43))).json.message).toBe(WORTHLESS);
  expect((await reset("x".repeat(43), PASSWORD)).json.message).toBe(WORTHLESS);
  expect((await auth.post("/password-resets/confirm", { token: "x".repeat(43) })).status).toBe(422);
});

withServer(`requests wait while the process is away, and are looked at after its return ${NEEDS}`, async () => {
  await using apart = await startAuth();
  const ann = await add(apart);
  await apart.app[Symbol.asyncDispose]();
  await apart.sql`
    insert into mail_requests (id, purpose, email, request_id, traceparent)
    values (${Bun.randomUUIDv7()}, 'reset_password', ${ann.email}, 'x', 'x')`;
  await using replica = await apart.begin();
  await until("the mail", async () => (await lettersTo(apart, ann.email)).length === 1);
  expect(replica.url).not.toBe("");
});

withServer(
  `keys that somebody made before the address was shown to be his end with the reset of its owner; others stay ${NEEDS}`,
  async () => {
    const makeFor = async (verified: boolean) => {
      const { id, email, token } = await loggedIn(auth);
      if (verified) await auth.sql`update users set email_verified_at = now() where id = ${id}`;
      const { json } = await call(auth, "POST", "/api-keys", { token, body: { name: "x", scopes: ["logs:write"] } });
      await forget(email);
      expect((await reset(await linkOf(email), another())).status).toBe(200);
      const check = await auth.post("/api-keys/verify", { key: json.data["key"] });
      return { id, keyId: json.data["id"], status: check.status };
    };
    const taken = await makeFor(false);
    const own = await makeFor(true);
    expect([taken.status, own.status]).toEqual([401, 200]);
    expect(await audits(auth, "user.password_reset", taken.id)).toMatchObject([{ keys_revoked: 1 }]);
    const told = (await parcels(auth)).filter((parcel) => parcel.to === "identity" && parcel.key === "api_key.revoked");
    expect(told).toMatchObject([{ body: { kind: "api_key", subject: taken.keyId } }]);
  },
);

withServer(`the audit tells from where somebody asked for a link ${NEEDS}`, async () => {
  const { id, email } = await add(auth);
  await auth.post("/password-resets", { email }, { "x-client-address": "198.51.100.7" });
  await linkOf(email);
  expect(await audits(auth, "reset_password.asked", id)).toMatchObject([{ address: "198.51.100.7" }]);
});

withServer(`a key that is being made while its owner resets his password does not outlive it ${NEEDS}`, async () => {
  for (let round = 0; round < 6; round += 1) {
    const { id, email, token } = await loggedIn(auth);
    await forget(email);
    const link = await linkOf(email);
    const over = new AbortController();
    /** Makes keys, and ends them to have room, until the session has ended. */
    const attack = async (): Promise<void> => {
      while (!over.signal.aborted) {
        const made = await call(auth, "POST", "/api-keys", { token, body: { name: "x", scopes: [] } });
        if (made.status === 401) return;
        await call(auth, "DELETE", `/api-keys/${String(made.json.data["id"])}`, { token });
      }
    };
    const attacks = Promise.all([attack(), attack(), attack(), attack()]);
    await until("keys", async () => (await auth.sql`select 1 from api_keys where user_id = ${id}`).length > 4);
    expect((await reset(link, another())).status).toBe(200);
    over.abort();
    await attacks;
    expect(await auth.sql`select id from api_keys where user_id = ${id} and revoked_at is null`).toHaveLength(0);
  }
});
