/** Sessions end, and what that ends with them is told. Inside the transaction of the change that is the reason. */
import { ACCESS_TOKEN } from "#contracts/auth";
import type { Revocation } from "#contracts/identity";
import type { Sql } from "#shared/postgres";
import type { Outbox } from "../outbox/outbox.ts";

/**
 * How long a revocation matters (ms): the life of an access token that was signed in the same moment, and what clocks
 * may be apart.
 */
const REVOCATION_MS = (ACCESS_TOKEN.lifetimeS + 60) * 1_000;

export type EndReason = "logout" | "revoked" | "reuse" | "password" | "deactivated" | "too_many";

/** A revocation as whoever makes one has it: the rest is given to it. */
export interface NewRevocation {
  readonly kind: Revocation["kind"];
  /** Of the session, the user or the key: its id. */
  readonly subject: string;
  /** Of `user` only: his `access_version` after the change. */
  readonly accessVersion?: number;
}

export interface Ending {
  /**
   * Ends the sessions of a user that have not ended. Their refresh tokens count no longer once the transaction is
   * committed; their access tokens, once the brokers have heard of it.
   * @param except the session that goes on. @returns how many ended.
   */
  endSessionsOf(sql: Sql, userId: number, reason: EndReason, except?: string): Promise<number>;
  /** Ends one. @returns false where it is not his, has ended or is over. */
  endSession(sql: Sql, userId: number, sessionId: string, reason: EndReason): Promise<boolean>;
  /** Writes a revocation, and puts it into the outbox. Ring afterwards. */
  revoke(sql: Sql, revocation: NewRevocation): Promise<Revocation>;
  /** The same for several of a kind: they are put at once. */
  revokeAll(sql: Sql, kind: "session" | "api_key", subjects: readonly string[]): Promise<void>;
}

export function makeEnding(outbox: Pick<Outbox, "put">): Ending {
  async function write(sql: Sql, { kind, subject, accessVersion }: NewRevocation): Promise<Revocation> {
    const id = Bun.randomUUIDv7();
    const [row] = await sql<{ at: Date; expires_at: Date }[]>`
      insert into revocations (id, kind, subject, access_version, at, expires_at)
      values (${id}, ${kind}, ${subject}, ${accessVersion ?? null}, statement_timestamp(),
        statement_timestamp() + ${REVOCATION_MS} * interval '1 millisecond')
      returning at, expires_at`;
    if (row === undefined) throw new Error("an insert returned nothing");
    return {
      id,
      kind,
      subject,
      ...(accessVersion === undefined ? {} : { access_version: accessVersion }),
      at: row.at.toISOString(),
      expires_at: row.expires_at.toISOString(),
    };
  }

  async function put(sql: Sql, revocations: readonly Revocation[]): Promise<void> {
    await outbox.put(
      sql,
      revocations.map((revocation) => ({ kind: "identity", revocation })),
    );
  }

  async function revokeAll(sql: Sql, kind: "session" | "api_key", subjects: readonly string[]): Promise<void> {
    const revocations: Revocation[] = [];
    for (const subject of subjects) revocations.push(await write(sql, { kind, subject }));
    await put(sql, revocations);
  }

  return {
    async endSessionsOf(sql, userId, reason, except) {
      // Always in the order of their ids: two that end the same ones wait for each other, and do not lock each other out.
      const ended = await sql<{ id: string }[]>`
        update sessions set ended_at = now(), end_reason = ${reason}
        where id in (
          select id from sessions
          where user_id = ${userId} and ended_at is null and expires_at > now() and id is distinct from ${except ?? null}
          order by id for update)
          and ended_at is null
        returning id`;
      await revokeAll(
        sql,
        "session",
        ended.map(({ id }) => id),
      );
      return ended.length;
    },
    async endSession(sql, userId, sessionId, reason) {
      const ended = await sql<{ id: string }[]>`
        update sessions set ended_at = now(), end_reason = ${reason}
        where id = ${sessionId} and user_id = ${userId} and ended_at is null and expires_at > now()
        returning id`;
      await revokeAll(
        sql,
        "session",
        ended.map(({ id }) => id),
      );
      return ended.length === 1;
    },
    async revoke(sql, one) {
      const revocation = await write(sql, one);
      await put(sql, [revocation]);
      return revocation;
    },
    revokeAll,
  };
}
