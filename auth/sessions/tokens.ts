/**
 * Access tokens: JWT as RFC 9068 profiles them, signed with Ed25519 by a key that all replicas share.
 * Keys are read again every minute, and when somebody tells that they changed.
 */
import { createLocalJWKSet, errors, importJWK, type JWK, type JWTVerifyGetKey, jwtVerify, SignJWT } from "jose";
import { ACCESS_TOKEN } from "#contracts/auth";
import { fail, messageOf, ok, orThrow, type Result } from "#shared/errors";
import { isUuid } from "#shared/ids";
import type { Dependency } from "#shared/lifecycle";
import type { Log } from "#shared/log";
import { type Bell, Deadline, databaseBackoff, keepTrying, makeBell } from "#shared/resilience";
import type { Sealer } from "../keys.ts";
import type { StoredUser } from "../store.ts";
import { scopesOfUser } from "../users/user-view.ts";
import type { StoredKey } from "./key-store.ts";
import type { Keyring } from "./keyring.ts";

const REFRESH_MS = 60_000;
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
  readonly user: Pick<StoredUser, "emailVerifiedAt" | "id" | "role" | "extraScopes" | "accessVersion">;
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

interface SigningKey extends Pick<StoredKey, "kid" | "activatesAt" | "retiredAt"> {
  readonly privateKey: CryptoKey | Uint8Array;
}

interface Keys {
  /** Those that have not retired, the last to sign first. */
  readonly signing: readonly SigningKey[];
  readonly set: { keys: JWK[] };
  readonly find: JWTVerifyGetKey;
}

export interface TokensOptions {
  keyring: Pick<Keyring, "load">;
  sealer: Sealer;
  /** Waits for the database, so that keys are there as soon as it is. */
  ready: (deadline: Deadline) => Promise<Result<void>>;
  /** Calls back when somebody has changed the keys. */
  onChange?: (heard: () => void) => void;
  /** Up once there is a key to sign with. */
  dependency: Dependency;
  log: Log;
}

/** Starts to load the keys in the background. */
export function makeTokens({ keyring, sealer, ready, onChange, dependency, log }: TokensOptions): Tokens {
  const closing = new AbortController();
  const bell: Bell = makeBell();
  let keys: Keys | undefined;

  async function load(): Promise<Keys> {
    orThrow(await ready(Deadline.after(READY_MS, closing.signal)));
    return opened(orThrow(await keyring.load({ deadline: Deadline.after(LOAD_MS, closing.signal) })), sealer);
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
      await bell.wait(REFRESH_MS);
    }
  }

  const loading = keepLoaded().catch((error: unknown) => {
    if (!closing.signal.aborted) throw error;
  });
  onChange?.(() => bell.ring());
  const missing = () => fail("unavailable", "the signing keys are not loaded yet", { retryAfterS: 2 });

  return {
    async sign({ user, sessionId, authTime }) {
      if (keys === undefined) return missing();
      const key = signingNow(keys.signing);
      const token = await new SignJWT({
        client_id: ACCESS_TOKEN.clientId,
        sid: sessionId,
        auth_time: Math.floor(authTime.getTime() / 1_000),
        scope: scopesOfUser(user).join(" "),
        roles: [user.role],
        av: user.accessVersion,
      })
        .setProtectedHeader({ alg: ACCESS_TOKEN.algorithm, typ: ACCESS_TOKEN.type, kid: key.kid })
        .setIssuer(ACCESS_TOKEN.issuer)
        .setAudience(ACCESS_TOKEN.audience)
        .setSubject(String(user.id))
        .setJti(crypto.randomUUID())
        .setIssuedAt()
        .setExpirationTime(`${ACCESS_TOKEN.lifetimeS}s`)
        .sign(key.privateKey);
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
      bell.ring();
      await loading;
    },
  };
}

/** The last of those whose time to sign has come, by this replica's clock: it may be seconds before or after the others'. */
function signingNow(keys: readonly SigningKey[], now = Date.now()): SigningKey {
  const begun = keys.filter(({ activatesAt }) => activatesAt.getTime() <= now);
  const current =
    begun.find(({ retiredAt }) => retiredAt === null || retiredAt.getTime() > now) ?? begun[0] ?? keys.at(-1);
  if (current === undefined) throw new Error("there is no signing key");
  return current;
}

async function opened(stored: readonly StoredKey[], sealer: Sealer): Promise<Keys> {
  const signing: SigningKey[] = [];
  for (const { kid, privateJwk, activatesAt, retiredAt } of stored) {
    if (retiredAt !== null && retiredAt.getTime() <= Date.now()) continue;
    const text = sealer.open(privateJwk, kid);
    if (text === undefined) {
      throw new Error(
        `the signing key ${kid} was sealed with another AUTH_SECRET: set that one again, or give the key up (auth keys retire ${kid} --compromised), which ends all access tokens`,
      );
    }
    const privateKey = await importJWK(JSON.parse(text) as JWK, ACCESS_TOKEN.algorithm);
    signing.push({ kid, activatesAt, retiredAt, privateKey });
  }
  if (signing.length === 0) throw new Error("there is no signing key in the database");
  const set = { keys: stored.map(({ publicJwk }) => publicJwk) };
  return { signing, set, find: createLocalJWKSet(set) };
}
