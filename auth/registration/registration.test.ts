/** Registering over real HTTP on a real PostgreSQL, with a mail service that does as it is told. */
import { afterAll, beforeAll, expect, setDefaultTimeout } from "bun:test";
import { NEEDS, startAuth, type TestAuth, until, withServer } from "../service.test-kit.ts";

setDefaultTimeout(30_000);

/** What `POST /send` and `GET /mails/:id` answer: status, and data or message. */
interface Script {
  readonly send: () => readonly [number, unknown];
  readonly look: (id: string) => readonly [number, unknown];
}
const taken = (id: string, state: string) => [202, { id, state }] as const;
const mails: { key: string | null; to: string; from: string; template?: unknown }[] = [];
/** Mails that verify an address. */
const verifications: typeof mails = [];
function viewOf(id: string, state: string, more: object = {}) {
  const at = new Date().toISOString();
  const view = { id, state, from: "a@b", to: "a@b", subject: "", attempts: 1, created_at: at, updated_at: at };
  return [200, { ...view, expires_at: at, recipients: [], priority: "normal", ...more }] as const;
}
/** By the address of who registers; the mails of others wait. */
const scripts = new Map<string, Script>();
const WAITS: Script = { send: () => taken("x", "queued"), look: (id) => viewOf(id, "queued") };
const mail = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  async fetch(request) {
    const { pathname } = new URL(request.url);
    const key = request.headers.get("idempotency-key");
    const body = request.method === "POST" ? ((await request.json()) as (typeof mails)[number]) : undefined;
    if (pathname === "/ready") return Response.json({ error: false, message: "ready" });
    // The mail that verifies his address goes its own way (flows/).
    if (body !== undefined && JSON.stringify(body.template ?? "").includes("verify-address")) {
      verifications.push({ ...body, key });
      return Response.json({ error: false, message: "m", data: { id: key, state: "sent" } }, { status: 202 });
    }
    if (body !== undefined) mails.push({ ...body, key });
    const id = key ?? pathname.slice("/mails/".length);
    const script = scripts.get(mails.find((sent) => sent.key === id)?.to ?? "") ?? WAITS;
    const [status, said] = body === undefined ? script.look(id) : script.send();
    const answer = status < 400 ? { error: false, message: "m", data: said } : { error: true, message: String(said) };
    return Response.json(answer, { status });
  },
});

let auth: TestAuth | undefined;
const running = (): TestAuth => {
  if (auth === undefined) throw new Error("not started");
  return auth;
};
beforeAll(async () => {
  if (process.env["TEST_POSTGRES_URL"] !== undefined) {
    auth = await startAuth({ MAIL_URL: `http://127.0.0.1:${mail.port}`, WELCOME_FROM: "hello@platform.example" });
  }
});
afterAll(async () => {
  await auth?.[Symbol.asyncDispose]();
  await mail.stop(true);
});

let users = 0;
const uniqueEmail = (): string => `somebody-${(users += 1)}@example.com`;
const register = (body: unknown, key?: string) =>
  running().post("/users", body, key === undefined ? {} : { "idempotency-key": key });
const PASSWORD = "long enough";
/** As somebody who may look at users. */
const registrationOf = async (id: unknown) => {
  const { addUser, login, get } = running();
  const { access_token: token } = await login((await addUser("admin")).email);
  return get(`/users/${String(id)}/registration`, { authorization: `Bearer ${token}` });
};

withServer(`a new user: 201, active, able to log in, and nothing of his password anywhere ${NEEDS}`, async () => {
  const email = "Ann@Example.com";
  const reply = await register({ email, password: PASSWORD, first_name: "Ann", last_name: "Other" });
  expect([reply.status, reply.headers.get("idempotent-replayed")]).toEqual([201, null]);
  expect(reply.json).toEqual({
    error: false,
    message: "User registered",
    data: {
      id: expect.any(Number),
      email,
      first_name: "Ann",
      last_name: "Other",
      active: 1,
      created_at: expect.stringMatching(/Z$/),
      updated_at: expect.stringMatching(/Z$/),
      registration: "pending",
      mail_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
    },
  });
  expect(Math.abs(Date.now() - Date.parse(String(reply.json.data["created_at"])))).toBeLessThan(60_000);
  expect(reply.text).not.toContain(PASSWORD);
  const { sql, post } = running();
  const stored = await sql`select row_to_json(u)::text || row_to_json(r)::text || row_to_json(s)::text as all
    from users u join registrations r on r.user_id = u.id join sagas s on s.id = r.saga_id where u.email = ${email}`;
  expect(String(stored[0]?.["all"])).not.toContain(PASSWORD);
  expect((await post("/authenticate", { email: "ann@example.com", password: PASSWORD })).status).toBe(202);
  const seen = await registrationOf(reply.json.data["id"]);
  expect(seen.json.data).toMatchObject({ email, registration: "pending", mail_id: reply.json.data["mail_id"] });
});

withServer(`the mail goes to him, from whom we say, under the key that is its id ${NEEDS}`, async () => {
  const email = uniqueEmail();
  const { json } = await register({ email, password: PASSWORD, first_name: "http://evil.example" });
  const sent = await until("asked to send", () => mails.find(({ to }) => to === email));
  expect(sent).toMatchObject({ from: "hello@platform.example", key: String(json.data["mail_id"]) });
  expect(sent.template).toEqual({ name: "welcome", version: 1, locale: "en", variables: { address: email } });
  // Who registers somebody else must not choose what he reads.
  expect(JSON.stringify(sent)).not.toContain("evil");
});

withServer(
  `the mail that verifies the address leaves once, whatever becomes of the welcome mail ${NEEDS}`,
  async () => {
    const email = uniqueEmail();
    scripts.set(email, { send: () => [503, "away"], look: WAITS.look });
    const key = Bun.randomUUIDv7();
    for (let n = 0; n < 3; n += 1) expect((await register({ email, password: PASSWORD }, key)).status).toBe(201);
    const sent = () => verifications.filter(({ to }) => to === email);
    await until("it is sent", () => sent().length > 0);
    await until("the outbox has none", async () => {
      return (await running().sql`select 1 from outbox where kind = 'mail'`).length === 0;
    });
    expect(sent()).toEqual([
      {
        key: expect.stringMatching(/^[0-9a-f-]{36}$/),
        from: "hello@platform.example",
        to: email,
        priority: "high",
        template: { name: "verify-address", version: 1, locale: "en", variables: expect.anything() },
      } as never,
    ]);
  },
);

withServer.each([
  ["no e-mail", { password: PASSWORD }],
  ["no password", { email: "x@example.com" }],
  ["a password of 7 characters", { email: "x@example.com", password: "1234567" }],
  ["a password of 1,025 characters", { email: "x@example.com", password: "p".repeat(1_025) }],
  ["an e-mail that is no address", { email: "x", password: PASSWORD }],
  ["two addresses", { email: "x@example.com,y@example.com", password: PASSWORD }],
  ["a name with NUL", { email: "x@example.com", password: PASSWORD, first_name: "\0" }],
  ["a name of 256 characters", { email: "x@example.com", password: PASSWORD, last_name: "n".repeat(256) }],
  ["a field that nobody knows", { email: "x@example.com", password: PASSWORD, user_active: 1 }],
  ["one of the most common passwords", { email: "x@example.com", password: "Password1" }],
  ["his own address as a password", { email: "x@example.com", password: "x@example.com" }],
  ["a role", { email: "x@example.com", password: PASSWORD, role: "admin" }],
  ["an id", { email: "x@example.com", password: PASSWORD, id: 1 }],
])(`%s: 422, and nobody is added ${NEEDS}`, async (_what, body) => {
  expect((await register(body)).status).toBe(422);
  expect((await running().sql`select 1 from users where email like 'x%'`).length).toBe(0);
});

withServer(`the shortest and the longest password log in ${NEEDS}`, async () => {
  for (const password of ["8 letter", "ä".repeat(1_024)]) {
    const email = uniqueEmail();
    expect((await register({ email, password })).status).toBe(201);
    expect((await running().post("/authenticate", { email, password })).status).toBe(202);
  }
});

withServer(`an address is somebody's once, however it is written, also when many come at once ${NEEDS}`, async () => {
  const email = uniqueEmail();
  const spelt = [email, email.toUpperCase(), `S${email.slice(1)}`];
  const replies = await Promise.all(
    Array.from({ length: 12 }, (_, index) => register({ email: spelt[index % 3], password: PASSWORD })),
  );
  expect(replies.map(({ status }) => status).sort((a, b) => a - b)).toEqual([
    201,
    ...Array.from({ length: 11 }, () => 409),
  ]);
  expect((await running().sql`select 1 from users where lower(email) = ${email}`).length).toBe(1);
  expect((await running().sql`select 1 from sagas where lower(data->>'email') = ${email}`).length).toBe(1);
});

withServer(
  `the same key and body: the same user, marked as an answer given before; another body: 422 ${NEEDS}`,
  async () => {
    const body = { email: uniqueEmail(), password: PASSWORD };
    const key = '"a key of mine"';
    const first = await register(body, key);
    const again = await register(body, "a key of mine");
    expect([first.status, again.status, again.headers.get("idempotent-replayed")]).toEqual([201, 201, "true"]);
    expect(again.json.data["id"]).toBe(first.json.data["id"]);
    const changed = [
      { ...body, password: "another one" },
      { ...body, email: uniqueEmail() },
      { ...body, first_name: "Ann" },
    ];
    for (const other of changed) expect((await register(other, key)).status).toBe(422);
    expect((await register(body, "another key")).status).toBe(409);
    expect((await register(body, "ä".repeat(3))).status).toBe(422);
    expect((await register(body, "k".repeat(256))).status).toBe(422);
  },
);

withServer(`the same key many times at once: one user, and everybody is told the same ${NEEDS}`, async () => {
  const body = { email: uniqueEmail(), password: PASSWORD };
  const key = Bun.randomUUIDv7();
  const replies = await Promise.all(Array.from({ length: 8 }, () => register(body, key)));
  expect(new Set(replies.map(({ status, json }) => `${status} ${String(json.data["id"])}`)).size).toBe(1);
  expect(replies[0]?.status).toBe(201);
});

withServer(`nobody's registration: 404 ${NEEDS}`, async () => {
  for (const id of ["0", "x", "99999999", "99999999999", "1%20or%201=1"])
    expect((await registrationOf(id)).status).toBe(404);
  expect((await running().get("/users/1/registration")).status).toBe(401);
});

/** Where the workflow of an address stands. */
async function sagaOf(email: string): Promise<{ step: string; data: Record<string, unknown> }> {
  const [row] = await running().sql<{ step: string; data: Record<string, unknown> }[]>`
    select step, data from sagas where data->>'email' = ${email}`;
  if (row === undefined) throw new Error("no such workflow");
  return row;
}

withServer(
  `mail away, then queued, then put off, then sent: followed to its end; the event waits for RabbitMQ ${NEEDS}`,
  async () => {
    const email = uniqueEmail();
    const states = ["queued", "sending", "deferred", "sent"];
    let tries = 0;
    scripts.set(email, {
      send: () => ((tries += 1) < 3 ? [503, "away"] : taken("x", "queued")),
      look: (id) => {
        const state = states.length > 1 ? states.shift() : states[0];
        return viewOf(id, state ?? "");
      },
    });
    const { json } = await register({ email, password: PASSWORD });
    const saga = await until("at its event", async () => {
      const at = await sagaOf(email);
      return at.step === "event" && at;
    });
    expect(saga.data).toMatchObject({ mail: "sent", mail_id: json.data["mail_id"] });
    expect([tries, states.length]).toEqual([3, 1]);
    const ready = await running().get("/ready");
    expect(ready.status).toBe(200);
    expect(JSON.stringify(ready.json.data)).toContain('"name":"rabbitmq","state":"down","required":false');
  },
);

withServer.each([
  ["failed", "refused", "mail_refused"],
  ["bounced", "refused", "mail_refused"],
  ["cancelled", "refused", "mail_refused"],
  ["expired", "expired", "mail_refused"],
  ["ambiguous", "ambiguous", "pending"],
])(
  `a mail that is %s in the end: the event says %s, the registration is %s ${NEEDS}`,
  async (state, end, registration) => {
    const email = uniqueEmail();
    scripts.set(email, {
      send: () => (state === "ambiguous" ? taken("x", "queued") : [422, "the mail was refused"]),
      look: (id) => viewOf(id, state, { reply: { code: 550, text: "no\u0000body\nof that name" } }),
    });
    const { json } = await register({ email, password: PASSWORD });
    const saga = await until("at its event", async () => {
      const at = await sagaOf(email);
      return at.step === "event" && at;
    });
    expect(saga.data["mail"]).toBe(end);
    const reason = state === "cancelled" ? "the mail was cancelled" : "no body of that name";
    if (end !== "ambiguous") expect(saga.data["reason"]).toBe(reason);
    const seen = await registrationOf(json.data["id"]);
    expect(seen.json.data["registration"]).toBe(registration);
  },
);

withServer(`a mail that the mail service takes no such of: refused, with its words ${NEEDS}`, async () => {
  const email = uniqueEmail();
  scripts.set(email, { send: () => [422, "to must be one plain e-mail address"], look: () => [404, "no such mail"] });
  await register({ email, password: PASSWORD });
  await until("at its event", async () => (await sagaOf(email)).step === "event");
  expect((await sagaOf(email)).data).toMatchObject({ mail: "refused", reason: "to must be one plain e-mail address" });
});

withServer(`a mail that was accepted and is gone is sent again, under the same key ${NEEDS}`, async () => {
  const email = uniqueEmail();
  let sends = 0;
  scripts.set(email, {
    send: () => taken("x", (sends += 1) > 1 ? "sent" : "queued"),
    look: () => [404, "no such mail"],
  });
  await register({ email, password: PASSWORD });
  await until("at its event", async () => (await sagaOf(email)).step === "event");
  const keys = mails.filter(({ to }) => to === email).map(({ key }) => key);
  expect([keys.length, new Set(keys).size, (await sagaOf(email)).data["mail"]]).toEqual([2, 1, "sent"]);
});

withServer(
  `an answer off the contract is the mail service's fault: tried again, nobody is marked ${NEEDS}`,
  async () => {
    const email = uniqueEmail();
    let tries = 0;
    scripts.set(email, {
      send: () => ((tries += 1) === 1 ? [404, "no such route"] : [202, { odd: true }]),
      look: WAITS.look,
    });
    await register({ email, password: PASSWORD });
    await until("tried three times", () => tries >= 3);
    expect(await sagaOf(email)).toMatchObject({ step: "welcome_mail" });
  },
);

withServer(`a key that was used is no way to try passwords faster than at the login ${NEEDS}`, async () => {
  await using strict = await startAuth({ LOGIN_THROTTLE: "on" });
  const post = async (password: string) =>
    (await strict.post("/users", { email: "ann@keys.example", password }, { "idempotency-key": "k" })).status;
  expect([await post(PASSWORD), await post(PASSWORD)]).toEqual([201, 201]);
  for (let asked = 0; asked < 10; asked += 1) expect(await post(`guess number ${asked}`)).toBe(422);
  expect(await post("one guess more")).toBe(429);
});
