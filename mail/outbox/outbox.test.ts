/** What the outbox asks of its store while that does not answer. */
import { expect, test } from "bun:test";
import { fail, ok } from "#shared/errors";
import { silentLog } from "#shared/log";
import { makeRuntime } from "#shared/lifecycle";
import { Deadline } from "#shared/resilience";
import { startOutbox } from "./outbox.ts";
import type { NewMail } from "./rows.ts";
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

test("however many mails could not be stored, their claims are given back at once, and then mails are taken", async () => {
  let away = true;
  const released: number[] = [];
  const taken = Promise.withResolvers<void>();
  const unavailable = fail("unavailable", "the database is not available");
  const answer = <T>(value: T) => Promise.resolve(away ? unavailable : ok(value));
  const store: Store = {
    insert: () => Promise.resolve(unavailable),
    find: () => answer(undefined),
    stand: () => answer([]),
    claim: () => {
      if (!away) taken.resolve();
      return answer({ mails: [], suppressed: [] });
    },
    renew: () => answer(undefined),
    release: (claims) => {
      if (!away) released.push(claims.length);
      return answer(undefined);
    },
    beginContent: () => answer(true),
    settle: () => answer(true),
    sweep: () => answer({ requeued: 0, ambiguous: 0, resent: 0, expired: 0 }),
    tell: () => answer(undefined),
    forget: () => answer(0),
    counts: () => answer({ rows: new Map(), oldestQueuedS: 0 }),
  };
  const { metrics } = makeRuntime("mail", silentLog, () => undefined);
  await using outbox = startOutbox({
    store,
    smtp: { send: () => Promise.reject(new Error("nothing is to be sent")) },
    watch: { state: "up", away: () => undefined },
    log: silentLog,
    metrics,
    connections: 2,
    attemptMs: 1_000,
    scheduleMs: [1_000],
    expireAfterMs: 60_000,
    pollMs: 10_000,
    ambiguousPolicy: "hold",
    quotaPerHour: 0,
    unsubscribeUrlOf: () => undefined,
  });
  for (let n = 0; n < 2_000; n += 1) await outbox.accept(mail, Deadline.after(1_000));
  away = false;
  outbox.wake();
  await taken.promise;
  expect(released).toEqual([1_000]);
  metrics[Symbol.dispose]();
});
