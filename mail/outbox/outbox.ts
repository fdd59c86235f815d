/**
 * Carries mails from the outbox to the mail server. Several replicas work on one outbox side by side: a mail belongs
 * to whoever claimed it, for the length of a lease. The states and their order are in states.ts.
 *
 * Woken by this process when it accepts a mail or has a place free, and by a poll for everything else (mails of
 * other replicas, what is due later). No LISTEN/NOTIFY: a commit with NOTIFY takes a lock on the whole server.
 */
import type { Log } from "#shared/log";
import { Deadline, exponential, keepTrying } from "#shared/resilience";
import type { Metrics } from "#shared/telemetry";
import type { Result } from "#shared/errors";
import { compose } from "../message/message.ts";
import { keepLeases, LEASE_MS } from "./leases.ts";
import { makeMailMetrics } from "./metrics.ts";
import type { ServerWatch } from "../smtp/server-watch.ts";
import type { Smtp, SmtpResult } from "../smtp/smtp.ts";
import { outcomeOf, transitionOf } from "./states.ts";
import type { ClaimedMail, LastReply, NewMail, Standing, Store, Stored } from "./store.ts";

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
}

export interface Outbox extends AsyncDisposable {
  /**
   * Stores a mail; where a place is free and the server is there, its first attempt begins at once.
   * @returns as `store.insert`.
   */
  accept(mail: NewMail, deadline: Deadline): Promise<Result<Stored>>;
  /** Where a mail stands after the attempt that this process makes next; undefined when the signal fires first. */
  settled(id: string, signal: AbortSignal): Promise<Standing | undefined>;
  /** There may be something to do now. */
  wake(): void;
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

/** What a server says, fit for a log, a column and an answer: one line of printable ASCII. */
function printable(text: string): string {
  return text
    .replaceAll(/[^\x20-\x7e]+/g, " ")
    .trim()
    .slice(0, MAX_TEXT);
}

function lastReplyOf(result: SmtpResult): LastReply {
  return { code: result.code, text: printable(result.text), command: result.ok ? undefined : result.command };
}

export function startOutbox(options: OutboxOptions): Outbox {
  const { store, smtp, watch, log, metrics, connections, attemptMs, scheduleMs, expireAfterMs, pollMs } = options;
  const measured = makeMailMetrics(metrics);
  const stopping = new AbortController();
  const cutting = new AbortController();
  const giveUp = new AbortController();
  const attempts = new Map<Promise<void>, ClaimedMail>();
  const waiting = new Map<string, Set<(standing: Standing) => void>>();
  /** Claims of which it is not known whether they hold anything: the answer of the database was lost. */
  const doubtful = new Set<string>();
  /** There may be more that is due than there were places. */
  let backlog = false;
  let reserved = 0;
  let bell = Promise.withResolvers<void>();

  const free = (): number => connections - attempts.size - reserved;
  const canSend = (): boolean => watch.state !== "away" && !stopping.signal.aborted;
  const soon = (): Deadline => Deadline.after(QUERY_MS);
  const wake = (): void => bell.resolve();

  function begin(mail: ClaimedMail): void {
    const work = attempt(mail)
      .catch((error: unknown) => log.error("an attempt failed: this is a bug", { mail_id: mail.id, error }))
      .finally(() => {
        attempts.delete(work);
        if (backlog) wake();
      });
    attempts.set(work, mail);
  }

  async function attempt(mail: ClaimedMail): Promise<void> {
    const startedAt = performance.now();
    const content = { text: mail.message, to: [mail.recipient] };
    const bytes = await compose({ ...mail, from: mail.sender, content, date: mail.createdAt, priority: 1 });
    const beginContent = async (): Promise<boolean> => {
      const begun = await store.beginContent(mail.id, mail.claim, soon());
      return begun.ok && begun.value;
    };
    const signal = AbortSignal.any([cutting.signal, AbortSignal.timeout(attemptMs)]);
    const result = await smtp.send({ from: mail.sender, to: mail.recipient, bytes }, beginContent, signal);
    const tookMs = performance.now() - startedAt;
    // What we cut ourselves says nothing about the server.
    const seen = outcomeOf(result);
    const outcome = cutting.signal.aborted && (seen === "away" || seen === "interrupted") ? "withheld" : seen;
    if (outcome === "away" || outcome === "interrupted") watch.away(new Error(result.text));
    const transition = transitionOf({ ...mail, expiresInMs: mail.expiresInMs - tookMs }, outcome, scheduleMs);
    measured.attempt(outcome, tookMs);
    if (transition.attempt > mail.attempt) measured.ended(transition.state);
    const fields = { mail_id: mail.id, request_id: mail.requestId, outcome, state: transition.state };
    if (outcome === "sent") log.debug("mail sent", fields);
    else log.warn("mail not sent", { ...fields, attempt: transition.attempt, reply: printable(result.text) });

    const reply = lastReplyOf(result);
    if (await written(mail, () => store.settle(mail, transition, reply, soon()))) {
      const { text: smtpText, command: smtpCommand } = reply;
      announce({ id: mail.id, recipient: mail.recipient, state: transition.state, smtpText, smtpCommand });
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
      if (!held) log.warn("lease lost before the outcome was written", { mail_id: mail.id });
      return held;
    } catch (error) {
      // Its lease will run out, and the next look through the outbox decides by data_at.
      log.error("outcome of a mail not written", { mail_id: mail.id, error });
      return false;
    }
  }

  function announce(standing: Standing): void {
    for (const resolve of waiting.get(standing.id) ?? []) resolve(standing);
  }

  async function takeDue(): Promise<void> {
    while (canSend() && watch.state === "up" && free() > 0) {
      const limit = free();
      const claim = Bun.randomUUIDv7();
      reserved += limit;
      const claimed = await store.claim(claim, limit, LEASE_MS, soon());
      reserved -= limit;
      if (!claimed.ok) {
        doubtful.add(claim);
        return;
      }
      for (const mail of claimed.value) begin(mail);
      backlog = claimed.value.length === limit;
      if (!backlog) return;
    }
  }

  let countedAt = Number.NEGATIVE_INFINITY;
  let sweptAt = Number.NEGATIVE_INFINITY;

  async function tidy(): Promise<void> {
    for (const claim of doubtful) {
      const released = await store.release(claim, soon());
      if (!released.ok) return;
      doubtful.delete(claim);
    }
    if (performance.now() - sweptAt >= pollMs / 2) {
      const swept = await store.sweep(leases.conclusive, soon());
      leases.answered(swept.ok);
      if (!swept.ok) return;
      sweptAt = performance.now();
      const { requeued, ambiguous, expired } = swept.value;
      measured.swept({ ambiguous, expired });
      if (requeued + ambiguous > 0) log.warn("leases ran out", { requeued, ambiguous });
      if (expired > 0) log.warn("mails expired", { expired });
    }
    if (performance.now() - countedAt >= COUNT_EVERY_MS) {
      const counted = await store.counts(soon());
      if (!counted.ok) return;
      countedAt = performance.now();
      measured.counted(counted.value);
    }
  }

  async function work(): Promise<void> {
    while (!stopping.signal.aborted) {
      await tidy();
      await takeDue();
      // Half of the pause at random, so that replicas do not look at the same moment.
      await bellOr(pollMs * (0.75 + Math.random() / 2));
      bell = Promise.withResolvers();
    }
  }

  function bellOr(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      void bell.promise.then(() => {
        clearTimeout(timer);
        resolve();
      });
    });
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
    await Promise.all([...doubtful].map((claim) => store.release(claim, Deadline.after(LAST_WRITES_MS))));
  }

  return {
    wake,

    async accept(mail, deadline) {
      const now = canSend() && free() > 0 && !backlog;
      const claim = now ? Bun.randomUUIDv7() : undefined;
      if (now) reserved += 1;
      const stored = await store.insert(mail, claim, expireAfterMs, LEASE_MS, deadline);
      if (now) reserved -= 1;
      if (stored.ok && stored.value.claimed !== undefined) {
        begin(stored.value.claimed);
      } else {
        if (!stored.ok && claim !== undefined) doubtful.add(claim);
        backlog = true;
        wake();
      }
      return stored;
    },

    settled(id, signal) {
      const { promise, resolve } = Promise.withResolvers<Standing | undefined>();
      const listeners = waiting.get(id) ?? new Set();
      waiting.set(id, listeners.add(resolve));
      const stop = (): void => resolve(undefined);
      signal.addEventListener("abort", stop, { once: true });
      if (signal.aborted) stop();
      return promise.finally(() => {
        signal.removeEventListener("abort", stop);
        listeners.delete(resolve);
        if (listeners.size === 0) waiting.delete(id);
      });
    },

    [Symbol.asyncDispose]() {
      disposed ??= dispose();
      return disposed;
    },
  };
}
