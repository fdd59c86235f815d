/**
 * Whose an API key is: auth knows, and is asked once a minute for each. Only its hash is remembered: the key is in no
 * memory longer than its request.
 */
import { LRUCache } from "lru-cache";
import type { Scope } from "#contracts/scopes";
import type { KeyHolder } from "#contracts/auth";
import type { Degraded } from "#contracts/broker";
import type { Revocation } from "#contracts/identity";
import { fail, ok, type Result } from "#shared/errors";
import { type CallContext, inSpan, type Metrics } from "#shared/telemetry";
import { isAway } from "../handle.ts";
import type { Revocations } from "./revocations.ts";

/** How long auth's word counts without asking again (ms): that a key is somebody's, and that it is nobody's. */
const FRESH_MS = 60_000;
const REFUSED_MS = 5_000;
/** Most of each that are remembered; then the one that auth was asked about longest ago goes: it is peeked at, and not used. */
const SIZE = 10_000;
/** What can be a key: anything else is nobody's, without asking. */
const KEY = /^pk_[\x21-\x7e]{16,253}$/;

/** Whose key, and since when that is known where auth could not be asked. */
export interface FoundKey {
  readonly holder: KeyHolder;
  readonly scopes: ReadonlySet<Scope>;
  readonly degraded?: Degraded;
}

export interface ApiKeys {
  /**
   * @returns failure `unauthenticated` for a key that is nobody's, over or revoked; `unavailable` where auth is away and
   * nothing recent enough is remembered; `exhausted`.
   */
  find(key: string, context: CallContext): Promise<Result<FoundKey>>;
  /** What is remembered of keys that a revocation is about is so no longer. */
  forget(revocation: Pick<Revocation, "kind" | "subject">): void;
}

export interface ApiKeysOptions {
  /** Auth's `POST /api-keys/verify`: failure `unauthenticated` for a key that is nobody's. @param hash SHA-256 of the key, hex. */
  readonly ask: (
    key: { readonly key: string; readonly hash: string },
    context: CallContext,
  ) => Promise<Result<KeyHolder>>;
  readonly revocations: Pick<Revocations, "ofKey">;
  /** Longest that what auth said is gone by while it is away (s); 0: never longer than a minute. */
  readonly maxAgeS: number;
  readonly metrics: Metrics;
  /** Milliseconds of a clock that never steps (default `performance.now`). */
  readonly now?: () => number;
}

interface Known {
  readonly holder: KeyHolder;
  readonly scopes: ReadonlySet<Scope>;
  readonly askedAt: number;
}

interface Asking {
  answer: Promise<Result<Known>>;
  /** Something was revoked meanwhile: the answer is for those who asked before, and not to be kept. */
  isStale: boolean;
}

const nobodys = () => fail("unauthenticated", "the API key is not valid");

export function makeApiKeys(options: ApiKeysOptions): ApiKeys {
  const { ask, revocations, maxAgeS, metrics, now = () => performance.now() } = options;
  const known = new LRUCache<string, Known>({ max: SIZE });
  const refused = new LRUCache<string, number>({ max: SIZE });
  const asking = new Map<string, Asking>();
  const answers = metrics.counter("broker_api_keys_total", "API keys looked at, by where the answer is from.", [
    "from",
  ]);
  metrics.gauge("broker_api_keys_cached", "API keys whose holder is remembered.", [], (gauge) => gauge.set(known.size));

  async function askAuth(key: string, hash: string, under: Asking, context: CallContext): Promise<Result<Known>> {
    const askedAt = now();
    const told = await ask({ key, hash }, context);
    if (told.ok) {
      const found = { holder: told.value, scopes: new Set(told.value.scopes), askedAt };
      if (under.isStale) return ok(found);
      known.set(hash, found);
      refused.delete(hash);
      return ok(found);
    }
    if (told.error.code === "unauthenticated") {
      known.delete(hash);
      refused.set(hash, askedAt);
    }
    return told;
  }

  /** All who ask about one key meanwhile share the answer, and the time of the first of them. */
  function askOnce(key: string, hash: string, context: CallContext): Promise<Result<Known>> {
    const current = asking.get(hash);
    if (current?.isStale === false) return current.answer;
    const under: Asking = { isStale: false, answer: Promise.resolve(nobodys()) };
    under.answer = askAuth(key, hash, under, context).finally(() => {
      if (asking.get(hash) === under) asking.delete(hash);
    });
    asking.set(hash, under);
    return under.answer;
  }

  /** Over, or revoked, by what is known here. */
  function isOver({ holder: { key_id, expires_at } }: Known): boolean {
    if (revocations.ofKey(key_id) === "revoked") return true;
    return expires_at !== undefined && Date.parse(expires_at) <= Date.now();
  }

  function found(from: string, { holder, scopes }: Known, degraded?: Degraded): Result<FoundKey> {
    answers.inc({ from });
    return ok({ holder, scopes, ...(degraded === undefined ? {} : { degraded }) });
  }

  function refuse(from: string): Result<never> {
    answers.inc({ from });
    return nobodys();
  }

  return {
    find: (key, given) =>
      inSpan(given, "look up API key", {}, async (context, span) => {
        span.set({ "cache.hit": true });
        if (!KEY.test(key)) return refuse("form");
        const hash = new Bun.CryptoHasher("sha256").update(key).digest("hex");
        const before = known.peek(hash);
        if (before !== undefined && isOver(before)) return refuse("memory");
        const isSure = before !== undefined && revocations.ofKey(before.holder.key_id) === "stands";
        if (isSure && now() - before.askedAt < FRESH_MS) return found("memory", before);
        if (now() - (refused.peek(hash) ?? Number.NEGATIVE_INFINITY) < REFUSED_MS) return refuse("memory");

        span.set({ "cache.hit": false });
        const told = await askOnce(key, hash, context);
        if (told.ok) return isOver(told.value) ? refuse("auth") : found("auth", told.value);
        if (told.error.code === "unauthenticated") return refuse("auth");
        if (!isAway(told.error) || told.error.code === "exhausted") return told;
        // It may have been revoked while auth was asked.
        const last = known.peek(hash);
        const ageMs = last === undefined ? Number.POSITIVE_INFINITY : now() - last.askedAt;
        if (last === undefined || isOver(last) || ageMs > maxAgeS * 1_000) {
          answers.inc({ from: "nobody" });
          return fail("unavailable", "The auth service is away, and nothing is known of this API key", {
            cause: told.error,
            retryAfterS: told.error.retryAfterS ?? 1,
          });
        }
        span.set({ "cache.hit": true });
        return found("stale", last, { auth: `cached;age=${Math.floor(ageMs / 1_000)}` });
      }),

    forget({ kind, subject }) {
      if (kind === "session") return;
      for (const under of asking.values()) under.isStale = true;
      const userId = Number(subject);
      for (const [hash, { holder }] of known) {
        if (kind === "api_key" ? holder.key_id === subject : holder.user_id === userId) known.delete(hash);
      }
    },
  };
}
