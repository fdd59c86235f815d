/** GET /mails and GET /mails/:id/content on a real PostgreSQL. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type MailContent, MailPage, type MailState } from "#contracts/mail";
import type { Sql } from "#shared/postgres";
import { makeValidator } from "#shared/validation";
import { htmlOf } from "../message/message.ts";
import { POSTGRES_URL } from "../service.test-kit.ts";
import { makeScene, NEEDS, type Reply, type Scene } from "./desk.test-kit.ts";
import { type Filter, pageStatement } from "./store.ts";

setDefaultTimeout(60_000);
const checked = makeValidator(MailPage, { unknown: "refuse" });

describe.skipIf(POSTGRES_URL === undefined)(`GET /mails ${NEEDS}`, () => {
  let scene: Scene;
  beforeAll(async () => {
    scene = await makeScene();
  });
  afterAll(() => scene?.[Symbol.asyncDispose]());

  const list = (query: Record<string, string> = {}): Promise<Reply<MailPage>> =>
    scene.call<MailPage>("GET", `/mails?${new URLSearchParams(query).toString()}`);
  const idsOf = async (query: Record<string, string>): Promise<string[]> =>
    (await list(query)).data.items.map(({ id }) => id);

  test("newest first; a filter holds of one recipient, and all that is given has to", async () => {
    const old = await scene.insert({
      at: "2020-01-01T00:00:00Z",
      from: "Shop@filter.example",
      list: "news",
      content: { template: { name: "newsletter", version: 1, locale: "en" } },
      recipients: [
        { address: "Ann@filter.example", state: "sent" },
        { address: "bob@filter.example", state: "failed", code: 550, text: "550 no" },
      ],
    });
    const middle = await scene.insert({ at: "2020-01-02T00:00:00Z", recipients: [{ address: "ann@filter.example" }] });
    const recent = await scene.insert({
      at: "2020-01-03T00:00:00Z",
      from: "shop@filter.example",
      recipients: [{ address: "ann@filter.example", state: "failed" }],
    });
    expect(await idsOf({ until: "2021-01-01T00:00:00Z" })).toEqual([recent, middle, old]);
    expect(await idsOf({ to: "ANN@filter.example" })).toEqual([recent, middle, old]);
    expect(await idsOf({ to: "ann@filter.example", state: "sent" })).toEqual([middle, old]);
    expect(await idsOf({ to: "ann@filter.example", state: "failed" })).toEqual([recent]);
    expect(await idsOf({ to: "bob@filter.example", state: "sent" })).toEqual([]);
    expect(await idsOf({ from: "shop@filter.example" })).toEqual([recent, old]);
    expect(await idsOf({ from: "shop@filter.example", state: "sent" })).toEqual([old]);
    expect(await idsOf({ from: "shop@filter.example", state: "failed" })).toEqual([recent, old]);
    expect(await idsOf({ from: "shop@filter.example", list: "news" })).toEqual([old]);
    expect(await idsOf({ list: "news", to: "ann@filter.example", state: "sent" })).toEqual([old]);
    expect(await idsOf({ list: "other" })).toEqual([]);
    expect(await idsOf({ template: "newsletter" })).toEqual([old]);
    expect(await idsOf({ template: "newsletter", to: "bob@filter.example", state: "failed" })).toEqual([old]);
    expect(await idsOf({ template: "welcome" })).toEqual([]);
    // Its first moment is of a time, its last is not.
    expect(await idsOf({ since: "2020-01-02T01:00:00+01:00", until: "2020-01-03T00:00:00Z" })).toEqual([middle]);
    const { status, message, data, text } = await list({ to: "bob@filter.example" });
    expect([status, message, checked(data).ok]).toEqual([200, "1 mails", true]);
    expect(data).toEqual({
      items: [
        expect.objectContaining({
          id: old,
          state: "partial",
          list: "news",
          recipients: [expect.anything(), expect.anything()],
        }),
      ],
    });
    expect(data.items[0]?.recipients[0]).not.toHaveProperty("history");
    expect(text).not.toContain("secret");
  });

  test.each<[Record<string, string>, string]>([
    [{ cursor: "abc" }, "cursor is none of this list"],
    [{ cursor: Buffer.from("1 x").toString("base64url") }, "cursor is none of this list"],
    [{ cursor: "x".repeat(513) }, "cursor must be text of 1 to 512 characters"],
    [{ limit: "101" }, "limit must be a whole number of 1 to 100"],
    [{ state: "lost" }, "state must be one of queued, sending, sent"],
    [{ to: "a, b" }, "to must be one plain e-mail address"],
    [{ since: "yesterday" }, "since must be a time as 2026-01-31T12:00:00Z (RFC 3339)"],
    [{ until: "2026-02-30T00:00:00Z" }, "until must be a time as 2026-01-31T12:00:00Z (RFC 3339)"],
    [{ sort: "subject" }, "sort is not a known field"],
  ])("%j is 422", async (query, message) => {
    const { status, message: said } = await list(query);
    expect(status).toBe(422);
    expect(said).toStartWith(message);
  });

  test("500 are paged through while others arrive: each once, in order, none missed", async () => {
    // Seven of each moment, as a batch has them: only the id tells them apart.
    const mine = (
      await scene.sql<{ id: string }[]>`
        INSERT INTO mail_messages (id, content_hash, sender, subject, content, message_id, request_id, traceparent, created_at)
        SELECT gen_random_uuid(), '\\x00', 's@page.example', 'page', '{"text": ""}', '', '', '',
          timestamptz '2022-01-01Z' + (n / 7) * interval '1 ms'
        FROM generate_series(0, 499) n RETURNING id`
    ).map(({ id }) => id);
    await scene.sql`
      INSERT INTO mail_outbox (id, mail_id, ordinal, recipient, state, created_at, expires_at)
      SELECT gen_random_uuid(), m.id, n, 'r' || n || '@page.example', CASE WHEN n = 2 THEN 'failed' ELSE 'sent' END,
        m.created_at, now()
      FROM mail_messages m, generate_series(0, 2) n WHERE m.sender = 's@page.example'`;
    let more = 0;
    for (const filter of [{ until: "2023-01-01T00:00:00Z" }, { to: "r1@page.example" }, { state: "sent" }]) {
      const seen: string[] = [];
      let cursor: string | undefined;
      do {
        const { status, data } = await list({
          ...filter,
          since: "2022-01-01T00:00:00Z",
          limit: "37",
          ...(cursor ? { cursor } : {}),
        });
        expect(status).toBe(200);
        seen.push(...data.items.map(({ id }) => id));
        cursor = data.next_cursor;
        more += 1;
        await scene.insert({ at: "2022-06-01T00:00:00Z", recipients: [{ address: "r1@page.example" }] });
      } while (cursor !== undefined);
      const known = new Set(mine);
      expect(new Set(seen).size).toBe(seen.length);
      const ours = seen.filter((id) => known.has(id));
      expect(ours.toSorted()).toEqual(mine.toSorted());
      const rank = new Map(mine.map((id, index) => [id, Math.floor(index / 7)]));
      const ranks = ours.map((id) => rank.get(id) ?? -1);
      expect(ranks).toEqual(ranks.toSorted((a, b) => b - a));
    }
    expect(more).toBeGreaterThan(40);
  });

  test("microseconds tell entries apart, and a page ends between them", async () => {
    const ids: string[] = [];
    for (const micros of ["000001", "000002", "000003", "000004"]) {
      ids.push(await scene.insert({ at: `2019-01-01T00:00:00.${micros}Z` }));
    }
    const first = await list({ until: "2019-06-01T00:00:00Z", limit: "2" });
    const second = await list({ until: "2019-06-01T00:00:00Z", limit: "2", cursor: first.data.next_cursor ?? "" });
    expect([...first.data.items, ...second.data.items].map(({ id }) => id)).toEqual(ids.toReversed());
    expect(second.data).not.toHaveProperty("next_cursor");
  });

  test("what a mail looks like: its parts, HTML made from the text where it has none", async () => {
    const text = "Hello <you>\r\n\r\nhttps://example.com/?a=1&b=2\rend";
    const plain = await scene.insert({ subject: "A & B", content: { text } });
    const lines = "Hello <you>\n\nhttps://example.com/?a=1&b=2\nend";
    expect(await scene.call<MailContent>("GET", `/mails/${plain}/content`)).toMatchObject({
      status: 200,
      data: { subject: "A & B", text: lines, html: htmlOf("A & B", lines) },
    });
    const template = { name: "welcome", version: 2, locale: "de" };
    const made = await scene.insert({ content: { text: "Hallo", html: "<p>Hallo</p>", template } });
    const { data } = await scene.call<MailContent>("GET", `/mails/${made}/content`);
    expect(data).toEqual({ subject: "Test email", text: "Hallo", html: "<p>Hallo</p>", template });
  });

  /** The plan of a page, made with its values (custom) or, as of a statement that is asked often, without (generic). */
  function planOf(filter: Filter, after: boolean, kind: "custom" | "generic"): Promise<string> {
    const place = { at: "1764437000123456", key: Bun.randomUUIDv7() };
    return scene.sql.begin<string>(async (tx) => {
      const page = () => pageStatement(tx as Sql, filter, after ? place : undefined, 50);
      if (kind === "custom") return JSON.stringify(await tx`EXPLAIN (FORMAT JSON) ${page()}`);
      const { string, types } = await page().describe();
      await tx.unsafe(`SET LOCAL plan_cache_mode = force_generic_plan; PREPARE page AS ${string}`);
      const plan = await tx.unsafe(`EXPLAIN (FORMAT JSON) EXECUTE page (${types.map(() => "NULL").join()})`);
      await tx`DEALLOCATE page`;
      return JSON.stringify(plan);
    });
  }
  const tablesRead = (plan: string): string[] =>
    [...plan.matchAll(/"Node Type":"Seq Scan"[^{}]*?"Relation Name":"(\w+)"/g)].map(([, name]) => name ?? "");
  const indexesRead = (plan: string): string[] =>
    [...plan.matchAll(/"Index Name":"(\w+)"/g)].map(([, name]) => name ?? "");

  test("every filter has an index: no table is read whole", async () => {
    await scene.sql`
      INSERT INTO mail_messages (id, content_hash, sender, subject, content, message_id, request_id, traceparent, list, created_at)
      SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, '\\x00', 's' || n % 500 || '@plan.example',
        'subject', jsonb_strip_nulls(jsonb_build_object('text', repeat('x', 200), 'template',
          CASE WHEN n % 20 = 3 THEN jsonb_build_object('name', 'template' || n % 7) END)), 'm' || n, 'r', 't',
        CASE WHEN n % 10 = 0 THEN 'list' || n % 70 END, timestamptz '2025-01-01Z' + n * interval '1 second'
      FROM generate_series(1, 20000) n`;
    await scene.sql`
      INSERT INTO mail_outbox (id, mail_id, recipient, state, created_at, expires_at)
      SELECT id, id, 'r' || n % 3000 || '@plan.example',
        CASE WHEN n % 100 = 0 THEN 'failed' WHEN n % 1000 = 1 THEN 'ambiguous' ELSE 'sent' END, m.created_at, now()
      FROM mail_messages m, LATERAL (SELECT substr(message_id, 2)::int AS n) x WHERE m.traceparent = 't'`;
    await scene.sql`ANALYZE mail_messages`;
    await scene.sql`ANALYZE mail_outbox`;
    const state = (one: MailState): Filter => ({ state: one });
    const to = { to: "r7@plan.example" };
    const from = { from: "s7@plan.example" };
    const ofList = { list: "list30" };
    const ofTemplate = { template: "template3" };
    const since = { since: new Date("2025-01-01T02:00:00Z") };
    const until = { until: new Date("2025-01-01T03:00:00Z") };
    const cases: [Filter, RegExp][] = [
      [{}, /^mail_messages_newest$/],
      [state("sent"), /^mail_outbox_state$/],
      // Partial indexes have the few that are not done with.
      [state("ambiguous"), /^mail_outbox_(state|open)$/],
      [state("queued"), /^mail_outbox_(state|open|due|expiring)$/],
      [to, /^mail_outbox_recipient$/],
      [from, /^mail_messages_sender$/],
      [ofList, /^mail_messages_list$/],
      [ofTemplate, /^mail_messages_template$/],
      [{ ...ofTemplate, ...state("sent") }, /^mail_messages_template$/],
      [since, /^mail_messages_newest$/],
      [until, /^mail_messages_newest$/],
      [{ ...to, ...state("failed") }, /^mail_outbox_recipient$/],
      [{ ...from, ...state("sent") }, /^mail_messages_sender$/],
      [{ ...from, ...state("failed") }, /^mail_outbox_state$/],
      [{ ...ofList, ...state("sent") }, /^mail_messages_list$/],
      [{ ...ofList, ...from }, /^mail_messages_(list|sender)$/],
      [{ ...to, ...from, ...ofList, ...state("sent"), ...since, ...until }, /^mail_outbox_recipient$/],
    ];
    for (const [filter, index] of cases) {
      for (const kind of ["custom", "generic"] as const) {
        for (const after of [false, true]) {
          const plan = await planOf(filter, after, kind);
          const by = indexesRead(plan).some((name) => index.test(name));
          const whole = tablesRead(plan);
          expect({ filter, kind, after, by, whole }).toEqual({ filter, kind, after, by: true, whole: [] });
        }
      }
    }
    // The test can tell: without its index a filter reads on and on.
    await scene.sql`DROP INDEX mail_outbox_recipient`;
    const without = await planOf(to, false, "generic");
    expect([...indexesRead(without), ...tablesRead(without)]).not.toContain("mail_outbox_recipient");
    await scene.sql`CREATE INDEX mail_outbox_recipient ON mail_outbox (lower(recipient), created_at DESC, mail_id DESC)`;
    const found = await idsOf({ from: "s30@plan.example", list: "list30", state: "sent" });
    expect(found.length).toBeGreaterThan(0);
  });
});
