/**
 * What has ended before its time, for brokers that may have missed being told: at their start, after a gap, and as long
 * as RabbitMQ is away.
 */
import type { Revocation, RevocationList } from "#contracts/identity";
import { fail, ok, type Result } from "#shared/errors";
import { isUuid } from "#shared/ids";
import type { Database, WorkContext } from "#shared/postgres";
import { timeOf } from "#shared/validation";

const PAGE = 1_000;
/**
 * A revocation is seen when its transaction commits, later than the time that it bears: at most as long as a request may
 * take (30 s). What is asked with the next time lies so much before; what was told already is the same under its id.
 */
const OVERLAP_MS = 35_000;

/**
 * @param since `as_of` of the answer before, or a time (RFC 3339); undefined: all that still matter.
 * @returns up to 1,000, oldest first; failure `invalid` for a `since` that is neither.
 */
export type Revocations = (since: string | undefined, context: WorkContext) => Promise<Result<RevocationList>>;

interface Row {
  id: string;
  kind: Revocation["kind"];
  subject: string;
  access_version: number | null;
  at: string;
  expires_at: string;
}

/** A place in the list: a time to the microsecond, and the id of the last one of that time. */
function placeOf(since: string): { at: string; id: string } | undefined {
  const [at = "", id = "00000000-0000-0000-0000-000000000000", ...rest] = since.split("/");
  return rest.length === 0 && timeOf("since", at).ok && isUuid(id) ? { at, id } : undefined;
}

export function makeRevocations(database: Pick<Database, "query">): Revocations {
  return async (since, context) => {
    const from = since === undefined ? undefined : placeOf(since);
    if (since !== undefined && from === undefined)
      return fail("invalid", "since must be as_of of an answer, or a time");
    const found = await database.query(
      async (sql) => {
        // Before they are looked for: what comes meanwhile is for the next time.
        const [now] = await sql<{ as_of: Date }[]>`
          select clock_timestamp() - ${OVERLAP_MS} * interval '1 millisecond' as as_of`;
        const rows = await sql<Row[]>`
          select id, kind, subject, access_version, ${utc(sql, "at")} as at, ${utc(sql, "expires_at")} as expires_at
          from revocations
          where expires_at > now() ${from === undefined ? sql`` : sql`and (at, id) > (${from.at}::text::timestamptz, ${from.id}::uuid)`}
          order by revocations.at, id limit ${PAGE + 1}`;
        return { asOf: now?.as_of ?? new Date(0), rows };
      },
      { ...context, retry: true },
    );
    if (!found.ok) return found;
    const items = found.value.rows.slice(0, PAGE).map(revocationOf);
    const last = found.value.rows.length > PAGE ? items.at(-1) : undefined;
    const asOf = last === undefined ? found.value.asOf.toISOString() : `${last.at}/${last.id}`;
    return ok({ items, as_of: asOf, more: last !== undefined });
  };
}

/** To the microsecond, which a Date has not: two of one millisecond would change places. */
function utc(sql: Parameters<Parameters<Database["query"]>[0]>[0], column: "at" | "expires_at") {
  return sql`to_char(${sql(column)} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;
}

function revocationOf({ id, kind, subject, access_version, at, expires_at }: Row): Revocation {
  return { id, kind, subject, ...(access_version === null ? {} : { access_version }), at, expires_at };
}
