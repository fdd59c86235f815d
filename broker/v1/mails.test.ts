/** Mails, through the broker's door. */
import { expect, test } from "bun:test";
import { UUID7, refusal } from "../platform.test-kit.ts";
import { OPERATOR_TOKEN, versionedBrokers } from "./v1.test-kit.ts";

const { broker, sessionToken, memberToken } = versionedBrokers();
const ID = "01998f5e-7c10-7a00-8b3c-3f5e9d2a4c11";
const AT = "2026-01-01T00:00:00.000Z";
const LETTER = {
  from: "a@example.com",
  to: "canary-to@example.com",
  subject: "canary-subject",
  message: "canary-text",
};
const VIEW = {
  id: ID,
  state: "sent",
  from: "a@example.com",
  to: "b@example.com",
  subject: "canary-subject",
  attempts: 1,
  created_at: AT,
  updated_at: AT,
  expires_at: AT,
  recipients: [],
  priority: "normal",
};
const MANY = Array.from({ length: 25 }, (_, index) => `r${index}@example.com`);
const CONTENT = { subject: "s", text: "canary-text", html: "<p>canary-text</p>" };
const SUPPRESSION = { address: "canary-to@example.com", reason: "asked", created_at: AT };
const REPORT = { recipients: [{ address: "b@example.com", action: "failed", status: "5.1.1", suppressed: true }] };

/** Each route of operators: method, path, body, what the mail service is asked, and what it answers. */
const DESK = [
  ["GET", `/v1/mails/${ID}`, undefined, `/mails/${ID}`, VIEW],
  ["GET", `/v1/mails/${ID}/content`, undefined, `/mails/${ID}/content`, CONTENT],
  ["GET", "/v1/mails", undefined, "/mails", { items: [VIEW], next_cursor: "c" }],
  ["GET", "/v1/suppressions", undefined, "/suppressions", { items: [SUPPRESSION] }],
  ["GET", "/v1/templates", undefined, "/templates", { items: [] }],
  ["POST", `/v1/mails/${ID}/resolve`, { as: "resend", to: "b@example.com" }, `/mails/${ID}/resolve`, VIEW],
  ["POST", `/v1/mails/${ID}/cancel`, {}, `/mails/${ID}/cancel`, VIEW],
  ["POST", "/v1/suppressions", { address: "b@example.com", list: "news" }, "/suppressions", SUPPRESSION],
  ["POST", "/v1/bounces", { message: "canary-dsn", encoding: "base64" }, "/bounces", REPORT],
  ["POST", "/v1/templates/welcome/preview", { variables: { a: [1] } }, "/templates/welcome/preview", CONTENT],
  ["DELETE", "/v1/suppressions/b@example.com", undefined, "/suppressions/b%40example.com", undefined],
] as const;

/** A mail service that answers well, whatever it is asked. */
async function mails(env: Record<string, string> = {}) {
  const running = await broker(env);
  running.mail.answer = (path) => {
    const { method } = running.mail.asked.at(-1) ?? {};
    const data = DESK.find(([by, , , asked]) => by === method && asked === path)?.[4];
    if (path === "/send")
      return Response.json({ error: false, message: "", data: { id: "x", state: "sent" } }, { status: 202 });
    return Response.json({ error: false, message: "in its own words", ...(data === undefined ? {} : { data }) });
  };
  async function request(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
    const answer = await fetch(`${running.app.url}${path}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
    });
    const json = (await answer.json()) as { error: boolean; message: string; data?: Record<string, unknown> };
    return { status: answer.status, headers: answer.headers, body: json };
  }
  const send = (body: unknown, headers?: Record<string, string>) => request("POST", "/v1/mails", body, headers);
  return { ...running, request, send };
}

test("a mail is handed to the mail service whole, under the id that is its receipt's; no token is needed", async () => {
  const { mail, send } = await mails({ OPERATOR_TOKEN });
  const recipients = [
    { address: "canary-to@example.com", state: "sent" },
    { address: "c@example.com", state: "failed", reason: "550 no such user" },
  ];
  mail.answer = () =>
    Response.json({ error: false, message: "", data: { id: "x", state: "partial", recipients } }, { status: 202 });
  const letter = {
    ...LETTER,
    to: ["canary-to@example.com"],
    cc: ["c@example.com"],
    reply_to: "d@example.com",
    attachments: [{ filename: "a.txt", content_type: "text/plain", content: "MTcK" }],
    headers: { "X-Order": "17" },
    priority: "high",
    list: "news",
  };
  const { status, headers, body } = await send(letter);
  const id = String(body.data?.["receipt_id"]);
  expect(id).toMatch(UUID7);
  expect([status, body]).toEqual([
    202,
    {
      error: false,
      message: "Message sent to 1 of 2 recipients",
      data: { id, state: "partial", recipients, receipt_id: id },
    },
  ]);
  expect([headers.get("location"), headers.get("x-degraded")]).toEqual([`/v1/receipts/${id}`, null]);
  expect(mail.asked.map(({ path, body: asked }) => [path, asked])).toEqual([["/send", letter]]);
  expect(mail.asked[0]?.headers.get("idempotency-key")).toBe(id);
});

test("what is not known, not valid or no JSON is refused without asking the mail service", async () => {
  const { mail, send, request } = await mails();
  for (const [body, message] of [
    [{ ...LETTER, html: "<p>" }, "html is not a known field"],
    [{ ...LETTER, attachments: [{ path: "/etc/passwd" }] }, "attachments[0].path is not a known field"],
    [{ ...LETTER, to: [] }, "to must be one plain e-mail address, or a list of them"],
    [{ ...LETTER, to: ["a@x.io", "b@x.io\r\nBcc: c@x.io"] }, "to must be one plain e-mail address, or a list of them"],
    [{ ...LETTER, priority: "urgent" }, "priority must be one of high, normal, low"],
    [{ to: "a@x.io" }, "from is needed"],
    [{ from: "a@x.io", to: "a@x.io", message: "m" }, "subject is needed, or a template"],
    [{ from: "a@x.io", to: "a@x.io", subject: "s" }, "message is needed, or a template"],
    [{ ...LETTER, template: { name: "welcome" } }, "subject must not be given with a template, which has its own"],
    [
      { from: "a@x.io", to: "a@x.io", message: "m", template: { name: "welcome" } },
      "message must not be given with a template, which has its own",
    ],
    [{ ...LETTER, cc: MANY, bcc: MANY }, "to, cc and bcc must be at most 50 addresses together"],
  ] as const) {
    const answer = await send(body);
    expect([answer.status, answer.body.message]).toEqual([422, message]);
  }
  expect((await request("POST", "/v1/mails?to=a@x.io", LETTER)).status).toBe(422);
  expect((await request("POST", "/v1/mails", LETTER, { "content-type": "text/plain" })).status).toBe(415);
  for (const [method, path, body, message] of [
    ["GET", "/v1/mails?state=lost", undefined, "state must be one of queued, sending, sent"],
    ["GET", "/v1/mails?limit=101", undefined, "limit must be a whole number of 1 to 100"],
    ["GET", "/v1/mails?to=a&to=b", undefined, "to is there twice"],
    ["GET", `/v1/mails/${ID}?history=1`, undefined, "history is not a known field"],
    ["GET", "/v1/suppressions?address=nobody", undefined, "address must be one plain e-mail address"],
    ["DELETE", "/v1/suppressions/b@example.com?list=a%20b", undefined, "list must be the name of a mailing list"],
    ["POST", `/v1/mails/${ID}/resolve`, { as: "lost" }, "as must be one of sent, failed, resend"],
    ["POST", `/v1/mails/${ID}/cancel`, { all: true }, "all is not a known field"],
    ["POST", "/v1/suppressions", { list: "news" }, "address is needed"],
    ["POST", "/v1/bounces", { message: "" }, "message must be text of at least 1 characters"],
    ["POST", "/v1/templates/welcome/preview", { name: "other" }, "name is not a known field"],
    ["POST", `/v1/mails/${ID}/cancel?to=b@example.com`, {}, "to is not a known field"],
  ] as const) {
    const answer = await request(method, path, body);
    expect([path, answer.status, answer.body.message]).toEqual([path, 422, expect.stringContaining(message)]);
  }
  expect(mail.asked).toEqual([]);
});

test("a mail under a key is sent once: again its first answer, another body 422, a token with it has to be valid", async () => {
  const { mail, send } = await mails();
  const key = { "idempotency-key": "order-17" };
  const first = await send(LETTER, key);
  const again = await send({ ...LETTER }, key);
  expect([again.status, again.body, again.headers.get("idempotent-replayed")]).toEqual([202, first.body, "true"]);
  expect(again.headers.get("location")).toBe(first.headers.get("location"));
  const other = await send({ ...LETTER, subject: "s" }, key);
  expect([other.status, other.body.message]).toEqual([422, "Idempotency-Key was used before for another request"]);
  expect(mail.asked).toHaveLength(1);
  const his = await send(LETTER, { ...key, authorization: `Bearer ${await sessionToken()}` });
  expect(his.body.data?.["id"]).not.toBe(first.body.data?.["id"]);
  expect((await send(LETTER, { ...key, authorization: "Bearer nonsense" })).status).toBe(401);
  expect((await send(LETTER, { "idempotency-key": "" })).status).toBe(422);
});

test("what the mail service says of a mail is told as it is, and no answer to keep", async () => {
  const { mail, send } = await mails();
  const answerWell = mail.answer;
  const key = { "idempotency-key": "k" };
  for (const status of [403, 413, 422, 429]) {
    mail.answer = () => refusal(status, status === 429 ? { "retry-after": "1800" } : {});
    const answer = await send(LETTER, key);
    expect([answer.status, answer.body.message]).toEqual([status, "in its own words"]);
    expect(answer.headers.get("retry-after")).toBe(status === 429 ? "1800" : null);
  }
  mail.answer = answerWell;
  // Corrected, the same key may be used.
  expect((await send({ ...LETTER, from: "b@example.com" }, key)).status).toBe(202);
});

test("mail service and RabbitMQ away: 503 with a time to try again, and the same key sends it later", async () => {
  const { mail, send } = await mails();
  const answerWell = mail.answer;
  const key = { "idempotency-key": "k" };
  mail.answer = () => refusal(503);
  const away = await send(LETTER, key);
  expect([away.status, away.body]).toEqual([503, { error: true, message: "Error calling mail service" }]);
  expect(away.headers.get("retry-after")).toBe("1");
  mail.answer = answerWell;
  expect((await send(LETTER, key)).status).toBe(202);
  expect(new Set(mail.asked.map(({ headers }) => headers.get("idempotency-key"))).size).toBe(1);
});

test("operators' questions and commands reach the mail service as they are, and are answered in its words", async () => {
  const { mail, request } = await mails();
  for (const [method, path, body, asked, data] of DESK) {
    const answer = await request(method, path, body, { "x-actor": "root" });
    expect([path, answer.status, answer.body]).toEqual([
      path,
      200,
      { error: false, message: "in its own words", ...(data === undefined ? {} : { data }) },
    ]);
    const last = mail.asked.at(-1);
    expect([last?.method, last?.path, last?.search, last?.body]).toEqual([method, asked, "", body]);
    expect(last?.headers.get("x-actor")).toBe("127.0.0.1");
  }
});

test.each([
  "/mails?state=deferred&to=o%27hara%2Bx%40example.com&from=a%40b.io&list=news&since=2026-01-01T00%3A00%3A00%2B01%3A00&until=2027-01-01&limit=7&cursor=a%3D%26b",
  "/suppressions?address=b%40example.com&limit=1&cursor=%C3%A4",
])("a query is read by the mail service as it is read here: %s", async (path) => {
  const { mail, request } = await mails();
  expect((await request("GET", `/v1${path}`)).status).toBe(200);
  const given = new URL(path, "http://x").searchParams;
  expect(Object.fromEntries(new URLSearchParams(mail.asked[0]?.search))).toEqual(Object.fromEntries(given));
});

test("what stands in a path stays one part of it", async () => {
  const { mail, request } = await mails();
  mail.answer = () => refusal(404);
  for (const [method, path, asked] of [
    ["DELETE", "/v1/suppressions/a%2Fb%3Fc%25@example.com?list=news", "/suppressions/a%2Fb%3Fc%25%40example.com"],
    ["GET", "/v1/mails/..%2Fsuppressions", "/mails/..%2Fsuppressions"],
    ["GET", "/v1/mails/x%23y/content", "/mails/x%23y/content"],
  ] as const) {
    expect((await request(method, path)).status).toBe(404);
    expect(mail.asked.at(-1)?.path.toLowerCase()).toBe(asked.toLowerCase());
  }
  expect(mail.asked[0]?.search).toBe("?list=news");
});

test("what the mail service refuses is told in its words; its troubles are 502, 503 and 504 with a time to try again", async () => {
  const { mail, request } = await mails();
  for (const [status, expected] of [
    [404, 404],
    [409, 409],
    [422, 422],
    [429, 429],
    [403, 502],
    [500, 502],
    [503, 503],
  ] as const) {
    mail.answer = () => refusal(status);
    for (const answer of [
      await request("POST", `/v1/mails/${ID}/cancel`, {}),
      await request("GET", `/v1/mails/${ID}`),
      await request("DELETE", "/v1/suppressions/b@example.com"),
    ]) {
      expect([status, answer.status]).toEqual([status, expected]);
      if (expected < 500) expect(answer.body.message).toBe("in its own words");
      else expect(answer.headers.get("retry-after")).toBeTruthy();
    }
  }
  // Nothing was named that could not be there.
  mail.answer = () => refusal(404);
  expect((await request("GET", "/v1/mails")).status).toBe(502);
  mail.answer = () => Response.json({ error: false, message: "", data: { items: 7 } });
  expect((await request("GET", "/v1/mails")).status).toBe(502);
  await mail.stop();
  expect((await request("GET", "/v1/templates")).status).toBe(503);
});

test("with a token set nobody else looks or decides; in production nobody does without one", async () => {
  const { mail, request } = await mails({ OPERATOR_TOKEN });
  const session = { authorization: `Bearer ${await memberToken()}` };
  for (const [method, path, body] of DESK) {
    const none = await request(method, path, body);
    expect([path, none.status, none.headers.get("www-authenticate")]).toEqual([path, 401, 'Bearer realm="platform"']);
    expect([path, (await request(method, path, body, session)).status]).toEqual([path, 403]);
    const operator = { authorization: `Bearer ${OPERATOR_TOKEN}` };
    expect([path, (await request(method, path, body, operator)).status]).toEqual([path, 200]);
  }
  expect(mail.asked).toHaveLength(DESK.length);
  expect(new Set(mail.asked.map(({ headers }) => headers.get("x-actor")))).toEqual(new Set(["operator"]));
  expect(mail.asked.some(({ headers }) => headers.has("authorization"))).toBe(false);

  const closed = await mails({ ENVIRONMENT: "production", RECEIPT_SECRET: "x".repeat(32), ACCESS: "open" });
  for (const [method, path, body] of DESK) expect((await closed.request(method, path, body)).status).toBe(401);
  expect(closed.mail.asked).toEqual([]);
}, 20_000);

test("what was not there before is 201, also when it is told again", async () => {
  const { mail, request } = await mails();
  mail.answer = () => Response.json({ error: false, message: "suppressed", data: SUPPRESSION }, { status: 201 });
  const body = { address: "canary-to@example.com" };
  for (const replayed of [null, "true"]) {
    const answer = await request("POST", "/v1/suppressions", body, { "idempotency-key": "k" });
    expect([answer.status, answer.headers.get("idempotent-replayed")]).toEqual([201, replayed]);
  }
});

test("a command under a key is done once for the mail that it names", async () => {
  const { mail, request } = await mails();
  const key = { "idempotency-key": "k" };
  const resend = (id: string, body: unknown = { as: "resend" }) =>
    request("POST", `/v1/mails/${id}/resolve`, body, key);
  mail.answer = () => Response.json({ error: false, message: "queued", data: VIEW });
  const first = await resend(ID);
  const again = await resend(ID);
  expect([again.body, again.headers.get("idempotent-replayed")]).toEqual([first.body, "true"]);
  expect((await resend(ID, { as: "sent" })).status).toBe(422);
  expect(mail.asked).toHaveLength(1);
  expect((await resend(crypto.randomUUID())).headers.get("idempotent-replayed")).toBeNull();
  expect(mail.asked).toHaveLength(2);
});
