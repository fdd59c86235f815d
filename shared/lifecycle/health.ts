/** What a service depends on and how that is: behind `/ready`, the metrics and one log line a change. */
import { Failure, messageOf } from "#shared/errors";
import { type Log, withoutCredentials } from "#shared/log";
import type { EdgeState } from "#shared/resilience";

export type DependencyState = "starting" | "up" | "down";

export interface Dependency {
  readonly state: DependencyState;
  /** It answers. @param tookMs how long that took, where it was asked by the clock. */
  up(tookMs?: number): void;
  /** It does not, and why. */
  down(error: unknown): void;
  /** How the circuit breaker on the way there stands: shown beside the state, which it does not change. */
  circuit(state: EdgeState): void;
}

export interface DependencyReport {
  name: string;
  state: DependencyState;
  /** Not ready without it; where false, the service does its work in another way meanwhile. */
  required: boolean;
  /** Since when it is in this state, RFC 3339 in UTC. */
  since: string;
  /** How often its state has changed. */
  changes: number;
  /** When it was last said to be up or down, RFC 3339 in UTC. */
  checked_at?: string;
  /** Of the last answer, rounded up. */
  took_ms?: number;
  /** Kept when it is up again, with its time. */
  last_error?: string;
  last_error_at?: string;
  /** Of the circuit breaker on the way there, where there is one. */
  circuit?: EdgeState;
}

export interface HealthReport {
  ready: boolean;
  stopping: boolean;
  dependencies: DependencyReport[];
  backlog: { name: string; waiting: number }[];
  /** Of this process, RFC 3339 in UTC. */
  started_at: string;
}

export interface Health {
  /** @param required whether the service is not ready without it (default true). */
  dependency(name: string, options?: { required?: boolean }): Dependency;
  /** Shows what waits here to be handed on. @param waiting asked at each report; it must not throw. */
  backlog(name: string, waiting: () => number): void;
  readonly ready: boolean;
  /** From now on `/ready` says 503, so that no new work is sent here. */
  stopping(): void;
  report(): HealthReport;
}

export function makeHealth(log: Log): Health {
  const startedAt = new Date().toISOString();
  const reports = new Map<string, DependencyReport>();
  const backlogs = new Map<string, () => number>();
  let stopping = false;

  const change = (report: DependencyReport, state: DependencyState, error?: unknown): void => {
    const now = new Date().toISOString();
    report.checked_at = now;
    if (error !== undefined) {
      report.last_error = withoutCredentials(textOf(error)).slice(0, 500);
      report.last_error_at = now;
    }
    if (report.state === state) return;
    report.state = state;
    report.since = now;
    report.changes += 1;
    if (state === "up") {
      log.info("dependency up", { dependency: report.name });
    } else {
      log.warn("dependency down", { dependency: report.name, reason: report.last_error });
    }
  };

  const isReady = (): boolean =>
    !stopping && [...reports.values()].every((report) => report.state === "up" || !report.required);

  return {
    dependency(name, { required = true } = {}) {
      const report: DependencyReport = {
        name,
        state: "starting",
        required,
        since: new Date().toISOString(),
        changes: 0,
      };
      reports.set(name, report);
      return {
        get state() {
          return report.state;
        },
        up(tookMs) {
          if (tookMs !== undefined) report.took_ms = Math.ceil(tookMs);
          change(report, "up");
        },
        down: (error) => change(report, "down", error),
        circuit: (circuit) => {
          report.circuit = circuit;
        },
      };
    },
    backlog: (name, waiting) => void backlogs.set(name, waiting),
    get ready() {
      return isReady();
    },
    stopping: () => {
      stopping = true;
    },
    report: () => ({
      ready: isReady(),
      stopping,
      dependencies: [...reports.values()].map((report) => ({ ...report })),
      backlog: [...backlogs].map(([name, waiting]) => ({ name, waiting: waiting() })),
      started_at: startedAt,
    }),
  };
}

/** A failure's cause tells an operator more than its message for callers. */
function textOf(error: unknown): string {
  return error instanceof Failure && error.cause !== undefined ? messageOf(error.cause) : messageOf(error);
}
