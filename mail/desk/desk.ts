/** Wires the desk: looking at mails and deciding on them, with a store of its own on the same database as the outbox. */
import type { Database } from "#shared/postgres";
import { makeTakeBounce, type ParseBounce } from "./bounces.ts";
import { makeMails } from "./mails.ts";
import type { Desk } from "./routes.ts";
import { makeDeskStore } from "./store.ts";
import { makeBounceStore, makeSuppressionStore } from "./suppression-store.ts";
import { makeSuppressions, type VerifyUnsubscribe } from "./suppressions.ts";

export interface DeskOptions {
  readonly database: Database;
  /** Age at which a mail that is sent again is given up (ms). */
  readonly expireAfterMs: number;
  readonly parseBounce: ParseBounce;
  readonly verifyUnsubscribe: VerifyUnsubscribe;
}

export function makeDesk({ database, expireAfterMs, parseBounce, verifyUnsubscribe }: DeskOptions): Desk {
  return {
    mails: makeMails({ store: makeDeskStore(database), expireAfterMs }),
    suppressions: makeSuppressions(makeSuppressionStore(database), verifyUnsubscribe),
    takeBounce: makeTakeBounce(makeBounceStore(database), parseBounce),
  };
}
