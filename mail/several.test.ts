/** Mails to several recipients, each with a life of its own; suppression, quota, times and priorities. On a real PostgreSQL. */
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { MailReply } from "#contracts/mail";
import { makeValidator } from "#shared/validation";
import { rowIdOf } from "./send.ts";
import { type Answer, makeWorld, POSTGRES_URL, type World } from "./service.test-kit.ts";
import type { Behaviour } from "./smtp/smtp-double.test-kit.ts";

setDefaultTimeout(30_000);

const mail = { from: "me@example.com", to: "you@there.example", subject: "Test email", message: "Hello world!" };
const three = { ...mail, to: ["a@x.example", "b@x.example"], bcc: ["c@x.example"] };
const idOf = (answer: Answer): string => answer.data?.id ?? "no id";
const checked = makeValidator(MailReply);

interface Kept {
  id: string;
  recipient: string;
  kind: string;
  state: string;
}
interface Noted {
  outcome: string;
  code: number | null;
  text: string | null;
  command: string | null;
  took_ms: number | null;
}

describe.skipIf(POSTGRES_URL === undefined)("mails (needs TEST_POSTGRES_URL)", () => {
  const worlds: World[] = [];
  afterEach(async () => {
    for (const world of worlds.splice(0)) await world[Symbol.asyncDispose]();
  });
  async function worldWith(env: Record<string, string> = {}, behaviour: Partial<Behaviour> = {}): Promise<World> {
    const world = await makeWorld(env, behaviour);
    worlds.push(world);
    return world;
  }
  const rowsOf = async (world: World, mailId: string): Promise<Kept[]> => world.sql<Kept[]>`
    SELECT id, recipient, kind, state FROM mail_outbox WHERE mail_id = ${mailId} ORDER BY ordinal`;
  const historyOf = async (world: World, id: string): Promise<Noted[]> => world.sql<Noted[]>`
    SELECT outcome, code, text, command, took_ms FROM mail_attempts WHERE outbox_id = ${id} ORDER BY id`;
  const smtpDown = (world: World) =>
    world.eventually("smtp down", async () => (await world.get("/ready")).includes("ECONNREFUSED"));

  test("to three recipients: three rows under one id, each handed over by itself, and nobody sees the blind copy", async () => {
    const world = await worldWith();
    const answer = await world.send(three);
    expect(answer).toMatchObject({ status: 202, message: "email sent to 3 recipients" });
    expect(checked(answer.data)).toMatchObject({ ok: true });
    expect(answer.data).toEqual({
      id: idOf(answer),
      state: "sent",
      recipients: ["a", "b", "c"].map((name) => ({ address: `${name}@x.example`, state: "sent" })),
    });
    const rows = await rowsOf(world, idOf(answer));
    expect(rows.map((row) => `${row.kind} ${row.recipient}`)).toEqual([
      "to a@x.example",
      "to b@x.example",
      "bcc c@x.example",
    ]);
    expect(rows.map(({ id }) => id)).toEqual([0, 1, 2].map((ordinal) => rowIdOf(idOf(answer), ordinal)));
    expect(new Set(world.double.taken.map(({ to }) => to.join()))).toEqual(
      new Set(["a@x.example", "b@x.example", "c@x.example"]),
    );
    for (const { content } of world.double.taken) {
      expect(content).toContain(`Message-ID: <${idOf(answer)}@localhost>`);
      expect(content).not.toContain("c@x.example");
    }
  });

  test("more recipients than places: all of them in the end, and the answer waits for them", async () => {
    const world = await worldWith({ SMTP_CONNECTIONS: "2", SEND_WAIT_MS: "10000" });
    const to = Array.from({ length: 50 }, (_, index) => `user${index}@x.example`);
    const answer = await world.send({ ...mail, to });
    expect(answer).toMatchObject({ status: 202, message: "email sent to 50 recipients" });
    expect(new Set(world.double.taken.map((one) => one.to[0]))).toEqual(new Set(to));
    expect(world.double.taken).toHaveLength(50);
  });

  test("refused for one of them: the others get it, and the answer says who does not and why", async () => {
    const rcpt = (to: string): string => (to.startsWith("b@") ? "550 5.1.1 nobody" : "250 ok");
    const world = await worldWith({}, { rcpt });
    const answer = await world.send(three);
    expect(answer).toMatchObject({ status: 202, message: "email sent to 2 of 3 recipients" });
    expect(checked(answer.data)).toMatchObject({ ok: true });
    expect(answer.data).toMatchObject({ state: "partial" });
    expect(answer.data?.recipients?.[1]).toEqual({
      address: "b@x.example",
      state: "failed",
      reason: "the recipient was refused by the mail server: 550 5.1.1 nobody",
    });
    expect((await rowsOf(world, idOf(answer))).map(({ state }) => state)).toEqual(["sent", "failed", "sent"]);
  });

  test("put off for one of them: queued, for that one", async () => {
    const rcpt = (to: string): string => (to.startsWith("b@") ? "451 later" : "250 ok");
    const world = await worldWith({ RETRY_SCHEDULE_MS: "600000" }, { rcpt });
    const answer = await world.send(three);
    expect(answer).toMatchObject({ status: 202, message: "email queued for 1 recipient", data: { state: "queued" } });
    expect(answer.data?.recipients?.map(({ state }) => state)).toEqual(["sent", "deferred", "sent"]);
  });

  test("refused for all of them: 422 that names them", async () => {
    const world = await worldWith({}, { rcpt: "550 5.1.1 nobody" });
    const answer = await world.send(three);
    expect(answer.status).toBe(422);
    expect(answer.message).toContain(
      "no recipient gets the mail: a@x.example was refused by the mail server: 550 5.1.1 nobody; b@",
    );
  });

  test("the same key and mail again, whatever the order of its keys: the same mail; another recipient: 422", async () => {
    const world = await worldWith();
    const key = Bun.randomUUIDv7();
    const headers = { "idempotency-key": key };
    const first = await world.send(three, headers);
    const turned = Object.fromEntries(Object.entries(three).toReversed());
    expect((await world.send(turned, headers, undefined, "/mails")).data).toEqual(first.data);
    expect(await world.send({ ...three, bcc: ["d@x.example"] }, headers)).toMatchObject({
      status: 422,
      message: "Idempotency-Key was used before for another mail",
    });
    expect(world.double.taken).toHaveLength(3);
  });

  test("the mail server away: queued for all, at once, and sent when it is back", async () => {
    const world = await worldWith();
    world.double.stop();
    await smtpDown(world);
    const answer = await world.send(three);
    expect(answer).toMatchObject({ status: 202, message: "email queued for 3 recipients", data: { state: "queued" } });
    world.double.start();
    await world.double.until(() => world.double.taken.length === 3);
    for (const { id } of await rowsOf(world, idOf(answer))) await world.until(id, "sent");
  });

  test("every attempt is in the history, with what the server said to it", async () => {
    const world = await worldWith({ RETRY_SCHEDULE_MS: "1" }, { rcpt: "451 4.7.1 greylisted" });
    const id = idOf(await world.send(mail));
    await world.eventually("a second attempt", async () => (await historyOf(world, id)).length >= 2);
    world.double.behaviour.rcpt = "250 ok";
    await world.until(id, "sent");
    const history = await historyOf(world, id);
    expect(history.slice(0, -1).every((one) => one.outcome === "deferred")).toBe(true);
    expect(history[0]).toMatchObject({ code: 451, text: "451 4.7.1 greylisted", command: "RCPT TO" });
    expect(history.at(-1)).toMatchObject({ outcome: "sent", code: 250, text: "250 2.0.0 taken as 42", command: null });
    expect(history.every((one) => (one.took_ms ?? -1) >= 0)).toBe(true);
    expect((await world.row(id)).attempt).toBe(history.length);
  });

  test("a server that is away leaves nothing in the history", async () => {
    const world = await worldWith({}, { greeting: "554 no service" });
    const id = idOf(await world.send(mail));
    await world.eventually("smtp down", async () => (await world.get("/ready")).includes("554"));
    expect(await world.row(id)).toMatchObject({ state: "queued", attempt: 0 });
    expect(await historyOf(world, id)).toEqual([]);
  });

  describe("suppression", () => {
    const suppress = (world: World, address: string, list = "") => world.sql`
      INSERT INTO mail_suppressions (address, list, reason) VALUES (${address}, ${list}, 'hard bounce')`;

    test("a single suppressed recipient: 422, kept as failed and told, and never said to the mail server", async () => {
      const world = await worldWith();
      await suppress(world, "you@there.example");
      const key = Bun.randomUUIDv7();
      const answer = await world.send({ ...mail, to: "You@There.example" }, { "idempotency-key": key });
      expect(answer).toMatchObject({ status: 422, message: "to is on the suppression list: hard bounce" });
      expect(await world.row(key)).toMatchObject({ state: "failed", attempt: 0, smtp_text: "suppressed: hard bounce" });
      expect(await historyOf(world, key)).toEqual([
        { outcome: "suppressed", code: null, text: "suppressed: hard bounce", command: "suppressed", took_ms: null },
      ]);
      const events = await world.sql<{ type: string }[]>`SELECT type FROM mail_events WHERE mail_id = ${key}`;
      expect(events.map(({ type }) => type)).toEqual(["mail.failed"]);
      expect(world.double.rcptLines).toEqual([]);
    });

    test("one of several: the others get it; one of a list only does not get mails of that list", async () => {
      const world = await worldWith({ PUBLIC_URL: "https://x.example", UNSUBSCRIBE_SECRET: "s".repeat(32) });
      await suppress(world, "a@x.example");
      await suppress(world, "b@x.example", "news");
      const news = await world.send({ ...three, list: "news" });
      expect(news).toMatchObject({ message: "email sent to 1 of 3 recipients", data: { state: "partial" } });
      expect(news.data?.recipients?.[0]).toEqual({
        address: "a@x.example",
        state: "failed",
        reason: "the recipient is on the suppression list: hard bounce",
      });
      expect((await world.send({ ...three, list: "offers" })).message).toBe("email sent to 2 of 3 recipients");
      expect((await world.send(three)).message).toBe("email sent to 2 of 3 recipients");
    });

    test("suppressed while it waits: failed when its turn comes", async () => {
      const world = await worldWith();
      world.double.stop();
      await smtpDown(world);
      const answer = await world.send(three);
      await suppress(world, "b@x.example");
      world.double.start();
      const [a, b, c] = await rowsOf(world, idOf(answer));
      await world.until(b?.id ?? "", "failed");
      for (const row of [a, c]) await world.until(row?.id ?? "", "sent");
      expect((await historyOf(world, b?.id ?? "")).map(({ outcome }) => outcome)).toEqual(["suppressed"]);
      expect(world.double.rcptLines).toHaveLength(2);
    });
  });

  test("the quota is exact over replicas at the same time, counts recipients, and a key again costs nothing", async () => {
    const world = await worldWith({ SENDER_QUOTA_PER_HOUR: "7" });
    const other = await world.replica();
    const body = { ...mail, to: ["a@x.example", "b@x.example"] };
    const keys = Array.from({ length: 20 }, () => Bun.randomUUIDv7());
    const asked = keys.map((key, index) => {
      const from = index % 4 < 2 ? mail.from : "ME@example.COM";
      return world.send({ ...body, from }, { "idempotency-key": key }, index % 2 ? other.url : world.app.url);
    });
    const answers = await Promise.all(asked);
    const taken = answers.filter(({ status }) => status === 202);
    expect(taken).toHaveLength(3);
    for (const refused of answers.filter(({ status }) => status !== 202)) {
      expect(refused).toMatchObject({ status: 429, message: "from has used up its 7 recipients of this hour" });
      const after = Number(refused.headers.get("retry-after"));
      expect(after).toBeGreaterThan(0);
      expect(after).toBeLessThanOrEqual(3_600);
    }
    const counted = () => world.sql<{ used: number }[]>`SELECT sum(used)::int AS used FROM mail_quotas`;
    expect(await counted()).toMatchObject([{ used: 6 }]);
    expect(await world.sql`SELECT FROM mail_messages`).toHaveLength(3);
    const again = keys.findIndex((key) => key === idOf(taken[0] as Answer));
    const from = again % 4 < 2 ? mail.from : "ME@example.COM";
    expect((await world.send({ ...body, from }, { "idempotency-key": keys[again] ?? "" })).status).toBe(202);
    expect(await counted()).toMatchObject([{ used: 6 }]);
    expect((await world.send({ ...mail, from: "else@example.com" })).status).toBe(202);
    expect((await world.send(mail)).status).toBe(202);
    expect((await world.send(mail)).status).toBe(429);
  });

  test("not allowed by configuration: 403 that names the field, and nothing is kept", async () => {
    const world = await worldWith({
      ALLOWED_SENDERS: "@example.com",
      ALLOWED_RECIPIENTS: "@x.example,you@there.example",
    });
    expect((await world.send(mail)).status).toBe(202);
    expect(await world.send({ ...mail, from: "me@evil.example" })).toMatchObject({
      status: 403,
      message: expect.stringMatching(/^from /),
    });
    expect(await world.send({ ...mail, cc: ["z@there.example"] })).toMatchObject({
      status: 403,
      message: expect.stringMatching(/^cc\[0\] /),
    });
    expect(await world.sql`SELECT FROM mail_messages`).toHaveLength(1);
  });

  test("send_at: not before, with that Date, and its age counts from then", async () => {
    const world = await worldWith({ EXPIRE_AFTER_MS: "3600000" });
    const at = new Date(Math.ceil(Date.now() / 1_000) * 1_000 + 1_000);
    const answer = await world.send({ ...mail, send_at: at.toISOString() });
    expect(answer).toMatchObject({
      status: 202,
      message: "email queued for you@there.example",
      data: { state: "queued" },
    });
    const [row] = await world.sql<{ next_at: Date; expires_at: Date }[]>`SELECT next_at, expires_at FROM mail_outbox`;
    expect(row).toEqual({ next_at: at, expires_at: new Date(at.getTime() + 3_600_000) });
    expect((await world.send(mail)).data?.state).toBe("sent");
    await world.until(idOf(answer), "sent");
    const [sent] = await world.sql<
      { updated_at: Date }[]
    >`SELECT updated_at FROM mail_outbox WHERE id = ${idOf(answer)}`;
    expect(sent?.updated_at.getTime()).toBeGreaterThanOrEqual(at.getTime());
    const date = /^Date: (.*)\r$/m.exec(world.double.taken.at(-1)?.content ?? "")?.[1] ?? "";
    expect(new Date(date)).toEqual(at);
    const [metric] = (await world.get("/metrics")).match(/^mail_oldest_queued_seconds.*$/m) ?? [];
    expect(metric).toMatch(/ 0$/);
  });

  test("high before normal before low, whatever came first", async () => {
    const world = await worldWith({ SMTP_CONNECTIONS: "1" });
    world.double.stop();
    await smtpDown(world);
    for (const priority of ["low", "normal", "high", "low", "high"]) {
      await world.send({ ...mail, to: `${priority}@x.example`, priority });
    }
    world.double.start();
    await world.double.until(() => world.double.taken.length === 5);
    expect(world.double.taken.map(({ to }) => to[0]?.split("@")[0])).toEqual(["high", "high", "normal", "low", "low"]);
  });

  test("another replica is told of what waits here, and does not have to look", async () => {
    const world = await worldWith(
      { SMTP_CONNECTIONS: "1", OUTBOX_POLL_MS: "60000", SEND_WAIT_MS: "20000", SMTP_ATTEMPT_TIMEOUT_MS: "25000" },
      { end: "silent" },
    );
    await world.replica();
    const stuck = world.send({ ...mail, to: "stuck@x.example" });
    await world.double.until(() => world.double.arrived.length === 1);
    world.double.behaviour.end = "250 ok";
    const startedAt = performance.now();
    // The only place of this replica is taken; the answer tells what the other one did.
    expect((await world.send(mail)).message).toBe("email sent to you@there.example");
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    world.double.say("250 at last");
    expect((await stuck).message).toBe("email sent to stuck@x.example");
  });

  test("AMBIGUOUS_POLICY=resend: sent again with the same Message-ID, and both are in the history", async () => {
    const world = await worldWith({ AMBIGUOUS_POLICY: "resend", RETRY_SCHEDULE_MS: "300" }, { end: "cut" });
    const answer = await world.send(mail);
    expect(answer.data?.state).toBe("queued");
    world.double.behaviour.end = "250 ok";
    await world.until(idOf(answer), "sent");
    expect((await historyOf(world, idOf(answer))).map(({ outcome }) => outcome)).toEqual(["ambiguous", "sent"]);
    const [first, second] = world.double.arrived.map(({ content }) => content);
    expect(second).toBe(first ?? "");
    expect(first).toContain(`Message-ID: <${idOf(answer)}@localhost>`);
  });

  test("AMBIGUOUS_POLICY=resend: too late for another attempt, it stays ambiguous and is not said to be expired", async () => {
    const world = await worldWith(
      { AMBIGUOUS_POLICY: "resend", RETRY_SCHEDULE_MS: "60000", EXPIRE_AFTER_MS: "5000" },
      { end: "cut" },
    );
    expect((await world.send(mail)).data?.state).toBe("ambiguous");
  });

  test("a lease that ran out is in the history: ambiguous once its content had begun, else interrupted", async () => {
    for (const policy of ["hold", "resend"]) {
      const world = await worldWith({ AMBIGUOUS_POLICY: policy });
      world.double.stop();
      await smtpDown(world);
      const [before = "", after = ""] = (await Promise.all([world.send(mail), world.send(mail)])).map(idOf);
      for (const id of [before, after]) {
        await world.sql`UPDATE mail_outbox SET state = 'sending', claim = gen_random_uuid(),
          lease_until = now() - interval '1 s', data_at = CASE WHEN ${id === after} THEN now() END WHERE id = ${id}`;
      }
      await world.until(before, "queued");
      await world.until(after, policy === "hold" ? "ambiguous" : "deferred");
      expect((await historyOf(world, before)).map(({ outcome }) => outcome)).toEqual(["interrupted"]);
      expect((await historyOf(world, after)).map(({ outcome }) => outcome)).toEqual(["ambiguous"]);
    }
  });

  test("what was cancelled while it waited is not sent, and the key again says so", async () => {
    const world = await worldWith();
    world.double.stop();
    await smtpDown(world);
    const key = Bun.randomUUIDv7();
    await world.send(mail, { "idempotency-key": key });
    await world.sql`UPDATE mail_outbox SET state = 'cancelled', updated_at = now() WHERE id = ${key} AND state IN ('queued', 'deferred')`;
    world.double.start();
    await world.eventually("smtp up", async () => (await world.get("/ready")).includes('"smtp","state":"up"'));
    expect(await world.send(mail, { "idempotency-key": key })).toMatchObject({
      status: 422,
      message: "the mail was cancelled",
    });
    expect((await world.send(mail)).data?.state).toBe("sent");
    expect(world.double.taken).toHaveLength(1);
  });
});
