/** The outbox in PostgreSQL. Talks, never decides. Time is the database's. */
import type { Result } from "#shared/errors";
import type { Log } from "#shared/log";
import type { Database, Sql } from "#shared/postgres";
import type { Deadline } from "#shared/resilience";
import type { Sealer } from "../keys.ts";
import { type Lane, LANES, type Parcel } from "./outbox.ts";

export interface Waiting<L extends Lane = Lane> {
  readonly id: string;
  readonly parcel: Extract<Parcel, { to: L }>;
  readonly requestId: string;
  readonly traceparent: string;
  /** Tries before this one; of what is handed to `tell` they are not counted. */
  readonly attempts: number;
  /** Since it was put there (ms). */
  readonly waitedMs: number;
}

export interface HandOptions<L extends Lane> {
  readonly lane: L;
  readonly limit: number;
  /** Brings them out, in this order. @returns the ids of those that are out. Is bounded in time and never throws. */
  readonly tell: (waiting: readonly Waiting<L>[]) => Promise<readonly string[]>;
}

export interface LaneCount {
  /** Up to 100,000; more is 100,000. */
  readonly waiting: number;
  /** Age of the oldest (s), 0 without any. */
  readonly oldestS: number;
}

export interface OutboxStore {
  /**
   * Hands the oldest of a lane to `tell`, and deletes those that are out. In all replicas one does so at a time: the
   * lock is the transaction's, so that it ends with whoever holds it, and with whoever stands still for 5 s.
   * @returns how many were handed and are out; undefined where another one is at it.
   */
  handOldest<L extends Lane>(
    options: HandOptions<L>,
    deadline: Deadline,
  ): Promise<Result<{ readonly handed: number; readonly told: number } | undefined>>;
  /** Takes up to `limit` that are due for `leaseMs`: nobody else gets them meanwhile. */
  claim<L extends Lane>(lane: L, limit: number, leaseMs: number, deadline: Deadline): Promise<Result<Waiting<L>[]>>;
  /** It is out, or worth nothing any more. */
  remove(id: string, deadline: Deadline): Promise<Result<void>>;
  /** Due again in `ms`. */
  putOff(id: string, ms: number, deadline: Deadline): Promise<Result<void>>;
  counts(deadline: Deadline): Promise<Result<ReadonlyMap<Lane, LaneCount>>>;
}

/** First key of the lanes' advisory locks, the second is the lane's number. "outb" in ASCII. */
const LOCK = 0x6f757462;
const STANDS_STILL = "5s";
const COUNTED = 100_000;
/** What cannot be opened is looked at again after this long (ms): the right AUTH_SECRET may be set by then. */
const UNREADABLE_MS = 600_000;

interface Row {
  id: string;
  body: Uint8Array;
  request_id: string;
  traceparent: string;
  attempts: number;
  waited_ms: number;
}

export function makeOutboxStore(
  database: Pick<Database, "query" | "transaction">,
  sealer: Sealer,
  log: Log,
): OutboxStore {
  /** Opens what is in the rows, and puts off what was sealed with another secret, so that it is in nobody's way. */
  async function open<L extends Lane>(sql: Sql, rows: readonly Row[]): Promise<Waiting<L>[]> {
    const readable: Waiting<L>[] = [];
    const unreadable: string[] = [];
    for (const { id, body, request_id, traceparent, attempts, waited_ms } of rows) {
      const text = sealer.open(body, id);
      if (text === undefined) unreadable.push(id);
      else {
        const parcel = JSON.parse(text) as Waiting<L>["parcel"];
        readable.push({ id, parcel, requestId: request_id, traceparent, attempts, waitedMs: waited_ms });
      }
    }
    if (unreadable.length > 0) {
      log.error("outbox: sealed with another AUTH_SECRET: set that one again", { ids: unreadable.slice(0, 10) });
      await putOff(sql, unreadable, UNREADABLE_MS);
    }
    return readable;
  }

  const putOff = (sql: Sql, ids: readonly string[], ms: number) => sql`
    update outbox set next_at = now() + ${ms} * interval '1 millisecond' where id = any(${[...ids]}::uuid[])`;

  const waitedMs = (sql: Sql) => sql`(extract(epoch from clock_timestamp() - created_at) * 1000)::float8`;

  return {
    handOldest: ({ lane, limit, tell }, deadline) =>
      database.transaction(
        async (sql) => {
          const [lock] = await sql<{ mine: boolean }[]>`
            select pg_try_advisory_xact_lock(${LOCK}, ${LANES.indexOf(lane)}) as mine,
              set_config('idle_in_transaction_session_timeout', ${STANDS_STILL}, true)`;
          if (lock?.mine !== true) return undefined;
          const rows = await sql<Row[]>`
            select id, body, request_id, traceparent, attempts, ${waitedMs(sql)} as waited_ms from outbox
            where kind = ${lane} and next_at <= now() order by seq limit ${limit}`;
          if (rows.length === 0) return { handed: 0, told: 0 };
          const waiting = await open<typeof lane>(sql, rows);
          const ids = await tell(waiting);
          if (ids.length > 0) await sql`delete from outbox where id = any(${[...ids]}::uuid[])`;
          return { handed: waiting.length, told: ids.length };
        },
        { deadline, retry: false },
      ),

    claim: (lane, limit, leaseMs, deadline) =>
      database.transaction(
        async (sql) => {
          const rows = await sql<Row[]>`
            update outbox set attempts = attempts + 1, next_at = now() + ${leaseMs} * interval '1 millisecond'
            where id in (
              select id from outbox where kind = ${lane} and next_at <= now()
              order by next_at, seq limit ${limit} for update skip locked)
            returning id, body, request_id, traceparent, attempts - 1 as attempts, ${waitedMs(sql)} as waited_ms`;
          return open<typeof lane>(sql, rows);
        },
        { deadline, retry: false },
      ),

    remove: (id, deadline) =>
      database.query(async (sql) => void (await sql`delete from outbox where id = ${id}`), { deadline, retry: true }),

    putOff: (id, ms, deadline) =>
      database.query(async (sql) => void (await putOff(sql, [id], ms)), { deadline, retry: true }),

    counts: (deadline) =>
      database.query(
        async (sql) => {
          const rows = await sql<{ kind: Lane; waiting: number; oldest_s: number }[]>`
            select kind, count(*)::int as waiting,
              greatest(0, extract(epoch from clock_timestamp() - min(created_at)))::float8 as oldest_s
            from (select kind, created_at from outbox order by seq limit ${COUNTED}) oldest group by kind`;
          const counts = new Map<Lane, LaneCount>(LANES.map((lane) => [lane, { waiting: 0, oldestS: 0 }]));
          for (const { kind, waiting, oldest_s } of rows) counts.set(kind, { waiting, oldestS: oldest_s });
          return counts;
        },
        { deadline, retry: true },
      ),
  };
}
