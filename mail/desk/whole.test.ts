/** The desk in the whole service: what it shows is what was sent, and what it decides is carried out. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import PostalMime from "postal-mime";
import type { MailContent, MailPage, MailView } from "#contracts/mail";
import { makeWorld, POSTGRES_URL, type World } from "../service.test-kit.ts";
import type { Behaviour } from "../smtp/smtp-double.test-kit.ts";

setDefaultTimeout(30_000);
const onPostgres = test.skipIf(POSTGRES_URL === undefined);

const worlds: World[] = [];
afterEach(async () => {
  for (const world of worlds.splice(0)) await world[Symbol.asyncDispose]();
});
async function worldWith(env: Record<string, string> = {}, behaviour: Partial<Behaviour> = {}): Promise<World> {
  const world = await makeWorld(env, behaviour);
  worlds.push(world);
  return world;
}

const mail = {
  from: "me@example.com",
  to: "you@there.example",
  subject: "Grüße & <more>",
  message: "Hello <you>\r\n\r\nhttps://example.com/?a=1&b=2\rend",
};

interface Told<T> {
  readonly status: number;
  readonly message: string;
  readonly data: T;
}

async function call(world: World, method: string, path: string, body?: unknown): Promise<Told<never>> {
  const answer = await fetch(`${world.app.url}${path}`, {
    method,
    ...(body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
  });
  return { status: answer.status, ...((await answer.json()) as Omit<Told<never>, "status">) };
}

onPostgres("a preview has exactly the parts of the bytes that were sent (needs TEST_POSTGRES_URL)", async () => {
  const world = await worldWith();
  const { data } = await world.send(mail);
  const sent = await PostalMime.parse(world.double.taken[0]?.content ?? "");
  const { data: content }: Told<MailContent> = await call(world, "GET", `/mails/${data?.id}/content`);
  const lines = (text = ""): string => text.replaceAll("\r\n", "\n").trimEnd();
  expect({ subject: sent.subject, text: lines(sent.text), html: lines(sent.html) }).toEqual({
    subject: content.subject,
    text: lines(content.text),
    html: lines(content.html),
  });
  expect(content.subject).toBe(mail.subject);
});

onPostgres("a mail that was lost on its way is sent again at once, at one word (needs TEST_POSTGRES_URL)", async () => {
  // So slow that only the word about it can be what wakes the outbox.
  const world = await worldWith({ OUTBOX_POLL_MS: "60000" }, { end: "cut" });
  const { data } = await world.send(mail);
  const id = data?.id ?? "";
  await world.until(id, "ambiguous");
  await world.eventually("the mail server up", async () => (await world.get("/ready")).includes('"smtp","state":"up"'));
  world.double.behaviour.end = "250 taken";
  expect((await call(world, "POST", `/mails/${id}/resolve`, { as: "resend" })).status).toBe(200);
  await world.until(id, "sent");
  const { data: seen }: Told<MailView> = await call(world, "GET", `/mails/${id}`);
  expect(seen.recipients[0]?.history?.map(({ outcome }) => outcome)).toEqual(["ambiguous", "resolved", "sent"]);
  const sender: Told<MailPage> = await call(world, "GET", `/mails?from=${mail.from}&state=sent`);
  expect(sender.data.items.map((one) => one.id)).toEqual([id]);
});

onPostgres("a mail that was taken back is never sent (needs TEST_POSTGRES_URL)", async () => {
  const world = await worldWith();
  world.double.stop();
  await world.eventually("smtp down", async () => (await world.get("/ready")).includes("ECONNREFUSED"));
  const { data } = await world.send(mail);
  expect((await call(world, "POST", `/mails/${data?.id}/cancel`, {})).message).toBe("cancelled");
  world.double.start();
  const other = await world.send(mail);
  await world.until(other.data?.id ?? "", "sent");
  expect(world.double.taken).toHaveLength(1);
  expect((await world.row(data?.id ?? "")).state).toBe("cancelled");
});

onPostgres("PostgreSQL away: 503 with Retry-After, and not 404 (needs TEST_POSTGRES_URL)", async () => {
  const world = await worldWith();
  const { data } = await world.send(mail);
  await world.allowConnections(false);
  await world.eventually("not ready", async () => (await fetch(`${world.app.url}/ready`)).status === 503);
  for (const path of [`/mails/${data?.id}`, "/mails", `/mails/${data?.id}/content`, "/suppressions"]) {
    const answer = await fetch(`${world.app.url}${path}`);
    expect([path, answer.status]).toEqual([path, 503]);
    expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
  }
  await world.allowConnections(true);
  await world.eventually("back", async () => (await fetch(`${world.app.url}/mails/${data?.id}`)).status === 200);
});
