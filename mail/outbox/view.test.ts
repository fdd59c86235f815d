/** GET /mails/:id over HTTP, on a real PostgreSQL: where a mail stands, and nothing of what it says. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { MailView } from "#contracts/mail";
import { makeValidator } from "#shared/validation";
import { makeWorld, POSTGRES_URL, type World } from "../service.test-kit.ts";

setDefaultTimeout(30_000);

const mail = { from: "me@example.com", to: "you@there.example", subject: "Test email", message: "The secret inside" };
const checked = makeValidator(MailView);

describe.skipIf(POSTGRES_URL === undefined)("GET /mails/:id (needs TEST_POSTGRES_URL)", () => {
  let world: World;
  beforeAll(async () => {
    world = await makeWorld({ RETRY_SCHEDULE_MS: "600000", SMTP_ATTEMPT_TIMEOUT_MS: "20000", SEND_WAIT_MS: "500" });
  });
  afterAll(() => world?.[Symbol.asyncDispose]());

  async function sendTo(rcpt: string, end = "250 2.0.0 taken as 42"): Promise<string> {
    Object.assign(world.double.behaviour, { rcpt, end });
    const key = Bun.randomUUIDv7();
    await world.send(mail, { "idempotency-key": key });
    return key;
  }
  async function look(id: string): Promise<{ status: number; text: string; view: MailView }> {
    const answer = await fetch(`${world.app.url}/mails/${id}`);
    const text = await answer.text();
    return { status: answer.status, text, view: (JSON.parse(text) as { data: MailView }).data };
  }

  test("a mail that was sent: its state, times and what the mail server said; nothing of its body", async () => {
    const id = await sendTo("250 ok");
    const { status, text, view } = await look(id.toUpperCase());
    expect(status).toBe(200);
    expect(checked(view)).toMatchObject({ ok: true });
    expect(view).toMatchObject({ id, state: "sent", from: mail.from, to: mail.to, subject: mail.subject, attempts: 1 });
    expect(view.reply).toEqual({ code: 250, text: "250 2.0.0 taken as 42" });
    expect(view).not.toHaveProperty("next_attempt_at");
    expect(Date.parse(view.expires_at)).toBeGreaterThan(Date.parse(view.created_at));
    expect(text).not.toContain(mail.message);
  });

  test.each([
    ["deferred", "451 4.7.1 greylisted", { code: 451, text: "451 4.7.1 greylisted", command: "RCPT TO" }],
    ["failed", "550 5.1.1 nobody", { code: 550, text: "550 5.1.1 nobody", command: "RCPT TO" }],
  ] as const)("a mail that is %s says what it was told, and when it goes on", async (state, rcpt, reply) => {
    const { view } = await look(await sendTo(rcpt));
    expect(view).toMatchObject({ state, attempts: 1, reply });
    const inMs = Date.parse(view.next_attempt_at ?? "") - Date.now();
    if (state === "deferred") expect(inMs).toBeGreaterThan(500_000);
    else expect(inMs).toBeNaN();
  });

  test("a mail whose answer never came is ambiguous; one under way is sending, without a reply", async () => {
    expect((await look(await sendTo("250 ok", "cut"))).view).toMatchObject({ state: "ambiguous", attempts: 1 });
    await world.eventually("the mail server up", async () =>
      (await world.get("/ready")).includes('"smtp","state":"up"'),
    );
    const { view } = await look(await sendTo("250 ok", "silent"));
    expect(view).toMatchObject({ state: "sending", attempts: 0 });
    expect(view).not.toHaveProperty("reply");
    world.double.say("250 at last");
    await world.until(view.id, "sent");
  });

  test("an id that is not known, and what is no id at all, are 404", async () => {
    for (const id of [Bun.randomUUIDv7(), "4711", "%00", "..%2f..", `${Bun.randomUUIDv7()}x`, "x".repeat(5_000)]) {
      const answer = await fetch(`${world.app.url}/mails/${id}`);
      expect({ id, status: answer.status, body: await answer.json() }).toEqual({
        id,
        status: 404,
        body: { error: true, message: "no such mail" },
      });
    }
  });

  test("PostgreSQL away: 503 with Retry-After, and not 404", async () => {
    const id = await sendTo("250 ok");
    await world.allowConnections(false);
    await world.eventually("not ready", async () => (await fetch(`${world.app.url}/ready`)).status === 503);
    const answer = await fetch(`${world.app.url}/mails/${id}`);
    expect(answer.status).toBe(503);
    expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
    await world.allowConnections(true);
    await world.eventually("back", async () => (await fetch(`${world.app.url}/mails/${id}`)).status === 200);
  });
});
