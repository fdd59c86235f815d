/**
 * Refused logins, for the audit: told in batches, one entry an account, so that whoever guesses fills no log. Never what
 * was guessed. An entry is lost where auth is killed within 10 s; a drained one tells all.
 */
import type { Log } from "#shared/log";
import type { Database } from "#shared/postgres";
import { Deadline, makeBell } from "#shared/resilience";
import type { Outbox, OutboxItem } from "../outbox/outbox.ts";
import type { Place } from "../place.ts";
import { auditOf } from "./audit.ts";

export interface Refusal {
  readonly email: string;
  /** None: nobody has the address. */
  readonly userId: number | undefined;
  readonly place: Place;
}

export interface Refusals extends AsyncDisposable {
  note(refusal: Refusal): void;
  /** Tells what was noted. */
  [Symbol.asyncDispose](): Promise<void>;
}

const EVERY_MS = 10_000;
/** Accounts in one batch; those beyond are one entry together. */
const MAX_ACCOUNTS = 50;
const WRITE_MS = 3_000;

interface Count {
  readonly account: { readonly user_id: number } | { readonly account: string };
  times: number;
  place: Place;
}

export interface RefusalsPorts {
  database: Pick<Database, "transaction">;
  outbox: Outbox;
  /** What an address that nobody has is called: it may be a password that was typed into the wrong field. */
  nameOf: (email: string) => string;
  log: Log;
  /** Default 10,000. */
  everyMs?: number;
}

export function startRefusals({ database, outbox, nameOf, log, everyMs = EVERY_MS }: RefusalsPorts): Refusals {
  const bell = makeBell();
  let counts = new Map<string, Count>();
  let others = 0;
  const closing = new AbortController();

  async function tell(): Promise<void> {
    if (counts.size === 0 && others === 0) return;
    const told = counts;
    const toldOthers = others;
    counts = new Map();
    others = 0;
    const items: OutboxItem[] = [...told.values()].map(({ account, times, place }) =>
      auditOf("login.refused", "unknown", { ...account, times, ...place }, "WARNING"),
    );
    if (toldOthers > 0) {
      const data = { action: "login.refused", by: "unknown", account: "others", times: toldOthers };
      items.push({ kind: "audit", severity: "WARNING", data });
    }
    const done = await database.transaction((sql) => outbox.put(sql, items), {
      deadline: Deadline.after(WRITE_MS),
      retry: false,
    });
    if (done.ok) return outbox.ring();
    log.warn("refused logins not told to the audit, trying again", { reason: done.error });
    // What came meanwhile, and what is not told yet: as many as there is room for.
    others += toldOthers;
    for (const [key, { account, times, place }] of told) add(key, account, times, place);
  }

  function add(key: string, account: Count["account"], times: number, place: Place): void {
    const known = counts.get(key);
    if (known !== undefined) {
      known.times += times;
      known.place = place;
    } else if (counts.size < MAX_ACCOUNTS) counts.set(key, { account, times, place });
    else others += times;
  }

  async function work(): Promise<void> {
    while (!closing.signal.aborted) {
      await bell.wait(everyMs);
      await tell();
    }
  }

  const working = work();
  return {
    note({ email, userId, place }) {
      const account = userId === undefined ? { account: nameOf(email) } : { user_id: userId };
      add(JSON.stringify(account), account, 1, place);
    },
    async [Symbol.asyncDispose]() {
      closing.abort();
      bell.ring();
      await working;
    },
  };
}
