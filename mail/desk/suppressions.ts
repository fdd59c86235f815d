/** Who gets no mail: put on the list by hand or by himself, taken off by hand. Knows no HTTP and no SQL. */
import {
  ADDRESS_PATTERN,
  type SuppressRequest,
  type Suppression,
  type SuppressionPage,
  type SuppressionQuery,
} from "#contracts/mail";
import { fail, ok, type Result } from "#shared/errors";
import type { Deadline } from "#shared/resilience";
import { readCursor, writeCursor } from "./cursor.ts";
import type { Asking } from "./mails.ts";
import type { StoredSuppression, SuppressionStore } from "./suppression-store.ts";

/** What a link in a mail is about. */
export interface Subscription {
  readonly address: string;
  /** The mailing list. */
  readonly list: string;
}

/** Reads the token of a link. Failure `not_found` for one that is not ours. */
export type VerifyUnsubscribe = (token: string) => Result<Subscription>;

/** Failures of all: `unavailable`, `deadline`. Addresses are told in small letters. */
export interface Suppressions {
  /** @returns a page, newest first. Failure `invalid` for a cursor that is none. */
  list(query: SuppressionQuery, deadline: Deadline): Promise<Result<SuppressionPage>>;
  /** Puts an address on the list; one that is there keeps its first reason. */
  add(
    request: SuppressRequest,
    asking: Asking,
  ): Promise<Result<{ readonly suppression: Suppression; readonly isNew: boolean }>>;
  /** @param list only what is for this mailing list; default: what is for all mail. Failure `not_found`. */
  remove(address: string, list: string | undefined, deadline: Deadline): Promise<Result<void>>;
  /** What a link is about; nothing is changed. Failure `not_found`. */
  subscription(token: string): Result<Subscription>;
  /** Takes whom a link was written for off the mailing list (RFC 8058); again is the same. Failure `not_found`. */
  unsubscribe(token: string, deadline: Deadline): Promise<Result<Subscription>>;
}

/** For the database to answer (ms). */
const QUERY_MS = 3_000;
const DEFAULT_LIMIT = 50;
const ADDRESS = new RegExp(ADDRESS_PATTERN);
const KEY = /^[^ ]+ [a-z0-9._-]{0,64}$/;

const viewOf = ({ address, list, reason, created_at }: StoredSuppression): Suppression => ({
  address,
  ...(list === "" ? {} : { list }),
  reason,
  created_at: created_at.toISOString(),
});

export function makeSuppressions(store: SuppressionStore, verify: VerifyUnsubscribe): Suppressions {
  return {
    async list({ address, limit = DEFAULT_LIMIT, cursor }, deadline) {
      const after = cursor === undefined ? undefined : readCursor(cursor, (key) => KEY.test(key));
      if (after?.ok === false) return after;
      const page = await store.page(address?.toLowerCase(), after?.value, limit, deadline.within(QUERY_MS));
      if (!page.ok) return page;
      const { items, next } = page.value;
      return ok({ items: items.map(viewOf), ...(next === undefined ? {} : { next_cursor: writeCursor(next) }) });
    },

    async add({ address, list = "", reason }, { actor, deadline }) {
      const added = await store.add(
        { address: address.toLowerCase(), list, reason: reason ?? `added by ${actor}` },
        deadline.within(QUERY_MS),
      );
      if (!added.ok) return added;
      return ok({ suppression: viewOf(added.value.stored), isNew: added.value.isNew });
    },

    async remove(address, list = "", deadline) {
      const missing = fail("not_found", "no such address on the suppression list");
      if (!ADDRESS.test(address)) return missing;
      const removed = await store.remove(address.toLowerCase(), list, deadline.within(QUERY_MS));
      if (!removed.ok) return removed;
      return removed.value ? ok() : missing;
    },

    subscription: verify,

    async unsubscribe(token, deadline) {
      const found = verify(token);
      if (!found.ok) return found;
      const { address, list } = found.value;
      const added = await store.add(
        { address: address.toLowerCase(), list, reason: "unsubscribed" },
        deadline.within(QUERY_MS),
      );
      return added.ok ? found : added;
    },
  };
}
