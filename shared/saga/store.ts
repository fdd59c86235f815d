/** Sagas in PostgreSQL. Talks, never decides. Every write of a runner names its claim: who lost it writes nothing. */
import type { Result } from "#shared/errors";
import type { Database } from "#shared/postgres";
import type { Deadline } from "#shared/resilience";
import type { Transition } from "./decide.ts";
import type { SagaState, SagaView } from "./types.ts";

/** A saga in the hands of whoever holds `claim`. */
export interface ClaimedSaga {
  readonly id: string;
  readonly name: string;
  readonly state: "running" | "compensating";
  readonly step: string;
  /** Since the step was tried for the first time, when it was claimed (ms). */
  readonly ageMs: number;
  readonly data: object;
  readonly failures: number;
  readonly faults: number;
  readonly interruptions: number;
  readonly claim: string;
  readonly requestId: string;
  readonly traceparent: string;
}

export interface Count {
  readonly name: string;
  readonly state: SagaState;
  readonly count: number;
  readonly oldestS: number;
}

export interface Store {
  /** Takes up to `limit` sagas of these names that are due, the longest due first. */
  claim(
    claim: string,
    names: readonly string[],
    limit: number,
    leaseMs: number,
    deadline: Deadline,
  ): Promise<Result<ClaimedSaga[]>>;
  /** Prolongs the leases of what is in hand. @returns the ids that still are. */
  renew(claims: readonly string[], leaseMs: number, deadline: Deadline): Promise<Result<ReadonlySet<string>>>;
  /** Gives back what a claim holds, as it is: for now, or for a `claim` whose answer was lost. */
  release(claim: string, deadline: Deadline, id?: string): Promise<Result<void>>;
  /** Writes what became of a step. @param keep for the next step at once, under the same claim. @returns whether the claim still held. */
  note(
    saga: Pick<ClaimedSaga, "id" | "claim">,
    to: Transition,
    data: object,
    keep: boolean,
    leaseMs: number,
    deadline: Deadline,
  ): Promise<Result<boolean>>;
  /** Those that have not ended, by definition and state. */
  counts(deadline: Deadline): Promise<Result<Count[]>>;
  /** Removes up to 1,000 that ended so many days ago. */
  purge(days: number, deadline: Deadline): Promise<Result<number>>;
  list(states: readonly SagaState[], limit: number, deadline: Deadline): Promise<Result<SagaView[]>>;
  /** Lets a stuck saga go on where it was. @returns false where no saga of this id is stuck. */
  resume(id: string, deadline: Deadline): Promise<Result<boolean>>;
}

interface Row {
  id: string;
  name: string;
  state: SagaState;
  step: string | null;
  age_ms: number;
  data: object;
  reason: string | null;
  error: string | null;
  failures: number;
  faults: number;
  interruptions: number;
  claim: string;
  request_id: string;
  traceparent: string;
  created_at: Date;
  updated_at: Date;
  next_at: Date;
}

export function makeStore(database: Database): Store {
  return {
    claim: (claim, names, limit, leaseMs, deadline) =>
      database.query(
        async (sql) => {
          const rows = await sql<Row[]>`
            update sagas set claim = ${claim}, lease_until = now() + ${leaseMs} * interval '1 ms',
              interruptions = interruptions + (claim is not null)::integer
            where id in (
              select id from sagas
              where state in ('running', 'compensating') and name = any(${names as string[]}::text[])
                and next_at <= now() and (lease_until is null or lease_until <= now())
              order by next_at limit ${limit} for update skip locked)
            returning *, (extract(epoch from now() - step_since) * 1000)::float8 as age_ms`;
          return rows.map(claimedOf);
        },
        // Twice could take twice as many, and lose sight of the first.
        { deadline, retry: false },
      ),
    renew: (claims, leaseMs, deadline) =>
      database.query(
        async (sql) => {
          const rows = await sql<{ id: string }[]>`
            update sagas set lease_until = now() + ${leaseMs} * interval '1 ms'
            where claim = any(${claims as string[]}::uuid[]) and state in ('running', 'compensating')
            returning id`;
          return new Set(rows.map(({ id }) => id));
        },
        { deadline, retry: true },
      ),
    release: (claim, deadline, id) =>
      database.query(
        async (sql) => {
          await sql`
            update sagas set claim = null, lease_until = null, next_at = now()
            where claim = ${claim} and state in ('running', 'compensating') ${id === undefined ? sql`` : sql`and id = ${id}`}`;
        },
        { deadline, retry: true },
      ),
    note: ({ id, claim }, to, data, keep, leaseMs, deadline) =>
      database.query(
        async (sql) => {
          const rows = await sql`
            update sagas set state = ${to.state}, step = ${to.step ?? null}, data = ${JSON.stringify(data)}::text::jsonb,
              step_since = case when ${to.entered} then now() else step_since end,
              reason = coalesce(${to.reason ?? null}, reason), error = ${to.error ?? null}, failures = ${to.failures},
              faults = ${to.faults}, interruptions = 0, next_at = now() + ${to.waitMs} * interval '1 ms',
              claim = case when ${keep} then claim end,
              lease_until = case when ${keep} then now() + ${leaseMs} * interval '1 ms' end,
              updated_at = now()
            where id = ${id} and claim = ${claim} and state in ('running', 'compensating')
            returning id`;
          return rows.length === 1;
        },
        { deadline, retry: true },
      ),
    counts: (deadline) =>
      database.query(
        async (sql) => {
          const rows = await sql<{ name: string; state: SagaState; count: number; oldest_s: number }[]>`
            select name, state, count(*)::integer as count,
              extract(epoch from now() - min(created_at))::float8 as oldest_s
            from sagas where state in ('running', 'compensating', 'stuck') group by name, state`;
          return rows.map(({ oldest_s, ...row }) => ({ ...row, oldestS: oldest_s }));
        },
        { deadline, retry: true },
      ),
    purge: (days, deadline) =>
      database.query(
        async (sql) => {
          const rows = await sql`
            delete from sagas where id in (
              select id from sagas where state in ('done', 'compensated') and updated_at < now() - ${days} * interval '1 day'
              order by updated_at limit 1000 for update skip locked)
            returning id`;
          return rows.length;
        },
        { deadline, retry: true },
      ),
    list: (states, limit, deadline) =>
      database.query(
        async (sql) => {
          const rows = await sql<Row[]>`
            select id, name, state, step, reason, error, failures, created_at, updated_at, next_at from sagas
            where state = any(${states as string[]}::text[]) order by created_at limit ${limit}`;
          return rows.map(viewOf);
        },
        { deadline, retry: true },
      ),
    resume: (id, deadline) =>
      database.query(
        async (sql) => {
          const rows = await sql`
            update sagas set state = case when reason is null then 'running' else 'compensating' end, failures = 0,
              faults = 0, interruptions = 0, claim = null, lease_until = null, step_since = now(), next_at = now(),
              updated_at = now()
            where id = ${id} and state = 'stuck' returning id`;
          return rows.length === 1;
        },
        { deadline, retry: false },
      ),
  };
}

function claimedOf(row: Row): ClaimedSaga {
  return {
    id: row.id,
    name: row.name,
    state: row.state === "compensating" ? "compensating" : "running",
    step: row.step ?? "",
    ageMs: row.age_ms,
    data: row.data,
    failures: row.failures,
    faults: row.faults,
    interruptions: row.interruptions,
    claim: row.claim,
    requestId: row.request_id,
    traceparent: row.traceparent,
  };
}

function viewOf(row: Row): SagaView {
  return {
    id: row.id,
    name: row.name,
    state: row.state,
    step: row.step ?? undefined,
    reason: row.reason ?? undefined,
    error: row.error ?? undefined,
    failures: row.failures,
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
    next_at: row.next_at.toISOString(),
  };
}
