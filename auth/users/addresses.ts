/** That an address is somebody's once: without regard to case, which no constraint of an older table says. */
import { Failure } from "#shared/errors";
import type { Sql } from "#shared/postgres";

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
