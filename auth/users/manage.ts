/**
 * Users, for whoever manages them, and a user's own fields for himself. Knows no HTTP and no SQL.
 *
 * Nobody gets more by it than he has: a change, and the user as he was and as he becomes, has to stay within the scopes
 * of whoever makes it. Without that, `users:manage` would be all scopes: by another role, or by another address
 * for an administrator and a new password for that address.
 */
import { scopesOf } from "#contracts/access";
import { type Scope, SCOPES, isScope } from "#contracts/scopes";
import type { ManagedUser, ManagedUserPage, MePatch, UserFilter, UserPatch } from "#contracts/auth";
import { Failure, fail, ok, type Result } from "#shared/errors";
import type { Sql } from "#shared/postgres";
import type { CallContext } from "#shared/telemetry";
import type { AccountMails } from "../flows/account-mails.ts";
import type { Links } from "../flows/links.ts";
import type { Outbox } from "../outbox/outbox.ts";
import type { Principal } from "../principal.ts";
import type { Ending } from "../sessions/end.ts";
import type { StoredUser } from "../store.ts";
import { readCursor, writeCursor } from "./cursor.ts";
import type { Found, UserChange, UserStore } from "./user-store.ts";
import { managedViewOf } from "./user-view.ts";

const PAGE_DEFAULT = 50;

/** Whoever makes a change: for the audit entry, and what he may give. */
export type Editor = Pick<Principal, "by" | "scopes">;

export type UserListQuery = UserFilter & { readonly limit?: number; readonly cursor?: string };

export interface Users {
  /** Newest first; who comes or goes between two pages shifts nothing. @returns failure `invalid` for a cursor that is none. */
  list(query: UserListQuery, context: CallContext): Promise<Result<ManagedUserPage>>;
  /** @returns failure `not_found`. */
  get(id: number, context: CallContext): Promise<Result<ManagedUser>>;
  /**
   * Changes what is given. Deactivating ends his sessions; another role, other scopes or activity end his access tokens;
   * another address is sent a link that verifies it, and the one before is told. What is so already is no change: the version stays.
   * @returns failure `not_found`; `conflict` for another version, an address that is taken, or the last active
   * administrator, who stays one; `forbidden` for what the editor has not himself.
   */
  change(id: number, patch: UserPatch, editor: Editor, context: CallContext): Promise<Result<ManagedUser>>;
  /** Own fields. @returns failure `conflict` for another version. */
  changeOwn(id: number, patch: MePatch, editor: Editor, context: CallContext): Promise<Result<StoredUser>>;
  /** Deletes him with his sessions and keys: what is left is his id in audit entries. @returns failures as `change`. */
  remove(id: number, editor: Editor, context: CallContext): Promise<Result<void>>;
}

export interface UsersPorts {
  store: UserStore;
  outbox: Outbox;
  ending: Pick<Ending, "endSessionsOf" | "revoke">;
  links: Pick<Links, "send">;
  tellOwner: AccountMails;
}

const NAMES = Object.keys(SCOPES).filter(isScope);
const sorted = (scopes: readonly Scope[]): Scope[] => NAMES.filter((name) => scopes.includes(name));
const same = (one: unknown, other: unknown): boolean => JSON.stringify(one) === JSON.stringify(other);
const nobody = (): Result<never> => fail("not_found", "no such user");

/** What of a patch differs from what is there; undefined where nothing does. */
function changeOf(user: StoredUser, patch: Omit<UserPatch, "version">): UserChange | undefined {
  const { email, first_name: firstName, last_name: lastName, active, role, extra_scopes: given } = patch;
  const extraScopes = given === undefined ? undefined : sorted(given);
  const change: UserChange = {
    ...(email === undefined || email === user.email ? {} : { email }),
    ...(firstName === undefined || firstName === user.firstName ? {} : { firstName }),
    ...(lastName === undefined || lastName === user.lastName ? {} : { lastName }),
    ...(active === undefined || active === (user.active === 1) ? {} : { active }),
    ...(role === undefined || role === user.role ? {} : { role }),
    ...(extraScopes === undefined || same(extraScopes, sorted(user.extraScopes)) ? {} : { extraScopes }),
  };
  return Object.keys(change).length === 0 ? undefined : change;
}

/** @throws Failure `forbidden` where it is more than the editor has. */
function mustHave(editor: Editor, scopes: readonly Scope[], what: string): void {
  const missing = scopes.filter((scope) => !editor.scopes.includes(scope));
  if (missing.length > 0) throw new Failure("forbidden", `${what} ${missing.join(", ")}, which you do not have`);
}

function mustBeVersion(user: StoredUser, version: number): void {
  if (user.version === version) return;
  throw new Failure("conflict", `the user has changed meanwhile: this is version ${user.version} now`);
}

/** @throws Failure `conflict`: without an administrator nobody could make one. */
function mustStay(isLastAdmin: boolean): void {
  if (isLastAdmin) throw new Failure("conflict", "this is the last active administrator: make another one first");
}

/** What he may once his address is verified, which is his to do. */
const mostOf = ({ role, extraScopes }: Pick<StoredUser, "role" | "extraScopes">) =>
  scopesOf(role, extraScopes, { verified: true });

function mayChange({ user, isLastAdmin }: Found, change: UserChange, editor: Editor): void {
  const next = { ...user, ...change };
  mustHave(editor, mostOf(user), "this user has");
  mustHave(editor, mostOf(next), "this would give");
  if (next.role !== "admin" || change.active === false) mustStay(isLastAdmin);
}

/** For the audit entry: what he may as values, what is his own by name only. */
function auditOf(before: StoredUser, now: StoredUser): Record<string, unknown> {
  const fields: string[] = [];
  const values: Record<string, unknown> = {};
  if (before.email !== now.email) fields.push("email");
  if (before.firstName !== now.firstName) fields.push("first_name");
  if (before.lastName !== now.lastName) fields.push("last_name");
  const told = { active: "active", role: "role", extraScopes: "extra_scopes" } as const;
  for (const [key, name] of Object.entries(told) as [keyof typeof told, string][]) {
    if (same(before[key], now[key])) continue;
    fields.push(name);
    values[name] = { from: before[key], to: now[key] };
  }
  return { fields, ...values, version: now.version };
}

export function makeUsers({ store, outbox, ending, links, tellOwner }: UsersPorts): Users {
  /** What follows from a change, in its transaction. */
  async function follow(sql: Sql, before: StoredUser, now: StoredUser, editor: Editor, context: CallContext) {
    if (before.active === 1 && now.active !== 1) await ending.endSessionsOf(sql, now.id, "deactivated");
    await ending.revoke(sql, { kind: "user", subject: String(now.id), accessVersion: now.accessVersion });
    if (before.email.toLowerCase() !== now.email.toLowerCase()) {
      // Also where he is not active: he could be made so again right after.
      await tellOwner(sql, before.email, "address", context);
      if (now.active === 1) await links.send(sql, "verify_address", now, context);
    }
    const data = { action: "user.changed", by: editor.by, user_id: now.id, ...auditOf(before, now) };
    await outbox.put(sql, [{ kind: "audit", data }], context);
  }

  async function changed(
    id: number,
    { version, ...patch }: UserPatch,
    editor: Editor,
    context: CallContext,
    check: (found: Found, change: UserChange) => void,
  ): Promise<Result<StoredUser>> {
    const written = await store.change(
      id,
      (found) => {
        mustBeVersion(found.user, version);
        const change = changeOf(found.user, patch);
        if (change !== undefined) check(found, change);
        return change;
      },
      async (sql, before, now) => {
        if (now !== undefined) await follow(sql, before, now, editor, context);
      },
      context,
    );
    if (!written.ok) return written;
    if (written.value === undefined) return nobody();
    outbox.ring();
    return ok(written.value);
  }

  return {
    async list({ limit = PAGE_DEFAULT, cursor, active, ...query }, context) {
      const before = cursor === undefined ? ok(undefined) : readCursor(cursor);
      if (!before.ok) return before;
      const filter = { ...query, ...(active === undefined ? {} : { active: active === "true" }) };
      // One more than asked for tells whether there is another page.
      const found = await store.page(filter, before.value, limit + 1, context);
      if (!found.ok) return found;
      const items = found.value.slice(0, limit).map(managedViewOf);
      const last = items.at(-1);
      return ok({
        items,
        ...(found.value.length > limit && last !== undefined ? { next_cursor: writeCursor(last.id) } : {}),
      });
    },
    async get(id, context) {
      const found = await store.find(id, context);
      if (!found.ok) return found;
      return found.value === undefined ? nobody() : ok(managedViewOf(found.value));
    },
    async change(id, patch, editor, context) {
      const user = await changed(id, patch, editor, context, (found, change) => mayChange(found, change, editor));
      return user.ok ? ok(managedViewOf(user.value)) : user;
    },
    changeOwn: (id, patch, editor, context) => changed(id, patch, editor, context, () => undefined),
    async remove(id, editor, context) {
      const removed = await store.remove(
        id,
        ({ user, isLastAdmin }) => {
          mustHave(editor, mostOf(user), "this user has");
          mustStay(isLastAdmin);
        },
        async (sql, user) => {
          await ending.endSessionsOf(sql, id, "deactivated");
          // Higher than any of his: whatever is remembered of him, or was signed for him, counts no longer.
          await ending.revoke(sql, { kind: "user", subject: String(id), accessVersion: user.accessVersion + 1 });
          await outbox.put(
            sql,
            [{ kind: "audit", data: { action: "user.deleted", by: editor.by, user_id: id } }],
            context,
          );
        },
        context,
      );
      if (!removed.ok) return removed;
      if (removed.value === undefined) return nobody();
      outbox.ring();
      return ok();
    },
  };
}
