/** How recipients make the mail's state, and GET /mails/:id on a real PostgreSQL. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { MAIL_STATES, type MailState, type MailSum, MailView } from "#contracts/mail";
import { makeValidator } from "#shared/validation";
import { makeScene, NEEDS, type Scene } from "./desk.test-kit.ts";
import { POSTGRES_URL } from "../service.test-kit.ts";
import { sumOf } from "../outbox/states.ts";

setDefaultTimeout(30_000);

/** Rows and columns in this order; the table is read like the contract's sentence, not made by the code under test. */
const ORDER = [
  "sending",
  "queued",
  "deferred",
  "ambiguous",
  "sent",
  "failed",
  "expired",
  "bounced",
  "cancelled",
] as const;
const [S, Q, D, A, P] = ["sending", "queued", "deferred", "ambiguous", "partial"] as const;
const [T, F, E, B, C] = ["sent", "failed", "expired", "bounced", "cancelled"] as const;
const PAIRS: Readonly<Record<(typeof ORDER)[number], readonly MailSum[]>> = {
  sending: [S, S, S, S, S, S, S, S, S],
  queued: [S, Q, Q, Q, Q, Q, Q, Q, Q],
  deferred: [S, Q, D, D, D, D, D, D, D],
  ambiguous: [S, Q, D, A, A, A, A, A, A],
  sent: [S, Q, D, A, T, P, P, P, P],
  failed: [S, Q, D, A, P, F, F, F, F],
  expired: [S, Q, D, A, P, F, E, E, E],
  bounced: [S, Q, D, A, P, F, E, B, B],
  cancelled: [S, Q, D, A, P, F, E, B, C],
};

test("the sum of any two states", () => {
  expect([...ORDER].sort()).toEqual([...MAIL_STATES].sort());
  for (const [row, one] of ORDER.entries()) {
    for (const [column, other] of ORDER.entries()) {
      const sum = PAIRS[one][column];
      expect([one, other, sumOf([one, other])]).toEqual([one, other, sum as MailSum]);
      expect([one, other, PAIRS[ORDER[column] as (typeof ORDER)[number]][row]]).toEqual([one, other, sum as MailSum]);
    }
  }
  for (const state of MAIL_STATES) expect(sumOf([state])).toBe(state);
  expect(sumOf(["failed", "sent", "queued"] satisfies MailState[])).toBe("queued");
  expect(sumOf(["cancelled", "sent", "sent"] satisfies MailState[])).toBe("partial");
});

const checked = makeValidator(MailView, { unknown: "refuse" });

describe.skipIf(POSTGRES_URL === undefined)(`GET /mails/:id ${NEEDS}`, () => {
  let scene: Scene;
  beforeAll(async () => {
    scene = await makeScene();
  });
  afterAll(() => scene?.[Symbol.asyncDispose]());

  async function look(id: string): Promise<{ status: number; text: string; message: string; view: MailView }> {
    const { status, text, message, data } = await scene.call<MailView>("GET", `/mails/${id}`);
    return { status, text, message, view: data };
  }

  test("its state, times and what the mail server said, each recipient with its history; nothing of its text", async () => {
    const id = await scene.insert({
      list: "news",
      priority: 0,
      content: {
        html: "<p>secret too</p>",
        template: { name: "welcome", version: 2, locale: "de" },
        attachments: [
          { filename: "a.pdf", content_type: "application/pdf", content: "QUJD" },
          { filename: "b.txt", content_type: "text/plain", content: "QUJDRA==" },
          { filename: "c.txt", content_type: "text/plain", content: "" },
        ],
      },
      recipients: [
        { state: "sent", code: 250, text: "250 2.0.0 taken as 42" },
        {
          address: "bob@there.example",
          kind: "bcc",
          state: "deferred",
          attempt: 2,
          code: 451,
          text: "451 later",
          command: "RCPT TO",
        },
      ],
    });
    await scene.sql`
      INSERT INTO mail_attempts (outbox_id, at, outcome, code, text, command, took_ms)
      SELECT id, timestamptz '2026-01-01T00:00:00Z', 'deferred', 451, '451 later', 'RCPT TO', 12 FROM mail_outbox
      WHERE mail_id = ${id} AND ordinal = 1
      UNION ALL SELECT id, '2026-01-01T00:01:00Z', 'away', NULL, 'no session', NULL, NULL FROM mail_outbox
      WHERE mail_id = ${id} AND ordinal = 1`;
    const { status, text, message, view } = await look(id.toUpperCase());
    expect([status, message]).toEqual([200, "deferred"]);
    expect(checked(view)).toMatchObject({ ok: true });
    expect(view).toMatchObject({
      id,
      state: "deferred",
      from: "me@example.com",
      to: "bob@there.example",
      subject: "Test email",
      attempts: 2,
      reply: { code: 451, text: "451 later", command: "RCPT TO" },
      priority: "high",
      list: "news",
      template: { name: "welcome", version: 2, locale: "de" },
      trace_id: "0af7651916cd43dd8448eb211c80319c",
      attachments: [
        { filename: "a.pdf", content_type: "application/pdf", bytes: 3 },
        { filename: "b.txt", content_type: "text/plain", bytes: 4 },
        { filename: "c.txt", content_type: "text/plain", bytes: 0 },
      ],
    });
    expect(view.recipients).toHaveLength(2);
    expect(view.recipients[0]).toMatchObject({ address: "you@there.example", kind: "to", state: "sent", history: [] });
    expect(view.recipients[0]?.reply).toEqual({ code: 250, text: "250 2.0.0 taken as 42" });
    expect(view.recipients[0]).not.toHaveProperty("next_attempt_at");
    expect(view.recipients[1]).toMatchObject({ address: "bob@there.example", kind: "bcc" });
    expect(view.recipients[1]?.history).toEqual([
      {
        at: "2026-01-01T00:00:00.000Z",
        outcome: "deferred",
        reply: { code: 451, text: "451 later", command: "RCPT TO" },
        took_ms: 12,
      },
      { at: "2026-01-01T00:01:00.000Z", outcome: "away", reply: { text: "no session" } },
    ]);
    expect(view.next_attempt_at).toBe(view.recipients[1]?.next_attempt_at as string);
    expect(Date.parse(view.expires_at)).toBeGreaterThan(Date.parse(view.created_at));
    expect(text).not.toContain("secret");
    expect(text).not.toContain("QUJD");
  });

  test("of a long history the latest 300, oldest first", async () => {
    const id = await scene.insert();
    await scene.sql`
      INSERT INTO mail_attempts (outbox_id, outcome, text) SELECT ${id}, 'away', n::text FROM generate_series(1, 310) n`;
    const history = (await look(id)).view.recipients[0]?.history ?? [];
    expect([history.length, history[0]?.reply?.text, history.at(-1)?.reply?.text]).toEqual([300, "11", "310"]);
  });

  test("sent to one and refused for another: partial, shown by the first", async () => {
    const id = await scene.insert({ recipients: [{ state: "failed", code: 550, text: "550 no" }, { state: "sent" }] });
    expect((await look(id)).view).toMatchObject({ state: "partial", reply: { code: 550 } });
    const sending = await scene.insert({ recipients: [{ state: "sending", attempt: 0 }] });
    const { view } = await look(sending);
    expect(view).toMatchObject({ state: "sending", attempts: 0 });
    expect(view).not.toHaveProperty("reply");
    expect(view).not.toHaveProperty("next_attempt_at");
  });

  test("an id that is not known, and what is no id at all, are 404, for every route", async () => {
    for (const id of [Bun.randomUUIDv7(), "4711", "%00", "..%2f..", `${Bun.randomUUIDv7()}x`, "x".repeat(5_000)]) {
      const none = { status: 404, error: true, message: "no such mail" };
      expect(await scene.call("GET", `/mails/${id}`)).toMatchObject(none);
      expect(await scene.call("GET", `/mails/${id}/content`)).toMatchObject(none);
      expect(await scene.call("POST", `/mails/${id}/resolve`, { as: "sent" })).toMatchObject(none);
      expect(await scene.call("POST", `/mails/${id}/cancel`, {})).toMatchObject(none);
    }
  });
});
