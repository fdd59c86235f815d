/**
 * Threads that hash, and the bounded lines in front of them: one of passwords to check and one of passwords to hash, from
 * which the threads take by turns, so that a flood of logins lets people register. Each thread has one job at a time, so that a job's
 * deadline is looked at as late as possible. A thread that ends is started again with backoff; its job gets one
 * more try on another, since it may have been what ended it.
 */
import { type Failure, fail, messageOf, ok, type Result } from "#shared/errors";
import type { Log } from "#shared/log";
import type { WorkContext } from "#shared/postgres";
import { type Deadline, exponential } from "#shared/resilience";
import { inSpan, type Metrics, type Span } from "#shared/telemetry";
import type { HashJob, HashReply } from "./hash-worker.ts";

/** A job without its number. */
export type HashWork =
  | Omit<Extract<HashJob, { kind: "hash" }>, "id">
  | Omit<Extract<HashJob, { kind: "verify" }>, "id">;

export interface Hashers extends AsyncDisposable {
  /**
   * @returns failure `overloaded` when its line is full or so long that the time would be up before its end, as soon as
   * that is known;
   * `unavailable` when the threads are stopped, `deadline` when the time is up
   * before its turn or its end (a job that runs is not stopped), `internal` when two threads ended under it.
   */
  run(work: HashWork, context: WorkContext): Promise<Result<HashReply>>;
  readonly waiting: number;
}

export interface HashersOptions {
  threads: number;
  /** Jobs of each kind that may wait. */
  line: number;
  log: Log;
  metrics: Metrics;
  /** Starts a thread (default: auth/hash-worker.ts). */
  spawn?: () => Worker;
}

/** What is left to do for a login once its password is checked (ms): a session, in the database. */
const AFTERWARDS_MS = 200;

interface Pending {
  job: HashJob;
  deadline: Deadline;
  tries: number;
  /** By `performance.now()`. */
  readonly since: number;
  readonly span: Span;
  settle: (result: Result<HashReply>) => void;
}

interface Thread {
  worker: Worker;
  running: { pending: Pending; startedAt: number } | undefined;
}

// In this form the bundler puts the thread into the executable (it has to be an entry of the build, too).
const spawnThread = (): Worker => new Worker(new URL("./hash-worker.ts", import.meta.url));

export function makeHashers({ threads, line, log, metrics, spawn = spawnThread }: HashersOptions): Hashers {
  const seconds = metrics.histogram("auth_hash_seconds", "Time of one hash in its thread, waiting not counted.", [
    "kind",
  ]);
  metrics.gauge("auth_hash_queue", "Hashes that wait for a thread.", [], (gauge) => gauge.set(waiting()));
  metrics.gauge("auth_hash_threads", "Threads that hash.", [], (gauge) => gauge.set(crew.size));
  const restarts = metrics.counter("auth_hash_thread_restarts_total", "Threads that ended and were started again.");

  const crew = new Set<Thread>();
  const timers = new Set<ReturnType<typeof setTimeout>>();
  const lines: Record<HashJob["kind"], Pending[]> = { verify: [], hash: [] };
  /** The line whose turn it was not. */
  let next: HashJob["kind"] = "verify";
  const backoff = exponential({ firstMs: 100, maxMs: 3_000 });
  /** Of the last jobs, those that were slow counting most (ms): a machine that has much to do hashes slowly. */
  let typicalMs = 0;
  let failures = 0;
  let nextId = 0;
  let stopped = false;

  function start(): void {
    const thread: Thread = { worker: spawn(), running: undefined };
    crew.add(thread);
    thread.worker.addEventListener("message", ({ data }: MessageEvent<HashReply>) => finish(thread, data));
    thread.worker.addEventListener("error", (event) => {
      event.preventDefault();
      log.error("a hashing thread failed", { reason: messageOf(event.error ?? event.message) });
      thread.worker.terminate();
    });
    thread.worker.addEventListener("close", () => ended(thread));
    feed();
  }

  function finish(thread: Thread, reply: HashReply): void {
    const { running } = thread;
    if (running === undefined || running.pending.job.id !== reply.id) return;
    thread.running = undefined;
    failures = 0;
    const tookMs = performance.now() - running.startedAt;
    typicalMs = Math.max(tookMs, typicalMs + (tookMs - typicalMs) / 8);
    seconds.observe({ kind: reply.kind }, tookMs / 1_000);
    running.pending.settle(ok(reply));
    shed();
    feed();
  }

  const waiting = (): number => lines.verify.length + lines.hash.length;

  /** How long the job at a place of a line will take until it is done, as far as is known (ms). */
  function untilDone(kind: HashJob["kind"], place: number): number {
    const others = lines[kind === "verify" ? "hash" : "verify"].length;
    const before = place + Math.min(place + 1, others);
    return (before / threads + 1) * typicalMs;
  }

  const overloaded = (waitMs: number): Result<never> =>
    fail("overloaded", "too many logins at once", { retryAfterS: Math.max(1, Math.round(waitMs / 1_000)) });

  const isTooLate = (doneMs: number, deadline: Deadline): boolean => doneMs + AFTERWARDS_MS > deadline.remainingMs();

  /**
   * Those who were let in when it went faster than it does now, and would wait for nothing. Never the first of a line while
   * nothing is hashed: how fast it goes is learnt by going on.
   */
  function shed(): void {
    const isLearning = [...crew].some(({ running }) => running !== undefined);
    for (const kind of ["verify", "hash"] as const) {
      const staying: Pending[] = [];
      for (const pending of lines[kind]) {
        const doneMs = untilDone(kind, staying.length);
        const isFirst = staying.length === 0 && !isLearning;
        if (isFirst || !isTooLate(doneMs, pending.deadline)) staying.push(pending);
        else pending.settle(overloaded(doneMs));
      }
      lines[kind] = staying;
    }
  }

  /** The oldest of the line whose turn it is, or of the other one. */
  function take(): Pending | undefined {
    const first = next;
    const second = first === "verify" ? "hash" : "verify";
    const taken = lines[first].length > 0 ? first : second;
    next = taken === "verify" ? "hash" : "verify";
    return lines[taken].shift();
  }

  function ended(thread: Thread): void {
    if (!crew.delete(thread)) return;
    const pending = thread.running?.pending;
    if (stopped) {
      pending?.settle(fail("unavailable", "stopping"));
      return;
    }
    if (pending !== undefined && pending.tries < 2) lines[pending.job.kind].unshift(pending);
    else pending?.settle(fail("internal", undefined, { cause: "two hashing threads ended under one job" }));
    const waitMs = backoff(failures);
    failures += 1;
    restarts.inc();
    log.warn("a hashing thread ended, starting another", { wait_ms: Math.round(waitMs) });
    const timer = setTimeout(() => {
      timers.delete(timer);
      if (!stopped) start();
    }, waitMs);
    timers.add(timer);
    feed();
  }

  /** Gives every idle thread the next job whose time is not up. */
  function feed(): void {
    for (const thread of crew) {
      while (thread.running === undefined) {
        const pending = take();
        if (pending === undefined) return;
        // Whoever asked has been answered by his deadline already.
        if (pending.deadline.passed) continue;
        pending.tries += 1;
        const startedAt = performance.now();
        thread.running = { pending, startedAt };
        if (pending.span.isRecorded) pending.span.set({ "hash.wait_ms": startedAt - pending.since });
        thread.worker.postMessage(pending.job, []);
      }
    }
  }

  async function queued(work: HashWork, deadline: Deadline, span: Span): Promise<Result<HashReply>> {
    if (stopped) return fail("unavailable", "stopping");
    if (deadline.passed) return fail("deadline", "no time left to check the password");
    const { length } = lines[work.kind];
    const doneMs = untilDone(work.kind, length);
    if (length >= line || (length > 0 && isTooLate(doneMs, deadline))) return overloaded(doneMs);
    const turn = Promise.withResolvers<Result<HashReply>>();
    nextId += 1;
    const pending = {
      job: { ...work, id: nextId },
      deadline,
      tries: 0,
      since: performance.now(),
      span,
      settle: turn.resolve,
    };
    lines[work.kind].push(pending);
    feed();
    return deadline.bound(turn.promise, "checking the password").catch((error: Failure): Result<never> => {
      lines[work.kind] = lines[work.kind].filter((other) => other !== pending);
      return { ok: false, error };
    });
  }

  for (let count = 0; count < threads; count += 1) start();

  return {
    get waiting() {
      return waiting();
    },
    run: (work, context) =>
      inSpan(context, `bcrypt ${work.kind}`, {}, (_context, span) => queued(work, context.deadline, span)),
    async [Symbol.asyncDispose]() {
      if (stopped) return;
      stopped = true;
      for (const timer of timers) clearTimeout(timer);
      const all = [...lines.verify.splice(0), ...lines.hash.splice(0)];
      for (const pending of all) pending.settle(fail("unavailable", "stopping"));
      await Promise.all(
        [...crew].map(
          ({ worker }) =>
            new Promise<void>((resolve) => {
              worker.addEventListener("close", () => resolve());
              worker.terminate();
            }),
        ),
      );
    },
  };
}
