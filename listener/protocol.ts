/** What the main thread and its workers say to each other. */
import type { RetryTier } from "#contracts/events";
import type { DiscoveryConfig } from "#shared/discovery";
import type { LogLevel } from "#shared/log";
import type { DependencyState } from "#shared/lifecycle";
import type { ThreadMetrics } from "#shared/telemetry";
import type { TlsFiles } from "#shared/tls";
import type { SpanCount, TracingSettings } from "#shared/tracing";

/** All that a worker needs; secrets as text, since objects do not keep their class between threads. */
export interface WorkerSettings {
  readonly index: number;
  readonly version: string;
  readonly logLevel: LogLevel;
  readonly rabbitmqUrl: string;
  readonly logsQueue: string;
  readonly logsBindings: readonly string[];
  readonly retryTiers: readonly RetryTier[];
  /** Put before the names of all queues and exchanges. */
  readonly prefix: string;
  readonly prefetch: number;
  readonly loggerUrls: readonly string[];
  readonly loggerToken: string | undefined;
  readonly mailUrls: readonly string[];
  readonly discovery: DiscoveryConfig;
  readonly serviceKey: string | undefined;
  readonly tls: TlsFiles;
  /** Undefined where no spans are made. */
  readonly tracing: TracingSettings | undefined;
  /** The worker before this one crashed: one message at a time, until it is known that none of them did it. */
  readonly cautious: boolean;
  /** Messages that ended workers, by their fingerprints, and why they have to go. */
  readonly condemned: readonly Verdict[];
}

/** A message that is dead-lettered without being handled. */
export interface Verdict {
  readonly fingerprint: string;
  readonly reason: string;
}

export type ToWorker =
  /** Comes first. */
  | { readonly type: "start"; readonly settings: WorkerSettings }
  | { readonly type: "condemned"; readonly verdict: Verdict }
  /** Another worker crashed. */
  | { readonly type: "crashed" }
  /** Somebody reads the metrics. */
  | { readonly type: "metrics" }
  /** What is logged from now on. */
  | { readonly type: "level"; readonly level: LogLevel }
  /** Finish what is in hand, give back the rest, then say `stopped`. */
  | { readonly type: "stop" };

export type FromWorker =
  /** Twice a second: a worker that stays silent is stuck. */
  | { readonly type: "beat"; readonly report: WorkerReport }
  /** It handles this message alone, from now on. Should it end before it says `handled`, it was this message. */
  | { readonly type: "handling"; readonly fingerprint: string }
  /** `settled`: it is dealt with; else it is still in hand. */
  | { readonly type: "handled"; readonly fingerprint: string; readonly settled: boolean }
  /** A queue or an exchange of another shape: nothing can be consumed. */
  | { readonly type: "mismatch"; readonly reason: string }
  | { readonly type: "metrics"; readonly metrics: ThreadMetrics }
  | { readonly type: "stopped"; readonly report: WorkerReport };

/** What it needs to be ready; besides, jobs have neighbours, by the names of the jobs. */
export const REQUIRED = ["rabbitmq", "logger"] as const;

export interface WorkerReport {
  readonly dependencies: Readonly<Record<string, { readonly state: DependencyState; readonly reason?: string }>>;
  readonly queues: readonly QueueReport[];
  /** It handles one message at a time. */
  readonly cautious: boolean;
  /** What became of its spans since the last report. */
  readonly spans: readonly SpanCount[];
}

/** What became of messages: stored or done, dead-lettered, put off into a delay queue, given back to the queue. */
export const RESULTS = ["done", "dead", "retried", "returned"] as const;
export type MessageResult = (typeof RESULTS)[number];

export interface QueueReport {
  readonly queue: string;
  readonly inHand: number;
  /** Of these, what waits for a neighbour to come back. */
  readonly held: number;
  /** Since the last report. */
  readonly results: Readonly<Record<MessageResult, number>>;
}
