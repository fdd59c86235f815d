/** What the outbox asks of its store while that does not answer. */
import { expect, test } from "bun:test";
import { fail, ok } from "#shared/errors";
import { silentLog } from "#shared/log";
import { makeRuntime } from "#shared/lifecycle";
import { Deadline } from "#shared/resilience";
import { type OutboxOptions, startOutbox } from "./outbox.ts";
import type { ClaimedMail, NewMail } from "./rows.ts";
import type { Store } from "./store.ts";

const mail: NewMail = {
  id: Bun.randomUUIDv7(),
  contentHash: new Uint8Array(32),
  sender: "me@example.com",
  subject: "Test email",
  content: { text: "Hello world!", to: ["you@there.example"] },
  messageId: "a@b.example",
  requestId: "request",
  traceparent: "00-1-1-01",
  list: undefined,
  priority: 1,
  sendAt: undefined,
  recipients: [{ id: Bun.randomUUIDv7(), address: "you@there.example", kind: "to" }],
};

/** A store that has nothing to do, but for what is given. */
function storeWith(more: Partial<Store>): Store {
  return {
    insert: () => Promise.resolve(fail("unavailable", "the database is not available")),
    find: async () => ok(undefined),
    stand: async () => ok([]),
    claim: async () => ok({ mails: [], suppressed: [] }),
    renew: async () => ok(),
    release: async () => ok(),
    beginContent: async () => ok(true),
    settle: async () => ok(true),
    sweep: async () => ok({ requeued: 0, ambiguous: 0, resent: 0, expired: 0 }),
    tell: async () => ok(),
    forget: async () => ok(0),
    counts: async () => ok({ rows: new Map(), oldestQueuedS: 0 }),
    ...more,
  };
}

function outboxOn(store: Store, more: Partial<OutboxOptions> = {}) {
  return startOutbox({
    store,
    smtp: { send: () => Promise.reject(new Error("nothing is to be sent")) },
    watch: { state: "up", away: () => undefined },
    log: silentLog,
    metrics: makeRuntime("mail", silentLog, () => undefined).metrics,
    connections: 2,
    attemptMs: 1_000,
    scheduleMs: [1_000],
    expireAfterMs: 60_000,
    pollMs: 10_000,
    ambiguousPolicy: "hold",
    quotaPerHour: 0,
    unsubscribeUrlOf: () => undefined,
    ...more,
  });
}

test("however many mails could not be stored, their claims are given back at once, and then mails are taken", async () => {
  let away = true;
  const released: number[] = [];
  const taken = Promise.withResolvers<void>();
  const unavailable = fail("unavailable", "the database is not available");
  const answer = <T>(value: T) => Promise.resolve(away ? unavailable : ok(value));
  const store = storeWith({
    claim: () => {
      if (!away) taken.resolve();
      return answer({ mails: [], suppressed: [] });
    },
    renew: () => answer(undefined),
    release: (claims) => {
      if (!away) released.push(claims.length);
      return answer(undefined);
    },
    sweep: () => answer({ requeued: 0, ambiguous: 0, resent: 0, expired: 0 }),
    counts: () => answer({ rows: new Map(), oldestQueuedS: 0 }),
  });
  await using outbox = outboxOn(store);
  for (let n = 0; n < 2_000; n += 1) await outbox.accept(mail, Deadline.after(1_000));
  away = false;
  outbox.wake();
  await taken.promise;
  expect(released).toEqual([1_000]);
});

test("a mail that cannot be composed or signed spends an attempt and waits by the schedule", async () => {
  const { contentHash: _hash, recipients: _recipients, sendAt: _at, ...row } = mail;
  const claimed: ClaimedMail = {
    ...row,
    mailId: mail.id,
    recipient: "you@there.example",
    claim: Bun.randomUUIDv7(),
    attempt: 0,
    interruptions: 0,
    date: new Date(0),
    expiresInMs: 60_000,
  };
  const due = [claimed];
  const settled = Promise.withResolvers<unknown>();
  const store = storeWith({
    claim: async () => ok({ mails: due.splice(0), suppressed: [] }),
    settle: async (_mail, to, { outcome, text }) => {
      settled.resolve({ state: to.state, attempt: to.attempt, waitMs: to.waitMs, outcome, text });
      return ok(true);
    },
  });
  await using _outbox = outboxOn(store, { sign: () => Promise.reject(new Error("no key")) });
  expect(await settled.promise).toEqual({
    state: "deferred",
    attempt: 1,
    waitMs: 1_000,
    outcome: "deferred",
    text: "451 it could not be composed here",
  });
});
