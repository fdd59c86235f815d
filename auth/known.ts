/**
 * Who the user of a session is, remembered for a moment: an access token that is used often is looked up once in that
 * time. A change is told by the database itself at its commit; what this replica changes it forgets by itself, before it
 * answers.
 */
import { isScope } from "#contracts/scopes";
import { type Codec, makeCache } from "#shared/cache";
import type { Database } from "#shared/postgres";
import type { Redis } from "#shared/redis";
import type { Metrics } from "#shared/telemetry";
import type { Sealer } from "./keys.ts";
import type { Outbox } from "./outbox/outbox.ts";
import type { SessionUser, Store } from "./store.ts";

/** As the triggers of migration 6 call it; they tell the user's id. */
const CHANNEL = "auth_user_changed";
const MAX_SESSIONS = 10_000;
/** How far clocks of replicas may be apart (ms). */
const CLOCK_SKEW_MS = 1_000;

export interface Known {
  /** As the store's, at most so old as the cache lets it get. */
  readonly findSessionUser: Store["findSessionUser"];
  /**
   * `outbox`, which forgets whom a revocation concerns as well: when it is put, and again when it rings after the
   * commit, so that whoever is answered then is told of the change here. What another request's ring takes from it the
   * database tells a few milliseconds later.
   */
  telling(outbox: Outbox): Outbox;
}

export interface KnownOptions {
  readonly store: Pick<Store, "findSessionUser">;
  readonly database: Pick<Database, "listen">;
  /** Longest that it counts (ms); 0: it is always looked up. */
  readonly ttlMs: number;
  /** Shared by the replicas, sealed. */
  readonly shared?: { readonly redis: Redis; readonly sealer: Sealer } | undefined;
  readonly metrics: Metrics;
}

export function makeKnown({ store, database, ttlMs, shared, metrics }: KnownOptions): Known {
  const find: Known["findSessionUser"] = (...asked) => store.findSessionUser(...asked);
  if (ttlMs === 0) return { findSessionUser: find, telling: (outbox) => outbox };
  const cache = makeCache<SessionUser>({
    name: "session_users",
    maxEntries: MAX_SESSIONS,
    ttlMs,
    metrics,
    shared: shared === undefined ? undefined : { redis: shared.redis, codec: makeCodec(shared.sealer, ttlMs) },
  });
  database.listen(CHANNEL, (userId) => {
    if (userId === undefined) cache.clear();
    else cache.forget(userId);
  });

  return {
    findSessionUser: (userId, sessionId, context) =>
      cache.get(String(userId), sessionId, () => find(userId, sessionId, context)),
    telling(outbox) {
      /** Forgets to be done again: until the commit what was from before could be read once more. */
      const pending = new Set<() => void>();
      return {
        async put(sql, items, origin) {
          for (const item of items) {
            if (item.kind !== "identity" || item.revocation.kind === "api_key") continue;
            const { kind, subject } = item.revocation;
            const forget = (): void => (kind === "user" ? cache.forget(subject) : cache.forgetItem(subject));
            forget();
            if (pending.size < MAX_SESSIONS) pending.add(forget);
          }
          await outbox.put(sql, items, origin);
        },
        ring() {
          for (const forget of pending) forget();
          pending.clear();
          outbox.ring();
        },
      };
    },
  };
}

/** Sealed for its key, so that who can write to Redis can make nobody an administrator; and with its end, so that an old one cannot be put back. */
function makeCodec(sealer: Sealer, ttlMs: number): Codec<SessionUser> {
  return {
    write: (value, key) => Buffer.from(sealer.seal(JSON.stringify({ ...value, until: Date.now() + ttlMs }), key)),
    read(bytes, key) {
      const plain = sealer.open(bytes, key);
      if (plain === undefined) return undefined;
      const { until, registration, user } = JSON.parse(plain) as SessionUser & { until: number };
      if (until + CLOCK_SKEW_MS < Date.now()) return undefined;
      const date = (value: Date | null): Date | null => (value === null ? null : new Date(value));
      return {
        registration,
        user: {
          ...user,
          extraScopes: user.extraScopes.filter(isScope),
          createdAt: new Date(user.createdAt),
          updatedAt: new Date(user.updatedAt),
          emailVerifiedAt: date(user.emailVerifiedAt),
          lastLoginAt: date(user.lastLoginAt),
        },
      };
    },
  };
}
