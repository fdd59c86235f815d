/** Statements of the outbox at which much, or somebody else, is in the way. On a real PostgreSQL. */
import postgres from "postgres";
import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { ok } from "#shared/errors";
import type { Database } from "#shared/postgres";
import { Deadline } from "#shared/resilience";
import { makeScene, NEEDS, type Scene } from "../desk/desk.test-kit.ts";
import { POSTGRES_URL } from "../service.test-kit.ts";
import { LEASE_MS } from "./leases.ts";
import { makeStore, type Store } from "./store.ts";

setDefaultTimeout(30_000);

describe.skipIf(POSTGRES_URL === undefined)(`the outbox in PostgreSQL ${NEEDS}`, () => {
  let scene: Scene;
  let store: Store;
  beforeAll(async () => {
    scene = await makeScene();
    store = makeStore(scene.database);
  });
  beforeEach(async () => {
    await scene.sql`DELETE FROM mail_messages`;
  });
  afterAll(() => scene?.[Symbol.asyncDispose]());

  const soon = (): Deadline => Deadline.after(5_000);
  const hold = { conclusive: true, resendAfterMs: undefined, limit: 2 };
  const waiting = (priority: 0 | 1 | 2 = 1): Promise<string> =>
    scene.insert({ priority, recipients: [{ state: "queued", attempt: 0 }] });

  test("mails are given up so many at once, and not those that somebody else has in hand", async () => {
    const held = await waiting();
    const others = await Promise.all([waiting(), waiting(), waiting()]);
    await scene.sql`UPDATE mail_outbox SET expires_at = now() - interval '1 s'`;
    await scene.sql.begin(async (elsewhere) => {
      await elsewhere`SELECT FROM mail_outbox WHERE id = ${held} FOR UPDATE`;
      expect(await store.sweep(hold, soon())).toMatchObject({ ok: true, value: { expired: 2 } });
      expect(await store.sweep(hold, soon())).toMatchObject({ ok: true, value: { expired: 1 } });
    });
    expect(await scene.states(held)).toEqual(["queued"]);
    for (const id of others) expect(await scene.states(id)).toEqual(["expired"]);
    expect(await store.sweep(hold, soon())).toMatchObject({ ok: true, value: { expired: 1 } });
  });

  test("a mail whose attempt went missing does not show the reply to an attempt before", async () => {
    const id = await scene.insert({
      recipients: [{ state: "sending", attempt: 1, code: 451, text: "451 greylisted", command: "RCPT TO" }],
    });
    await scene.sql`UPDATE mail_outbox SET lease_until = now() - interval '1 s', data_at = now()`;
    expect(await store.sweep(hold, soon())).toMatchObject({ ok: true, value: { ambiguous: 1 } });
    const { data } = await scene.call<{ state: string; reply: unknown }>("GET", `/mails/${id}`);
    expect(data.state).toBe("ambiguous");
    expect(data.reply).toEqual({ text: expect.stringContaining("no answer") });
  });

  test("what is due later is passed by, however much it is and however high its priority", async () => {
    const low = await waiting(2);
    const normal = await waiting(1);
    const high = await waiting(0);
    await scene.sql`UPDATE mail_outbox SET next_at = now() + interval '1 day' WHERE priority = 0`;
    await scene.sql`
      INSERT INTO mail_outbox (id, mail_id, ordinal, recipient, state, priority, next_at, expires_at)
      SELECT gen_random_uuid(), mail_id, n, recipient, state, priority, next_at + n * interval '1 s', next_at + interval '1 day'
      FROM mail_outbox, generate_series(1, 20000) n WHERE mail_id = ${high}`;
    await scene.sql`ANALYZE mail_outbox`;
    // One connection, since each keeps what it counted to itself for a while.
    const sql = postgres(scene.databaseUrl, { max: 1 });
    const query: Database["query"] = async (work) => ok(await work(sql));
    const read = async (): Promise<number> => {
      await sql`SELECT pg_stat_force_next_flush()`;
      const [row] = await sql<{ read: number }[]>`
        SELECT (idx_blks_read + idx_blks_hit)::int AS read FROM pg_statio_user_indexes WHERE indexrelname = 'mail_outbox_due'`;
      return row?.read ?? 0;
    };
    const before = await read();
    const claimed = await makeStore({ ...scene.database, query }).claim(Bun.randomUUIDv7(), 5, LEASE_MS, soon());
    const passed = (await read()) - before;
    await sql.end();
    if (!claimed.ok) throw claimed.error;
    expect(claimed.value.mails.map(({ mailId }) => mailId)).toEqual([normal, low]);
    expect(passed).toBeGreaterThan(0);
    expect(passed).toBeLessThan(25);
  });

  test("all that claims hold is given back by one statement, but for what may have been sent", async () => {
    const ids = await Promise.all([waiting(), waiting(), waiting()]);
    const claims = [Bun.randomUUIDv7(), Bun.randomUUIDv7()];
    for (const claim of claims) await store.claim(claim, 1, LEASE_MS, soon());
    await scene.sql`UPDATE mail_outbox SET data_at = now() WHERE claim = ${claims[0] ?? ""}`;
    expect(await store.release(claims, soon())).toMatchObject({ ok: true });
    const states = (await Promise.all(ids.map((id) => scene.states(id)))).flat();
    expect(states.sort()).toEqual(["queued", "queued", "sending"]);
  });
});
