/** What the links of mails are good for. Knows no HTTP. */
import { fail, ok, type Result } from "#shared/errors";
import type { Database, Sql } from "#shared/postgres";
import type { CallContext } from "#shared/telemetry";
import { revokeKeysOf } from "../api-keys/store.ts";
import type { Outbox } from "../outbox/outbox.ts";
import type { Passwords } from "../passwords.ts";
import { checkNewPassword } from "../passwords-policy/policy.ts";
import type { Ending } from "../sessions/end.ts";
import type { AccountMails } from "./account-mails.ts";
import type { Links } from "./links.ts";

export interface Confirm {
  /** His address is his. @returns failure `invalid`, the same for whatever is wrong with the token. */
  address(token: string, context: CallContext): Promise<Result<void>>;
  /**
   * A new password: all his sessions end. That he could read the mail shows that the address is his, too; where that was
   * not known before, his API keys end as well: somebody else may have registered with his address. A mail tells him.
   * @returns failure `invalid` for the token, or for a password that may not be chosen (the link goes on counting then);
   * `unavailable` also when too many passwords wait to be hashed, `deadline`.
   */
  password(token: string, password: string, context: CallContext): Promise<Result<void>>;
}

export interface ConfirmPorts {
  database: Database;
  links: Pick<Links, "find" | "use">;
  passwords: Pick<Passwords, "hash">;
  ending: Pick<Ending, "endSessionsOf" | "revoke" | "revokeAll">;
  outbox: Outbox;
  tellOwner: AccountMails;
}

const worthless = () => fail("invalid", "token is not valid: it was used, its time is over, or it never was one");

export function makeConfirm({ database, links, passwords, ending, outbox, tellOwner }: ConfirmPorts): Confirm {
  /** In one transaction with the use of the link. Not twice: the second time the link was used. */
  async function once(
    context: CallContext,
    work: (sql: Sql) => Promise<{ id: number; accessVersion: number; told?: object } | undefined>,
    action: string,
  ): Promise<Result<void>> {
    const done = await database.transaction(
      async (sql) => {
        const user = await work(sql);
        if (user === undefined) return false;
        await ending.revoke(sql, { kind: "user", subject: String(user.id), accessVersion: user.accessVersion });
        const data = { action, by: `user:${user.id}`, user_id: user.id, ...user.told };
        await outbox.put(sql, [{ kind: "audit", data }], context);
        return true;
      },
      { ...context, retry: false },
    );
    if (!done.ok) return done;
    if (!done.value) return worthless();
    outbox.ring();
    return ok();
  }

  return {
    address: (token, context) =>
      once(
        context,
        async (sql) => {
          const user = await links.use(sql, "verify_address", token, context.client?.address);
          if (user === undefined) return undefined;
          // What he may is more from then on: refreshing tells.
          const [row] = await sql<{ access_version: number }[]>`
            update users set email_verified_at = coalesce(email_verified_at, now()), version = version + 1,
              access_version = access_version + (email_verified_at is null)::integer
            where id = ${user.id}
            returning access_version`;
          return { id: user.id, accessVersion: row?.access_version ?? user.accessVersion };
        },
        "user.address_verified",
      ),
    async password(token, password, context) {
      const found = await links.find("reset_password", token, context);
      if (!found.ok) return found;
      if (found.value === undefined) return worthless();
      const allowed = checkNewPassword("new_password", password, found.value.email);
      if (!allowed.ok) return allowed;
      const hash = await passwords.hash(password, context);
      if (!hash.ok) return hash;
      return once(
        context,
        async (sql) => {
          const user = await links.use(sql, "reset_password", token, context.client?.address);
          if (user === undefined) return undefined;
          await sql`
            update users set password = ${hash.value}, email_verified_at = coalesce(email_verified_at, now()),
              version = version + 1, updated_at = now() at time zone 'UTC'
            where id = ${user.id}`;
          await ending.endSessionsOf(sql, user.id, "password");
          const keys = user.emailVerifiedAt === null ? await revokeKeysOf(sql, user.id) : [];
          await ending.revokeAll(sql, "api_key", keys);
          await tellOwner(sql, user.email, "password", context);
          return { ...user, told: { keys_revoked: keys.length } };
        },
        "user.password_reset",
      );
    },
  };
}
