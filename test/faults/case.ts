/** What a case of the fault matrix is, and what it measures. The matrix: docs/reliability.md. */
import type { Platform } from "../kit.ts";

export interface FaultCase {
  /** Its row in the matrix, e.g. `F1`. */
  readonly id: string;
  /** Part × fault, in a few words. */
  readonly fault: string;
  readonly promise: string;
  /** The figures that have to be met. */
  readonly bar: string;
  /** Whether its short form (under 20 s on a platform that runs already) is part of the tests. */
  readonly inTests: boolean;
  /** @throws only for a mistake of the case itself: what the platform does wrong is in `broken`. */
  run(options: CaseOptions): Promise<Measured>;
}

export interface CaseOptions {
  /** The whole case; else the short form that the tests run. */
  readonly full: boolean;
  /** Numbers in [0, 1) that follow from the seed: the only source of chance in a case. */
  readonly random: () => number;
  /** A running platform; the same one for cases that ask for the same environment one after the other. The runner ends it. */
  readonly platform: (env?: Record<string, string>) => Promise<Platform>;
  /** Tells the person at the terminal what is going on. */
  readonly say: (line: string) => void;
}

export interface Measured {
  /** Accepted by the platform while the case ran. */
  readonly accepted: number;
  /** Ids that were accepted and are nowhere: neither stored, dead-lettered, unrouted, queued nor spooled. */
  readonly lost: readonly string[];
  /** Ids that are stored, or delivered as a mail, more than once. */
  readonly twice: readonly string[];
  /** From the return of what was away until everything worked as before (ms); the worst, where it happened several times. */
  readonly healMs?: number;
  /** Further figures with their units in the name, e.g. `p99_ms`. */
  readonly figures: Readonly<Record<string, string | number>>;
  /** Every figure that misses its bar, in words. `lost` and `twice` count by themselves. */
  readonly broken: readonly string[];
}
