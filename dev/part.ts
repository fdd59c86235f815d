/** A part of the running platform, a service or a backing service, as whoever plays with it holds it. */
import type { PartState } from "./state.ts";

export interface Part {
  readonly name: string;
  readonly url: string;
  /** Undefined while it does not run, or where it is not our process. */
  readonly pid: number | undefined;
  readonly state: PartState;
  /** How often it was started again after it had ended by itself. */
  readonly restarts: number;
  /** Sends a signal to its process; the supervisor starts it again if it dies of it. */
  kill(signal: NodeJS.Signals): void;
  /** Ends it and keeps it down until `start`. */
  stop(): Promise<void>;
  /** Starts it again after `stop`, with the same address and data. */
  start(): Promise<void>;
  /** `stop`, then `start`. */
  restart(): Promise<void>;
}

/** What happens to a part while the platform runs. */
export type PartEvent =
  | { readonly what: "started" }
  | { readonly what: "ready"; readonly tookMs: number }
  | { readonly what: "ended"; readonly how: string; readonly againInMs: number; readonly lastWords: string }
  | { readonly what: "gave up"; readonly how: string; readonly why: string; readonly lastWords: string }
  | { readonly what: "failed to start"; readonly why: string; readonly againInMs: number }
  | { readonly what: "moved"; readonly url: string }
  | { readonly what: "stopped" };
