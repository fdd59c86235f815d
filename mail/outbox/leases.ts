/**
 * How long a mail belongs to whoever is sending it. A lease is short, so that the mails of a process that was killed
 * go on within seconds, and is renewed for as long as the attempt lasts, so that a slow mail server costs nobody its
 * claim. A lease that runs out under a process that still lives (paused, or cut off from the database) does no harm:
 * content is begun only while the claim holds, and once it has begun the mail is ambiguous until that very attempt
 * is heard of.
 */
import { Deadline, pause } from "#shared/resilience";
import type { ClaimedMail } from "./rows.ts";
import type { Store } from "./store.ts";

/** Of one claim, from its last renewal (ms). */
export const LEASE_MS = 10_000;
/** Two renewals may be missed. */
const RENEW_EVERY_MS = 3_000;

export interface Leases extends AsyncDisposable {
  /**
   * Told whether the database answered just now. After it was away nobody's lease counts as over for one length of a
   * lease: the others could not renew theirs either.
   */
  answered(well: boolean): void;
  /** Whether leases that ran out tell that their holders are gone. */
  readonly conclusive: boolean;
}

export interface LeasesOptions {
  readonly store: Pick<Store, "renew">;
  /** Mails on their way. */
  readonly held: () => Iterable<Pick<ClaimedMail, "id" | "claim">>;
  /** Default 3,000. */
  readonly renewEveryMs?: number;
}

/** Renews until it is disposed of: do that after the last attempt. */
export function keepLeases({ store, held, renewEveryMs = RENEW_EVERY_MS }: LeasesOptions): Leases {
  const closing = new AbortController();
  let everAnswered = false;
  let awayAt = Number.NEGATIVE_INFINITY;

  function answered(well: boolean): void {
    if (well) everAnswered = true;
    // Before the first answer there is no lease of ours, and no reason to let others' mails wait.
    else if (everAnswered) awayAt = performance.now();
  }

  async function renew(): Promise<void> {
    for (;;) {
      await pause(renewEveryMs, closing.signal);
      if (closing.signal.aborted) return;
      const mails = [...held()];
      // A renewal that fails is tried again at its next turn.
      if (mails.length > 0) answered((await store.renew(mails, LEASE_MS, Deadline.after(renewEveryMs))).ok);
    }
  }

  const renewing = renew();
  return {
    answered,
    get conclusive() {
      return performance.now() - awayAt >= LEASE_MS;
    },
    async [Symbol.asyncDispose]() {
      closing.abort();
      await renewing;
    },
  };
}
