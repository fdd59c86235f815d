/** POST /bounces on a real PostgreSQL. How a notification is read is not asked here: the kit gives it as JSON. */
import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type BounceReport, MAIL_STATES } from "#contracts/mail";
import { POSTGRES_URL } from "../service.test-kit.ts";
import type { Notification } from "./bounces.ts";
import { makeScene, NEEDS, type Reply, type Scene } from "./desk.test-kit.ts";

setDefaultTimeout(30_000);

describe.skipIf(POSTGRES_URL === undefined)(`POST /bounces ${NEEDS}`, () => {
  let scene: Scene;
  beforeAll(async () => {
    scene = await makeScene();
  });
  beforeEach(async () => {
    await scene.sql`DELETE FROM mail_suppressions`;
  });
  afterAll(() => scene?.[Symbol.asyncDispose]());

  const handIn = (...notifications: Notification[]): Promise<Reply<BounceReport>> =>
    scene.call<BounceReport>("POST", "/bounces", { message: JSON.stringify(notifications) });
  const failed = (id: string, more: Partial<Notification> = {}): Notification => ({
    recipient: "you@there.example",
    action: "failed",
    status: "5.1.1",
    diagnostic: "smtp; 550 5.1.1 <you@there.example>: no such user",
    messageId: `${id}@mail.example`,
    ...more,
  });
  const suppressed = async (): Promise<{ address: string; list: string; reason: string; mail_id: string | null }[]> => [
    ...(await scene.sql<{ address: string; list: string; reason: string; mail_id: string | null }[]>`
      SELECT address, list, reason, mail_id FROM mail_suppressions ORDER BY address`),
  ];

  test("a mail that came back for good: bounced, with the reason; its address gets no more; twice is once", async () => {
    const id = await scene.insert({ recipients: [{ address: "You@there.example" }, { address: "bob@there.example" }] });
    const said = "550 5.1.1 <you@there.example>: no such user";
    const notification = failed(id, { recipient: "YOU@There.example", messageId: `${id.toUpperCase()}@MAIL.example` });
    for (let time = 0; time < 2; time += 1) {
      const { status, data } = await handIn(notification);
      expect(status).toBe(200);
      expect(data).toEqual({
        recipients: [
          { address: "you@there.example", action: "failed", status: "5.1.1", mail_id: id, suppressed: true },
        ],
      });
      expect(await scene.states(id)).toEqual(["bounced", "sent"]);
      expect(await scene.history(id)).toEqual([{ outcome: "bounced", code: 550, text: said }]);
      expect(await suppressed()).toEqual([
        { address: "you@there.example", list: "", reason: `bounced: 5.1.1 ${said}`, mail_id: id },
      ]);
    }
    const [row] = await scene.sql`SELECT smtp_code, smtp_text, smtp_command FROM mail_outbox WHERE id = ${id}`;
    expect(row).toEqual({ smtp_code: 550, smtp_text: said, smtp_command: null });
    const events = await scene.sql<{ type: string }[]>`SELECT type FROM mail_events WHERE mail_id = ${id}`;
    expect([...events]).toEqual([{ type: "mail.bounced" }]);
    // Taken off by hand, it is not put on it again by what has been handed in before.
    await scene.sql`DELETE FROM mail_suppressions`;
    expect((await handIn(notification)).data.recipients[0]?.suppressed).toBe(false);
    expect(await suppressed()).toEqual([]);
  });

  test("twice at once is once", async () => {
    const delayed = { action: "delayed", status: "4.4.1", diagnostic: "timed out" } as const;
    for (const more of [delayed, {}]) {
      const id = await scene.insert();
      const answers: Promise<Reply<BounceReport>>[] = [];
      // Held until both wait, so that neither sees what the other does before it begins.
      await scene.sql.begin(async (tx) => {
        await tx`SELECT FROM mail_outbox WHERE id = ${id} FOR UPDATE`;
        answers.push(handIn(failed(id, more)), handIn(failed(id, more)));
        for (let waiting = 0; waiting < 2; ) {
          const [row] = await scene.sql<{ n: number }[]>`
            SELECT count(*)::int AS n FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'`;
          waiting = row?.n ?? 0;
        }
      });
      for (const { status } of await Promise.all(answers)) expect(status).toBe(200);
      expect((await scene.history(id)).map(({ outcome }) => outcome)).toEqual([
        "action" in more ? "delayed" : "bounced",
      ]);
    }
    expect(await suppressed()).toHaveLength(1);
  });

  test.each(["5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"])("%s: the address is bad", async (status) => {
    const id = await scene.insert();
    expect((await handIn(failed(id, { status }))).data.recipients[0]).toMatchObject({ suppressed: true });
    expect(await suppressed()).toHaveLength(1);
  });
  test.each(["5.2.2", "5.7.1", "4.4.7", "5.0.0", "5.1.11", "5.3.4"])("%s: this mail only", async (status) => {
    const id = await scene.insert();
    expect((await handIn(failed(id, { status }))).data.recipients[0]).toMatchObject({ mail_id: id, suppressed: false });
    expect([await scene.states(id), await suppressed()]).toEqual([["bounced"], []]);
  });

  test("only from sent or ambiguous; one that is being sent this moment is to be handed in again", async () => {
    for (const state of MAIL_STATES) {
      const id = await scene.insert({ recipients: [{ state }] });
      const { status, message } = await handIn(failed(id));
      const bounces = state === "sent" || state === "ambiguous";
      expect([state, status, await scene.states(id)]).toEqual([
        state,
        state === "sending" ? 409 : 200,
        [bounces ? "bounced" : state],
      ]);
      if (state === "sending") expect(message).toBe("the mail is being sent: hand this in again");
      expect(await scene.history(id)).toHaveLength(bounces ? 1 : 0);
      expect(await suppressed()).toHaveLength(bounces ? 1 : 0);
      await scene.sql`DELETE FROM mail_suppressions`;
    }
  });

  test("what is not about a mail of ours to that address changes nothing, and suppresses nobody", async () => {
    const id = await scene.insert();
    const strangers = [
      failed(Bun.randomUUIDv7()),
      failed(id, { recipient: "victim@there.example" }),
      failed(id, { messageId: `${id}@elsewhere.example` }),
      failed(id, { messageId: id }),
      failed(id, { messageId: "nonsense@mail.example" }),
      failed(id, { recipient: "a\u0000b@there.example" }),
      failed(id, { recipient: "" }),
      { recipient: "you@there.example", action: "failed", status: "5.1.1" } as const,
    ];
    const { status, data } = await handIn(...strangers);
    expect([status, data.recipients.length]).toEqual([200, strangers.length]);
    for (const recipient of data.recipients) {
      expect(recipient).not.toHaveProperty("mail_id");
      expect(recipient.suppressed).toBe(false);
    }
    expect([await scene.states(id), await scene.history(id), await suppressed()]).toEqual([["sent"], [], []]);
  });

  test("delayed is noted, once for the same words; delivered and relayed are not", async () => {
    const id = await scene.insert();
    const delayed = (diagnostic: string) => failed(id, { action: "delayed", status: "4.4.1", diagnostic });
    for (const said of ["timed out", "timed out", "smtp; 451 greylisted\r\nfor an hour"]) {
      expect((await handIn(delayed(said))).data.recipients).toEqual([
        { address: "you@there.example", action: "delayed", status: "4.4.1", mail_id: id, suppressed: false },
      ]);
    }
    await handIn(
      failed(id, { action: "delivered", status: "2.0.0" }),
      failed(id, { action: "relayed", status: "2.0.0" }),
    );
    expect(await scene.history(id)).toEqual([
      { outcome: "delayed", code: null, text: "timed out" },
      { outcome: "delayed", code: 451, text: "451 greylisted for an hour" },
    ]);
    expect(await scene.states(id)).toEqual(["sent"]);
  });

  test("without a word of the other server the status says it; a long one is cut", async () => {
    const silent = await scene.insert();
    const { diagnostic: _, ...bare } = failed(silent, { status: "5.7.1" });
    await handIn(bare);
    expect(await scene.history(silent)).toEqual([{ outcome: "bounced", code: null, text: "5.7.1" }]);
    const long = await scene.insert();
    await handIn(failed(long, { diagnostic: `X-Unix; 5.1.1 ${"x".repeat(2_000)}\u001b[31m` }));
    const [one] = await scene.history(long);
    expect([one?.code, one?.text?.length]).toEqual([null, 500]);
    expect((await suppressed())[0]?.reason.length).toBe(200);
  });

  test("the message as base64, in lines; what is none is 422", async () => {
    const id = await scene.insert();
    const base64 = Buffer.from(JSON.stringify([failed(id)]))
      .toString("base64")
      .replaceAll(/.{76}/g, "$&\r\n");
    expect((await scene.call("POST", "/bounces", { message: base64, encoding: "base64" })).status).toBe(200);
    expect(await scene.states(id)).toEqual(["bounced"]);
    for (const [body, message] of [
      [{ message: "%%%", encoding: "base64" }, "message must be base64"],
      [{ message: "x", encoding: "quoted-printable" }, 'encoding must be "base64"'],
      [{ message: "" }, "message must be text of at least 1 characters"],
    ] as const) {
      expect(await scene.call("POST", "/bounces", body)).toMatchObject({ status: 422, message });
    }
  });

  test("nearly a megabyte of spaces is no base64, and is known as none at once", async () => {
    const startedAt = performance.now();
    const answer = await scene.call("POST", "/bounces", { message: `${" ".repeat(900_000)}!`, encoding: "base64" });
    expect(answer).toMatchObject({ status: 422, message: "message must be base64" });
    expect(performance.now() - startedAt).toBeLessThan(5_000);
  });
});
