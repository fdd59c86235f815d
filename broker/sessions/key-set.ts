/**
 * The public keys that access tokens are verified with (RFC 7517), as auth publishes them. They are kept in memory:
 * what was learnt once goes on verifying while auth is away.
 */
import { type CryptoKey, importJWK, type JWK } from "jose";
import { ACCESS_TOKEN } from "#contracts/auth";
import { REQUEST_ID_HEADER } from "#contracts/headers";
import { Failure, fail, failureOf, messageOf, ok, type Result } from "#shared/errors";
import { atSome, type Endpoint, fetchAt, type Pool } from "#shared/discovery";
import type { Dependency } from "#shared/lifecycle";
import type { Log } from "#shared/log";
import { type Deadline, makeBell, pause, reconnectBackoff } from "#shared/resilience";
import { type CallContext, quietContext, traceHeaders } from "#shared/telemetry";

/** How often the keys are read again (ms): a key that was added or retired is known that much later. */
const REFRESH_MS = 60_000;
/** Least time from one read to the next (ms), whatever the tokens that come name as their key. */
const APART_MS = 1_000;
/** After a change, again so much later (ms): the replica of auth that was asked may not have heard of it yet itself. */
const AFTER_CHANGE_MS = [1_000, 3_000, 10_000];
const READ_MS = 2_000;
/** Longest that a token waits for a key that is not known yet (ms). */
const WAIT_MS = 2_500;
const MAX_BYTES = 262_144;
const MAX_KEYS = 100;
const PATH = "/.well-known/jwks.json";

export interface KeySet extends AsyncDisposable {
  /**
   * The key with this id. One that is not known is asked for at once; all who ask meanwhile share the answer.
   * @returns undefined where auth has no such key; failure `unavailable` where auth is away and nobody can tell.
   */
  find(kid: string, deadline: Deadline): Promise<Result<CryptoKey | undefined>>;
  /** All of them as a set (RFC 7517 §5), for whoever verifies tokens himself; failure `unavailable` while none is known. */
  published(): Result<{ keys: JWK[] }>;
  /** Reads the keys again at once, and a few times after: one was added or retired. */
  renew(): void;
}

interface Known {
  readonly key: CryptoKey;
  readonly jwk: JWK;
}

export interface KeySetOptions {
  readonly auth: Pool;
  /** Up once there are keys. */
  readonly dependency: Dependency;
  readonly log: Log;
  /** Default 60,000. */
  readonly refreshMs?: number;
  /** Default 1,000. */
  readonly apartMs?: number;
}

/** Begins to read the keys in the background, and goes on until it is disposed. */
export function makeKeySet(options: KeySetOptions): KeySet {
  const { auth, dependency, log, refreshMs = REFRESH_MS, apartMs = APART_MS } = options;
  const closing = new AbortController();
  let keys: ReadonlyMap<string, Known> | undefined;
  let reading: Promise<Result<void>> | undefined;
  let nextReadAt = 0;
  let wellBefore = true;
  let later: number[] = [];

  async function read(): Promise<Result<void>> {
    const waitMs = nextReadAt - performance.now();
    if (waitMs > 0) await pause(waitMs, closing.signal);
    nextReadAt = performance.now() + apartMs;
    const fetched = await fetchKeys(auth, log, closing.signal);
    if (fetched.ok) {
      keys = fetched.value;
      dependency.up();
    } else if (keys === undefined) {
      dependency.down(fetched.error);
    } else if (wellBefore && !closing.signal.aborted) {
      // What is known goes on working: told once, not at every try.
      log.warn("keys of access tokens not refreshed", { reason: fetched.error });
    }
    wellBefore = fetched.ok;
    return fetched.ok ? ok() : fetched;
  }

  const refresh = (): Promise<Result<void>> =>
    (reading ??= read().finally(() => {
      reading = undefined;
    }));

  async function keepFresh(): Promise<void> {
    for (let failed = 0; !closing.signal.aborted; ) {
      const refreshed = await refresh();
      failed = refreshed.ok ? 0 : failed + 1;
      await bell.wait(refreshed.ok ? (later.shift() ?? refreshMs) : reconnectBackoff(failed));
    }
  }
  const bell = makeBell();
  const keeping = keepFresh();

  return {
    async find(kid, deadline) {
      const known = keys?.get(kid)?.key;
      if (known !== undefined) return ok(known);
      const refreshed = await boundedBy(deadline.within(WAIT_MS), refresh());
      if (refreshed.ok) return ok(keys?.get(kid)?.key);
      return fail("unavailable", "access tokens cannot be verified: the auth service is away", {
        cause: refreshed.error,
        retryAfterS: 2,
      });
    },
    published: () =>
      keys === undefined
        ? fail("unavailable", "the keys of access tokens are not known yet", { retryAfterS: 2 })
        : ok({ keys: Array.from(keys.values(), ({ jwk }) => jwk) }),
    renew() {
      later = [...AFTER_CHANGE_MS];
      bell.ring();
    },
    async [Symbol.asyncDispose]() {
      closing.abort(new Error("the broker is stopping"));
      bell.ring();
      await keeping;
    },
  };
}

async function boundedBy(deadline: Deadline, work: Promise<Result<void>>): Promise<Result<void>> {
  try {
    return await deadline.bound(work, "reading the keys of access tokens");
  } catch (error) {
    if (error instanceof Failure) return { ok: false, error };
    throw error;
  }
}

type Keys = ReadonlyMap<string, Known>;

function fetchKeys(auth: Pool, log: Log, signal: AbortSignal): Promise<Result<Keys>> {
  const context = quietContext(READ_MS, signal);
  const options = { remainingMs: () => context.deadline.remainingMs(), isRepeatable: true };
  return atSome(auth, options, (endpoint) => fetchKeysAt(endpoint, context, log));
}

async function fetchKeysAt(endpoint: Endpoint, context: CallContext, log: Log): Promise<Result<Keys>> {
  const { requestId, trace, deadline } = context;
  try {
    const response = await fetchAt(endpoint, PATH, {
      headers: { [REQUEST_ID_HEADER]: requestId, ...traceHeaders(trace) },
      redirect: "manual",
      signal: deadline.signal,
    });
    if (response.status !== 200 || Number(response.headers.get("content-length") ?? 0) > MAX_BYTES) {
      await response.body?.cancel();
      return fail("unavailable", undefined, { cause: `the key set was answered with ${response.status}` });
    }
    const set = (await response.json()) as { keys?: unknown } | null;
    const found = Array.isArray(set?.keys)
      ? await imported(set.keys.slice(0, MAX_KEYS), log)
      : new Map<string, Known>();
    // An empty set would end every session there is: that is no answer to go by.
    return found.size > 0 ? ok(found) : fail("bad_gateway", undefined, { cause: "no key that can be used in it" });
  } catch (cause) {
    return fail(failureOf(cause).code === "deadline" ? "deadline" : "unavailable", undefined, { cause });
  }
}

/** Those of a set that verify our tokens (RFC 8037); others, private ones among them, are none of ours. */
async function imported(set: readonly unknown[], log: Log): Promise<Map<string, Known>> {
  const found = new Map<string, Known>();
  for (const item of set) {
    const jwk = (typeof item === "object" && item !== null ? item : {}) as JWK;
    const { kty, crv, x, kid, use = "sig", alg = ACCESS_TOKEN.algorithm } = jwk;
    const isOurs = kty === "OKP" && crv === "Ed25519" && use === "sig" && alg === ACCESS_TOKEN.algorithm;
    if (!isOurs || typeof kid !== "string" || typeof x !== "string" || jwk.d !== undefined) continue;
    try {
      const key = await importJWK(jwk, ACCESS_TOKEN.algorithm);
      if (!(key instanceof Uint8Array)) found.set(kid, { key, jwk: { kty, crv, x, kid, use, alg } });
    } catch (error) {
      // The others are not worse for it.
      log.warn("a key of the key set cannot be used", { kid, reason: messageOf(error) });
    }
  }
  return found;
}
