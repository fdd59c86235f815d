/** POST /send over HTTP, on a real PostgreSQL and a mail server that does what a mail server may do. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import PostalMime from "postal-mime";
import { TRICKS } from "./addresses.test-kit.ts";
import { makeWorld, POSTGRES_URL, type World } from "./service.test-kit.ts";
import type { Behaviour } from "./smtp/smtp-double.test-kit.ts";

setDefaultTimeout(30_000);
const onPostgres = test.skipIf(POSTGRES_URL === undefined);
const named = (title: string): string => `${title} (needs TEST_POSTGRES_URL)`;

const worlds: World[] = [];
afterEach(async () => {
  for (const world of worlds.splice(0)) await world[Symbol.asyncDispose]();
});
async function worldWith(env: Record<string, string> = {}, behaviour: Partial<Behaviour> = {}): Promise<World> {
  const world = await makeWorld(env, behaviour);
  worlds.push(world);
  return world;
}

const mail = { from: "me@example.com", to: "you@there.example", subject: "Test email", message: "Hello world!" };
const idOf = (answer: { data?: { id: string } }): string => answer.data?.id ?? "no id";

onPostgres(named("a mail that the server takes: 202, email sent, and it is there once"), async () => {
  const world = await worldWith();
  const answer = await world.send(mail, { "x-request-id": "request-7" });
  expect(answer).toMatchObject({ status: 202, error: false, message: "email sent to you@there.example" });
  expect(answer.data).toEqual({ id: idOf(answer), state: "sent" });
  expect(world.double.taken).toMatchObject([{ from: mail.from, to: [mail.to] }]);
  const seen = await PostalMime.parse(world.double.taken[0]?.content ?? "");
  expect(seen).toMatchObject({ subject: mail.subject, messageId: `<${idOf(answer)}@localhost>` });
  expect(seen.text?.trim()).toBe(mail.message);
  expect(seen.headers).toContainEqual(expect.objectContaining({ key: "x-request-id", value: "request-7" }));
  expect(await world.row(idOf(answer))).toMatchObject({ state: "sent", attempt: 1, smtp_code: 250 });
});

onPostgres(
  named("a mail server that is away: 202 at once, email queued; ready all the while; sent when it is back"),
  async () => {
    const world = await worldWith();
    world.double.stop();
    await world.eventually("smtp down", async () => (await world.get("/ready")).includes("ECONNREFUSED"));
    const startedAt = performance.now();
    const answers = await Promise.all(Array.from({ length: 40 }, () => world.send(mail)));
    expect(performance.now() - startedAt).toBeLessThan(4_000);
    for (const answer of answers) {
      expect(answer).toMatchObject({ status: 202, message: "email queued for you@there.example" });
      expect(answer.data?.state).toBe("queued");
      expect(await world.row(idOf(answer))).toMatchObject({ state: "queued", attempt: 0 });
    }
    expect((await fetch(`${world.app.url}/ready`)).status).toBe(200);
    const backAt = performance.now();
    world.double.start();
    await world.double.until(() => world.double.taken.length === 40);
    expect(performance.now() - backAt).toBeLessThan(5_000);
    for (const answer of answers) await world.until(idOf(answer), "sent");
    const subjects = world.double.taken.map(({ content }) => /Message-ID: (.*)/.exec(content)?.[1]);
    expect(new Set(subjects).size).toBe(40);
  },
);

onPostgres(named("put off with 4xx: queued, attempts are spent by the schedule, then it is sent"), async () => {
  const world = await worldWith({}, { rcpt: "451 4.7.1 greylisted" });
  const answer = await world.send(mail);
  expect(answer).toMatchObject({ status: 202, message: "email queued for you@there.example" });
  expect(await world.row(idOf(answer))).toMatchObject({ state: "deferred", attempt: 1, smtp_code: 451 });
  await world.eventually("a second attempt", async () => (await world.row(idOf(answer))).attempt >= 2);
  world.double.behaviour.rcpt = "250 ok";
  await world.until(idOf(answer), "sent");
  expect(world.double.taken).toHaveLength(1);
});

onPostgres(named("put off for too long: expired, and it is not tried again"), async () => {
  const world = await worldWith({ EXPIRE_AFTER_MS: "900" }, { end: "452 4.2.2 full" });
  const answer = await world.send(mail);
  await world.until(idOf(answer), "expired");
  const attempts = world.double.arrived.length;
  expect(attempts).toBeGreaterThan(1);
  // The same key again tells the end of it.
  const again = await world.send(mail, { "idempotency-key": idOf(answer) });
  expect(again).toMatchObject({ status: 422, error: true });
  expect(world.double.arrived).toHaveLength(attempts);
});

onPostgres(named("a queued mail expires too where the server stays away"), async () => {
  const world = await worldWith({ EXPIRE_AFTER_MS: "300" });
  world.double.stop();
  await world.eventually("smtp down", async () => (await world.get("/ready")).includes("ECONNREFUSED"));
  await world.until(idOf(await world.send(mail)), "expired");
});

onPostgres.each([
  [
    "RCPT with 550",
    { rcpt: "550 5.1.1 no such user here" },
    /^to was refused by the mail server: 550 5\.1\.1 no such user here$/,
  ],
  ["MAIL with 553", { mail: "553 5.7.1 not your\u0007 name" }, /^from was refused by the mail server: 553/],
  ["the content with 554", { end: "554 5.6.0 spam" }, /^the mail was refused by the mail server: 554 5\.6\.0 spam$/],
] as const)(
  `a server that refuses %s for good: 422 with its words (needs TEST_POSTGRES_URL)`,
  async (_title, behaviour, message) => {
    const world = await worldWith({}, behaviour);
    const key = Bun.randomUUIDv7();
    const answer = await world.send(mail, { "idempotency-key": key });
    expect(answer).toMatchObject({ status: 422, error: true });
    expect(answer.message).toMatch(message);
    expect(answer.message).toMatch(/^[\x20-\x7e]*$/);
    expect(await world.row(key)).toMatchObject({ state: "failed", attempt: 1 });
    Object.assign(world.double.behaviour, { rcpt: "250 ok", mail: "250 ok", end: "250 ok" });
    expect(await world.send(mail, { "idempotency-key": key })).toMatchObject({ status: 422, message: answer.message });
    expect(world.double.taken).toHaveLength(0);
  },
);

onPostgres(named("421 in the middle: no attempt is spent, and it is sent within seconds"), async () => {
  const world = await worldWith({}, { mail: "421 4.3.2 shutting down" });
  const answer = await world.send(mail);
  expect(answer).toMatchObject({ status: 202, message: "email queued for you@there.example" });
  expect(await world.row(idOf(answer))).toMatchObject({ state: "queued", attempt: 0 });
  world.double.behaviour.mail = "250 ok";
  await world.until(idOf(answer), "sent");
});

onPostgres(named("cut after the content: ambiguous, kept, and not sent again"), async () => {
  const world = await worldWith({}, { end: "cut" });
  const answer = await world.send(mail);
  expect(answer).toMatchObject({ status: 202, message: "email queued for you@there.example" });
  expect(answer.data?.state).toBe("ambiguous");
  world.double.behaviour.end = "250 ok";
  const other = await world.send(mail);
  expect(other.data?.state).toBe("sent");
  expect(world.double.arrived).toHaveLength(2);
  expect(await world.row(idOf(answer))).toMatchObject({ state: "ambiguous", attempt: 1 });
});

onPostgres(named("a server slower than the wait: queued in time, and sent by the same attempt"), async () => {
  const world = await worldWith({ SEND_WAIT_MS: "200", SMTP_ATTEMPT_TIMEOUT_MS: "20000" }, { end: "silent" });
  const startedAt = performance.now();
  const answer = await world.send(mail);
  expect(performance.now() - startedAt).toBeLessThan(1_500);
  expect(answer).toMatchObject({ status: 202, message: "email queued for you@there.example" });
  expect((await world.row(idOf(answer))).state).toBe("sending");
  world.double.say("250 at last");
  expect(await world.until(idOf(answer), "sent")).toMatchObject({ attempt: 1, smtp_text: "250 at last" });
});

onPostgres(
  named("the same key and mail again, also at the same time and at another replica: one mail, the same answer"),
  async () => {
    const world = await worldWith();
    const other = await world.replica();
    for (const key of [Bun.randomUUIDv7(), "order-4711", '"quoted"']) {
      const before = world.double.taken.length;
      const urls = Array.from({ length: 12 }, (_, index) => (index % 2 === 0 ? world.app.url : other.url));
      const answers = await Promise.all(urls.map((url) => world.send(mail, { "idempotency-key": key }, url)));
      for (const answer of answers) {
        expect(answer).toMatchObject({ status: 202, message: "email sent to you@there.example" });
        expect(answer.data).toEqual({ id: idOf(answers[0] ?? {}), state: "sent" });
      }
      expect(world.double.taken).toHaveLength(before + 1);
    }
  },
);

onPostgres(
  named("a key that is a UUID is the id; the same key with another mail is 422 and nothing is sent"),
  async () => {
    const world = await worldWith();
    const key = crypto.randomUUID();
    expect(idOf(await world.send(mail, { "idempotency-key": key.toUpperCase() }))).toBe(key);
    const changes = [{ to: "x@y.example" }, { subject: "other" }, { message: "other" }, { from: "x@y.example" }];
    for (const change of changes) {
      const answer = await world.send({ ...mail, ...change }, { "idempotency-key": key });
      expect(answer).toMatchObject({ status: 422, error: true });
    }
    expect(await world.send(mail, { "idempotency-key": "x".repeat(256) })).toMatchObject({ status: 422 });
    expect(world.double.taken).toHaveLength(1);
  },
);

onPostgres(
  named("what is not one plain address, or not a mail, is 422 and never reaches the mail server"),
  async () => {
    const world = await worldWith();
    for (const to of TRICKS) {
      const answer = await world.send({ ...mail, to });
      expect({ to, status: answer.status, error: answer.error }).toEqual({ to, status: 422, error: true });
      expect(answer.message).toContain("to must be one plain e-mail address");
      expect((await world.send({ ...mail, from: to })).status).toBe(422);
    }
    const wrong = [
      { ...mail, to: [] },
      { ...mail, to: [mail.to, "a@b.example, c@d.example"] },
      { ...mail, cc: "c@d.example" },
      { ...mail, bcc: ["a@b.example\r\nBcc: c@d.example"] },
      { ...mail, reply_to: "Ann <a@b.example>" },
      { ...mail, attachments: [{ path: "/etc/passwd" }] },
      { ...mail, headers: { Bcc: "c@d.example" } },
      { ...mail, to: { address: mail.to } },
      { ...mail, to: null },
      { ...mail, subject: "a\r\nBcc: c@d.example" },
      { ...mail, subject: "a\nb" },
      { ...mail, subject: "x".repeat(999) },
      { ...mail, message: "a\0b" },
      { ...mail, message: { path: "/etc/passwd" } },
      { ...mail, message: { href: "http://127.0.0.1/" } },
      { from: mail.from, to: mail.to, subject: "" },
      [],
      "text",
    ];
    for (const body of wrong) expect((await world.send(JSON.stringify(body))).status).toBe(422);
    expect((await world.send("{")).status).toBe(400);
    expect((await world.send(mail, { "content-type": "text/plain" })).status).toBe(415);
    expect((await world.send(JSON.stringify({ ...mail, message: "x".repeat(1_048_576) }))).status).toBe(413);
    expect((await fetch(`${world.app.url}/send`)).status).toBe(405);
    expect(world.double.rcptLines).toHaveLength(0);
    const [rows] = await world.sql`SELECT count(*)::int AS rows FROM mail_outbox`;
    expect(rows).toEqual({ rows: 0 });
  },
);

onPostgres(
  named("fields that are not known are ignored by POST /send, at any level, and refused by POST /mails"),
  async () => {
    const world = await worldWith();
    const attachment = { filename: "a.txt", content_type: "text/plain", content: "aGVsbG8=" };
    const extra = {
      path: "/etc/passwd",
      raw: "Bcc: c@d.example",
      envelope: { to: "c@d.example" },
      attachments: [{ ...attachment, path: "/etc/passwd", href: "http://127.0.0.1/" }],
    };
    const answer = await world.send({ ...mail, ...extra });
    expect(answer.status).toBe(202);
    expect(world.double.rcptLines).toEqual([`RCPT TO:<${mail.to}>`]);
    const [row] = await world.sql`SELECT content FROM mail_messages WHERE id = ${idOf(answer)}`;
    expect(row?.["content"]).toEqual({ to: [mail.to], text: mail.message, attachments: [attachment] });
    for (const [field, value] of Object.entries(extra)) {
      const refused = await world.send({ ...mail, [field]: value }, {}, undefined, "/mails");
      expect(refused).toMatchObject({ status: 422, message: expect.stringMatching(/ is not a known field$/) });
    }
    expect((await world.send(mail, {}, undefined, "/mails")).message).toBe("email sent to you@there.example");
    expect(world.double.rcptLines).toHaveLength(2);
  },
);

onPostgres(
  named("a lease that ran out before the content began goes back to the queue, after that it is ambiguous"),
  async () => {
    const world = await worldWith();
    world.double.stop();
    await world.eventually("smtp down", async () => (await world.get("/ready")).includes("ECONNREFUSED"));
    const [before, after, held] = (await Promise.all([1, 2, 3].map(() => world.send(mail)))).map(idOf);
    const crashed = (id: string | undefined, lease: string, begun: boolean) => world.sql`
    UPDATE mail_outbox SET state = 'sending', claim = gen_random_uuid(), lease_until = now() + ${lease}::interval,
      data_at = CASE WHEN ${begun} THEN now() END WHERE id = ${id ?? ""}`;
    await crashed(before, "-1 s", false);
    await crashed(after, "-1 s", true);
    await crashed(held, "1 hour", false);
    world.double.start();
    await world.until(before ?? "", "sent");
    await world.until(after ?? "", "ambiguous");
    expect((await world.row(held ?? "")).state).toBe("sending");
    expect(world.double.taken).toHaveLength(1);
  },
);

onPostgres(named("whoever lost the lease sends nothing"), async () => {
  const world = await worldWith({ SEND_WAIT_MS: "100", SMTP_ATTEMPT_TIMEOUT_MS: "20000" }, { data: "silent" });
  const id = idOf(await world.send(mail));
  await world.double.until(() => world.double.commands.includes("DATA"));
  await world.sql`UPDATE mail_outbox SET claim = gen_random_uuid(), lease_until = now() + interval '1 hour' WHERE id = ${id}`;
  // The server comes round, and is given nothing.
  world.double.say("354 go on");
  await world.double.until(() => world.double.open === 0);
  expect(world.double.arrived).toHaveLength(0);
  expect((await world.row(id)).state).toBe("sending");
});

onPostgres(named("two replicas on one outbox: every mail once"), async () => {
  const world = await worldWith();
  const other = await world.replica();
  world.double.stop();
  const down = (url: string) => async () => (await (await fetch(`${url}/ready`)).text()).includes("ECONNREFUSED");
  await world.eventually("smtp down", down(world.app.url));
  await world.eventually("smtp down", down(other.url));
  const many = Array.from({ length: 200 }, (_, index) => ({ ...mail, to: `user${index}@there.example` }));
  const answers: Awaited<ReturnType<World["send"]>>[] = [];
  const rest = many.entries();
  const sending = async (): Promise<void> => {
    for (const [index, one] of rest) answers.push(await world.send(one, {}, index % 2 ? other.url : world.app.url));
  };
  await Promise.all(Array.from({ length: 20 }, sending));
  expect(answers.filter((answer) => answer.status !== 202)).toEqual([]);
  world.double.start();
  await world.double.until(() => world.double.taken.length >= 200);
  for (const answer of answers) await world.until(idOf(answer), "sent");
  expect(world.double.taken).toHaveLength(200);
  expect(new Set(world.double.taken.map(({ to }) => to[0]))).toEqual(new Set(many.map(({ to }) => to)));
});

onPostgres(
  named("PostgreSQL away: 503 with Retry-After, nothing is sent, not ready; well again by itself"),
  async () => {
    const world = await worldWith();
    await world.allowConnections(false);
    await world.eventually("not ready", async () => (await fetch(`${world.app.url}/ready`)).status === 503);
    const answer = await world.send(mail);
    expect(answer).toMatchObject({ status: 503, error: true });
    expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(world.double.arrived).toHaveLength(0);
    await world.allowConnections(true);
    await world.eventually("ready", async () => (await fetch(`${world.app.url}/ready`)).status === 200);
    expect((await world.send(mail)).message).toBe("email sent to you@there.example");
  },
);

onPostgres(named("a drain finishes the attempt in hand and gives back what the server holds up"), async () => {
  const world = await worldWith({ SEND_WAIT_MS: "100", SMTP_ATTEMPT_TIMEOUT_MS: "60000" }, { end: "silent" });
  const slow = idOf(await world.send(mail));
  await world.double.until(() => world.double.arrived.length === 1);
  world.double.behaviour.rcpt = "silent";
  const stuck = idOf(await world.send(mail));
  await world.double.until(() => world.double.rcptLines.length === 2);
  const drained = world.app[Symbol.asyncDispose]();
  world.double.say("250 taken after all");
  await drained;
  expect((await world.row(slow)).state).toBe("sent");
  expect(await world.row(stuck)).toMatchObject({ state: "queued", attempt: 0 });
});

onPostgres(named("metrics count what became of mails and what waits"), async () => {
  const world = await worldWith();
  await world.send(mail);
  world.double.behaviour.rcpt = "550 no";
  await world.send(mail);
  await world.eventually("counted", async () => (await world.get("/metrics")).includes("mail_outbox_rows{"));
  const text = await world.get("/metrics");
  expect(text).toMatch(/^mail_sent_total\{result="sent",service="mail"\} 1$/m);
  expect(text).toMatch(/^mail_sent_total\{result="failed",service="mail"\} 1$/m);
  expect(text).toMatch(/^smtp_attempt_seconds_count\{.*result="sent".*\} 1$/m);
  expect(text).toMatch(/^mail_outbox_rows\{state="queued",service="mail"\} 0$/m);
  expect(text).toMatch(/^mail_oldest_queued_seconds\{service="mail"\} 0$/m);
});
