/** A mail to the owner of an account about a change of it that somebody else may have made. */
import type { Sql } from "#shared/postgres";
import type { Origin, Outbox } from "../outbox/outbox.ts";
import { type AccountChange, accountLetter, type Letterhead } from "./letters.ts";

/**
 * Puts the mail into the outbox, within the transaction of the change. Each change is told, however many there were: it takes the
 * password, a link from the owner's mailbox or `users:manage` to make one, and a limit would leave out what follows a few that are harmless.
 * @param address the owner's; where that was changed, the one that it was before.
 */
export type AccountMails = (sql: Sql, address: string, change: AccountChange, origin: Origin) => Promise<void>;

export function makeAccountMails(outbox: Pick<Outbox, "put">, letterhead: Letterhead): AccountMails {
  return async (sql, address, change, origin) => {
    const mail = accountLetter(letterhead, address, change, new Date().toISOString());
    await outbox.put(sql, [{ kind: "mail", mail }], origin);
  };
}
