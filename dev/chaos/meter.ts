/** What came of a load so far, as people watch it: sums, and what happened second by second. */
import type { ChaosCounters, ChaosSample } from "#contracts/chaos";
import { percentile, type Sample } from "./load.ts";

/** Seconds that are kept. */
const KEPT = 600;

export interface Meter {
  /** Takes the calls that have ended since it was last asked. @param beganAt of the load, by the meter's clock (ms). */
  take(samples: readonly Sample[], beganAt: number): void;
  /** Another load begins: sums of experiments are their own. */
  begin(): void;
  /** Of the load that runs. `accepted` is not known here: what was accepted is in the history. */
  readonly counters: Omit<ChaosCounters, "accepted">;
  /** Of all loads, oldest first. */
  readonly samples: readonly ChaosSample[];
}

const isAnswer = (status: number): boolean => status === 200 || status === 202;

/** @param startedAt when second 0 began (ms). */
export function makeMeter(startedAt: number): Meter {
  const seconds = new Map<number, { accepted: number; refused: number; times: number[] }>();
  let taken = 0;
  let counters = none();

  function count({ what, status, degraded, ms }: Sample, endedAt: number): void {
    counters.calls += 1;
    if (degraded !== undefined) counters.degraded += 1;
    if (status === 0) counters.unanswered += 1;
    else if (!isAnswer(status)) counters.refused += 1;
    else if (what === "login") counters.logins += 1;
    const t = Math.max(0, Math.floor((endedAt - startedAt) / 1_000));
    let second = seconds.get(t);
    if (second === undefined) {
      second = { accepted: 0, refused: 0, times: [] };
      seconds.set(t, second);
      seconds.delete(t - KEPT);
    }
    if (isAnswer(status)) second.accepted += 1;
    else second.refused += 1;
    if (status !== 0) second.times.push(ms);
  }

  return {
    take(samples, beganAt) {
      for (; taken < samples.length; taken += 1) {
        const sample = samples[taken]!;
        count(sample, beganAt + sample.at + sample.ms);
      }
    },
    begin() {
      taken = 0;
      counters = none();
    },
    get counters() {
      return { ...counters };
    },
    get samples() {
      return [...seconds]
        .sort(([a], [b]) => a - b)
        .map(([t, { accepted, refused, times }]) => ({
          t,
          accepted,
          refused,
          p95_ms:
            times.length === 0
              ? null
              : percentile(
                  times.toSorted((a, b) => a - b),
                  0.95,
                ),
        }));
    },
  };
}

const none = () => ({ calls: 0, degraded: 0, logins: 0, refused: 0, unanswered: 0 });
