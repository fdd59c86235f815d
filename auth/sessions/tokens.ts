/**
 * Access tokens: JWT as RFC 9068 profiles them, signed with Ed25519 by a key that all replicas share.
 * Keys are read again every minute, so that one that was added or retired is known everywhere soon.
 */
import {
  calculateJwkThumbprint,
  createLocalJWKSet,
  errors,
  exportJWK,
  generateKeyPair,
  importJWK,
  type JWK,
  type JWTVerifyGetKey,
  jwtVerify,
  SignJWT,
} from "jose";
import { scopesOf } from "#contracts/access";
import { ACCESS_TOKEN } from "#contracts/auth";
import { fail, messageOf, ok, type Result } from "#shared/errors";
import { isUuid } from "#shared/ids";
import type { Dependency } from "#shared/lifecycle";
import type { Log } from "#shared/log";
import { Deadline, databaseBackoff, keepTrying, sleep } from "#shared/resilience";
import type { Sealer } from "../keys.ts";
import type { Store, StoredKey, StoredUser } from "../store.ts";

const REFRESH_MS = 60_000;
/** A retired key verifies for this long (ms): the life of a token, and time for clocks and caches. */
const RETIRED_MS = 3_600_000;
/** Longest wait for the database, and longest time for reading or making keys (ms). */
const READY_MS = 60_000;
const LOAD_MS = 5_000;
/** How far the clocks of two replicas may be apart (s). */
const CLOCK_SKEW_S = 5;

/** Nine digits fit into the column, and are more users than there will be. */
const USER_ID = /^[1-9]\d{0,8}$/;

/** What an access token says. */
export interface Claims {
  readonly userId: number;
  /** UUID. */
  readonly sessionId: string;
  /** The user's, when it was signed: claim `av`. */
  readonly accessVersion: number;
}

/** Whose token it is to be. */
export interface Bearer {
  readonly user: Pick<StoredUser, "id" | "role" | "extraScopes" | "accessVersion">;
  /** UUID. */
  readonly sessionId: string;
  /** When he gave his password: claim `auth_time`. */
  readonly authTime: Date;
}

export interface Tokens extends AsyncDisposable {
  /** @returns failure `unavailable` while no key is known yet. */
  sign(bearer: Bearer): Promise<Result<string>>;
  /**
   * Whether a token is one of ours and its time is not over (RFC 9068 §4).
   * @returns undefined where it is not, for whatever reason; failure `unavailable` while no key is known yet.
   */
  verify(token: string): Promise<Result<Claims | undefined>>;
  /** The JWK set (RFC 7517 §5) that tokens are verified with; `unavailable` while no key is known yet. */
  keySet(): Result<{ keys: JWK[] }>;
}

interface Keys {
  kid: string;
  privateKey: CryptoKey | Uint8Array;
  set: { keys: JWK[] };
  find: JWTVerifyGetKey;
}

export interface TokensOptions {
  store: Pick<Store, "findKeys" | "addFirstKey">;
  sealer: Sealer;
  /** Waits for the database, so that keys are there as soon as it is. */
  ready: (deadline: Deadline) => Promise<Result<void>>;
  /** Up once there is a key to sign with. */
  dependency: Dependency;
  log: Log;
}

/** Starts to load the keys in the background, and makes the first one where there is none. */
export function makeTokens({ store, sealer, ready, dependency, log }: TokensOptions): Tokens {
  const closing = new AbortController();
  let keys: Keys | undefined;

  async function load(): Promise<Keys> {
    unwrap(await ready(Deadline.after(READY_MS, closing.signal)));
    const deadline = Deadline.after(LOAD_MS, closing.signal);
    const since = new Date(Date.now() - RETIRED_MS);
    let stored = unwrap(await store.findKeys(since, deadline));
    if (!stored.some(({ retiredAt }) => retiredAt === null)) {
      unwrap(await store.addFirstKey(await newKey(sealer), deadline));
      stored = unwrap(await store.findKeys(since, deadline));
    }
    return opened(stored, sealer);
  }

  async function keepLoaded(): Promise<void> {
    for (;;) {
      keys = await keepTrying(load, {
        backoff: databaseBackoff,
        signal: closing.signal,
        onFailure: (error) => {
          // What is known goes on working; only where nothing is known the service is not ready.
          if (keys === undefined) dependency.down(error);
          else log.warn("signing keys not refreshed", { reason: messageOf(error) });
        },
      });
      dependency.up();
      await sleep(REFRESH_MS, closing.signal);
    }
  }

  const loading = keepLoaded().catch((error: unknown) => {
    if (!closing.signal.aborted) throw error;
  });
  const missing = () => fail("unavailable", "the signing keys are not loaded yet", { retryAfterS: 2 });

  return {
    async sign({ user, sessionId, authTime }) {
      if (keys === undefined) return missing();
      const token = await new SignJWT({
        client_id: ACCESS_TOKEN.clientId,
        sid: sessionId,
        auth_time: Math.floor(authTime.getTime() / 1_000),
        scope: scopesOf(user.role, user.extraScopes).join(" "),
        roles: [user.role],
        av: user.accessVersion,
      })
        .setProtectedHeader({ alg: ACCESS_TOKEN.algorithm, typ: ACCESS_TOKEN.type, kid: keys.kid })
        .setIssuer(ACCESS_TOKEN.issuer)
        .setAudience(ACCESS_TOKEN.audience)
        .setSubject(String(user.id))
        .setJti(crypto.randomUUID())
        .setIssuedAt()
        .setExpirationTime(`${ACCESS_TOKEN.lifetimeS}s`)
        .sign(keys.privateKey);
      return ok(token);
    },
    async verify(token) {
      if (keys === undefined) return missing();
      try {
        const { payload } = await jwtVerify(token, keys.find, {
          algorithms: [ACCESS_TOKEN.algorithm],
          typ: ACCESS_TOKEN.type,
          issuer: ACCESS_TOKEN.issuer,
          audience: ACCESS_TOKEN.audience,
          requiredClaims: ["sub", "iat", "exp", "jti", "client_id", "sid", "auth_time", "scope", "av"],
          clockTolerance: CLOCK_SKEW_S,
        });
        const { sub = "", sid, av } = payload;
        if (!USER_ID.test(sub) || typeof sid !== "string" || !isUuid(sid)) return ok(undefined);
        if (typeof av !== "number" || !Number.isSafeInteger(av) || av < 1) return ok(undefined);
        return ok({ userId: Number(sub), sessionId: sid, accessVersion: av });
      } catch (error) {
        // What is wrong with it is nobody's business who made it.
        if (error instanceof errors.JOSEError) return ok(undefined);
        throw error;
      }
    },
    keySet: () => (keys === undefined ? missing() : ok(keys.set)),
    async [Symbol.asyncDispose]() {
      closing.abort(new Error("auth is stopping"));
      await loading;
    },
  };
}

function unwrap<T>(result: Result<T>): T {
  if (!result.ok) throw result.error;
  return result.value;
}

async function newKey(sealer: Sealer): Promise<StoredKey> {
  const pair = await generateKeyPair(ACCESS_TOKEN.algorithm, { crv: "Ed25519", extractable: true });
  const jwk = await exportJWK(pair.publicKey);
  // The thumbprint (RFC 7638) names the key by what it is.
  const kid = await calculateJwkThumbprint(jwk);
  const publicJwk = { ...jwk, kid, use: "sig", alg: ACCESS_TOKEN.algorithm };
  const privateJwk = sealer.seal(JSON.stringify(await exportJWK(pair.privateKey)), kid);
  return { kid, publicJwk, privateJwk, retiredAt: null };
}

async function opened(stored: readonly StoredKey[], sealer: Sealer): Promise<Keys> {
  const current = stored.find(({ retiredAt }) => retiredAt === null);
  if (current === undefined) throw new Error("there is no signing key in the database");
  const text = sealer.open(current.privateJwk, current.kid);
  if (text === undefined) {
    throw new Error(
      `the signing key ${current.kid} was sealed with another AUTH_SECRET: set that one again, or retire the key (update signing_keys set retired_at = now()), which logs everybody out`,
    );
  }
  const set = { keys: stored.map(({ publicJwk }) => publicJwk) };
  return {
    kid: current.kid,
    privateKey: await importJWK(JSON.parse(text) as JWK, ACCESS_TOKEN.algorithm),
    set,
    find: createLocalJWKSet(set),
  };
}
