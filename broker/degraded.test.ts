/** What the broker does instead while a neighbour is away: queue, spool, forward; with a real RabbitMQ behind a gate. */
import { describe, expect, test } from "bun:test";
import { jobQueueOf, MAIL_JOB } from "#contracts/events";
import {
  AUTH,
  brokers,
  LOG,
  LOGS_QUEUE,
  MAIL,
  queues,
  RABBITMQ,
  refusal,
  until,
  USER,
  UUID7,
} from "./platform.test-kit.ts";

const { platform, withGate } = brokers();

test("logger and RabbitMQ away: on disk, said so, and handed on under the same id when the logger is back", async () => {
  const { handle, post, logger, app } = await platform();
  await logger.down();
  const answers = await Promise.all([handle(LOG), handle(LOG), handle([LOG, { action: "x" }])]);
  expect(answers.map(({ status }) => status)).toEqual([202, 202, 207]);
  expect(answers[0]?.body).toEqual({
    error: false,
    message: "Log entry queued",
    data: { receipt_id: expect.stringMatching(UUID7), degraded: { logger: "spooled" } },
  });
  for (const { headers } of answers) expect(headers.get("x-degraded")).toBe("logger=spooled");
  expect((await post("/", {})).status).toBe(200);
  // It still accepts, so it is ready; and it says what is away.
  const ready = await fetch(`${app.url}/ready`);
  expect(ready.status).toBe(200);
  expect(await ready.json()).toMatchObject({
    data: { dependencies: expect.arrayContaining([expect.objectContaining({ name: "logger", state: "down" })]) },
  });
  logger.up();
  await until("three entries stored", () => logger.stored.length >= 3);
  expect(new Set(logger.stored.map(({ event_id }) => event_id)).size).toBe(3);
  expect(logger.byId.has(String(answers[0]?.body.data?.["receipt_id"]))).toBe(true);
  // The hit, which waits for RabbitMQ, has a number, too.
  expect(new Set(logger.stored.map(({ producer }) => producer?.sequence))).toEqual(new Set([1, 2, 3]));
});

describe.skipIf(RABBITMQ === undefined)("with RabbitMQ (needs TEST_RABBITMQ_URL)", () => {
  const { messageOf, named } = queues();

  test("a hit and a login are events", async () => {
    const { post, handle } = await withGate();
    expect(await post("/", {})).toMatchObject({ status: 200, body: { error: false, message: "Hit the Broker" } });
    expect((await handle(AUTH)).status).toBe(202);
    const hit = await messageOf(LOGS_QUEUE, named("broker_hit"));
    expect(hit.fields.routingKey).toBe("log.INFO");
    expect(hit.properties).toMatchObject({
      contentType: "application/json",
      deliveryMode: 2,
      messageId: expect.stringMatching(UUID7),
      headers: { traceparent: expect.stringMatching(/^00-/), "x-created-at": expect.stringMatching(/Z$/) },
    });
    const login = await messageOf(LOGS_QUEUE, named("authentication"));
    expect(JSON.parse(login.content.toString())).toEqual({ name: "authentication", data: `${USER.email} logged in` });
  });

  test("a login that is refused is no event", async () => {
    const { handle, auth, post } = await withGate();
    auth.answer = () => refusal(401);
    expect((await handle(AUTH)).status).toBe(401);
    await post("/", {});
    const next = await messageOf(LOGS_QUEUE, () => true);
    expect(named("broker_hit")(next)).toBe(true);
  });

  test("logger away: the entry is in the queue, whole, under its id and with the time of its acceptance", async () => {
    const { handle, logger } = await withGate();
    await logger.down();
    const before = Date.now();
    const { status, body, headers } = await handle(LOG);
    expect([status, body]).toEqual([
      202,
      {
        error: false,
        message: "Log entry queued",
        data: { receipt_id: expect.stringMatching(UUID7), degraded: { logger: "queued" } },
      },
    ]);
    expect(headers.get("x-degraded")).toBe("logger=queued");
    const message = await messageOf(LOGS_QUEUE, named("n"));
    expect(message.fields.routingKey).toBe("log.WARNING");
    expect(JSON.parse(message.content.toString())).toEqual({ name: "n", data: LOG.log.data });
    expect(message.properties.messageId).toBe(body.data?.["receipt_id"]);
    expect(message.properties.headers).toMatchObject({
      "x-producer": expect.stringMatching(/^broker-[0-9a-f-]{36}$/),
      "x-sequence": 1,
    });
    const acceptedAt = Date.parse(String(message.properties.headers?.["x-created-at"]));
    expect(acceptedAt).toBeGreaterThanOrEqual(before);
    expect(acceptedAt).toBeLessThanOrEqual(Date.now());
  });

  test("an entry that the logger stored without an answer is queued under the id that it has there", async () => {
    const { handle, logger } = await withGate();
    logger.answer = () => new Promise(() => undefined);
    const { body, tookMs } = await handle(LOG);
    expect(body.message).toBe("Log entry queued");
    expect(tookMs).toBeLessThan(4_000);
    const message = await messageOf(LOGS_QUEUE, named("n"));
    expect(new Set([message.properties.messageId, ...logger.stored.map(({ event_id }) => event_id)]).size).toBe(1);
  });

  test("RabbitMQ away: a hit is a hit, and an entry is on disk; both are handed on when RabbitMQ is back", async () => {
    const { gate, post, handle, logger, isUp } = await withGate();
    gate.shut();
    await until("the loss noticed", () => !isUp("rabbitmq")());
    expect((await post("/", {})).status).toBe(200);
    await logger.down();
    expect((await handle(LOG)).headers.get("x-degraded")).toBe("logger=spooled");
    gate.open();
    const hit = await messageOf(LOGS_QUEUE, named("broker_hit"));
    expect(hit.properties.messageId).toMatch(UUID7);
    const entry = await messageOf(LOGS_QUEUE, named("n"));
    expect([entry.fields.routingKey, JSON.parse(entry.content.toString())]).toEqual([
      "log.WARNING",
      { name: "n", data: LOG.log.data },
    ]);
  });

  test("mail service away: a job, under the id that was tried before", async () => {
    const { handle, mail } = await withGate();
    mail.answer = () => refusal(503);
    const { status, body, headers } = await handle(MAIL);
    const id = String(body.data?.["id"]);
    expect([status, body]).toEqual([
      202,
      {
        error: false,
        message: "Message queued for canary-to@example.com",
        data: { id, receipt_id: id, degraded: { mail: "queued" } },
      },
    ]);
    expect(headers.get("x-degraded")).toBe("mail=queued");
    expect(new Set(mail.asked.map((asked) => asked.headers.get("idempotency-key")))).toEqual(new Set([id]));
    const job = await messageOf(jobQueueOf(MAIL_JOB), (message) => message.properties.messageId === id);
    expect(JSON.parse(job.content.toString())).toEqual(MAIL.mail);
  });

  test("the same of a mail with all that it may have, which goes on as it came", async () => {
    const { post, mail, receipt, listener } = await withGate();
    mail.answer = () => refusal(503);
    const letter = {
      from: "a@example.com",
      to: ["canary-to@example.com", "canary-two@example.com"],
      template: { name: "alert", variables: { rows: [{ text: "canary-variable" }] } },
      attachments: [{ filename: "a.txt", content_type: "text/plain", content: "MTcK" }],
      send_at: "2099-01-01T00:00:00Z",
    };
    const { status, body, headers } = await post("/v1/mails", letter);
    const id = String(body.data?.["id"]);
    expect([status, body]).toEqual([
      202,
      {
        error: false,
        message: "Message queued for 2 recipients",
        data: { id, state: "queued", receipt_id: id, degraded: { mail: "queued" } },
      },
    ]);
    expect([headers.get("x-degraded"), headers.get("location")]).toEqual(["mail=queued", `/v1/receipts/${id}`]);
    const job = await messageOf(jobQueueOf(MAIL_JOB), (message) => message.properties.messageId === id);
    expect(JSON.parse(job.content.toString())).toEqual(letter);
    listener.answer = () =>
      Response.json({ error: false, message: "", data: { found: null, queued: true, complete: true } });
    expect((await receipt(id)).receipt).toMatchObject({ kind: "mail", state: "queued", where: "rabbitmq" });
  });
});
