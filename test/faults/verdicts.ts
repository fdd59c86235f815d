/** From a verdict to what a case measured: what every case looks at, whatever it is about. */
import type { Measured } from "./case.ts";
import type { Verdict } from "../../dev/chaos/history.ts";

export interface Conclusion {
  readonly healMs?: number;
  readonly figures?: Measured["figures"];
  readonly broken?: readonly string[];
  /** Bar on the time until spool and queues were empty (ms); default: only that they were, in the verdict's time. */
  readonly drainWithinMs?: number;
  /** Dead letters that the case made on purpose (default 0). */
  readonly deadLettersExpected?: number;
}

export function concluded(verdict: Verdict, conclusion: Conclusion = {}): Measured {
  const { accepted, lost, twice, drainMs, altered, ambiguous, deadLettered, unrouted } = verdict;
  const { healMs, figures = {}, broken = [], drainWithinMs, deadLettersExpected = 0 } = conclusion;
  return {
    accepted,
    lost,
    twice,
    ...(healMs === undefined ? {} : { healMs: Math.round(healMs) }),
    figures: {
      ...figures,
      ...(drainMs === undefined ? {} : { drained_ms: Math.round(drainMs) }),
      ...(ambiguous.length === 0 ? {} : { ambiguous: ambiguous.length }),
    },
    broken: [
      ...broken,
      ...(drainMs === undefined
        ? [
            `spool and queues were not empty in time: ${verdict.queued.length} queued, ${verdict.spooled.length} spooled`,
          ]
        : []),
      ...(drainMs !== undefined && drainWithinMs !== undefined && drainMs > drainWithinMs
        ? [`spool and queues empty only after ${Math.round(drainMs)} ms`]
        : []),
      ...(altered.length > 0
        ? [`${altered.length} with another id or content: ${altered.slice(0, 5).join(", ")}`]
        : []),
      ...(verdict.wrongReceipts.length > 0
        ? [`${verdict.wrongReceipts.length} wrong receipts: ${verdict.wrongReceipts[0]}`]
        : []),
      ...(deadLettered.length > deadLettersExpected
        ? [`${deadLettered.length} dead-lettered, ${deadLettersExpected} of them on purpose`]
        : []),
      ...(unrouted.length > 0 ? [`${unrouted.length} unrouted`] : []),
    ],
  };
}
