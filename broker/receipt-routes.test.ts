/** Receipts through the broker's door: each question by its own way, within its time, also when nobody answers. */
import { expect, test } from "bun:test";
import { fail, ok } from "#shared/errors";
import { AUTH, brokers, LOG, MAIL, refusal, until } from "./platform.test-kit.ts";

const { platform } = brokers();
const silence = () => new Promise<never>(() => undefined);
const AT = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);

test("an entry is stored: its receipt says where and since when, and the listener was not bothered", async () => {
  const { handle, get, receipt, listener } = await platform();
  const { headers, body } = await handle(LOG);
  const id = body.data?.["receipt_id"];
  const told = await get(headers.get("location") ?? "");
  expect([told.status, told.body]).toEqual([
    200,
    {
      error: false,
      message: "stored",
      data: {
        id,
        kind: "log",
        state: "stored",
        where: "logger",
        at: "2026-01-02T00:00:00.000Z",
        final: true,
        steps: [
          { state: "accepted", where: "broker", at: AT },
          { state: "stored", where: "logger", at: "2026-01-02T00:00:00.000Z" },
        ],
        unasked: [],
      },
    },
  ]);
  expect(told.headers.get("cache-control")).toBe("no-store");
  expect((await receipt(String(id).toUpperCase())).receipt.id).toBe(String(id));
  expect(listener.asked).toEqual([]);
});

test("an entry in the spool is spooled while it waits, and stored when it has arrived", async () => {
  const { handle, receipt, logger } = await platform();
  await logger.down();
  const id = (await handle(LOG, { "idempotency-key": "k" })).body.data?.["receipt_id"];
  const waiting = await receipt(id);
  expect(waiting.receipt).toMatchObject({
    state: "spooled",
    where: "spool",
    final: false,
    at: AT,
    steps: [{ state: "accepted", at: AT }, { state: "spooled" }],
    unasked: ["logger"],
  });
  logger.up();
  await until("stored", async () => (await receipt(id)).receipt.state === "stored");
});

test("events of a hit and a login have receipts, in the spool and in the words of the listener", async () => {
  const { post, handle, receipt, listener } = await platform();
  const hit = (await post("/", {})).headers.get("location")?.split("/").at(-1);
  expect((await receipt(hit)).receipt).toMatchObject({ kind: "event", state: "spooled" });
  const login = (await handle(AUTH)).body.data?.["receipt_id"];
  listener.answer = () =>
    Response.json({
      error: false,
      message: "",
      data: {
        found: {
          id: login,
          parked: "logs",
          routing_key: "log.INFO",
          error: "data is needed",
          attempts: 1,
          bytes: 2,
          preview: "{}",
        },
        queued: false,
        complete: true,
      },
    });
  const dead = (await receipt(login)).receipt;
  expect(dead).toMatchObject({
    kind: "event",
    state: "dead-lettered",
    where: "rabbitmq",
    reason: "data is needed",
    final: true,
  });
  expect(dead.steps.map(({ state }) => state)).toEqual(["accepted", "spooled", "dead-lettered"]);
  expect(listener.asked.at(-1)?.path).toBe(`/events/messages/${String(login)}`);
});

test("a mail is where the mail service says", async () => {
  const { handle, receipt, mail } = await platform();
  const id = String((await handle(MAIL)).body.data?.["id"]);
  const times = { created_at: "2026-01-01T00:00:00.000Z", updated_at: "2026-01-01T00:00:01.000Z" };
  mail.answer = (path) => {
    if (path !== `/mails/${id}`) return refusal(404);
    const { from, to, subject } = MAIL.mail;
    const view = {
      id,
      state: "sent",
      from,
      to,
      subject,
      attempts: 1,
      ...times,
      expires_at: times.updated_at,
      recipients: [],
      priority: "normal",
    };
    return Response.json({ error: false, message: "sent", data: view });
  };
  const told = await receipt(id);
  expect(told.receipt).toMatchObject({
    kind: "mail",
    state: "sent",
    where: "mail",
    at: times.updated_at,
    final: true,
  });
  // Whose mail it is, is not told to whoever has the id.
  expect(JSON.stringify(told.body)).not.toContain("example.com");
});

test("an id that nobody gave is 404, one that can be none and a query are 422", async () => {
  const { get, receipt, mail, logger } = await platform();
  mail.answer = () => refusal(404);
  expect((await receipt(crypto.randomUUID())).status).toBe(404);
  expect((await receipt("somebody's own id")).status).toBe(404);
  for (const odd of ["%", "%zz", "%ff"]) expect((await get(`/v1/receipts/${odd}`)).status).toBeOneOf([404, 422]);
  logger.find = () => ok([{ event_id: "x", name: "n", severity: "INFO", created_at: "2026-01-01T00:00:00.000Z" }]);
  expect((await receipt("somebody's own id")).receipt).toMatchObject({ kind: "log", state: "stored" });
  expect((await receipt("x".repeat(129))).status).toBe(422);
  expect((await get("/v1/receipts/a%00b")).status).toBe(422);
  expect((await get(`/v1/receipts/${crypto.randomUUID()}?verbose=1`)).status).toBe(422);
  expect((await get("/v1/receipts/")).status).toBe(404);
});

test("while nobody answers a receipt takes 2.5 s at most, and says who was silent", async () => {
  const { handle, receipt, logger, listener } = await platform();
  const id = (await handle(LOG)).body.data?.["receipt_id"];
  logger.find = silence;
  listener.answer = silence;
  const startedAt = performance.now();
  const told = await receipt(id);
  expect(performance.now() - startedAt).toBeLessThan(2_600);
  expect([told.status, told.receipt]).toEqual([
    200,
    expect.objectContaining({ state: "accepted", final: false, unasked: ["listener", "logger"] }),
  ]);
  const startedAgain = performance.now();
  expect((await receipt(crypto.randomUUID())).status).toBe(503);
  expect(performance.now() - startedAgain).toBeLessThan(2_600);
});

test("troubles with receipts are none of accepting: circuits are each their own, and shown", async () => {
  const { handle, get, receipt, logger } = await platform();
  const id = (await handle(LOG)).body.data?.["receipt_id"];
  const circuits = async () => {
    const { dependencies } = (await get("/ready")).body.data as { dependencies: { name: string; circuit?: string }[] };
    return Object.fromEntries(
      dependencies.flatMap(({ name, circuit }) => (circuit === undefined ? [] : [[name, circuit]])),
    );
  };
  expect(await circuits()).toEqual({ auth: "closed", logger: "closed", mail: "closed", listener: "closed" });
  logger.find = () => fail("unavailable");
  for (let asked = 0; asked < 15; asked += 1) expect((await receipt(id)).receipt.unasked).toEqual(["logger"]);
  expect(await circuits()).toMatchObject({ logger: "open" });
  expect((await handle(LOG)).body.message).toBe("Logged via RPC: Processing succeeded");
  logger.find = undefined;
  await until("the circuit closed", async () => (await receipt(id)).receipt.state === "stored", 3_000);
  expect(await circuits()).toMatchObject({ logger: "closed" });
});
