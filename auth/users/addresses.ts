/** Whose an address is: somebody's once, without regard to case, which no constraint of an older table says. */
import { Failure } from "#shared/errors";
import type { Sql } from "#shared/postgres";
import { type StoredUser, type UserRow, userColumns, userOf } from "../store.ts";

/** First key of the advisory locks on addresses, the second is the address. "user" in ASCII. */
const ADDRESS_LOCK = 0x75736572;

/** Until the end of the transaction nobody else gets the address. */
export async function lockAddress(sql: Sql, email: string): Promise<void> {
  await sql`select pg_advisory_xact_lock(${ADDRESS_LOCK}, hashtext(lower(${email})))`;
}

/**
 * Under `lockAddress`.
 * @param userId whose own spelling of it does not count.
 * @throws Failure `conflict` where somebody else has the address.
 */
export async function mustBeFree(sql: Sql, email: string, userId?: number): Promise<void> {
  const taken = await sql`
    select 1 from users where lower(email) = lower(${email}) and id is distinct from ${userId ?? null}::int limit 1`;
  if (taken.length > 0) throw new Failure("conflict", "this address is taken");
}

/** As a login finds him: where older rows differ in case only, the one that is spelt the same comes first. */
export async function holderOf(sql: Sql, email: string): Promise<StoredUser | undefined> {
  const [row] = await sql<UserRow[]>`
    select ${userColumns(sql)} from users
    where lower(email) = lower(${email}) order by (email = ${email}) desc, id limit 1`;
  return row === undefined ? undefined : userOf(row);
}
