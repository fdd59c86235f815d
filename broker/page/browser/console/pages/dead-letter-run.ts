/** Sends parked messages again, or drops them: counted first, asked once, then in steps, so that it can be seen and stopped. */
import { ask, type Schema, type Trouble } from "../api.ts";

export type Deed = "replay" | "drop";

/** Which of them: what the requests for both have in common. */
export type Choice = Omit<Schema<"DropRequest">, "all" | "limit" | "dry_run">;

/** Messages of one request: some seconds' worth, at a hundred a second. */
const STEP: Readonly<Record<Deed, number>> = { replay: 500, drop: 10_000 };
/** A request may work for half a minute. */
const WITHIN_MS = 40_000;
/** While somebody else is at work there, it is asked again so often, after what the answer says (s). */
const TRIES = 5;
const RETRY_S = 2;
export const IDS_MAX = 500;

export interface Run {
  readonly deed: Deed;
  readonly done: number;
  readonly of: number;
  /** Entries `audit` in the log, one for each step. */
  readonly auditIds: readonly string[];
  /** Why it ended before its end. */
  readonly trouble?: Trouble;
  readonly going: boolean;
}

const requestOf = (deed: Deed, choice: Choice) => {
  const { parked: _parked, ...conditions } = choice;
  const isAll = Object.values(conditions).every((one) => one === undefined);
  return deed === "drop" && isAll ? { ...choice, all: true } : choice;
};

async function post(deed: Deed, body: object, signal: AbortSignal) {
  const once = () =>
    ask<Schema<"DeadLetterOutcome">>("POST", `/v1/events/dead-letters/${deed}`, { body, signal, withinMs: WITHIN_MS });
  let reply = await once();
  for (let tries = 1; !reply.ok && reply.status === 409 && tries < TRIES && !signal.aborted; tries += 1) {
    const waitS = reply.trouble.retryAfterS ?? RETRY_S;
    await new Promise((resolve) => setTimeout(resolve, waitS * 1_000));
    reply = await once();
  }
  return reply;
}

/** How many there are. */
export async function count(deed: Deed, choices: readonly Choice[], signal: AbortSignal): Promise<number | Trouble> {
  let matched = 0;
  for (const choice of choices) {
    const reply = await post(deed, { ...requestOf(deed, choice), dry_run: true }, signal);
    if (!reply.ok) return reply.trouble;
    matched += reply.data.matched;
  }
  return matched;
}

/**
 * Does it to so many, the oldest first: what comes back meanwhile, because it fails again, is behind them and is not taken again.
 * @param of as counted. All choices are of one queue.
 */
export async function run(
  deed: Deed,
  choices: readonly Choice[],
  of: number,
  { signal, tell }: { readonly signal: AbortSignal; readonly tell: (run: Run) => void },
): Promise<Run> {
  let now: Run = { deed, done: 0, of, auditIds: [], going: true };
  tell(now);
  for (const choice of choices) {
    let left = 1;
    while (left > 0 && now.done < of && !signal.aborted) {
      const limit = Math.min(STEP[deed], of - now.done);
      const reply = await post(deed, { ...requestOf(deed, choice), limit }, signal);
      if (!reply.ok) {
        // Stopped by whoever began it.
        now = signal.aborted ? { ...now, going: false } : { ...now, trouble: reply.trouble, going: false };
        tell(now);
        return now;
      }
      const { done, left: there, audit_id } = reply.data;
      now = {
        ...now,
        done: now.done + done,
        auditIds: audit_id === undefined ? now.auditIds : [...now.auditIds, audit_id],
      };
      tell(now);
      // What can't be sent stays: asking again would not change that.
      left = done === 0 ? 0 : there;
    }
  }
  now = { ...now, going: false };
  tell(now);
  return now;
}
