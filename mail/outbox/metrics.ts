/** What the mail service counts. */
import type { Metrics } from "#shared/telemetry";
import type { MailState, Outcome } from "./states.ts";
import type { Counts } from "./store.ts";

export interface MailMetrics {
  attempt(outcome: Outcome, tookMs: number): void;
  /** A mail left the state `sending`. */
  ended(state: MailState): void;
  swept(swept: { readonly ambiguous: number; readonly deferred: number; readonly expired: number }): void;
  counted(counts: Counts): void;
  /** Mails that were not done with when they were counted last. */
  readonly waiting: number;
}

/** States of mails that are not done with; the others are counted by `mail_sent_total` when they are entered. */
const OPEN: readonly MailState[] = ["queued", "sending", "deferred", "ambiguous"];

export function makeMailMetrics(metrics: Metrics): MailMetrics {
  const results = metrics.counter("mail_sent_total", "Attempts and mails by what became of them.", ["result"]);
  const seconds = metrics.histogram("smtp_attempt_seconds", "Time that an attempt to hand over a mail took.", [
    "result",
  ]);
  const rows = metrics.gauge("mail_outbox_rows", "Mails in the outbox that are not done with.", ["state"]);
  const oldest = metrics.gauge("mail_oldest_queued_seconds", "Age of the oldest mail that waits, 0 without any.");
  let waiting = 0;
  return {
    attempt: (outcome, tookMs) => seconds.observe({ result: outcome }, tookMs / 1_000),
    ended: (state) => results.inc({ result: state }),
    swept: (swept) => {
      for (const [result, mails] of Object.entries(swept)) if (mails > 0) results.inc({ result }, mails);
    },
    counted: (counts) => {
      for (const state of OPEN) rows.set({ state }, counts.rows.get(state) ?? 0);
      oldest.set(counts.oldestQueuedS);
      waiting = OPEN.reduce((sum, state) => sum + (counts.rows.get(state) ?? 0), 0);
    },
    get waiting() {
      return waiting;
    },
  };
}
