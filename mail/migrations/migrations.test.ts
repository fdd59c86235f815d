/** The schema brought up to date under rows of every kind that the version before it has left. On a real PostgreSQL. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import postgres from "postgres";
import { loadConfig } from "#shared/config";
import { makeRuntime } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { makeDatabase } from "#shared/postgres";
import { Deadline } from "#shared/resilience";
import { fields } from "../config.ts";
import { makeWorld, POSTGRES_URL, type World } from "../service.test-kit.ts";
import first from "./0001_outbox.sql" with { type: "text" };

setDefaultTimeout(30_000);

const mail = { from: "me@example.com", to: "You@There.example", subject: "Test email", message: "Hello\nworld!" };
const STATES = ["queued", "sending", "sent", "deferred", "failed", "expired", "ambiguous"] as const;

describe.skipIf(POSTGRES_URL === undefined)("migration 2 (needs TEST_POSTGRES_URL)", () => {
  let world: World;
  const ids = new Map<string, string>();
  let before: Record<string, unknown>[];

  beforeAll(async () => {
    world = await makeWorld({}, {}, async (databaseUrl) => {
      const runtime = makeRuntime("mail", silentLog, () => undefined);
      const { DATABASE_URL: url } = loadConfig("mail", fields, { DATABASE_URL: databaseUrl });
      await using database = makeDatabase({
        url,
        name: "mail",
        log: silentLog,
        metrics: runtime.metrics,
        dependency: runtime.health.dependency("postgres"),
        migrations: [{ version: 1, name: "outbox", sql: first }],
      });
      expect((await database.ready(Deadline.after(10_000))).ok).toBe(true);
      const sql = postgres(databaseUrl, { max: 1 });
      for (const state of STATES) {
        const id = Bun.randomUUIDv7();
        ids.set(state, id);
        const said = JSON.stringify([mail.from, mail.to, mail.subject, mail.message]);
        const hash = new Bun.CryptoHasher("sha256").update(said).digest();
        const row = {
          id,
          content_hash: hash,
          sender: mail.from,
          recipient: mail.to,
          subject: mail.subject,
          message: mail.message,
          message_id: `${id}@before.example`,
          request_id: `request ${state}`,
          traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
          state,
          attempt: state === "queued" ? 0 : 1,
          claim: state === "sending" || state === "ambiguous" ? Bun.randomUUIDv7() : null,
          lease_until: state === "sending" ? new Date(Date.now() + 3_600_000) : null,
          smtp_code: 250,
          smtp_text: `said of ${state}`,
          expires_at: new Date(Date.now() + 3_600_000),
        };
        await sql`INSERT INTO mail_outbox ${sql(row)}`;
      }
      before = await sql`SELECT * FROM mail_outbox ORDER BY id`;
      await sql.end();
    });
  });
  afterAll(() => world?.[Symbol.asyncDispose]());

  test("every row is a mail with one recipient and stands where it stood", async () => {
    for (const row of before.filter(({ state }) => state !== "queued" && state !== "deferred")) {
      const [after] = await world.sql`
        SELECT o.*, m.content_hash, m.sender, m.subject, m.content, m.message_id, m.request_id, m.traceparent,
          m.created_at = o.created_at AS same_age
        FROM mail_outbox o JOIN mail_messages m ON m.id = o.mail_id WHERE o.id = ${row["id"] as string}`;
      const { message, ...same } = row;
      expect(after).toMatchObject({ ...same, mail_id: row["id"], ordinal: 0, kind: "to", priority: 1, same_age: true });
      expect(after?.["content"]).toEqual({ text: message, to: [mail.to] });
    }
    expect(await world.sql`SELECT FROM mail_messages`).toHaveLength(STATES.length);
  });

  test("what waited is sent, with the Message-ID that it had", async () => {
    for (const state of ["queued", "deferred"]) {
      const id = ids.get(state) ?? "";
      await world.until(id, "sent");
      const sent = world.double.taken.find(({ content }) => content.includes(`Message-ID: <${id}@before.example>`));
      expect(sent).toMatchObject({ from: mail.from, to: [mail.to] });
      expect(sent?.content).toContain("Hello");
    }
    expect(world.double.taken).toHaveLength(2);
  });

  test("the same key and mail as before is still the same mail", async () => {
    const known = { queued: "sent", sending: "queued", sent: "sent", deferred: "sent", ambiguous: "ambiguous" };
    for (const [state, told] of Object.entries(known)) {
      const id = ids.get(state) ?? "";
      const answer = await world.send(mail, { "idempotency-key": id });
      expect({ state, ...answer }).toMatchObject({ state, status: 202, data: { id, state: told } });
    }
    for (const state of ["failed", "expired"]) {
      expect((await world.send(mail, { "idempotency-key": ids.get(state) ?? "" })).status).toBe(422);
    }
    expect((await world.send({ ...mail, subject: "Other" }, { "idempotency-key": ids.get("sent") ?? "" })).status).toBe(
      422,
    );
    expect(world.double.taken).toHaveLength(2);
  });
});
