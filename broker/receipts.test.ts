/** Where something is, by what each part says and does not say. */
import { expect, test } from "bun:test";
import type { DeadLetter } from "#contracts/dead-letters";
import type { FoundEntry } from "#contracts/logs";
import type { MailRecipient, MailView } from "#contracts/mail";
import { Receipt, type ReceiptKind } from "#contracts/receipts";
import { Value } from "@sinclair/typebox/value";
import { fail, ok, type Result } from "#shared/errors";
import { newContext } from "#shared/telemetry";
import { makeIds } from "./ids.ts";
import { makeReceipts, type Owners, type Whereabouts } from "./receipts.ts";

const T0 = Date.parse("2026-11-01T00:00:00.000Z");
const at = (seconds: number): string => new Date(T0 + seconds * 1_000).toISOString();
const ids = makeIds("secret", () => T0);
const ENTRY: FoundEntry = { event_id: "", name: "n", severity: "INFO", created_at: at(0), stored_at: at(3) };
const DEAD: DeadLetter = {
  id: "",
  parked: "logs",
  routing_key: "log.INFO",
  error: "data is needed",
  at: at(2),
  attempts: 1,
  bytes: 1,
  preview: "",
};
const NOWHERE: Whereabouts = { found: null, queued: false, complete: true };
const mailView = (state: MailView["state"], reply?: string): MailView => ({
  id: "",
  state,
  from: "a@example.com",
  to: "b@example.com",
  subject: "s",
  attempts: 1,
  created_at: at(1),
  updated_at: at(4),
  expires_at: at(9),
  recipients: [],
  priority: "normal",
  ...(reply === undefined ? {} : { reply: { text: reply } }),
});
const recipientsOf = (...states: MailRecipient["state"][]): MailRecipient[] =>
  states.map((state) => ({
    address: "c@example.com",
    kind: "to",
    state,
    attempts: 1,
    updated_at: at(4),
    expires_at: at(9),
  }));
const silent = async (): Promise<Result<never>> => fail("unavailable");

/** Receipts over parts that know nothing, but for those given; and who was asked. */
function parts(known: Partial<Owners> = {}) {
  const asked: string[] = [];
  const noted = <A extends unknown[], R>(name: string, ask: (...args: A) => R) => {
    return (...args: A): R => {
      asked.push(name);
      return ask(...args);
    };
  };
  const receipts = makeReceipts(ids, {
    spooledAt: noted("spool", known.spooledAt ?? (() => undefined)),
    inQueues: noted("listener", known.inQueues ?? (async () => ok(NOWHERE))),
    inLogger: noted("logger", known.inLogger ?? (async () => ok(undefined))),
    inMail: noted("mail", known.inMail ?? (async () => ok(undefined))),
  });
  return {
    asked,
    ask: (id: string) => receipts(id, newContext()),
    of: async (kind: ReceiptKind): Promise<Receipt> => {
      const receipt = await receipts(ids.mint(kind), newContext());
      if (!receipt.ok) throw receipt.error;
      expect(Value.Check(Receipt, receipt.value)).toBe(true);
      return receipt.value;
    },
  };
}
const ACCEPTED = { state: "accepted", where: "broker", at: at(0) } as const;

test("stored is the end, and nobody else is asked", async () => {
  const { of, asked } = parts({ inLogger: async () => ok(ENTRY), inQueues: silent });
  expect(await of("log")).toMatchObject({
    kind: "log",
    state: "stored",
    where: "logger",
    at: at(3),
    final: true,
    steps: [ACCEPTED, { state: "stored", where: "logger", at: at(3) }],
    unasked: [],
  });
  expect(asked).toEqual(["logger"]);
});

test("ours, and nobody has seen it yet: accepted, with its time", async () => {
  const { of, asked } = parts();
  expect(await of("event")).toMatchObject({ kind: "event", ...ACCEPTED, final: false, steps: [ACCEPTED], unasked: [] });
  expect(asked).toEqual(["logger", "spool", "listener", "logger"]);
});

test("what waits in the spool, also beside a copy that is stored", async () => {
  const spooledAt = () => new Date(T0);
  expect(await parts({ spooledAt }).of("log")).toMatchObject({ state: "spooled", where: "spool", final: false });
  expect(await parts({ spooledAt, inLogger: async () => ok(ENTRY) }).of("log")).toMatchObject({ state: "stored" });
});

test.each([
  [{ found: DEAD, queued: false }, "dead-lettered", true, "data is needed"],
  [{ found: { ...DEAD, parked: "unrouted" as const }, queued: false }, "unrouted", true, "data is needed"],
  [{ found: null, queued: true }, "queued", false, undefined],
  // On its way out of the dead letters, or into them.
  [{ found: DEAD, queued: true }, "queued", false, undefined],
])("the listener says %j: %s", async (says, state, final, reason) => {
  const receipt = await parts({ inQueues: async () => ok({ ...says, complete: true }) }).of("log");
  expect(receipt).toMatchObject({ state, where: "rabbitmq", final, unasked: [] });
  expect(receipt.reason).toBe(reason);
});

test.each([
  [mailView("queued"), "queued", false, undefined],
  [mailView("sending"), "queued", false, undefined],
  [mailView("deferred", "try later"), "queued", false, "try later"],
  [mailView("sent", "250 OK"), "sent", true, undefined],
  [mailView("failed", "550 no such user"), "refused", true, "550 no such user"],
  [mailView("expired", "421 later"), "expired", true, "421 later"],
  [mailView("ambiguous"), "ambiguous", true, undefined],
  [mailView("bounced", "550 5.1.1 no such user"), "bounced", true, "550 5.1.1 no such user"],
  // What the server said of an earlier try is not why.
  [mailView("cancelled", "451 later"), "cancelled", true, undefined],
  [
    { ...mailView("partial"), recipients: recipientsOf("sent", "failed", "sent") },
    "partial",
    true,
    "sent to 2 of 3 recipients",
  ],
] as const)("the mail service says %j", async (view, state, final, reason) => {
  const { of, asked } = parts({ inMail: async () => ok(view) });
  const receipt = await of("mail");
  expect(receipt).toMatchObject({ kind: "mail", state, where: "mail", final, unasked: [] });
  expect(receipt.reason).toBe(reason);
  expect(receipt.steps.slice(0, 2)).toEqual([ACCEPTED, { state: "queued", where: "mail", at: at(1) }]);
  expect(asked).toEqual(["mail"]);
});

test("a mail that the mail service has not got yet is a job", async () => {
  const { of, asked } = parts({ inQueues: async () => ok({ found: null, queued: true, complete: true }) });
  expect(await of("mail")).toMatchObject({ state: "queued", where: "rabbitmq" });
  expect(asked).toEqual(["mail", "spool", "listener", "mail"]);
});

test("wherever it moves on between two questions, it is met at the next, never told as less than it is", async () => {
  const order = ["accepted", "spooled", "queued", "stored"];
  for (let start = 0; start < order.length; start += 1) {
    // It stands at `start`, and moves on before each of some of the four questions.
    for (let moves = 0; moves < 16; moves += 1) {
      let place = start;
      let question = 0;
      const look = () => {
        if ((moves >> question) & 1) place = Math.min(place + 1, order.length - 1);
        question += 1;
        return order[place];
      };
      const receipt = await parts({
        inLogger: async () => ok(look() === "stored" ? ENTRY : undefined),
        spooledAt: () => (look() === "spooled" ? new Date(T0) : undefined),
        inQueues: async () => ok({ found: null, queued: look() === "queued", complete: true }),
      }).of("log");
      // Where it stood when it was asked for, or further.
      expect(order.indexOf(receipt.state)).toBeGreaterThanOrEqual(start);
    }
  }
});

test("a part that does not answer is named, and what the others know is told", async () => {
  expect(await parts({ inLogger: silent }).of("log")).toMatchObject({ state: "accepted", unasked: ["logger"] });
  expect(await parts({ inQueues: silent }).of("log")).toMatchObject({ state: "accepted", unasked: ["listener"] });
  expect(await parts({ inQueues: silent, inMail: silent }).of("mail")).toMatchObject({
    state: "accepted",
    unasked: ["listener", "mail"],
  });
  // Parked for all we know, and maybe stored since.
  expect(
    await parts({ inLogger: silent, inQueues: async () => ok({ ...NOWHERE, found: DEAD }) }).of("log"),
  ).toMatchObject({ state: "dead-lettered", final: false, unasked: ["logger"] });
  // There were more messages than the listener could look at.
  expect(await parts({ inQueues: async () => ok({ ...NOWHERE, complete: false }) }).of("log")).toMatchObject({
    unasked: ["listener"],
  });
});

test("of an id from a key the time is what the owners say", async () => {
  const id = ids.derive("log", { caller: "anonymous", route: "/handle", key: "k" }, 0);
  expect(await parts({ inLogger: async () => ok({ ...ENTRY, created_at: at(-5) }) }).ask(id)).toMatchObject({
    value: { steps: [{ state: "accepted", at: at(-5) }, { state: "stored" }] },
  });
  const unseen = await parts().ask(id);
  expect(unseen).toMatchObject({ ok: true, value: { state: "accepted" } });
  expect(unseen.ok && "at" in unseen.value).toBe(false);
});

test("an id of ours is known in capitals, too", async () => {
  const id = ids.mint("log");
  expect(await parts().ask(id.toUpperCase())).toMatchObject({ ok: true, value: { id, state: "accepted" } });
});

test("an id that is none of ours is looked up everywhere but in the spool, and 404 where nobody knows it", async () => {
  const uuid = crypto.randomUUID();
  const nobody = parts({ inQueues: async () => ok({ ...NOWHERE, queued: true }) });
  expect(await nobody.ask(uuid)).toMatchObject({ ok: false, error: { status: 404 } });
  expect(nobody.asked).toEqual(["logger", "mail", "listener", "logger", "mail"]);
  const logger = parts({ inLogger: async () => ok(ENTRY) });
  expect(await logger.ask("their-id")).toMatchObject({
    value: { id: "their-id", kind: "log", state: "stored", final: true, steps: [{ state: "stored" }] },
  });
  // No mail has an id that is no UUID.
  expect(logger.asked).toEqual(["logger"]);
  expect(await parts({ inMail: async () => ok(mailView("sent")) }).ask(uuid)).toMatchObject({
    value: { kind: "mail", state: "sent" },
  });
});

test("what a foreign producer sent and nobody could use is found where it is parked", async () => {
  const parked = (found: DeadLetter) => parts({ inQueues: async () => ok({ ...NOWHERE, found }) }).ask("their-id");
  expect(await parked(DEAD)).toMatchObject({
    value: { id: "their-id", kind: "log", state: "dead-lettered", reason: DEAD.error, final: true, unasked: [] },
  });
  expect(await parked({ ...DEAD, parked: "jobs" })).toMatchObject({ value: { kind: "mail" } });
  expect(await parked({ ...DEAD, parked: "unrouted" })).toMatchObject({ value: { state: "unrouted" } });
  // Replayed between two questions: it is met at the next.
  let asked = 0;
  const replayed = parts({
    inLogger: async () => ok(asked++ === 0 ? undefined : ENTRY),
    inQueues: async () => ok(NOWHERE),
  });
  expect(await replayed.ask("their-id")).toMatchObject({ value: { state: "stored" } });
  for (const inQueues of [silent, async () => ok({ ...NOWHERE, complete: false })]) {
    expect(await parts({ inQueues }).ask("their-id")).toMatchObject({
      error: { status: 503, message: expect.stringContaining("listener") },
    });
  }
});

test("of an id that is none of ours nothing is claimed while somebody who could know it is away", async () => {
  const uuid = crypto.randomUUID();
  expect(await parts({ inMail: silent }).ask(uuid)).toMatchObject({
    ok: false,
    error: { status: 503, message: expect.stringContaining("mail"), retryAfterS: 1 },
  });
  expect(await parts({ inMail: silent, inLogger: async () => ok(ENTRY) }).ask(uuid)).toMatchObject({ ok: true });
});

test.each(["", "x".repeat(129), "a\u0000b"])("%j can be no id", async (id) => {
  const { ask, asked } = parts();
  expect(await ask(id)).toMatchObject({ ok: false, error: { status: 422 } });
  expect(asked).toEqual([]);
});
