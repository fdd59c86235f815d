/** What the headers of an answer say beside its status: that it was given before, and what was degraded. */
import type { Degraded } from "#contracts/broker";
import { DEGRADED_HEADER, REPLAYED_HEADER } from "#contracts/headers";
import type { Answered } from "./idempotency.ts";

export interface Settable {
  status?: number | string;
  headers: Record<string, string | number>;
}

/** The success, or the failure thrown; marked where it was given before. */
export function given<T>({ result, replayed }: Answered<T>, set: Settable): T {
  if (replayed) set.headers[REPLAYED_HEADER] = "true";
  if (!result.ok) throw result.error;
  return result.value;
}

/** Of several things that were done: the header has room for one word a part, which is the worst of them. */
export function worstOf(all: readonly (Degraded | undefined)[]): Degraded {
  const worst: Degraded = {};
  for (const degraded of all) {
    for (const [part, how] of Object.entries(degraded ?? {})) if (worst[part] !== "spooled") worst[part] = how;
  }
  return worst;
}

/** `X-Degraded`, where there is something to say, beside what it says already. */
export function markDegraded(degraded: Degraded, set: Settable): void {
  const before = set.headers[DEGRADED_HEADER];
  const parts = Object.entries(degraded).map(([part, how]) => `${part}=${how}`);
  if (parts.length > 0) set.headers[DEGRADED_HEADER] = [...(before === undefined ? [] : [before]), ...parts].join(", ");
}
