/** The face of a service's PostgreSQL: what it takes and promises. */
import type { ISql } from "postgres";
import type { Secret } from "#shared/config";
import type { Result } from "#shared/errors";
import type { Dependency } from "#shared/lifecycle";
import type { Log } from "#shared/log";
import type { Deadline } from "#shared/resilience";
import type { Metrics, Trace } from "#shared/telemetry";

/** The query tag of postgres.js: `` sql<Row[]>`select … where id = ${id}` ``; every value becomes a parameter. */
export type Sql = ISql;

/** One step of a schema, applied once, in the order of `version`, and never changed afterwards. */
export interface Migration {
  /** 1 or more, each once. */
  readonly version: number;
  readonly name: string;
  /** Statements; no `begin` or `commit`: each migration is one transaction. */
  readonly sql: string;
}

export interface DatabaseOptions {
  /** `postgres://user:password@host:port/database`, with `?sslmode=verify-full` for TLS (as the process trusts). */
  url: Secret;
  /** How the connections call themselves in `pg_stat_activity`: the name of the service. */
  name: string;
  log: Log;
  metrics: Metrics;
  dependency: Dependency;
  /** Brought up to date before the database counts as up; safe where several replicas start at once. */
  migrations: readonly Migration[];
  /** Connections at most (default 25), and one more where `listen` is used. One of them is kept for the probe. */
  maxConnections?: number;
  /** Longest that one statement may run (ms, default 2,000): the server ends it then. */
  statementTimeoutMs?: number;
}

/** Of a `CallContext`, what work on the database needs; so one may be given for it. */
export interface WorkContext {
  /** Bounds the whole: waiting for a connection, the statements, the retries. */
  readonly deadline: Deadline;
  /** What the work is a part of: it becomes one span there. Absent: of nothing that is followed. */
  readonly trace?: Trace;
}

export interface WorkOptions extends WorkContext {
  /**
   * Whether the work may be done twice with the effect of once (a read, an upsert, an insert under a given id).
   * Then it is tried again when its connection is lost in the middle: three times at most, 0.05 to 0.4 s later each.
   */
  retry: boolean;
}

export interface Database extends AsyncDisposable {
  /** Connected and migrated, as far as is known (probed every 2 s). */
  readonly up: boolean;
  /**
   * Waits until the database is up.
   * @returns failure `unavailable` when the deadline passes first; it says why and how to mend it.
   */
  ready(deadline: Deadline): Promise<Result<void>>;
  /**
   * Runs statements, one after the other, each its own transaction. Never throws.
   * @returns what `work` returns; where `work` throws a `Failure`, that failure; else `unavailable` (away or too much waiting: at once;
   * lost in the middle: a write may have been done), `deadline`, `conflict` (a unique or
   * exclusion constraint), `invalid` (a value that the column cannot hold), `internal` (a bug).
   */
  query<T>(work: (sql: Sql) => Promise<T>, options: WorkOptions): Promise<Result<T>>;
  /**
   * The same inside one transaction: committed when `work` resolves, rolled back when it throws (throw a `Failure`
   * to leave with it). Tried again without `retry`, too, where nothing of it can have been done: a connection
   * that turns out dead at `begin`, a deadlock, a serialisation failure.
   */
  transaction<T>(work: (sql: Sql) => Promise<T>, options: WorkOptions): Promise<Result<T>>;
  /**
   * Calls `heard` after a NOTIFY on `channel`, and each time that listening begins, the first and after every lost
   * connection, since something may have been missed: a hint to look, no more. `heard` gets what NOTIFY said (empty where
   * it said nothing), and undefined where listening begins; it must not throw. All channels
   * share one connection beside the pool, which is opened by the first call, comes back for ever and ends with the
   * database.
   */
  listen(channel: string, heard: (payload?: string) => void): void;
  /** Waits for the work in hand (at most 5 s), then closes every connection. Idempotent. */
  [Symbol.asyncDispose](): Promise<void>;
}
