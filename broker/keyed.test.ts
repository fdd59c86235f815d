/** Idempotency-Key through the broker's door: on one broker, on another, after a restart, with owners away. */
import { describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ok } from "#shared/errors";
import { makeKey, sign } from "./auth.test-kit.ts";
import { AUTH, brokers, LOG, LOGS_QUEUE, MAIL, queues, RABBITMQ, refusal, until } from "./platform.test-kit.ts";

const { platform, withGate, closing } = brokers();
const KEY = { "idempotency-key": '"key-1"' };
const OTHER_LOG = { ...LOG, log: { ...LOG.log, data: "canary-other" } };

/** A directory for a second broker's spool. */
async function spoolDir(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "broker-"));
  closing.push(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

test("the same again is answered as the first time, marked, and happens once: each action, a batch, a hit", async () => {
  const { post, handle, auth, mail, logger } = await platform();
  const requests = [
    () => handle(LOG, { "idempotency-key": "log" }),
    () => handle(AUTH, { "idempotency-key": "auth" }),
    () => handle(MAIL, { "idempotency-key": "mail" }),
    () => handle([LOG, MAIL, { action: "x" }], { "idempotency-key": "batch" }),
    () => post("/", {}, { "idempotency-key": "hit" }),
  ];
  for (const send of requests) {
    const first = await send();
    const again = await send();
    expect([again.status, again.body]).toEqual([first.status, first.body]);
    expect(again.headers.get("location")).toBe(first.headers.get("location"));
    expect([first, again].map(({ headers }) => headers.get("idempotent-replayed"))).toEqual([null, "true"]);
  }
  expect([logger.stored.length, auth.asked.length, mail.asked.length]).toEqual([2, 1, 2]);
});

test("a login that was refused is refused again; one that could not be asked is asked again", async () => {
  const { handle, auth } = await platform();
  auth.answer = () => refusal(503);
  expect((await handle(AUTH, KEY)).status).toBe(503);
  auth.answer = () => refusal(401);
  expect((await handle(AUTH, KEY)).status).toBe(401);
  const again = await handle(AUTH, KEY);
  expect([again.status, again.headers.get("idempotent-replayed")]).toEqual([401, "true"]);
  expect(auth.asked.length).toBe(2);
});

test("another body under the key is 422, while it is under way and afterwards; the same meanwhile is 409", async () => {
  const { handle, logger } = await platform();
  const gate = Promise.withResolvers<void>();
  logger.answer = async () => (await gate.promise, ok("stored"));
  const first = handle(LOG, KEY);
  await until("the logger asked", () => logger.stored.length === 1);
  const same = await handle(LOG, KEY);
  expect([same.status, same.headers.get("retry-after")]).toEqual([409, "1"]);
  expect((await handle(OTHER_LOG, KEY)).status).toBe(422);
  gate.resolve();
  expect((await first).status).toBe(202);
  expect((await handle(OTHER_LOG, KEY)).status).toBe(422);
  expect((await handle([LOG], KEY)).status).toBe(422);
  expect(logger.stored.length).toBe(1);
});

test.each(["", "x".repeat(256), "k\u00e4"])("a key %j is 422, and nothing is done", async (key) => {
  const { handle, logger } = await platform();
  expect((await handle(LOG, { "idempotency-key": key })).status).toBe(422);
  expect(logger.stored).toEqual([]);
});

test("another broker: the entry is stored once, the answer the same, another body is 422 there, too", async () => {
  const { handle, logger, startBroker } = await platform();
  const other = await startBroker({ SPOOL_DIR: await spoolDir() });
  const first = await handle(LOG, KEY);
  const again = await other.handle(LOG, KEY);
  expect([again.status, again.body]).toEqual([first.status, first.body]);
  expect(again.headers.get("idempotent-replayed")).toBe("true");
  const third = await (await startBroker({ SPOOL_DIR: await spoolDir() })).handle(OTHER_LOG, KEY);
  expect([third.status, third.body.message]).toEqual([422, "Idempotency-Key was used before for another entry"]);
  // The refusal is not the key's answer: the first request still is.
  expect((await other.handle(LOG, KEY)).status).toBe(202);
  expect(logger.byId.size).toBe(1);
});

test("the same mail by another broker has the same id, so that the mail service sends it once", async () => {
  const { handle, mail, startBroker } = await platform();
  const first = await handle(MAIL, KEY);
  const other = await (await startBroker({ SPOOL_DIR: await spoolDir() })).handle(MAIL, KEY);
  expect(other.body).toEqual(first.body);
  expect(mail.asked.map(({ headers }) => headers.get("idempotency-key"))).toEqual(
    [first, other].map(({ body }) => String(body.data?.["id"])),
  );
});

test("with the logger away the first answer is given again while it waits, and the entry arrives once", async () => {
  const { handle, logger } = await platform();
  await logger.down();
  const first = await handle(LOG, KEY);
  expect(first.body).toMatchObject({ message: "Log entry queued", data: { degraded: { logger: "spooled" } } });
  logger.up();
  await until("the entry stored", () => logger.stored.length === 1);
  const again = await handle(LOG, KEY);
  expect(again.body).toEqual(first.body);
  expect(again.headers.get("x-degraded")).toBe("logger=spooled");
  expect(logger.stored.length).toBe(1);
});

test("a key is its user's: the same key of another user or of nobody is another request", async () => {
  const { handle, logger, auth } = await platform();
  const key = await makeKey();
  auth.keys = { keys: [key.publicJwk] };
  const token = async (sub: string, livesS = 600) => ({
    ...KEY,
    authorization: `Bearer ${await sign(key, { claims: { sub }, livesS })}`,
  });
  const bodies = [];
  for (const headers of [KEY, await token("1"), await token("2"), await token("1")]) {
    const answer = await handle(LOG, headers);
    expect(answer.status).toBe(202);
    bodies.push(answer.body.data?.["receipt_id"]);
  }
  expect(new Set(bodies).size).toBe(3);
  expect(bodies[3]).toBe(bodies[1]);
  expect(logger.byId.size).toBe(3);
  // Taken for nobody's, a retry would be another request as soon as its token has expired.
  const expired = await handle(LOG, await token("1", -60));
  expect([expired.status, expired.headers.get("www-authenticate")]).toEqual([401, expect.stringContaining("Bearer")]);
  for (const authorization of ["Bearer", "Bearer a b", `bearer ${(await token("1")).authorization}`]) {
    expect([authorization, (await handle(LOG, { ...KEY, authorization })).status]).toEqual([authorization, 401]);
  }
  // Also without a key: whoever shows a credential is judged by it.
  expect((await handle(LOG, { authorization: "Bearer nonsense" })).status).toBe(401);
});

describe.skipIf(RABBITMQ === undefined)("with RabbitMQ (needs TEST_RABBITMQ_URL)", () => {
  const { messageOf, named } = queues();

  test("a restart in between, the logger away the first time: what is queued and what is stored is one entry", async () => {
    const { handle, logger, app, startBroker } = await withGate();
    await logger.down();
    const first = await handle(LOG, KEY);
    expect(first.headers.get("x-degraded")).toBe("logger=queued");
    await app[Symbol.asyncDispose]();
    logger.up();
    const again = await (await startBroker()).handle(LOG, KEY);
    expect(again.body.message).toBe("Logged via RPC: Processing succeeded");
    expect(again.body.data?.["receipt_id"]).toBe(first.body.data?.["receipt_id"]);
    const queued = await messageOf(LOGS_QUEUE, named("n"));
    expect(queued.properties.messageId).toBe(String(again.body.data?.["receipt_id"]));
    // One id, two numbers: the logger stores one and voids the other.
    expect(queued.properties.headers?.["x-producer"]).not.toBe(logger.stored.at(-1)?.producer?.id);
  });
});
