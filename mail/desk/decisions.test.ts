/** POST /mails/:id/resolve and /cancel on a real PostgreSQL, and side by side with what carries mails out. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { MAIL_STATES, type MailState, type MailView } from "#contracts/mail";
import { POSTGRES_URL } from "../service.test-kit.ts";
import { makeScene, NEEDS, type Reply, type Scene } from "./desk.test-kit.ts";

setDefaultTimeout(30_000);

describe.skipIf(POSTGRES_URL === undefined)(`deciding on a mail ${NEEDS}`, () => {
  let scene: Scene;
  beforeAll(async () => {
    scene = await makeScene();
  });
  afterAll(() => scene?.[Symbol.asyncDispose]());

  const actor = { "x-actor": "user:op@example.com" };
  const resolve = (id: string, body: unknown, headers: Record<string, string> = actor): Promise<Reply<MailView>> =>
    scene.call<MailView>("POST", `/mails/${id}/resolve`, body, headers);
  const cancel = (id: string, body: unknown = {}, headers: Record<string, string> = actor): Promise<Reply<MailView>> =>
    scene.call<MailView>("POST", `/mails/${id}/cancel`, body, headers);
  const inState = (state: MailState): Promise<string> => scene.insert({ recipients: [{ state }] });
  const eventsOf = async (id: string): Promise<string[]> =>
    (await scene.sql<{ type: string }[]>`SELECT type FROM mail_events WHERE mail_id = ${id}`).map(({ type }) => type);

  test.each(["sent", "failed"] as const)("an ambiguous mail is resolved as %s, and that is told", async (as) => {
    const id = await inState("ambiguous");
    const { status, message, data } = await resolve(id, { as });
    expect([status, message]).toEqual([200, as]);
    expect(data).toMatchObject({ id, state: as, recipients: [{ state: as, history: [{ outcome: "resolved" }] }] });
    expect(await scene.history(id)).toEqual([{ outcome: "resolved", code: null, text: `user:op@example.com: ${as}` }]);
    expect(await eventsOf(id)).toEqual([`mail.${as}`]);
    const again = await resolve(id, { as });
    expect(again).toMatchObject({
      status: 409,
      error: true,
      message: `there is nothing to resolve: you@there.example is ${as}`,
    });
    expect(await scene.history(id)).toHaveLength(1);
  });

  test("every state: what can be done in it, and what is said where nothing can", async () => {
    const allowed: Readonly<Record<string, readonly MailState[]>> = {
      sent: ["ambiguous"],
      failed: ["ambiguous"],
      resend: ["ambiguous", "failed", "expired", "bounced", "cancelled"],
      cancel: ["queued", "deferred"],
    };
    const after: Readonly<Record<string, MailState>> = {
      sent: "sent",
      failed: "failed",
      resend: "queued",
      cancel: "cancelled",
    };
    const verbs: Readonly<Record<string, string>> = {
      sent: "resolve",
      failed: "resolve",
      resend: "send again",
      cancel: "cancel",
    };
    for (const what of Object.keys(allowed)) {
      for (const state of MAIL_STATES) {
        const id = await inState(state);
        const may = allowed[what]?.includes(state) ?? false;
        const { status, message } = what === "cancel" ? await cancel(id) : await resolve(id, { as: what });
        expect({ what, state, status, message }).toEqual({
          what,
          state,
          status: may ? 200 : 409,
          message: may ? (after[what] as string) : `there is nothing to ${verbs[what]}: you@there.example is ${state}`,
        });
        expect(await scene.states(id)).toEqual([may ? (after[what] as MailState) : state]);
        expect(await scene.history(id)).toHaveLength(may ? 1 : 0);
      }
    }
  });

  test("sent again it begins anew: due now, nothing spent, with all its time, nobody's", async () => {
    const id = await scene.insert({ recipients: [{ state: "ambiguous", attempt: 7 }] });
    await scene.sql`
      UPDATE mail_outbox SET interruptions = 3, next_at = now() + interval '1 day', expires_at = now() - interval '1 s'
      WHERE id = ${id}`;
    const heard = Promise.withResolvers<void>();
    const listening = await scene.sql.listen("mail_outbox", () => heard.resolve());
    expect((await resolve(id, { as: "resend" })).status).toBe(200);
    await heard.promise;
    await listening.unlisten();
    const [row] = await scene.sql`
      SELECT state, attempt, interruptions, claim, lease_until, data_at, next_at <= now() AS due,
        round(extract(epoch FROM expires_at - now()) / 3600)::int AS hours
      FROM mail_outbox WHERE id = ${id}`;
    expect(row).toEqual({
      state: "queued",
      attempt: 0,
      interruptions: 0,
      claim: null,
      lease_until: null,
      data_at: null,
      due: true,
      hours: 120,
    });
    expect(await scene.history(id)).toEqual([{ outcome: "resolved", code: null, text: "user:op@example.com: resend" }]);
  });

  test("a mail for later that was taken back is sent again at its time, and has all its time from then on", async () => {
    const id = await inState("cancelled");
    await scene.sql`UPDATE mail_messages SET send_at = now() + interval '2 h' WHERE id = ${id}`;
    const { data } = await resolve(id, { as: "resend" });
    const inHours = (time: string | undefined): number => Math.round((Date.parse(time ?? "") - Date.now()) / 3_600_000);
    expect([inHours(data.next_attempt_at), inHours(data.expires_at)]).toEqual([2, 122]);
  });

  test("of several recipients those whom it can be for, or one alone", async () => {
    const id = await scene.insert({
      recipients: [
        { address: "ann@there.example", state: "ambiguous" },
        { address: "Bob@there.example", state: "failed" },
        { address: "cy@there.example", state: "sent" },
        { address: "di@there.example", state: "queued" },
      ],
    });
    expect((await resolve(id, { as: "sent", to: "bob@THERE.example" })).message).toBe(
      "there is nothing to resolve: Bob@there.example is failed",
    );
    expect(await resolve(id, { as: "sent", to: "eve@there.example" })).toMatchObject({
      status: 404,
      message: "no such mail to eve@there.example",
    });
    expect((await resolve(id, { as: "resend", to: "bob@THERE.example" })).status).toBe(200);
    expect(await scene.states(id)).toEqual(["ambiguous", "queued", "sent", "queued"]);
    expect((await cancel(id)).data.recipients.map(({ state }) => state)).toEqual([
      "ambiguous",
      "cancelled",
      "sent",
      "cancelled",
    ]);
    expect((await resolve(id, { as: "resend" })).status).toBe(200);
    expect(await scene.states(id)).toEqual(["queued", "queued", "sent", "queued"]);
    const crowd = await scene.insert({
      recipients: Array.from({ length: 7 }, (_, n) => ({ address: `r${n}@x.example` })),
    });
    expect((await cancel(crowd)).message).toEndWith("r4@x.example is sent and 2 more");
  });

  test("nobody on the suppression list is sent it again; the list of another mailing list does not count", async () => {
    const recipients = [
      { address: "Gone@there.example", state: "failed" },
      { address: "here@there.example", state: "failed" },
    ] as const;
    const id = await scene.insert({ list: "news", recipients });
    await scene.sql`INSERT INTO mail_suppressions (address, list, reason) VALUES ('gone@there.example', 'other', 'x')`;
    expect((await resolve(id, { as: "resend", to: "gone@there.example" })).status).toBe(200);
    for (const list of ["news", ""]) {
      const other = await scene.insert({ list: "news", recipients });
      await scene.sql`DELETE FROM mail_suppressions`;
      await scene.sql`INSERT INTO mail_suppressions (address, list, reason) VALUES ('gone@there.example', ${list}, 'x')`;
      expect(await resolve(other, { as: "resend", to: "gone@there.example" })).toMatchObject({
        status: 409,
        message: "there is nothing to send again: Gone@there.example is on the suppression list",
      });
      expect((await resolve(other, { as: "resend" })).status).toBe(200);
      expect(await scene.states(other)).toEqual(["failed", "queued"]);
    }
    const ambiguous = await scene.insert({ recipients: [{ ...recipients[0], state: "ambiguous" }] });
    expect((await resolve(ambiguous, { as: "sent" })).status).toBe(200);
    await scene.sql`DELETE FROM mail_suppressions`;
  });

  test("who decided is told by the header, else by the address", async () => {
    const id = await inState("queued");
    await cancel(id, {}, {});
    expect(await scene.history(id)).toEqual([{ outcome: "cancelled", code: null, text: "127.0.0.1" }]);
  });

  test.each([
    ["resolve", {}, "as is needed"],
    ["resolve", { as: "queued" }, "as must be one of sent, failed, resend"],
    ["resolve", { as: "sent", to: "a,b" }, "to must be one plain e-mail address"],
    ["resolve", { as: "sent", force: true }, "force is not a known field"],
    ["cancel", { as: "sent" }, "as is not a known field"],
    ["cancel", [], "body must be an object"],
  ])("%s %j is 422", async (what, body, message) => {
    const id = await inState("ambiguous");
    expect(await scene.call("POST", `/mails/${id}/${what}`, body)).toMatchObject({ status: 422, message });
    expect(await scene.states(id)).toEqual(["ambiguous"]);
  });

  /** As the outbox takes mails. */
  const claimed = (tx: { readonly sql: Scene["sql"] }, limit: number) => tx.sql<{ id: string }[]>`
    UPDATE mail_outbox SET state = 'sending', claim = gen_random_uuid(), data_at = NULL, updated_at = now(),
      lease_until = now() + interval '10 s'
    WHERE id IN (SELECT id FROM mail_outbox WHERE state IN ('queued', 'deferred') AND next_at <= now()
      ORDER BY next_at LIMIT ${limit} FOR UPDATE SKIP LOCKED) RETURNING id`;

  test("a claim that is not committed yet is waited for, and wins", async () => {
    await scene.sql`DELETE FROM mail_messages`;
    for (const commits of [true, false]) {
      const id = await inState("queued");
      const decisions: Promise<Reply<MailView>>[] = [];
      await scene.sql
        .begin(async (tx) => {
          expect([...(await claimed({ sql: tx as unknown as Scene["sql"] }, 1))]).toMatchObject([{ id }]);
          decisions.push(cancel(id));
          for (let blocked = false; !blocked; ) {
            const [row] = await scene.sql<{ n: number }[]>`
              SELECT count(*)::int AS n FROM pg_stat_activity
              WHERE datname = current_database() AND wait_event_type = 'Lock'`;
            blocked = (row?.n ?? 0) > 0;
          }
          if (!commits) throw new Error("rolled back");
        })
        .catch((error: Error) => expect(error.message).toBe("rolled back"));
      const [decided] = await Promise.all(decisions);
      expect([decided?.status, decided?.message]).toEqual(
        commits ? [409, "there is nothing to cancel: you@there.example is sending"] : [200, "cancelled"],
      );
      expect(await scene.states(id)).toEqual([commits ? "sending" : "cancelled"]);
      expect(await scene.history(id)).toHaveLength(commits ? 0 : 1);
    }
  });

  test("claims and cancels side by side: every mail is either's, never both's", async () => {
    await scene.sql`DELETE FROM mail_messages`;
    const ids = await Promise.all(Array.from({ length: 60 }, () => inState("queued")));
    const taken = new Set<string>();
    const outbox = (async () => {
      for (;;) {
        const rows = await claimed(scene, 3);
        for (const { id } of rows) taken.add(id);
        if (rows.length === 0) return;
      }
    })();
    const answers = await Promise.all(ids.map((id) => cancel(id)));
    await outbox;
    for (const [index, id] of ids.entries()) {
      const [state] = await scene.states(id);
      const isTaken = taken.has(id);
      expect([answers[index]?.status, state, (await scene.history(id)).length]).toEqual(
        isTaken ? [409, "sending", 0] : [200, "cancelled", 1],
      );
    }
  });

  test("the late answer of an attempt changes nothing of a mail that was decided on meanwhile", async () => {
    const id = await inState("ambiguous");
    const [before] = await scene.sql<{ claim: string }[]>`SELECT claim FROM mail_outbox WHERE id = ${id}`;
    await resolve(id, { as: "resend" });
    const late = await scene.sql`
      UPDATE mail_outbox SET state = 'failed', lease_until = NULL
      WHERE id = ${id} AND claim = ${before?.claim ?? ""} AND state IN ('sending', 'ambiguous') RETURNING id`;
    expect(late).toHaveLength(0);
    expect(await scene.states(id)).toEqual(["queued"]);
  });

  test("ten at once: one decides", async () => {
    const id = await inState("ambiguous");
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, n) => resolve(id, { as: n % 2 ? "sent" : "failed" })),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 409)).toHaveLength(9);
    expect(await scene.history(id)).toHaveLength(1);
    expect(await eventsOf(id)).toHaveLength(1);
  });
});
