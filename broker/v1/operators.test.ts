/** The operators' routes, through the broker's door. */
import { expect, test } from "bun:test";
import { USER } from "../auth.test-kit.ts";
import { until } from "../platform.test-kit.ts";
import { OPERATOR_TOKEN, versionedBrokers } from "./v1.test-kit.ts";

const { broker, sessionToken, memberToken } = versionedBrokers();
const OUTCOME = { matched: 2, done: 2, left: 0, scanned: 9, complete: true, audit_id: "a" };
const PAGE = { items: [], scanned: 0, complete: true };
const GAPS = { items: [], entries: 0, missing: 0 };
const READS = ["/v1/events/queues", "/v1/events/dead-letters", "/v1/logs/gaps"];
const DOES = ["/v1/events/dead-letters/replay", "/v1/events/dead-letters/drop"];

/** Who answers well, whatever is asked. */
async function operators(env: Record<string, string> = {}) {
  const running = await broker(env);
  running.listener.answer = (path) => {
    const data = path.endsWith("queues") ? { items: [] } : path.endsWith("dead-letters") ? PAGE : OUTCOME;
    return Response.json({ error: false, message: "in its own words", data });
  };
  running.logger.answer = () => Response.json({ error: false, message: "in its own words", data: GAPS });
  return running;
}

test("each is asked of its owner, with what was given and whose doing it is, and answered in the owner's words", async () => {
  const { listener, logger, call, post } = await operators();
  expect((await call("/v1/events/queues")).body).toEqual({
    error: false,
    message: "in its own words",
    data: { items: [] },
  });
  const query = "parked=logs&routing_key=log.%23&error=a%20%26%20b&older_than_s=1.5&limit=7&cursor=abc%3D";
  expect((await call(`/v1/events/dead-letters?${query}`)).body.data).toEqual(PAGE);
  expect((await call("/v1/logs/gaps?producer=p%2F1&limit=2")).body.data).toEqual(GAPS);
  const replay = { routing_key: "log.*", rate: 50, limit: 10, dry_run: true };
  const headers = { "x-actor": "root", "x-forwarded-for": "1.2.3.4" };
  expect((await post("/v1/events/dead-letters/replay", replay, headers)).body.data).toEqual(OUTCOME);
  expect((await post("/v1/events/dead-letters/drop", { all: true })).body.data).toEqual(OUTCOME);

  expect(listener.asked.map(({ path, search, body }) => [path, search, body])).toEqual([
    ["/events/queues", "", undefined],
    ["/events/dead-letters", expect.any(String), undefined],
    ["/events/dead-letters/replay", "", replay],
    ["/events/dead-letters/drop", "", { all: true }],
  ]);
  const handedOn = new URLSearchParams(listener.asked[1]?.search);
  expect(Object.fromEntries(handedOn)).toEqual(Object.fromEntries(new URLSearchParams(query)));
  expect(Object.fromEntries(new URLSearchParams(logger.asked[0]?.search))).toEqual({ producer: "p/1", limit: "2" });
  for (const { headers: sent } of listener.asked) expect(sent.get("x-actor")).toBe("127.0.0.1");
  const times = listener.asked.map(({ headers: sent }) => Number(sent.get("x-request-timeout-ms")));
  expect(times[0]).toBeLessThanOrEqual(10_000);
  expect(times[2]).toBeGreaterThan(20_000);
  expect(times[2]).toBeLessThanOrEqual(25_000);
});

test("what is not known or not valid is refused without asking the owner", async () => {
  const { listener, logger, call, post } = await operators();
  for (const [path, message] of [
    ["/v1/events/queues?limit=1", "limit is not a known field"],
    ["/v1/events/dead-letters?nonsense=1", "nonsense is not a known field"],
    ["/v1/events/dead-letters?limit=0", "limit must be a whole number of at least 1"],
    ["/v1/events/dead-letters?parked=mine", "parked must be one of logs, jobs, unrouted"],
    ["/v1/events/dead-letters?limit=1&limit=2", "limit is there twice"],
    ["/v1/logs/gaps?severity=INFO", "severity is not a known field"],
    ["/v1/logs/gaps?producer=%00", "producer must be text of 1 to 128 characters"],
  ]) {
    const answer = await call(path ?? "");
    expect([path, answer.status, answer.body.message]).toEqual([path, 422, message]);
  }
  for (const [path, body, message] of [
    ["replay", { all: true }, "all is not a known field"],
    ["replay", { rate: 0 }, "rate must be a number of at most 10000"],
    ["drop", { rate: 1 }, "rate is not a known field"],
    ["drop", { dry_run: "yes" }, "dry_run must be true or false"],
  ] as const) {
    const answer = await post(`/v1/events/dead-letters/${path}`, body);
    expect([path, answer.status, answer.body.message]).toEqual([path, 422, message]);
  }
  expect((await post("/v1/events/dead-letters/drop?all=true", {})).status).toBe(422);
  expect([...listener.asked, ...logger.asked]).toEqual([]);
});

test("what the owner refuses is told in its words; its own troubles are 502, 503 and 504 with a time to try again", async () => {
  const { listener, post, call } = await operators();
  for (const [status, expected] of [
    [409, 409],
    [422, 422],
    [404, 502],
    [403, 502],
    [500, 502],
    [503, 503],
  ] as const) {
    listener.answer = () => Response.json({ error: true, message: "in its own words" }, { status });
    const answer = await post("/v1/events/dead-letters/drop", { id: "x" });
    expect([status, answer.status]).toEqual([status, expected]);
    if (expected < 500) expect(answer.body.message).toBe("in its own words");
    else expect(answer.headers.get("retry-after")).toBeTruthy();
  }
  listener.answer = () => Response.json({ error: false, message: "", data: { items: 7 } });
  expect((await call("/v1/events/queues")).status).toBe(502);
  await listener.stop();
  const away = await call("/v1/events/queues");
  expect([away.status, away.headers.has("retry-after")]).toEqual([503, true]);
});

test("with a token set: nobody else gets in, and it is the operator's doing", async () => {
  const { listener, call, post, app } = await operators({ OPERATOR_TOKEN });
  const session = await memberToken();
  for (const path of READS) {
    const none = await call(path);
    expect([none.status, none.headers.get("www-authenticate")]).toEqual([401, 'Bearer realm="platform"']);
    const wrong = await call(path, { authorization: `Bearer ${OPERATOR_TOKEN}x` });
    expect([wrong.status, wrong.headers.get("www-authenticate")]).toEqual([
      401,
      'Bearer realm="platform", error="invalid_token"',
    ]);
    const member = await call(path, { authorization: `Bearer ${session}` });
    const scope = path.startsWith("/v1/logs") ? "logs:read" : "events:read";
    expect([member.status, member.body.message, member.headers.get("www-authenticate")]).toEqual([
      403,
      `the scope ${scope} is needed`,
      `Bearer realm="platform", error="insufficient_scope", scope="${scope}"`,
    ]);
    expect((await call(path, { authorization: `Bearer ${OPERATOR_TOKEN}` })).status).toBe(200);
  }
  for (const path of DOES) {
    expect((await post(path, { nonsense: 1 })).status).toBe(401);
    expect((await post(path, { id: "x" }, { authorization: `Bearer ${OPERATOR_TOKEN}` })).status).toBe(200);
  }
  expect(new Set(listener.asked.map(({ headers }) => headers.get("x-actor")))).toEqual(new Set(["operator"]));
  expect(listener.asked.some(({ headers }) => headers.has("authorization"))).toBe(false);
  expect((await fetch(`${app.url}/openapi.json`)).status).toBe(200);
});

test("without a token: in development open and a session's user named, in production for whoever has the scope", async () => {
  const open = await operators();
  await open.call("/v1/events/queues", { authorization: `Bearer ${await sessionToken()}` });
  // Whoever shows a credential is judged by it, also where he could do without.
  expect((await open.call("/v1/events/queues", { authorization: "Bearer nonsense" })).status).toBe(401);
  expect((await open.call("/v1/events/queues", { authorization: `Bearer ${await memberToken()}` })).status).toBe(403);
  await open.call("/v1/events/queues");
  expect(open.listener.asked.map(({ headers }) => headers.get("x-actor"))).toEqual([`user:${USER.id}`, "127.0.0.1"]);

  const closed = await operators({ ENVIRONMENT: "production", RECEIPT_SECRET: "x".repeat(32), ACCESS: "open" });
  for (const path of READS) {
    expect((await closed.call(path)).status).toBe(401);
    expect((await closed.call(path, { authorization: `Bearer ${await memberToken()}` })).status).toBe(403);
    expect(closed.listener.asked).toEqual([]);
  }
  for (const path of READS)
    expect((await closed.call(path, { authorization: `Bearer ${await sessionToken()}` })).status).toBe(200);
});

test("a command under a key is done once: the same again gets its first answer, another body 422, the same meanwhile 409", async () => {
  const { listener, post } = await operators();
  const drop = (body: unknown, headers = { "idempotency-key": "k" }) =>
    post("/v1/events/dead-letters/drop", body, headers);
  const gate = Promise.withResolvers<void>();
  const answerWell = listener.answer;
  listener.answer = async (path) => (await gate.promise, answerWell(path));
  const first = drop({ limit: 10, all: true });
  await until("the listener asked", () => listener.asked.length === 1);
  const meanwhile = await drop({ all: true, limit: 10 });
  expect([meanwhile.status, meanwhile.headers.get("retry-after")]).toEqual([409, "1"]);
  gate.resolve();
  const again = [await first, await drop({ all: true, limit: 10 })];
  expect(again.map(({ status, body }) => [status, body.data])).toEqual([
    [200, OUTCOME],
    [200, OUTCOME],
  ]);
  expect(again.map(({ headers }) => headers.get("idempotent-replayed"))).toEqual([null, "true"]);
  expect((await drop({ all: true })).status).toBe(422);
  expect((await drop({ all: true }, { "idempotency-key": "" })).status).toBe(422);
  expect(listener.asked).toHaveLength(1);
  // The same key for another command is another command.
  await post("/v1/events/dead-letters/replay", {}, { "idempotency-key": "k" });
  expect(listener.asked).toHaveLength(2);
});

test("a command whose answer was lost is no answer to keep: the same again is done", async () => {
  const { listener, post } = await operators();
  const answerWell = listener.answer;
  listener.answer = () => Response.json({ error: true, message: "" }, { status: 503 });
  const headers = { "idempotency-key": "k" };
  expect((await post("/v1/events/dead-letters/replay", {}, headers)).status).toBe(503);
  listener.answer = answerWell;
  expect((await post("/v1/events/dead-letters/replay", {}, headers)).status).toBe(200);
});

test("a broker that stops leaves the owner's long work and answers, within its drain", async () => {
  const { listener, post, app } = await operators();
  listener.answer = () => new Promise(() => undefined);
  const answer = post("/v1/events/dead-letters/replay", {});
  await until("the listener asked", () => listener.asked.length === 1);
  const startedAt = performance.now();
  await app[Symbol.asyncDispose]();
  expect(performance.now() - startedAt).toBeLessThan(8_000);
  expect((await answer).status).toBe(504);
}, 30_000);
