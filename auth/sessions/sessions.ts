/** Which sessions there are, and ending them: one's own, and, for who may, those of others. Knows no HTTP and no SQL. */
import type { PasswordChange, SessionPage, SessionView } from "#contracts/auth";
import { fail, ok, type Result } from "#shared/errors";
import { isUuid } from "#shared/ids";
import type { WorkContext } from "#shared/postgres";
import type { CallContext } from "#shared/telemetry";
import type { AccountMails } from "../flows/account-mails.ts";
import { voidLinks } from "../flows/links.ts";
import type { Outbox } from "../outbox/outbox.ts";
import type { Passwords } from "../passwords.ts";
import { placeOf } from "../place.ts";
import type { Principal } from "../principal.ts";
import type { StoredUser } from "../store.ts";
import { auditOf } from "./audit.ts";
import type { Ending } from "./end.ts";
import type { Refusal } from "./refusals.ts";
import type { SessionRow, SessionStore } from "./session-store.ts";
import type { Throttle } from "./throttle.ts";

export interface Page {
  readonly limit: number;
  /** As an earlier page gave it. */
  readonly cursor?: string;
}

/** Who asks, and by which request. */
export interface Asking {
  readonly principal: Principal;
  readonly context: CallContext;
}

export interface Sessions {
  /** Those of a user that have not ended, newest first. @returns failure `invalid` for a cursor that is none. */
  list(userId: number, page: Page, principal: Principal, context: WorkContext): Promise<Result<SessionPage>>;
  /** Ends one: his own, or, with `users:manage`, anybody's. @returns failure `not_found` also where it is another's. */
  end(sessionId: string, asking: Asking): Promise<Result<void>>;
  /** Ends all of a user. @returns how many. */
  endAll(userId: number, asking: Asking): Promise<Result<number>>;
  /** @returns failure `unauthenticated` where the session has ended already. */
  logout(session: { readonly id: string; readonly user: StoredUser }, asking: Asking): Promise<Result<void>>;
  /**
   * Sets a new password; his other sessions end, and a mail tells him.
   * @returns failure `invalid` where the current one is wrong, or the new one may not be chosen; `exhausted` where too
   * many wrong ones were tried; `conflict` where he
   * changes it elsewhere in the same moment. How many sessions ended.
   */
  changePassword(
    session: { readonly id: string; readonly user: StoredUser },
    change: PasswordChange,
    asking: Asking,
  ): Promise<Result<number>>;
}

export interface SessionsPorts {
  store: SessionStore;
  passwords: Pick<Passwords, "verify" | "hash">;
  /** Whether a password may be chosen: failure `invalid` where not. */
  checkNewPassword: (field: string, password: string, email: string) => Result<void>;
  throttle: Throttle;
  /** A password was refused. */
  onRefused: (refusal: Refusal) => void;
  ending: Ending;
  outbox: Outbox;
  tellOwner: AccountMails;
}

export function makeSessions(ports: SessionsPorts): Sessions {
  const { store, passwords, checkNewPassword, throttle, onRefused, ending, outbox, tellOwner } = ports;

  /** Rings where it was done. */
  async function ringing<T>(work: Promise<Result<T>>): Promise<Result<T>> {
    const done = await work;
    if (done.ok) outbox.ring();
    return done;
  }

  const endOne = (
    userId: number,
    sessionId: string,
    as: "logout" | "revoked",
    { principal, context }: Asking,
  ): Promise<Result<boolean>> =>
    ringing(
      store.atomically(async (sql) => {
        const ended = await ending.endSession(sql, userId, sessionId, as);
        const action = as === "logout" ? "logout" : "session.ended";
        const entry = auditOf(action, principal.by, { user_id: userId, session_id: sessionId });
        if (ended) await outbox.put(sql, [entry], context);
        return ended;
      }, context),
    );

  return {
    async list(userId, { limit, cursor }, { session }, context) {
      const before = cursor === undefined ? undefined : Buffer.from(cursor, "base64url").toString("latin1");
      if (before !== undefined && !isUuid(before)) return fail("invalid", "cursor is not one of ours");
      const rows = await store.list(userId, { limit: limit + 1, ...(before === undefined ? {} : { before }) }, context);
      if (!rows.ok) return rows;
      const items = rows.value.slice(0, limit).map((row) => viewOf(row, session?.id));
      const last = rows.value.length > limit ? items.at(-1) : undefined;
      return ok({ items, ...(last === undefined ? {} : { next_cursor: Buffer.from(last.id).toString("base64url") }) });
    },
    async end(sessionId, asking) {
      const { principal, context } = asking;
      const missing = fail("not_found", "no such session");
      if (!isUuid(sessionId)) return missing;
      const owner = await store.ownerOf(sessionId, context);
      if (!owner.ok) return owner;
      const isHis = principal.session !== undefined && owner.value === principal.userId;
      if (owner.value === undefined || !(isHis || principal.scopes.includes("users:manage"))) return missing;
      const ended = await endOne(owner.value, sessionId, "revoked", asking);
      return ended.ok && !ended.value ? missing : ended.ok ? ok() : ended;
    },
    endAll: (userId, { principal, context }) =>
      ringing(
        store.atomically(async (sql) => {
          const ended = await ending.endSessionsOf(sql, userId, "revoked");
          const entry = auditOf("sessions.ended", principal.by, { user_id: userId, ended });
          if (ended > 0) await outbox.put(sql, [entry], context);
          return ended;
        }, context),
      ),
    async logout({ id, user }, asking) {
      const ended = await endOne(user.id, id, "logout", asking);
      return ended.ok ? ok() : ended;
    },
    async changePassword({ id, user }, { current_password, new_password }, { principal, context }) {
      const place = placeOf(context);
      // Whoever found an open session must not try out passwords faster than at the login.
      const known = await throttle(user.email, place.address, context, async () => {
        const verdict = await passwords.verify(current_password, user.passwordHash, context);
        if (!verdict.ok) return verdict;
        return verdict.value.matches ? ok() : fail("unauthenticated");
      });
      if (!known.ok) {
        if (known.error.code !== "unauthenticated") return known;
        onRefused({ email: user.email, userId: user.id, place });
        return fail("invalid", "current_password is not the current one");
      }
      const allowed = checkNewPassword("new_password", new_password, user.email);
      if (!allowed.ok) return allowed;
      const hash = await passwords.hash(new_password, context);
      if (!hash.ok) return hash;
      const done = await ringing(
        store.atomically(async (sql) => {
          const changed = await store.changePassword(sql, user.id, user.passwordHash, hash.value);
          if (changed !== "changed") return changed === "already" ? 0 : undefined;
          await voidLinks(sql, "reset_password", user.id);
          const ended = await ending.endSessionsOf(sql, user.id, "password", id);
          await outbox.put(sql, [auditOf("password.changed", principal.by, { user_id: user.id, ended })], context);
          await tellOwner(sql, user.email, "password", context);
          return ended;
        }, context),
      );
      if (!done.ok) return done;
      return done.value === undefined ? fail("conflict", "the password was changed elsewhere") : ok(done.value);
    },
  };
}

function viewOf(
  { id, userId, createdAt, usedAt, expiresAt, address, agent }: SessionRow,
  current?: string,
): SessionView {
  return {
    id,
    user_id: userId,
    created_at: createdAt.toISOString(),
    used_at: usedAt.toISOString(),
    expires_at: expiresAt.toISOString(),
    ...(address === undefined ? {} : { address }),
    ...(agent === undefined ? {} : { agent }),
    current: id === current,
  };
}
