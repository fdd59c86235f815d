/** A bounded queue in front of a destination: batches, tries again with an end, drops and counts. Whoever adds never waits. */
import type { Log } from "#shared/log";
import { exponential, pause } from "#shared/resilience";
import type { BatchSettings } from "./settings.ts";

/** What became of one request. */
export type Sent =
  | { readonly sent: true; readonly rejected: number; readonly why?: string }
  | { readonly sent: false; readonly reason: "too_large" | "refused"; readonly why: string }
  | { readonly sent: false; readonly reason: "unavailable"; readonly why: string; readonly retryAfterMs?: number };

/** Sends a batch; never throws. */
export type Send<T> = (items: readonly T[], signal: AbortSignal) => Promise<Sent>;

/**
 * Why spans were dropped: more waited than may; the destination was away for longer than is tried, refused them, or took only a part of the batch; it was
 * away when the process ended; they could not be written.
 */
export type DropReason = "queue_full" | "unavailable" | "refused" | "rejected" | "stopped" | "broken";

export interface SpanCount {
  readonly destination: string;
  readonly result: "exported" | DropReason;
  readonly spans: number;
}

export interface PipelineOptions<T> extends BatchSettings {
  readonly name: string;
  readonly send: Send<T>;
  readonly onCount: (count: SpanCount) => void;
  readonly log: Log;
}

export interface Pipeline<T> {
  readonly isFull: boolean;
  add(item: T): void;
  /** Sends what waits, for at most `ms`; what is then left waits on. */
  flush(ms: number): Promise<void>;
  /** The same for good: what is left is dropped, and nothing more is taken. Idempotent. */
  stop(ms: number): Promise<void>;
}

const backoff = exponential({ firstMs: 500, maxMs: 5_000 });

export function makePipeline<T>(options: PipelineOptions<T>): Pipeline<T> {
  const { name, send, onCount, log, queueSpans, batchSpans, delayMs, requestMs, exportMs } = options;
  let waiting: T[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  let working: Promise<void> | undefined;
  let isStopped = false;
  let isWell = true;
  /** Fires when what is tried must come to its end. */
  let hurry = new AbortController();

  const count = (result: SpanCount["result"], spans: number): void => {
    if (spans > 0) onCount({ destination: name, result, spans });
  };

  /** Told when it changes, not for each batch. */
  const tell = (why: string | undefined, spans: number): void => {
    if (why === undefined && !isWell) log.info("spans are sent again", { to: name });
    if (why !== undefined && isWell)
      log.warn("spans cannot be sent, and are dropped", { to: name, spans, reason: why });
    isWell = why === undefined;
  };

  async function export_(batch: readonly T[], endsAt: number): Promise<void> {
    for (let attempt = 0; ; attempt += 1) {
      const leftMs = Math.max(1, Math.min(requestMs, endsAt - performance.now()));
      const sent = await send(batch, AbortSignal.any([AbortSignal.timeout(leftMs), hurry.signal]));
      if (sent.sent) {
        count("exported", Math.max(0, batch.length - sent.rejected));
        count("rejected", Math.min(batch.length, sent.rejected));
        return tell(sent.rejected > 0 ? (sent.why ?? "some were rejected") : undefined, sent.rejected);
      }
      if (sent.reason === "too_large" && batch.length > 1) {
        const middle = batch.length >> 1;
        await export_(batch.slice(0, middle), endsAt);
        return export_(batch.slice(middle), endsAt);
      }
      if (sent.reason !== "unavailable") {
        count("refused", batch.length);
        return tell(sent.why, batch.length);
      }
      const waitMs = Math.max(backoff(attempt), sent.retryAfterMs ?? 0);
      if (hurry.signal.aborted || performance.now() + waitMs >= endsAt) {
        count(isStopped ? "stopped" : "unavailable", batch.length);
        return tell(sent.why, batch.length);
      }
      await pause(waitMs, hurry.signal);
    }
  }

  async function work(isWhole: () => boolean): Promise<void> {
    while (waiting.length >= batchSpans || (isWhole() && waiting.length > 0)) {
      if (hurry.signal.aborted) return;
      await export_(waiting.splice(0, batchSpans), performance.now() + exportMs);
    }
  }

  /** One batch is on its way at a time. */
  function begin(isWhole: () => boolean): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    working ??= work(isWhole).finally(() => {
      working = undefined;
      wake();
    });
    return working;
  }

  function wake(): void {
    if (working !== undefined || waiting.length === 0 || isStopped) return;
    if (waiting.length >= batchSpans) {
      // `send` never throws; what would throw here is a bug, and ends the process as such.
      void begin(() => false);
    } else if (timer === undefined) {
      timer = setTimeout(() => void begin(() => true), delayMs);
      // Spans keep no process alive.
      timer.unref();
    }
  }

  async function flush(ms: number): Promise<void> {
    const late = setTimeout(() => hurry.abort(new Error("no time left to send spans")), ms);
    try {
      while (!hurry.signal.aborted && (working !== undefined || waiting.length > 0)) await begin(() => true);
    } finally {
      clearTimeout(late);
    }
    if (!isStopped) hurry = new AbortController();
  }

  return {
    get isFull() {
      return waiting.length >= queueSpans;
    },
    add(item) {
      if (isStopped || waiting.length >= queueSpans) return count(isStopped ? "stopped" : "queue_full", 1);
      waiting.push(item);
      wake();
    },
    flush,
    async stop(ms) {
      if (isStopped) return;
      isStopped = true;
      await flush(ms);
      count("stopped", waiting.length);
      waiting = [];
    },
  };
}
