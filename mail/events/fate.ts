/** What an answer to a webhook means for it. Decides; knows neither HTTP's wire nor SQL. */
import type { Answer } from "./post.ts";

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;

/** Waits after the first, second, … try that failed; after the one behind the last, a good three days on, it is given up. */
export const WEBHOOK_SCHEDULE_MS: readonly number[] = [
  5 * SECOND_MS,
  5 * MINUTE_MS,
  30 * MINUTE_MS,
  2 * HOUR_MS,
  5 * HOUR_MS,
  10 * HOUR_MS,
  14 * HOUR_MS,
  20 * HOUR_MS,
  24 * HOUR_MS,
];
/** Longest `Retry-After` that is honoured. */
const MAX_RETRY_AFTER_MS = 24 * HOUR_MS;
const GONE = 410;

export type Fate =
  | { readonly kind: "delivered" }
  /** `waitMs` from now. */
  | { readonly kind: "again"; readonly waitMs: number }
  | { readonly kind: "gave_up" };

/**
 * @param attempt tries before this one. @param random in [0, 1), default `Math.random`.
 * @returns `again` also for a refusal (4xx) and a redirect: a receiver that is set up wrong is mended within days.
 */
export function fateOf(
  answer: Answer,
  attempt: number,
  scheduleMs: readonly number[] = WEBHOOK_SCHEDULE_MS,
  random: () => number = Math.random,
): Fate {
  const { status } = answer;
  if (status !== undefined && status >= 200 && status < 300) return { kind: "delivered" };
  const scheduled = scheduleMs[attempt];
  if (status === GONE || scheduled === undefined) return { kind: "gave_up" };
  const asked = status === undefined ? 0 : Math.min(MAX_RETRY_AFTER_MS, (answer.retryAfterS ?? 0) * SECOND_MS);
  // A tenth more or less: what failed together does not come back together.
  return { kind: "again", waitMs: Math.max(asked, scheduled * (0.9 + 0.2 * random())) };
}
