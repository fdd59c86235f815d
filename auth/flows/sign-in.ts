/** A mail to a user who signed in from where he has not been seen before. */
import type { Sql } from "#shared/postgres";
import type { Origin, Outbox } from "../outbox/outbox.ts";
import type { Place } from "../place.ts";
import type { StoredUser } from "../store.ts";
import { deviceOf, ipOf } from "./client-words.ts";
import { type Letterhead, signInLetter } from "./letters.ts";

/** Places that may be new within an hour: at more of them nothing is sent, so that whoever has the password cannot fill the mailbox. */
const NEW_PER_HOUR = 3;
/** A mail about it that is older than that helps nobody (ms). */
const MAIL_MS = 86_400_000;

/**
 * Puts the mail into the outbox, within the transaction that added the session, unless too many places were new within the last hour.
 * @returns whether it was put.
 */
export type SignInMails = (
  sql: Sql,
  user: Pick<StoredUser, "id" | "email">,
  place: Place,
  origin: Origin,
) => Promise<boolean>;

export function makeSignInMails(outbox: Pick<Outbox, "put">, letterhead: Letterhead): SignInMails {
  return async (sql, user, { address, agent }, origin) => {
    const recent = await sql`
      select 1 from sessions where user_id = ${user.id}
      group by address, agent having min(created_at) > now() - interval '1 hour' limit ${NEW_PER_HOUR + 1}`;
    if (recent.length > NEW_PER_HOUR) return false;
    const now = Date.now();
    const [ip, device] = [ipOf(address), deviceOf(agent)];
    const mail = signInLetter(letterhead, user.email, {
      at: new Date(now).toISOString(),
      ...(ip === undefined ? {} : { ip }),
      ...(device === undefined ? {} : { device }),
    });
    await outbox.put(sql, [{ kind: "mail", mail, until: new Date(now + MAIL_MS) }], origin);
    return true;
  };
}
