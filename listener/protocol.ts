/** What the main thread and its workers say to each other. */
import type { LogLevel } from "#shared/log";
import type { DependencyState } from "#shared/lifecycle";

/** All that a worker needs; secrets as text, since objects do not keep their class between threads. */
export interface WorkerSettings {
  readonly index: number;
  readonly version: string;
  readonly logLevel: LogLevel;
  readonly rabbitmqUrl: string;
  readonly logsQueue: string;
  readonly logsBindings: readonly string[];
  /** Put before the names of all queues and exchanges. */
  readonly prefix: string;
  readonly prefetch: number;
  readonly loggerUrl: string;
  readonly loggerToken: string | undefined;
  readonly mailUrl: string;
}

export type ToWorker =
  /** Comes first. */
  | { readonly type: "start"; readonly settings: WorkerSettings }
  /** Finish what is in hand, give back the rest, then say `stopped`. */
  | { readonly type: "stop" };

export type FromWorker =
  /** Twice a second: a worker that stays silent is stuck. */
  | { readonly type: "beat"; readonly report: WorkerReport }
  /** A queue or an exchange of another shape: nothing can be consumed. */
  | { readonly type: "mismatch"; readonly reason: string }
  | { readonly type: "stopped"; readonly report: WorkerReport };

export const DEPENDENCIES = ["rabbitmq", "logger", "mail"] as const;
export type DependencyName = (typeof DEPENDENCIES)[number];

export interface WorkerReport {
  readonly dependencies: Readonly<
    Record<DependencyName, { readonly state: DependencyState; readonly reason?: string }>
  >;
  readonly queues: readonly QueueReport[];
}

/** What became of messages: stored by the logger or delivered to the mail service, dead-lettered, given back to the queue. */
export const RESULTS = ["done", "dead", "returned"] as const;
export type MessageResult = (typeof RESULTS)[number];

export interface QueueReport {
  readonly queue: string;
  readonly inHand: number;
  /** Of these, what waits for a neighbour to come back. */
  readonly held: number;
  /** Since the last report. */
  readonly results: Readonly<Record<MessageResult, number>>;
}
