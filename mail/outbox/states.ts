/**
 * The life of a mail, and what an answer of the mail server does to it. Decides; knows neither SMTP's wire nor SQL.
 *
 *                       ┌────────────── given back: server away, drain, lease over before the content began
 *                       ▼                                                                  │
 *     accepted ──► queued ──────────────► sending ──┬─► sent        250 to the content     │
 *                       ▲  claim (a lease)  ▲   │   ├─► failed      5xx                    │
 *                       │                   │   │   ├─► ambiguous   no answer after the content began: cut, timeout,
 *                       │                   │   │   │               crash (lease over with data_at set)
 *                    deferred ──────────────┘   └───┼──────────────────────────────────────┘
 *                       ▲   due by the schedule     │
 *                       └───────────────────────────┴── 4xx
 *
 *     accepted ──► failed              its recipient is suppressed; queued, deferred ──► failed the same at the claim
 *     queued, deferred ──► expired     older than EXPIRE_AFTER_MS, or the next attempt would be
 *     queued, deferred ──► cancelled   by hand
 *     ambiguous ──► sent, failed       by the very attempt that went missing, should its answer come after all, or by hand
 *     ambiguous ──► deferred           by AMBIGUOUS_POLICY=resend in place of entering it: it may arrive twice
 *     sent, ambiguous ──► bounced      by a delivery status notification (RFC 3464)
 *     ambiguous, failed, expired, bounced, cancelled ──► queued   by hand
 *
 * - `sending` is entered by a claim only and belongs to its claim: every later write names it, so that whoever lost
 *   the lease changes nothing.
 * - `data_at` is written before the first byte of content leaves. Without it the server cannot have taken the mail,
 *   so sending again is safe; with it only an answer tells.
 * - `sent`, `failed`, `expired`, `cancelled` and `bounced` are final. `ambiguous` is not sent again by itself, unless
 *   the policy says so.
 * - By hand only what is in nobody's hands is changed, never `sending`; an attempt that still ends afterwards finds
 *   neither its claim nor its state, and changes nothing.
 * - A mail to several recipients lives as many lives; their sum is `sumOf`.
 */
import type { MAIL_STATES, MailSum } from "#contracts/mail";
import type { SmtpResult } from "../smtp/smtp.ts";

export type MailState = (typeof MAIL_STATES)[number];

/** What an attempt came to. */
export type Outcome =
  | "sent"
  /** Refused for now (4xx): an attempt is spent. */
  | "deferred"
  /** Refused for good (5xx). */
  | "failed"
  /** The server took content and never said what became of it. */
  | "ambiguous"
  /** No session: the server is not there, or has no use for us. Nothing is spent. */
  | "away"
  /** The server left in the middle of this mail, and has not taken it. Nothing is spent, for a while. */
  | "interrupted"
  /** We held the content back ourselves: the claim was lost, the database is away, or we are stopping. */
  | "withheld";

/** Replies that speak of our credentials or of TLS, not of the mail (RFC 4954 §6, RFC 3207 §4). */
const OURS_TO_MEND = new Set([454, 530, 534, 535, 538]);

/** Classifies an answer by its code (RFC 5321 §4.2.1, §4.2.3) and by how far the mail had come. */
export function outcomeOf(result: SmtpResult): Outcome {
  if (result.ok) return "sent";
  const { stage, code, withheld } = result;
  if (withheld) return "withheld";
  if (stage === "session") return "away";
  // 421 is the server's farewell at whatever step (§3.8): it has not taken the mail.
  if (code === 421) return "interrupted";
  if (code === undefined || code < 400 || code > 599) return stage === "content" ? "ambiguous" : "interrupted";
  if (stage === "envelope" && OURS_TO_MEND.has(code)) return "away";
  // 503 says that the session was out of step, not that the mail is bad.
  return code < 500 || code === 503 ? "deferred" : "failed";
}

/** Interruptions in a row after which they count as an attempt: a mail that drives the server away must not do so for ever. */
const MAX_INTERRUPTIONS = 20;
const INTERRUPTED_FIRST_MS = 200;
const INTERRUPTED_MAX_MS = 3_000;

/** What is written when an attempt is over. */
export interface Transition {
  readonly state: MailState;
  readonly attempt: number;
  readonly interruptions: number;
  /** Until it may be claimed again (ms). */
  readonly waitMs: number;
}

/** What is done about a mail that may have been sent: nothing until somebody decides, or it is sent again. */
export type AmbiguousPolicy = "hold" | "resend";

export interface Progress {
  readonly attempt: number;
  readonly interruptions: number;
  /** Until it is given up (ms). */
  readonly expiresInMs: number;
}

/**
 * Where a mail goes from `sending`.
 * @param scheduleMs waits after the 1st, 2nd, … attempt; the last one repeats.
 * @param policy `resend`: after the first of these waits, where that is not too late.
 */
export function transitionOf(
  mail: Progress,
  outcome: Outcome,
  scheduleMs: readonly number[],
  policy: AmbiguousPolicy = "hold",
): Transition {
  const { attempt, interruptions } = mail;
  const waiting = attempt > 0 ? "deferred" : "queued";
  switch (outcome) {
    case "sent":
    case "failed":
      return { state: outcome, attempt: attempt + 1, interruptions: 0, waitMs: 0 };
    case "ambiguous": {
      const waitMs = scheduleMs[0] ?? 0;
      // Not `expired`, which would say that it was not delivered.
      if (policy === "hold" || waitMs > mail.expiresInMs) {
        return { state: "ambiguous", attempt: attempt + 1, interruptions: 0, waitMs: 0 };
      }
      return { state: "deferred", attempt: attempt + 1, interruptions: 0, waitMs };
    }
    case "away":
    case "withheld":
      return { state: waiting, attempt, interruptions, waitMs: 0 };
    case "interrupted":
      if (interruptions + 1 >= MAX_INTERRUPTIONS) break;
      return {
        state: waiting,
        attempt,
        interruptions: interruptions + 1,
        waitMs: Math.min(INTERRUPTED_MAX_MS, INTERRUPTED_FIRST_MS * 2 ** interruptions),
      };
    case "deferred":
      break;
  }
  const waitMs = scheduleMs[Math.min(attempt, scheduleMs.length - 1)] ?? 0;
  const state = waitMs > mail.expiresInMs ? "expired" : "deferred";
  return { state, attempt: attempt + 1, interruptions: 0, waitMs };
}

/** From the one that is least done with to those that are. */
const LEAST_DONE: readonly MailState[] = ["sending", "queued", "deferred", "ambiguous"];
const UNDELIVERED: readonly MailState[] = ["failed", "expired", "bounced", "cancelled"];

/**
 * The state of a mail from those of its recipients (at least one), as `MailSum` has it. Where they differ and nobody was
 * sent it: failed before expired, bounced and cancelled, what asks for somebody's attention first.
 */
export function sumOf(states: readonly MailState[]): MailSum {
  const open = LEAST_DONE.find((state) => states.includes(state));
  if (open !== undefined) return open;
  const missed = UNDELIVERED.find((state) => states.includes(state));
  if (missed === undefined) return "sent";
  return states.includes("sent") ? "partial" : missed;
}
