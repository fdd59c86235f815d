/**
 * The long life of a database connection. It is always in one of two states:
 *
 *   away  a loop opens a new pool, probes and migrates, until that succeeds; work fails at once with `unavailable`
 *   up    work runs; a probe every 2 s, and at once after a connection was lost under some work
 *
 * Only `supervise` changes the state. A pool whose probe fails twice, or hangs, is replaced as a whole: no dead
 * connection and no backoff of the driver's survives that.
 */
import { type Failure, fail, messageOf, ok, type Result } from "#shared/errors";
import { inSpan, type Span } from "#shared/telemetry";
import { databaseBackoff, Deadline, exponential, keepTrying, sleep } from "#shared/resilience";
import { away, codeOf, explained, failureOfWork, isConnectionLoss, isRolledBack } from "./failures.ts";
import { makeListener } from "./listener.ts";
import { migrate } from "./migrate.ts";
import { makePool, type Pool } from "./pool.ts";
import { makeSlots } from "./slots.ts";
import { runTransaction } from "./transaction.ts";
import type { Database, DatabaseOptions, Sql, WorkOptions } from "./types.ts";
import { attributesOf, placeOf, watched } from "./watched.ts";

const PROBE_INTERVAL_MS = 2_000;
/** Work that may wait for a connection; what comes beyond fails at once. */
const LINE = 500;
/** How often work is tried at most: a server may end connections again while those that follow are being opened. */
const TRIES = 4;
/** Pauses before the next try (half of them random): a server that restarts closes all connections within the first. */
const retryBackoff = exponential({ firstMs: 100, maxMs: 400 });
const CLOSE_MS = 5_000;
/** Time for what is under way in a pool that was left (ms): after it, what hangs there is cut, and tried again where that is allowed. */
const ABANDONED_MS = 500;
/** Of the tries to connect, the first this many are logged, then every twentieth (about once a minute). */
const LOGGED_TRIES = 5;

/** How far an attempt has come: whether anything of it may have been done. */
interface Progress {
  begun: "nothing" | "statements" | "transaction";
}
type Attempt<T> = (pool: Pool, progress: Progress) => Promise<T>;
type Work<T> = (sql: Sql) => Promise<T>;

/** Starts to connect in the background and returns at once; `ready` waits for it. */
export function makeDatabase(options: DatabaseOptions): Database {
  const { url, name, log, metrics, dependency, migrations, maxConnections = 25, statementTimeoutMs = 2_000 } = options;
  const poolOptions = { url, name, maxConnections, statementTimeoutMs };
  const listener = makeListener({ url, name, statementTimeoutMs, log });
  const slots = makeSlots(Math.max(1, maxConnections - 1), LINE);
  const closing = new AbortController();
  const working = new Set<Promise<unknown>>();
  let pool = makePool(poolOptions);
  let opening: Pool | undefined;
  let up = false;
  let becameUp = Promise.withResolvers<void>();
  let suspicion = Promise.withResolvers<void>();
  let reason: unknown = new Error("not connected yet");

  metrics.gauge("postgres_connections", "Open connections to PostgreSQL.", [], (gauge) => gauge.set(pool.connections));
  metrics.gauge("postgres_connections_max", "Connections to PostgreSQL at most.").set(maxConnections);
  metrics.gauge("postgres_work_in_progress", "Work that holds a connection.", [], (gauge) => gauge.set(slots.used));
  metrics.gauge("postgres_work_waiting", "Work that waits for a connection.", [], (gauge) => gauge.set(slots.waiting));
  const seconds = metrics.histogram("postgres_work_seconds", "Time that work on the database took.", ["outcome"]);
  const retries = metrics.counter("postgres_retries_total", "Work that was tried again after a lost connection.");
  const opened = metrics.counter(
    "postgres_pools_opened_total",
    "Pools opened: the first, and one each time it healed.",
  );

  async function open(): Promise<void> {
    const fresh = makePool(poolOptions);
    opening = fresh;
    try {
      await fresh.probe();
      await migrate(fresh.sql, migrations, log);
      closing.signal.throwIfAborted();
    } catch (error) {
      void fresh.close(0);
      throw explained(error, fresh.target);
    } finally {
      opening = undefined;
    }
    replacePool(fresh);
    opened.inc();
  }

  /**
   * Statements under way in the old pool keep their places until they end, and its idle connections are closed at
   * once: both pools together stay within the limit.
   */
  function replacePool(fresh: Pool): void {
    const old = pool;
    pool = fresh;
    void old.close(ABANDONED_MS);
  }

  /**
   * Leaves a pool in which a connection died. postgres.js 3.4.9 forgets, when a connection closes between the queueing
   * and the writing of a query, that no write is scheduled any more: that connection never sends anything again, and
   * everything given to it ends in CONNECT_TIMEOUT.
   */
  function abandon(used: Pool): void {
    if (used === pool && !closing.signal.aborted) replacePool(makePool(poolOptions));
    suspicion.resolve();
  }

  /** @returns once the database has to be taken for away, with what was seen. */
  async function watch(): Promise<unknown> {
    for (;;) {
      await Promise.race([sleep(PROBE_INTERVAL_MS, closing.signal), suspicion.promise]);
      suspicion = Promise.withResolvers();
      try {
        await pool.probe();
      } catch (first) {
        closing.signal.throwIfAborted();
        // A connection that died while idle is no news of the server; a second one, opened now, is.
        if (codeOf(first) === "PROBE_TIMEOUT") return explained(first, pool.target);
        replacePool(makePool(poolOptions));
        try {
          await pool.probe();
        } catch (second) {
          return explained(second, pool.target);
        }
      }
    }
  }

  function onFailure(error: unknown, attempt: number, waitMs: number): void {
    reason = error;
    dependency.down(error);
    if (attempt > LOGGED_TRIES && attempt % 20 !== 0) return;
    log.warn("database not available, trying again", {
      attempt,
      wait_ms: Math.round(waitMs),
      reason: messageOf(error),
    });
  }

  async function supervise(): Promise<void> {
    for (;;) {
      await keepTrying(open, { backoff: databaseBackoff, signal: closing.signal, onFailure });
      up = true;
      dependency.up();
      becameUp.resolve();
      reason = await watch();
      up = false;
      dependency.down(reason);
      becameUp = Promise.withResolvers();
    }
  }

  async function attempts<T>(
    attempt: Attempt<T>,
    { deadline, retry }: WorkOptions,
    span: Span | undefined,
  ): Promise<Result<T>> {
    for (let tries = 1; ; tries += 1) {
      const progress: Progress = { begun: "nothing" };
      const used = pool;
      try {
        return ok(await attempt(used, progress));
      } catch (error) {
        const lost = isConnectionLoss(error);
        if (lost) abandon(used);
        const undone = isRolledBack(error);
        const harmless = retry || progress.begun === "nothing" || (undone && progress.begun === "transaction");
        const again = tries < TRIES && harmless && (lost || undone);
        // Where the server is away nobody has to wait for what the next try would say.
        const hopeless = deadline.passed || closing.signal.aborted || (tries > 1 && !up);
        if (!again || hopeless) return { ok: false, error: failureOfWork(error) };
        retries.inc();
        span?.event("tried again", { "error.type": failureOfWork(error).code });
        await sleep(retryBackoff(tries - 1));
      }
    }
  }

  async function run<T>(attempt: Attempt<T>, options: WorkOptions, span?: Span): Promise<Result<T>> {
    if (!up || closing.signal.aborted) return { ok: false, error: away(reason) };
    const { deadline } = options;
    const waitedSince = performance.now();
    const slot = await slots.acquire(deadline);
    const startedAt = performance.now();
    span?.set({ "db.client.connection.wait_ms": Math.round((startedAt - waitedSince) * 1_000) / 1_000 });
    if (!slot.ok) return slot;
    const used = pool;
    // The place is given back when the work has ended, not when its caller stopped waiting.
    const work = attempts(attempt, options, span).finally(slot.value);
    working.add(work);
    void work.finally(() => working.delete(work));
    const result = await deadline.bound(work, "the database").catch((late: Failure): Result<T> => {
      // The server ends every statement by its timeout: what lasts longer hangs on a dead connection.
      if (performance.now() - startedAt > statementTimeoutMs + 1_000) abandon(used);
      return fail(late.code, "the database took too long", { cause: late });
    });
    seconds.observe({ outcome: result.ok ? "ok" : result.error.code }, (performance.now() - startedAt) / 1_000);
    return result;
  }

  const query = <T>(work: Work<T>, workOptions: WorkOptions, span?: Span): Promise<Result<T>> =>
    run(
      (at, progress) => {
        progress.begun = "statements";
        return work(at.sql);
      },
      workOptions,
      span,
    );

  const transaction = <T>(work: Work<T>, workOptions: WorkOptions, span?: Span): Promise<Result<T>> =>
    run(
      (at, progress) =>
        runTransaction(at.sql, (sql) => {
          progress.begun = "transaction";
          return work(sql);
        }),
      workOptions,
      span,
    );

  /** As a span of what it is for, where that is followed. Statements are known once they are asked, and told by kind only. */
  function followed<T>(kind: "query" | "transaction", work: Work<T>, workOptions: WorkOptions): Promise<Result<T>> {
    const start = kind === "query" ? query : transaction;
    return inSpan(workOptions, `postgresql ${kind}`, { kind: "client" }, (_options, span) => {
      if (!span.isRecorded) return start(work, workOptions);
      span.set(placeOf(pool.target));
      const noting: Work<T> = async (sql) => {
        const statements = watched(sql);
        try {
          return await work(statements.sql);
        } finally {
          span.set(attributesOf(kind, statements));
          if (statements.summary !== "") span.rename(statements.summary);
        }
      };
      return start(noting, workOptions, span);
    });
  }

  const supervised = supervise().catch((error: unknown) => {
    if (!closing.signal.aborted) throw error;
  });
  let closed: Promise<void> | undefined;

  async function close(): Promise<void> {
    // What is not done by then is cut with its connection, and fails as `unavailable`.
    await Deadline.after(CLOSE_MS)
      .bound(Promise.allSettled(working), "closing")
      .catch(() => undefined);
    closing.abort(new Error("the database is closed"));
    up = false;
    // A migration under way, or one that waits for another replica's, is rolled back: the next start does it.
    await opening?.close(0);
    await supervised;
    await listener[Symbol.asyncDispose]();
    await pool.close(CLOSE_MS / 5);
  }

  return {
    get up() {
      return up;
    },
    async ready(deadline) {
      for (;;) {
        if (up) return ok();
        try {
          await deadline.bound(becameUp.promise, "the database");
        } catch {
          return { ok: false, error: away(reason) };
        }
      }
    },
    query: (work, workOptions) => followed("query", work, workOptions),
    transaction: (work, workOptions) => followed("transaction", work, workOptions),
    listen: (channel, heard) => listener.listen(channel, heard),
    [Symbol.asyncDispose]() {
      closed ??= close();
      return closed;
    },
  };
}
