/** A mail to a user who signed in from where he has not been seen before. */
import type { Sql } from "#shared/postgres";
import type { CallContext } from "#shared/telemetry";
import type { Outbox } from "../outbox/outbox.ts";
import type { StoredUser } from "../store.ts";
import { deviceOf, ipOf, networkOf } from "./client-words.ts";
import { type Letterhead, signInLetter } from "./letters.ts";

/** Such mails within an hour: whoever has the password must not fill the mailbox with it. */
const MAILS_PER_HOUR = 3;
/** Sessions that are looked back at, the newest ones. */
const HISTORY_MAX = 500;
const HOUR_MS = 3_600_000;
/** A mail about it that is older than that helps nobody (ms). */
const MAIL_MS = 86_400_000;

export interface SignIn {
  /** Of the session that was added. */
  readonly sessionId: string;
  readonly address?: string;
  readonly agent?: string;
}

export interface SignIns {
  /**
   * Puts the mail into the outbox, within the transaction that added the session, where no session of his that is still there came
   * from that network (IPv4 /24, IPv6 /48) with that kind of device. Not for the first sign-in of a user,
   * where it is not known where from, and for more than three new places an hour.
   * @param user as he was before it: `lastLoginAt` null for the first one.
   * @returns whether it was put.
   */
  tell(
    sql: Sql,
    user: Pick<StoredUser, "id" | "email" | "lastLoginAt">,
    signIn: SignIn,
    origin?: Pick<CallContext, "requestId" | "trace">,
  ): Promise<boolean>;
}

interface Seen {
  created_at: Date;
  address: string | null;
  agent: string | null;
}

/** What tells one place from another. */
const placeOf = (address: string, agent: string | undefined): string =>
  `${networkOf(address)} ${deviceOf(agent) ?? agent ?? ""}`;

export function makeSignIns(outbox: Pick<Outbox, "put">, letterhead: Letterhead): SignIns {
  return {
    async tell(sql, user, { sessionId, address, agent }, origin) {
      if (address === undefined) return false;
      const seen = await sql<Seen[]>`
        select created_at, address, agent from sessions
        where user_id = ${user.id} and id <> ${sessionId} order by created_at desc limit ${HISTORY_MAX}`;
      if (seen.length === 0 && user.lastLoginAt === null) return false;
      const now = Date.now();
      /** When each place was seen first. */
      const places = new Map<string, number>();
      for (const session of seen) {
        if (session.address === null) continue;
        places.set(placeOf(session.address, session.agent ?? undefined), session.created_at.getTime());
      }
      if (places.has(placeOf(address, agent))) return false;
      const recent = [...places.values()].filter((at) => at > now - HOUR_MS);
      if (recent.length >= MAILS_PER_HOUR) return false;
      const [ip, device] = [ipOf(address), deviceOf(agent)];
      const mail = signInLetter(letterhead, user.email, {
        at: new Date(now).toISOString(),
        ...(ip === undefined ? {} : { ip }),
        ...(device === undefined ? {} : { device }),
      });
      await outbox.put(sql, [{ kind: "mail", mail, until: new Date(now + MAIL_MS) }], origin);
      return true;
    },
  };
}
