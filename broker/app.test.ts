/** The broker among its neighbours: what it asks of them, what it makes of their answers, how it starts and stops. */
import { expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fail, ok } from "#shared/errors";
import { StartError } from "#shared/lifecycle";
import { AUTH, brokers, LOG, MAIL, refusal, until, USER, UUID7 } from "./platform.test-kit.ts";

const { platform, closing } = brokers();

test("all well: each action by its own way, with ids, and marked nowhere as degraded", async () => {
  const { handle, post, auth, mail, logger } = await platform();
  const login = await handle(AUTH, {
    "x-request-id": "req-1",
    traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-01`,
  });
  const id = expect.stringMatching(UUID7);
  expect([login.status, login.body]).toEqual([
    202,
    { error: false, message: "Authenticated!", data: { ...USER, receipt_id: id } },
  ]);
  expect(auth.asked[0]).toMatchObject({ path: "/authenticate", body: AUTH.auth });
  expect(auth.asked[0]?.headers.get("x-request-id")).toBe("req-1");
  expect(auth.asked[0]?.headers.get("traceparent")).toStartWith(`00-${"a".repeat(32)}-`);
  expect(Number(auth.asked[0]?.headers.get("x-request-timeout-ms"))).toBeLessThanOrEqual(2_500);

  const entry = await handle(LOG);
  expect([entry.status, entry.body]).toEqual([
    202,
    { error: false, message: "Logged via RPC: Processing succeeded", data: { receipt_id: id } },
  ]);
  expect(logger.stored[0]).toMatchObject({ ...LOG.log, event_id: String(entry.body.data?.["receipt_id"]) });

  const sent = await handle(MAIL);
  expect([sent.status, sent.body.message]).toEqual([202, "Message sent to canary-to@example.com"]);
  expect(sent.body.data).toEqual({ id, receipt_id: sent.body.data?.["id"] });
  expect(mail.asked[0]?.headers.get("idempotency-key")).toBe(String(sent.body.data?.["id"]));
  for (const { headers, body } of [login, entry, sent]) {
    expect(headers.get("x-degraded")).toBeNull();
    expect(headers.get("location")).toBe(`/v1/receipts/${String(body.data?.["receipt_id"])}`);
    expect(headers.get("idempotent-replayed")).toBeNull();
  }
  const hit = await post("/", {});
  expect([hit.status, hit.body]).toEqual([200, { error: false, message: "Hit the Broker" }]);
  expect(hit.headers.get("location")).toMatch(/^\/v1\/receipts\/[0-9a-f-]{36}$/);
});

test("every service behind is shown the broker's key, and for whom it is asked; nobody outside tells that", async () => {
  const SERVICE_KEY = "canary-key-canary-key-canary-key";
  const { app, handle, auth, mail } = await platform({ SERVICE_KEY });
  const liar = {
    "x-service-key": "mine",
    "x-client-address": "192.0.2.1",
    "x-client-agent": "liar",
    "user-agent": "curl/8",
  };
  await handle(AUTH, liar);
  await handle(MAIL, liar);
  await fetch(`${app.url}/v1/unsubscribe/token`, { headers: liar });
  expect(new Set(mail.asked.map(({ path }) => path))).toEqual(new Set(["/send", "/unsubscribe/token"]));
  for (const { headers } of [...auth.asked, ...mail.asked]) expect(headers.get("x-service-key")).toBe(SERVICE_KEY);
  for (const { headers } of [auth.asked[0], mail.asked[0]].flatMap((asked) => asked ?? [])) {
    expect([headers.get("x-client-address"), headers.get("x-client-agent")]).toEqual(["127.0.0.1", "curl/8"]);
  }
});

test("what the logger finds invalid is 422; what is its own trouble is not the client's", async () => {
  const { handle, logger } = await platform();
  logger.answer = () => fail("invalid", "name is odd");
  expect(await handle(LOG)).toMatchObject({ status: 422, body: { message: "name is odd" } });
  for (const code of ["internal", "unauthenticated", "forbidden", "not_found"] as const) {
    logger.answer = () => fail(code);
    expect(await handle(LOG)).toMatchObject({ status: 202, body: { message: "Log entry queued" } });
    logger.answer = () => ok("Processing succeeded");
  }
  const numbers = logger.stored.map(({ producer }) => producer);
  // Refused: the number stands for nothing, and the next entry says so.
  expect(numbers[0]).toMatchObject({ sequence: 1 });
  expect(numbers[1]).toEqual({ id: String(numbers[0]?.id), sequence: 2, voided: [1] });
});

test("auth too slow: 504 within its limit", async () => {
  const { handle, auth } = await platform();
  auth.answer = () => new Promise(() => undefined);
  const { status, body, tookMs } = await handle(AUTH);
  expect([status, body]).toEqual([504, { error: true, message: "Error calling the Auth Service!!!" }]);
  expect(tookMs).toBeGreaterThan(2_000);
  expect(tookMs).toBeLessThan(3_500);
  const hurried = await handle(AUTH, { "x-request-timeout-ms": "200" });
  expect(hurried.status).toBe(504);
  expect(hurried.tookMs).toBeLessThan(1_000);
});

test.each<[string, () => Response, number, string]>([
  ["no JSON", () => new Response("<html>", { status: 202 }), 502, "Error calling the Auth Service!!!"],
  ["no envelope", () => Response.json([], { status: 202 }), 502, "Error calling the Auth Service!!!"],
  [
    "no user",
    () => Response.json({ error: false, message: "" }, { status: 202 }),
    502,
    "Error calling the Auth Service!!!",
  ],
  ["another success", () => Response.json({ error: false, message: "" }), 502, "Error calling the Auth Service!!!"],
  ["a redirect", () => Response.redirect("http://127.0.0.1:1/", 302), 502, "Error calling the Auth Service!!!"],
  ["404", () => refusal(404), 502, "Error calling the Auth Service!!!"],
  ["403", () => refusal(403), 502, "Error calling the Auth Service!!!"],
  ["500", () => refusal(500), 502, "Error calling the Auth Service!!!"],
  ["503", () => refusal(503), 503, "Error calling the Auth Service!!!"],
  ["401", () => refusal(401), 401, "Invalid credentials!!!"],
  [
    "401 to the broker itself",
    () => refusal(401, { "www-authenticate": "ServiceKey" }),
    502,
    "Error calling the Auth Service!!!",
  ],
  ["422", () => refusal(422), 422, "in its own words"],
  ["429", () => refusal(429, { "retry-after": "7" }), 429, "in its own words"],
])("auth answers %s", async (_what, answer, status, message) => {
  const { handle, auth } = await platform();
  auth.answer = answer;
  const given = await handle(AUTH);
  expect([given.status, given.body]).toEqual([status, { error: true, message }]);
  if (status === 429) expect(given.headers.get("retry-after")).toBe("7");
});

test("mail service and RabbitMQ away: 503, nothing was accepted", async () => {
  const { handle, mail } = await platform();
  await mail.stop();
  const { status, body, headers } = await handle(MAIL);
  expect([status, body]).toEqual([503, { error: true, message: "Error calling mail service" }]);
  expect(headers.get("retry-after")).toBeTruthy();
});

test("what is in hand when the broker stops is answered first", async () => {
  const { handle, auth, app } = await platform();
  const answer = Promise.withResolvers<Response>();
  auth.answer = () => answer.promise;
  const login = handle(AUTH);
  await until("auth asked", () => auth.asked.length === 1);
  const stopped = app[Symbol.asyncDispose]();
  await Bun.sleep(50);
  answer.resolve(Response.json({ error: false, message: "", data: USER }, { status: 202 }));
  expect((await login).status).toBe(202);
  await stopped;
});

test.each([
  ["development", undefined, "https://a.example", "*"],
  ["production", undefined, "https://a.example", null],
  ["production", "https://a.example", "https://a.example", "https://a.example"],
  ["production", "https://a.example", "https://b.example", null],
])("in %s with CORS_ORIGINS %p, %s may read: %p", async (ENVIRONMENT, origins, origin, allowed) => {
  const { app } = await platform({ ENVIRONMENT, ...(origins === undefined ? {} : { CORS_ORIGINS: origins }) });
  for (const path of ["/ping", "/nowhere"]) {
    const { headers } = await fetch(`${app.url}${path}`, { headers: { origin } });
    expect(headers.get("access-control-allow-origin")).toBe(allowed);
    expect(headers.get("access-control-allow-credentials")).toBeNull();
  }
});

test("a spool that cannot be written, or is another broker's, is told before anything is listened on", async () => {
  const dir = await mkdtemp(join(tmpdir(), "broker-"));
  closing.push(() => rm(dir, { recursive: true, force: true }));
  await writeFile(join(dir, "file"), "");
  const wrong = platform({ SPOOL_DIR: join(dir, "file") });
  expect(wrong).rejects.toThrow(StartError);
  expect(wrong).rejects.toThrow("set SPOOL_DIR");
  await platform({ SPOOL_DIR: join(dir, "spool") });
  expect(platform({ SPOOL_DIR: join(dir, "spool") })).rejects.toThrow(StartError);
});
