/** Administrators, made by whoever has the database: the first one, and others when nobody can log in. Knows no SQL. */
import type { Role, Scope } from "#contracts/scopes";
import type { ManagedUser, Registration } from "#contracts/auth";
import { fail, ok, type Result } from "#shared/errors";
import type { CallContext } from "#shared/telemetry";
import type { Outbox } from "../outbox/outbox.ts";
import type { Passwords } from "../passwords.ts";
import { checkNewPassword } from "../passwords-policy/policy.ts";
import type { Editor, Users } from "../users/manage.ts";
import type { UserStore } from "../users/user-store.ts";
import { managedViewOf } from "../users/user-view.ts";

const PAGE = 200;
/** Of one list: more administrators than anybody looks through. */
const LIST_MAX = 10_000;

export interface Grant {
  /** Undefined: stays. */
  readonly role: Role | undefined;
  readonly scopes: readonly Scope[] | undefined;
}

export interface Admins {
  /** @returns failure `conflict` where the address is taken, `invalid` for a password that may not be chosen. */
  create(user: Registration, editor: Editor, context: CallContext): Promise<Result<ManagedUser>>;
  /** @returns failure `not_found`; `conflict` for the last active administrator, or where he is changed in the same moment. */
  grant(email: string, grant: Grant, editor: Editor, context: CallContext): Promise<Result<ManagedUser>>;
  list(role: Role, context: CallContext): Promise<Result<ManagedUser[]>>;
}

export interface AdminsPorts {
  store: Pick<UserStore, "add" | "findByAddress">;
  users: Pick<Users, "change" | "list">;
  passwords: Pick<Passwords, "hash">;
  outbox: Pick<Outbox, "put">;
}

export function makeAdmins({ store, users, passwords, outbox }: AdminsPorts): Admins {
  return {
    async create({ email, password, first_name = "", last_name = "" }, editor, context) {
      const allowed = checkNewPassword("password", password, email);
      if (!allowed.ok) return allowed;
      const hash = await passwords.hash(password, context);
      if (!hash.ok) return hash;
      const added = await store.add(
        { email, firstName: first_name, lastName: last_name, passwordHash: hash.value, role: "admin" },
        (sql, { id, role }) =>
          outbox.put(
            sql,
            [{ kind: "audit", data: { action: "user.created", by: editor.by, user_id: id, role } }],
            context,
          ),
        context,
      );
      return added.ok ? ok(managedViewOf(added.value)) : added;
    },
    async grant(email, { role, scopes }, editor, context) {
      const found = await store.findByAddress(email, context);
      if (!found.ok) return found;
      if (found.value === undefined) return fail("not_found", `nobody has the address ${email}`);
      const { id, version } = found.value;
      const patch = {
        ...(role === undefined ? {} : { role }),
        ...(scopes === undefined ? {} : { extra_scopes: [...scopes] }),
      };
      return users.change(id, { version, ...patch }, editor, context);
    },
    async list(role, context) {
      const all: ManagedUser[] = [];
      let cursor: string | undefined;
      do {
        const page = await users.list({ role, limit: PAGE, ...(cursor === undefined ? {} : { cursor }) }, context);
        if (!page.ok) return page;
        all.push(...page.value.items);
        cursor = page.value.next_cursor;
      } while (cursor !== undefined && all.length < LIST_MAX);
      return ok(all);
    },
  };
}
