/** The face of the spool: what is kept, how it is handed on, and what its owner sets. */
import type { Result } from "#shared/errors";
import type { Log } from "#shared/log";
import type { Backoff } from "#shared/resilience";
import type { Metrics } from "#shared/telemetry";
import type { SpoolFiles } from "./files.ts";

/** What is kept. The id makes a second delivery harmless: whoever receives it stores one id once. */
export interface SpoolRecord {
  /** 1 to 128 characters. */
  readonly id: string;
  /** What the body is, for whoever delivers it, e.g. `log` or `event`; 1 to 64 characters. */
  readonly kind: string;
  /** When it was accepted: RFC 3339. */
  readonly at: string;
  /** A JSON value, or bytes; comes back as it went in (bytes as a `Uint8Array`). */
  readonly body: unknown;
}

export interface SpoolOptions {
  /** Made where it is missing (mode 0700). One spool a directory; its last name is the label `spool` of the metrics. */
  dir: string;
  /** Segments on disk together (default 256 MiB). Beyond it `append` answers `unavailable`. */
  limitBytes?: number;
  /** A segment is closed at this size (default 8 MiB): disk is given back a segment at a time. */
  segmentBytes?: number;
  /** Longest that one write and fsync may take before its callers are answered `unavailable` (ms, default 2,000). */
  commitMs?: number;
  log: Log;
  metrics: Metrics;
  /** The file system (default: the real one). Tests pass one that fails. */
  files?: SpoolFiles;
}

/**
 * What became of a record: `delivered`; `later` when the receiver is away (it and all after it are kept and tried
 * again); `refused` for good, with a reason for the operator (kept in `refused.ndjson`).
 */
export type Outcome = "delivered" | "later" | { readonly refused: string };

/**
 * Hands a batch on, oldest first.
 * @param signal fires when the spool is closing or `deliverMs` are over.
 * @returns one outcome a record, in order. Everything from the first `later` on is delivered again. What throws
 * counts as `later` for the whole batch.
 */
export type Deliver = (batch: readonly SpoolRecord[], signal: AbortSignal) => Promise<readonly Outcome[]>;

export interface ForwardOptions {
  /** Records in a batch (default 200). A batch also ends where a segment does. */
  batchRecords?: number;
  /** Longest that a delivery may take (ms, default 30,000). */
  deliverMs?: number;
  /** Wait after `later` (default: 100 ms to 2 s with jitter, so that what returns is in use within 2 s). */
  backoff?: Backoff;
}

export interface Forwarding extends AsyncDisposable {
  /** Ends the present wait after `later`: call it when the receiver is known to be back. */
  wake(): void;
  /** Stops: the delivery in hand has 2 s to end, then it is aborted and will be repeated. Idempotent. */
  [Symbol.asyncDispose](): Promise<void>;
}

export interface Spool extends AsyncDisposable {
  /**
   * Keeps a record; resolves when it is on disk (fdatasync), together with all that arrived meanwhile. Never throws.
   * @returns `unavailable` (with `retryAfterS`) when the spool is full, closed, or its disk fails or stalls;
   * `too_large` above 4 MiB; `invalid` for an id, kind, time or body outside the shape.
   */
  append(record: SpoolRecord): Promise<Result<void>>;
  /** Starts handing records on, in the order in which they were kept. One at a time: throws while another runs. */
  forward(deliver: Deliver, options?: ForwardOptions): Forwarding;
  /** When the record with this id was accepted, if it is kept and not yet delivered (for receipts). */
  acceptedAt(id: string): Date | undefined;
  /** Kept and not yet delivered. */
  readonly records: number;
  /** On disk, counted against the limit. */
  readonly bytes: number;
  /** When the oldest record that is not yet delivered was accepted. */
  readonly oldestAt: Date | undefined;
  /** Ends forwarding, writes what is in hand (for at most twice `commitMs`), gives the directory free. Idempotent. */
  [Symbol.asyncDispose](): Promise<void>;
}
