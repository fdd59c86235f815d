/** Who is let in: credentials to a user and his tokens. Knows no HTTP and no SQL. */
import { ACCESS_TOKEN, type Credentials, type LoginReply } from "#contracts/auth";
import { type Failure, fail, messageOf, ok, type Result } from "#shared/errors";
import type { Log } from "#shared/log";
import type { Sql } from "#shared/postgres";
import { Deadline } from "#shared/resilience";
import type { CallContext, Metrics } from "#shared/telemetry";
import { hashOf, newToken } from "../keys.ts";
import type { Outbox } from "../outbox/outbox.ts";
import type { Passwords } from "../passwords.ts";
import { isKnown, type Place, placeOf } from "../place.ts";
import type { Store, StoredUser } from "../store.ts";
import { ownViewOf } from "../users/user-view.ts";
import { auditOf } from "./audit.ts";
import type { Ending } from "./end.ts";
import type { Refusal } from "./refusals.ts";
import type { SessionStore } from "./session-store.ts";
import type { Tokens } from "./tokens.ts";

/** Sessions that a user may have at a time: one more ends the oldest. */
const MAX_SESSIONS = 100;
/** Longest time for the renewal of one hash (ms). */
const RENEWAL_MS = 10_000;

export interface Login extends AsyncDisposable {
  /**
   * @returns failure `unauthenticated`, the same and after the same time for a wrong password, an address that
   * nobody has and a user who is not active; `unavailable`, `deadline`.
   */
  (credentials: Credentials, context: CallContext): Promise<Result<LoginReply>>;
}

export interface LoginPorts {
  store: Pick<Store, "findUser" | "replaceHash">;
  sessions: Pick<SessionStore, "open" | "beyond">;
  passwords: Pick<Passwords, "verify" | "hash">;
  tokens: Pick<Tokens, "sign">;
  ending: Pick<Ending, "endSession">;
  outbox: Outbox;
  /** Life of a session that is not used (ms). */
  idleMs: number;
  /** Somebody who has logged in before does so from a place where he was not yet: within the transaction of his session. */
  onNewPlace: (sql: Sql, user: StoredUser, place: Place, context: CallContext) => Promise<unknown>;
  /** A login was refused. */
  onRefused: (refusal: Refusal) => void;
  /** Credentials that are let in nowhere, right as they may be: everybody knows them. */
  isRefused: (credentials: Credentials) => boolean;
  log: Log;
  metrics: Metrics;
}

export function makeLogin(ports: LoginPorts): Login {
  const { store, sessions, passwords, tokens, ending, outbox, idleMs, onNewPlace, onRefused, isRefused, log, metrics } =
    ports;
  const logins = metrics.counter("auth_logins_total", "Logins by their result.", ["result"]);
  const renewals = new Map<number, Promise<void>>();

  async function decide(
    { email, password }: Credentials,
    context: CallContext,
  ): Promise<Result<LoginReply | undefined>> {
    // PostgreSQL's text cannot hold NUL: nobody has such an address.
    const found = email.includes("\0") ? ok(undefined) : await store.findUser(email, context);
    if (!found.ok) return found;
    const user = found.value;
    const verdict = await passwords.verify(password, user?.passwordHash, context);
    if (!verdict.ok) return verdict;
    const refused = (): Result<never> => {
      onRefused({ email, userId: user?.id, place: placeOf(context) });
      return fail("unauthenticated", "Invalid Credentials");
    };
    if (user === undefined || !verdict.value.matches || user.active !== 1) return refused();
    if (isRefused({ email, password })) {
      log.error("login refused: this user has a password that everybody knows; give him another, or delete him", {
        user_id: user.id,
      });
      return refused();
    }
    const opened = await open(user, context);
    if (opened.ok && opened.value !== undefined && verdict.value.outdated) renew(user, password);
    return opened;
  }

  /**
   * Opens a session: the access token names it, the refresh token is known to whoever holds it, and nobody else.
   * @returns undefined where the user was changed while his password was looked at.
   */
  async function open(user: StoredUser, context: CallContext): Promise<Result<LoginReply | undefined>> {
    const place = placeOf(context);
    const refreshToken = newToken();
    const id = Bun.randomUUIDv7();
    const opened = await sessions.open(
      { id, user, tokenHash: hashOf(refreshToken), idleMs, place },
      async (sql, { user: now, earlier }) => {
        const isNew = earlier.length > 0 && !isKnown(place, earlier);
        for (const oldest of await sessions.beyond(sql, now.id, MAX_SESSIONS)) {
          if (!(await ending.endSession(sql, now.id, oldest, "too_many"))) continue;
          const details = { user_id: now.id, session_id: oldest, reason: "too_many" };
          await outbox.put(sql, [auditOf("session.ended", "auth", details)], context);
        }
        const by = `user:${now.id}`;
        const entry = auditOf("login.ok", by, { session_id: id, ...(isNew ? { new_place: true } : {}) });
        await outbox.put(sql, [entry], context);
        if (isNew) await onNewPlace(sql, now, place, context);
      },
      context,
    );
    if (!opened.ok) return opened;
    if (opened.value === undefined) return ok(undefined);
    outbox.ring();
    const accessToken = await tokens.sign({ user: opened.value, sessionId: id, authTime: new Date() });
    if (!accessToken.ok) return accessToken;
    return ok({
      ...ownViewOf(opened.value, id),
      access_token: accessToken.value,
      refresh_token: refreshToken,
      expires_in: ACCESS_TOKEN.lifetimeS,
      refresh_expires_in: Math.floor(idleMs / 1_000),
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
    const context = { deadline: Deadline.after(RENEWAL_MS) };
    const hash = await passwords.hash(password, context);
    if (!hash.ok) return hash;
    return store.replaceHash(user.id, user.passwordHash, hash.value, context);
  }

  const login: (...args: Parameters<Login>) => Promise<Result<LoginReply>> = async (credentials, context) => {
    let result = await decide(credentials, context);
    // Once more with what is there now: another password, it may be, or the same one under a new hash.
    if (result.ok && result.value === undefined) result = await decide(credentials, context);
    const ended: Result<LoginReply> =
      result.ok && result.value === undefined
        ? fail("unavailable", "the user is being changed: try again", { retryAfterS: 1 })
        : (result as Result<LoginReply>);
    logins.inc({ result: ended.ok ? "ok" : labelOf(ended.error) });
    return ended;
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
