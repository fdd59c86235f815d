/** What is deleted with time and what never is, on a real PostgreSQL. */
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { MAIL_STATES } from "#contracts/mail";
import { fail, ok } from "#shared/errors";
import { silentLog } from "#shared/log";
import { keepRetention } from "./retention.ts";
import { makeWorld, POSTGRES_URL, type World } from "../service.test-kit.ts";

setDefaultTimeout(30_000);

const mail = {
  from: "me@example.com",
  to: ["a@x.example", "b@x.example"],
  subject: "Test email",
  message: "Hello world!",
};
const DAY_MS = "86400000";

test("a batch that took the database too long is halved until one is done, and grows again", async () => {
  const asked: number[] = [];
  const enough = Promise.withResolvers<void>();
  const store = {
    forget: (_olderThanMs: number | undefined, limit: number) => {
      asked.push(limit);
      if (asked.length === 4) enough.resolve();
      return Promise.resolve(limit > 100 ? fail("deadline", "the database took too long") : ok(limit));
    },
  };
  await using _kept = keepRetention({ store, log: silentLog, retentionMs: 1_000 });
  await enough.promise;
  expect(asked.slice(0, 4)).toEqual([200, 100, 200, 100]);
});

describe.skipIf(POSTGRES_URL === undefined)("retention (needs TEST_POSTGRES_URL)", () => {
  let world: World;
  afterEach(() => world[Symbol.asyncDispose]());

  /** Puts the first recipient of a mail into a state; the other one was sent it. Nothing has changed since so many days. */
  async function aged(id: string, state: string, days: number): Promise<void> {
    await world.sql`UPDATE mail_messages SET created_at = now() - ${days} * interval '1 day' WHERE id = ${id}`;
    await world.sql`
      UPDATE mail_outbox SET state = CASE WHEN ordinal = 0 THEN ${state} ELSE 'sent' END,
        updated_at = CASE WHEN ordinal = 0 THEN now() - ${days} * interval '1 day' ELSE now() - interval '3 days' END,
        created_at = now() - ${days} * interval '1 day', next_at = now() + interval '1 day', expires_at = now() + interval '2 days',
        claim = CASE WHEN ordinal = 0 AND ${state} IN ('sending', 'ambiguous') THEN gen_random_uuid() END,
        lease_until = CASE WHEN ordinal = 0 AND ${state} = 'sending' THEN now() + interval '1 hour' END
      WHERE mail_id = ${id}`;
  }
  async function someMail(): Promise<string> {
    return (await world.send(mail)).data?.id ?? "";
  }
  const ids = async (): Promise<Set<unknown>> =>
    new Set((await world.sql<{ id: string }[]>`SELECT id FROM mail_messages`).map((row) => row.id));

  test("mails that are done with go with all that belongs to them, and their keys with them; others never", async () => {
    world = await makeWorld({ RETENTION_MS: "0" });
    const kept = new Set<string>();
    const gone: string[] = [];
    for (const state of MAIL_STATES) {
      const id = await someMail();
      await aged(id, state, 4);
      if (["queued", "sending", "deferred", "ambiguous"].includes(state)) kept.add(id);
      else gone.push(id);
    }
    const young = await someMail();
    await aged(young, "sent", 0.5);
    kept.add(young);
    await world.sql`INSERT INTO mail_quotas VALUES ('a', now() - interval '3 hours', 1), ('b', now(), 1)`;
    await world.replica({ RETENTION_MS: DAY_MS });
    await world.eventually("deleted", async () => (await ids()).size === kept.size);
    expect(await ids()).toEqual(kept);
    for (const table of ["mail_outbox", "mail_events"]) {
      const rows = await world.sql`SELECT FROM ${world.sql(table)} WHERE mail_id = ANY(${gone}::uuid[])`;
      expect({ table, rows: rows.length }).toEqual({ table, rows: 0 });
    }
    expect(await world.sql`SELECT FROM mail_attempts`).toHaveLength(2 * kept.size);
    await world.eventually("hours deleted", async () => (await world.sql`SELECT FROM mail_quotas`).length === 1);
    // The same key is another mail from now on.
    const again = await world.send({ ...mail, subject: "Another" }, { "idempotency-key": gone[0] ?? "" });
    expect(again).toMatchObject({ status: 202, data: { id: gone[0] ?? "" } });
  });

  test("0 keeps all for ever", async () => {
    world = await makeWorld({ RETENTION_MS: "0" });
    const id = await someMail();
    await aged(id, "sent", 4_000);
    await world.sql`INSERT INTO mail_quotas VALUES ('a', now() - interval '3 hours', 1)`;
    await world.replica();
    await world.eventually("a look", async () => (await world.sql`SELECT FROM mail_quotas`).length === 0);
    expect(await ids()).toEqual(new Set([id]));
  });
});
