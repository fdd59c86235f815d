/** Who is let in: credentials to a user and his tokens. Knows no HTTP and no SQL. */
import { ACCESS_TOKEN, type Credentials, type LoginReply } from "#contracts/auth";
import { type Failure, fail, messageOf, ok, type Result } from "#shared/errors";
import type { Log } from "#shared/log";
import { Deadline } from "#shared/resilience";
import type { Metrics } from "#shared/telemetry";
import type { Passwords } from "../passwords.ts";
import type { Store, StoredUser } from "../store.ts";
import type { Tokens } from "./tokens.ts";
import { ownViewOf } from "../users/user-view.ts";

/** Life of a refresh token that is not used (ms): 30 days. */
const SESSION_MS = 30 * 86_400_000;
const REFRESH_TOKEN_BYTES = 32;
/** Longest time for the renewal of one hash (ms). */
const RENEWAL_MS = 10_000;

export interface Login extends AsyncDisposable {
  /**
   * @returns failure `unauthenticated`, the same and after the same time for a wrong password, an address that
   * nobody has and a user who is not active; `unavailable`, `deadline`.
   */
  (credentials: Credentials, deadline: Deadline): Promise<Result<LoginReply>>;
}

export interface LoginPorts {
  store: Pick<Store, "findUser" | "replaceHash" | "addSession">;
  passwords: Passwords;
  tokens: Pick<Tokens, "sign">;
  /** Credentials that are let in nowhere, right as they may be: everybody knows them. */
  isRefused: (credentials: Credentials) => boolean;
  log: Log;
  metrics: Metrics;
}

export function makeLogin({ store, passwords, tokens, isRefused, log, metrics }: LoginPorts): Login {
  const logins = metrics.counter("auth_logins_total", "Logins by their result.", ["result"]);
  const renewals = new Map<number, Promise<void>>();

  async function decide({ email, password }: Credentials, deadline: Deadline): Promise<Result<LoginReply>> {
    // PostgreSQL's text cannot hold NUL: nobody has such an address.
    const found = email.includes("\0") ? ok(undefined) : await store.findUser(email, deadline);
    if (!found.ok) return found;
    const user = found.value;
    const verdict = await passwords.verify(password, user?.passwordHash, deadline);
    if (!verdict.ok) return verdict;
    if (user === undefined || !verdict.value.matches || user.active !== 1) {
      return fail("unauthenticated", "Invalid Credentials");
    }
    if (isRefused({ email, password })) {
      log.error("login refused: this user has a password that everybody knows; give him another, or delete him", {
        user_id: user.id,
      });
      return fail("unauthenticated", "Invalid Credentials");
    }
    if (verdict.value.outdated) renew(user, password);
    return open(user, deadline);
  }

  /** Opens a session: the access token names it, the refresh token is known to whoever holds it, and nobody else. */
  async function open(user: StoredUser, deadline: Deadline): Promise<Result<LoginReply>> {
    const refreshToken = Buffer.from(crypto.getRandomValues(new Uint8Array(REFRESH_TOKEN_BYTES))).toString("base64url");
    const sessionId = Bun.randomUUIDv7();
    const accessToken = await tokens.sign(user.id, sessionId);
    if (!accessToken.ok) return accessToken;
    const session = {
      id: sessionId,
      userId: user.id,
      tokenHash: new Bun.CryptoHasher("sha256").update(refreshToken).digest(),
      expiresAt: new Date(Date.now() + SESSION_MS),
    };
    const stored = await store.addSession(session, deadline);
    if (!stored.ok) return stored;
    return ok({
      ...ownViewOf(user, sessionId),
      access_token: accessToken.value,
      refresh_token: refreshToken,
      expires_in: ACCESS_TOKEN.lifetimeS,
    });
  }

  /** Stores a hash of today's cost. Best effort, after the answer: the next login tries again. */
  function renew(user: StoredUser, password: string): void {
    if (renewals.has(user.id)) return;
    const work = renewed(user, password)
      .then((result) => {
        if (!result.ok) log.info("password hash not renewed", { user_id: user.id, reason: messageOf(result.error) });
      })
      .finally(() => renewals.delete(user.id));
    renewals.set(user.id, work);
  }

  async function renewed(user: StoredUser, password: string): Promise<Result<void>> {
    const deadline = Deadline.after(RENEWAL_MS);
    const hash = await passwords.hash(password, deadline);
    if (!hash.ok) return hash;
    return store.replaceHash(user.id, user.passwordHash, hash.value, deadline);
  }

  const login = async (credentials: Credentials, deadline: Deadline): Promise<Result<LoginReply>> => {
    const result = await decide(credentials, deadline);
    logins.inc({ result: result.ok ? "ok" : labelOf(result.error) });
    return result;
  };
  /** Waits for the renewals in hand. */
  const dispose = async (): Promise<void> => {
    await Promise.allSettled(renewals.values());
  };
  return Object.assign(login, { [Symbol.asyncDispose]: dispose });
}

function labelOf({ code }: Failure): string {
  return code === "unauthenticated" ? "refused" : code;
}
