/**
 * Carries mails from the outbox to the mail server. Several replicas work on one outbox side by side: a mail belongs
 * to whoever claimed it, for the length of a lease. The states and their order are in states.ts.
 *
 * Woken by this process when it accepts a mail or has a place free, by a NOTIFY of any replica that has stored mails
 * which wait (teller.ts: not in the transaction that stores them), and by a poll for everything else (what is due
 * later, what was not heard).
 */
import type { Log } from "#shared/log";
import { Deadline, exponential, keepTrying } from "#shared/resilience";
import { asSpan, idsOf, type Metrics, type Span, type Trace, traceOf } from "#shared/telemetry";
import type { FailureCode, Result } from "#shared/errors";
import { makeBell } from "#shared/resilience";
import { compose } from "../message/message.ts";
import { keepLeases, LEASE_MS } from "./leases.ts";
import { makeMailMetrics } from "./metrics.ts";
import type { ServerWatch } from "../smtp/server-watch.ts";
import type { Smtp, SmtpResult } from "../smtp/smtp.ts";
import type { Stored } from "./intake.ts";
import type { ClaimedMail, NewMail, Standing } from "./rows.ts";
import { type AmbiguousPolicy, type Outcome, outcomeOf, transitionOf } from "./states.ts";
import type { Attempt, Store } from "./store.ts";
import { makeTeller } from "./teller.ts";
import { makeWaiting } from "./waiting.ts";

export interface OutboxOptions {
  readonly store: Store;
  readonly smtp: Pick<Smtp, "send">;
  readonly watch: Pick<ServerWatch, "state" | "away">;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Mails on their way at once. */
  readonly connections: number;
  /** Longest attempt (ms). */
  readonly attemptMs: number;
  readonly scheduleMs: readonly number[];
  readonly expireAfterMs: number;
  readonly pollMs: number;
  readonly ambiguousPolicy: AmbiguousPolicy;
  /** Recipients that a sender may write to within an hour; 0: any number. */
  readonly quotaPerHour: number;
  /** Where a recipient takes himself off a mailing list; undefined: nowhere. */
  readonly unsubscribeUrlOf: (recipient: string, list: string) => string | undefined;
  /** What became of a mail is written down. */
  readonly onChange?: () => void;
  /** Signs a message (DKIM); default: it goes as it is. */
  readonly sign?: (message: Uint8Array) => Promise<Uint8Array>;
}

export interface Outbox extends AsyncDisposable {
  /**
   * Stores a mail; where places are free and the server is there, the first attempts begin at once.
   * @returns as `store.insert`.
   */
  accept(mail: NewMail, deadline: Deadline): Promise<Result<Stored>>;
  /** Where a mail stands with a recipient after the next attempt, whoever makes it; undefined when the signal fires first. */
  settled(id: string, signal: AbortSignal): Promise<Standing | undefined>;
  /** There may be something to do now. */
  wake(): void;
  /** Mails that are not done with, as counted some seconds ago at most. */
  readonly waiting: number;
  /**
   * Finishes the attempts in hand (at most 4 s), then cuts them and gives back what can be given back.
   * Nothing is accepted any more: close what calls `accept` first.
   */
  [Symbol.asyncDispose](): Promise<void>;
}

const QUERY_MS = 3_000;
const DRAIN_MS = 4_000;
/** For writing down what came of attempts that were cut (ms). */
const LAST_WRITES_MS = 1_000;
const COUNT_EVERY_MS = 5_000;
const SETTLE_BACKOFF = exponential({ firstMs: 200, maxMs: 2_000 });
const MAX_TEXT = 500;
const MAX_DOUBTFUL = 1_000;
/** Mails that are given up in one statement. */
const EXPIRE_AT_ONCE = 500;
/** Failures of an insert after which it is known that nothing of it is there. */
const NOTHING_STORED: ReadonlySet<FailureCode> = new Set(["exhausted", "conflict", "invalid"]);

/** What a server says, fit for a log, a column and an answer: one line of printable ASCII. */
function printable(text: string): string {
  return text
    .replaceAll(/[^\x20-\x7e]+/g, " ")
    .trim()
    .slice(0, MAX_TEXT);
}

/** As a server's "not now" (4xx): it is tried again by the schedule, perhaps by a release that can. */
const NOT_COMPOSED: SmtpResult = {
  ok: false,
  stage: "envelope",
  code: 451,
  text: "451 it could not be composed here",
  command: undefined,
  withheld: false,
};

function attemptOf(outcome: Outcome, result: SmtpResult, tookMs: number): Attempt {
  const { code, text } = result;
  return { outcome, code, text: printable(text), command: result.ok ? undefined : result.command, tookMs };
}

export function startOutbox(options: OutboxOptions): Outbox {
  const { store, smtp, watch, log, metrics, connections, attemptMs, scheduleMs, expireAfterMs, pollMs } = options;
  const { ambiguousPolicy, quotaPerHour, unsubscribeUrlOf, onChange, sign = async (message) => message } = options;
  const measured = makeMailMetrics(metrics);
  const stopping = new AbortController();
  const cutting = new AbortController();
  const giveUp = new AbortController();
  const attempts = new Map<Promise<void>, ClaimedMail>();
  const waiting = makeWaiting({ store, inHand: () => new Set([...attempts.values()].map(({ id }) => id)) });
  const teller = makeTeller(store);
  /** Claims of which it is not known whether they hold anything: the answer of the database was lost. */
  const doubtful = new Set<string>();
  /** Beyond so many the end of their lease does the same, a little later. */
  const doubt = (claim: string): unknown => doubtful.size < MAX_DOUBTFUL && doubtful.add(claim);
  /** There may be more that is due than there were places. */
  let backlog = false;
  let reserved = 0;
  const bell = makeBell();

  const free = (): number => connections - attempts.size - reserved;
  const canSend = (): boolean => watch.state !== "away" && !stopping.signal.aborted;
  const soon = (): Deadline => Deadline.after(QUERY_MS);
  const wake = (): void => bell.ring();

  function begin(mail: ClaimedMail): void {
    const work = attempt(mail)
      .catch((error: unknown) => log.error("an attempt failed: this is a bug", { mail_id: mail.mailId, error }))
      .finally(() => {
        attempts.delete(work);
        if (backlog) wake();
      });
    attempts.set(work, mail);
  }

  /** Its bytes, and from then on the server's answer. What cannot be put into bytes is put off like what a server puts off. */
  async function handOver(mail: ClaimedMail, trace: Trace): Promise<SmtpResult> {
    const { sender, subject, content, messageId, date, requestId, traceparent, priority, list } = mail;
    const unsubscribeUrl = list === undefined ? undefined : unsubscribeUrlOf(mail.recipient, list);
    const draft = { messageId, from: sender, subject, date, content, requestId, traceparent, priority };
    let bytes: Uint8Array;
    try {
      const composed = await compose({
        ...draft,
        ...(list === undefined ? {} : { list }),
        ...(unsubscribeUrl === undefined ? {} : { unsubscribeUrl }),
      });
      bytes = await sign(composed);
    } catch (error) {
      const ids = idsOf({ requestId, trace });
      log.error("a mail cannot be composed or signed: this is a bug", { mail_id: mail.mailId, ...ids, error });
      return NOT_COMPOSED;
    }
    const beginContent = async (): Promise<boolean> => {
      const begun = await store.beginContent(mail.id, mail.claim, soon());
      return begun.ok && begun.value;
    };
    const signal = AbortSignal.any([cutting.signal, AbortSignal.timeout(attemptMs)]);
    return smtp.send({ from: sender, to: mail.recipient, bytes, trace }, beginContent, signal);
  }

  /** As a span of the request that the mail came of, whoever stored it and however long ago. */
  function attempt(mail: ClaimedMail): Promise<void> {
    const attributes = {
      "platform.mail.id": mail.mailId,
      "platform.attempt": mail.attempt + mail.interruptions + 1,
      "platform.waited_ms": Math.max(0, Date.now() - mail.date.getTime()),
    };
    const context = { trace: traceOf(mail.traceparent) };
    return asSpan(context, "outbox mail", { attributes }, ({ trace }, span) => attemptIn(trace, span, mail));
  }

  async function attemptIn(trace: Trace, span: Span, mail: ClaimedMail): Promise<void> {
    const startedAt = performance.now();
    const result = await handOver(mail, trace);
    const tookMs = performance.now() - startedAt;
    // What we cut ourselves says nothing about the server.
    const seen = outcomeOf(result);
    const outcome = cutting.signal.aborted && (seen === "away" || seen === "interrupted") ? "withheld" : seen;
    if (outcome === "away" || outcome === "interrupted") watch.away(new Error(result.text));
    const left = { ...mail, expiresInMs: mail.expiresInMs - tookMs };
    const transition = transitionOf(left, outcome, scheduleMs, ambiguousPolicy);
    measured.attempt(outcome, tookMs);
    if (transition.attempt > mail.attempt) measured.ended(transition.state);
    span.set({ "platform.outcome": outcome, "platform.state": transition.state });
    if (!result.ok && outcome !== "withheld") span.fail(outcome);
    const fields = {
      mail_id: mail.mailId,
      ...idsOf({ requestId: mail.requestId, trace }),
      outcome,
      state: transition.state,
    };
    if (outcome === "sent") log.debug("mail sent", fields);
    else log.warn("mail not sent", { ...fields, attempt: transition.attempt, reply: printable(result.text) });

    const over = attemptOf(outcome, result, tookMs);
    if (await written(mail, () => store.settle(mail, transition, over, soon()))) {
      onChange?.();
      const { text: smtpText, command: smtpCommand } = over;
      waiting.announce({ id: mail.id, recipient: mail.recipient, state: transition.state, smtpText, smtpCommand });
    }
    if (transition.state === "queued") backlog = true;
  }

  /** Tries until the database has it: what an attempt came to is known nowhere else. */
  async function written(mail: ClaimedMail, write: () => Promise<Result<boolean>>): Promise<boolean> {
    const once = async (): Promise<boolean> => {
      const done = await write();
      if (!done.ok) throw done.error;
      return done.value;
    };
    try {
      const held = await keepTrying(once, {
        backoff: SETTLE_BACKOFF,
        signal: giveUp.signal,
        onFailure: () => undefined,
      });
      if (!held) log.warn("lease lost before the outcome was written", { mail_id: mail.mailId });
      return held;
    } catch (error) {
      // Its lease will run out, and the next look through the outbox decides by data_at.
      log.error("outcome of a mail not written", { mail_id: mail.mailId, error });
      return false;
    }
  }

  /** Not to be sent any more, as was seen when its turn came. */
  function refused(standing: Standing): void {
    measured.ended(standing.state);
    onChange?.();
    waiting.announce(standing);
  }

  async function takeDue(): Promise<void> {
    while (canSend() && watch.state === "up" && free() > 0) {
      const limit = free();
      const claim = Bun.randomUUIDv7();
      reserved += limit;
      const claimed = await store.claim(claim, limit, LEASE_MS, soon());
      reserved -= limit;
      if (!claimed.ok) {
        doubt(claim);
        return;
      }
      const { mails, suppressed } = claimed.value;
      for (const mail of mails) begin(mail);
      for (const standing of suppressed) refused(standing);
      backlog = mails.length + suppressed.length === limit;
      if (!backlog) return;
    }
  }

  let countedAt = Number.NEGATIVE_INFINITY;
  let sweptAt = Number.NEGATIVE_INFINITY;

  async function tidy(): Promise<void> {
    if (doubtful.size > 0) {
      const claims = [...doubtful];
      if (!(await store.release(claims, soon())).ok) return;
      for (const claim of claims) doubtful.delete(claim);
    }
    if (performance.now() - sweptAt >= pollMs / 2) {
      const resendAfterMs = ambiguousPolicy === "resend" ? (scheduleMs[0] ?? 0) : undefined;
      const swept = await store.sweep({ conclusive: leases.conclusive, resendAfterMs, limit: EXPIRE_AT_ONCE }, soon());
      leases.answered(swept.ok);
      if (!swept.ok) return;
      const { requeued, ambiguous, resent, expired } = swept.value;
      // There may be more of them, after the mails that are due.
      if (expired === EXPIRE_AT_ONCE) wake();
      else sweptAt = performance.now();
      measured.swept({ ambiguous: ambiguous - resent, deferred: resent, expired });
      if (requeued + ambiguous > 0) log.warn("leases ran out", { requeued, ambiguous, resent });
      if (expired > 0) log.warn("mails expired", { expired });
    }
    if (performance.now() - countedAt >= COUNT_EVERY_MS) {
      const counted = await store.counts(soon());
      // Also where it took too long: the mails come first.
      countedAt = performance.now();
      if (counted.ok) measured.counted(counted.value);
    }
  }

  async function work(): Promise<void> {
    while (!stopping.signal.aborted) {
      await tidy();
      await takeDue();
      await bell.wait(pollMs);
    }
  }

  const leases = keepLeases({ store, held: () => attempts.values() });
  const working = work();
  let disposed: Promise<void> | undefined;

  async function dispose(): Promise<void> {
    stopping.abort();
    wake();
    await working;
    const within = (ms: number) =>
      Deadline.after(ms)
        .bound(Promise.allSettled(attempts.keys()), "the attempts in hand")
        .then(() => true)
        .catch(() => false);
    if (!(await within(DRAIN_MS))) {
      cutting.abort();
      if (!(await within(LAST_WRITES_MS))) giveUp.abort(new Error("stopped before the database was back"));
    }
    giveUp.abort();
    await leases[Symbol.asyncDispose]();
    await teller[Symbol.asyncDispose]();
    await waiting[Symbol.asyncDispose]();
    if (doubtful.size > 0) await store.release([...doubtful], Deadline.after(LAST_WRITES_MS));
  }

  return {
    get waiting() {
      return measured.waiting;
    },
    wake,

    async accept(mail, deadline) {
      const isForLater = mail.sendAt !== undefined && mail.sendAt.getTime() > Date.now();
      const places = canSend() && !backlog && !isForLater ? Math.min(free(), mail.recipients.length) : 0;
      const claim = places > 0 ? Bun.randomUUIDv7() : undefined;
      reserved += places;
      const stored = await store.insert(
        mail,
        { claim, places, leaseMs: LEASE_MS, expireAfterMs, quotaPerHour },
        deadline,
      );
      reserved -= places;
      if (!stored.ok) {
        if (claim !== undefined && !NOTHING_STORED.has(stored.error.code)) doubt(claim);
        wake();
        return stored;
      }
      const { fresh, claimed, standings } = stored.value;
      for (const one of claimed) begin(one);
      if (fresh) for (const standing of standings) if (standing.state === "failed") measured.ended("failed");
      if (fresh && !isForLater && standings.some(({ state }) => state === "queued")) {
        backlog = true;
        wake();
        teller.tell();
      }
      return stored;
    },

    settled: (id, signal) => waiting.settled(id, signal),

    [Symbol.asyncDispose]() {
      disposed ??= dispose();
      return disposed;
    },
  };
}
