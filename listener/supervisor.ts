/**
 * Keeps worker threads alive: starts them again with backoff, replaces those that are stuck, stops them in order, and
 * finds out which message it was that ended them.
 */
import type { Log } from "#shared/log";
import type { ThreadMetrics } from "#shared/telemetry";
import { exponential, pause, sleep } from "#shared/resilience";
import type { FromWorker, ToWorker, WorkerReport, WorkerSettings } from "./protocol.ts";
import { makeSuspects } from "./suspects.ts";

/** A worker that says nothing for this long is stuck (ms): its beat comes twice a second. Half of it, with one suspect in hand. */
const SILENT_MS = 10_000;
const WATCH_MS = 500;
/** Longest for a worker to stop (ms); the process has 10 s in all. */
const STOP_MS = 8_500;
/** A worker that lived this long was well: the next backoff begins anew. */
const STABLE_MS = 30_000;

const restartBackoff = exponential({ firstMs: 500, maxMs: 8_000 });
/** It is known what ended it, and that comes to an end: the others wait no longer than they have to (ms). */
const KNOWN_MS = 250;

export interface SupervisorOptions {
  workers: number;
  settings: Omit<WorkerSettings, "index" | "cautious" | "condemned" | "logLevel">;
  /** Its level is the workers', too. */
  log: Log;
  /** The last report of a worker, or undefined once it has ended. */
  onReport: (index: number, report: WorkerReport | undefined) => void;
  onRestart: () => void;
  onMismatch: (reason: string) => void;
  /** Opens a thread (default: worker.ts). */
  open?: () => Worker;
  /** Time without a sign of life after which a worker is replaced (ms, default 10,000). */
  silentMs?: number;
}

export interface Supervisor extends AsyncDisposable {
  readonly running: number;
  /** What each worker counts, asked now. One that does not answer leaves its promise open until it ends. */
  metrics(): Promise<ThreadMetrics>[];
  /** Stops every worker after what it has in hand. Idempotent. */
  [Symbol.asyncDispose](): Promise<void>;
}

interface Thread {
  readonly worker: Worker;
  readonly ended: Promise<string>;
  /** Those who wait for its metrics. */
  readonly readers: ((metrics: ThreadMetrics) => void)[];
  heardAt: number;
  /** The message that it handles alone. */
  handling: string | undefined;
}

export function superviseWorkers(options: SupervisorOptions): Supervisor {
  const {
    log,
    onReport,
    silentMs = SILENT_MS,
    open = () => new Worker(new URL("./worker.ts", import.meta.url)),
  } = options;
  const stopping = new AbortController();
  const threads = new Map<number, Thread>();
  const suspects = makeSuspects();
  log.level.onChange((level) => {
    for (const { worker } of threads.values()) send(worker, { type: "level", level });
  });
  const lives = Array.from({ length: options.workers }, (_, index) => live(index));

  async function live(index: number): Promise<void> {
    let cautious = false;
    for (let attempt = 0; ; attempt += 1) {
      const startedAt = performance.now();
      const { why, handling } = await oneThread(index, cautious);
      if (stopping.signal.aborted) return;
      cautious = true;
      onReport(index, undefined);
      for (const { worker } of threads.values()) send(worker, { type: "crashed" });
      if (handling !== undefined) blame(handling, why);
      const isKnown = handling !== undefined && !suspects.hopeless;
      if (isKnown || performance.now() - startedAt >= STABLE_MS) attempt = 0;
      const waitMs = isKnown ? KNOWN_MS : restartBackoff(attempt);
      log.error("a worker ended and is started again", {
        worker: index,
        reason: why,
        wait_ms: Math.round(waitMs),
        ...(handling === undefined ? {} : { suspect: handling }),
      });
      options.onRestart();
      await pause(waitMs, stopping.signal);
      if (stopping.signal.aborted) return;
    }
  }

  /** It was alone in the hands of a worker that ended. Found guilty, it is known to every worker at once. */
  function blame(fingerprint: string, why: string): void {
    const reason = suspects.ended(fingerprint, why);
    if (reason === undefined) return;
    for (const { worker } of threads.values()) send(worker, { type: "condemned", verdict: { fingerprint, reason } });
  }

  function verdicts(): WorkerSettings["condemned"] {
    return [...suspects.condemned].map(([fingerprint, reason]) => ({ fingerprint, reason }));
  }

  /** @returns why it ended, and what it handled alone then. */
  async function oneThread(index: number, cautious: boolean): Promise<{ why: string; handling: string | undefined }> {
    const worker = open();
    const end = Promise.withResolvers<string>();
    let lastError = "";
    const thread: Thread = { worker, ended: end.promise, readers: [], heardAt: performance.now(), handling: undefined };
    threads.set(index, thread);
    worker.addEventListener("message", ({ data }: MessageEvent<FromWorker>) => {
      thread.heardAt = performance.now();
      switch (data.type) {
        case "mismatch":
          options.onMismatch(data.reason);
          break;
        case "handling":
          thread.handling = data.fingerprint;
          break;
        case "handled":
          thread.handling = undefined;
          if (data.settled) suspects.acquit(data.fingerprint);
          break;
        case "metrics":
          for (const read of thread.readers.splice(0)) read(data.metrics);
          break;
        case "stopped":
          onReport(index, data.report);
          worker.terminate();
          break;
        case "beat":
          onReport(index, data.report);
          if (data.report.queues.some(({ results }) => results.done > 0)) suspects.handled();
      }
    });
    worker.addEventListener("error", (event) => {
      lastError = event.message;
      // The thread may live on after it, in no known state.
      worker.terminate();
    });
    // Whatever the code: an unhandled rejection ends a thread with 0.
    worker.addEventListener("close", (event) => end.resolve(lastError || `it closed with code ${event.code}`));
    const settings = { ...options.settings, logLevel: log.level.level, index, cautious, condemned: verdicts() };
    send(worker, { type: "start", settings });
    const watch = setInterval(() => {
      const patienceMs = thread.handling === undefined ? silentMs : silentMs / 2;
      if (performance.now() - thread.heardAt < patienceMs) return;
      lastError = `no sign of life for ${patienceMs} ms`;
      worker.terminate();
    }, WATCH_MS);
    const why = await end.promise;
    clearInterval(watch);
    threads.delete(index);
    for (const read of thread.readers.splice(0)) read([]);
    return { why, handling: thread.handling };
  }

  return {
    get running() {
      return threads.size;
    },
    metrics: () =>
      [...threads.values()].map(({ worker, readers }) => {
        const { promise, resolve } = Promise.withResolvers<ThreadMetrics>();
        // Those who read at the same time get one answer.
        if (readers.push(resolve) === 1) send(worker, { type: "metrics" });
        return promise;
      }),
    async [Symbol.asyncDispose]() {
      stopping.abort(new Error("stopped"));
      for (const { worker } of threads.values()) send(worker, { type: "stop" });
      const patience = new AbortController();
      const late = sleep(STOP_MS, patience.signal).then(
        () => {
          for (const [worker, thread] of threads) {
            log.error("a worker did not stop in time: what it had in hand goes back to its queue", { worker });
            thread.worker.terminate();
          }
        },
        () => undefined, // All have ended.
      );
      await Promise.all(lives);
      patience.abort(new Error("ended"));
      await late;
    },
  };
}

function send(worker: Worker, message: ToWorker): void {
  worker.postMessage(message, []);
}
