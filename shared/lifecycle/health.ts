/** What a service depends on and how that is: behind `/ready`, the metrics and one log line a change. */
import { Failure, messageOf } from "#shared/errors";
import { type Log, withoutCredentials } from "#shared/log";
import type { EdgeState } from "#shared/resilience";

export type DependencyState = "starting" | "up" | "down";

export interface Dependency {
  readonly state: DependencyState;
  /** It answers. */
  up(): void;
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
  last_error?: string;
  /** Of the circuit breaker on the way there, where there is one. */
  circuit?: EdgeState;
}

export interface Health {
  /** @param required whether the service is not ready without it (default true). */
  dependency(name: string, options?: { required?: boolean }): Dependency;
  readonly ready: boolean;
  /** From now on `/ready` says 503, so that no new work is sent here. */
  stopping(): void;
  report(): { ready: boolean; stopping: boolean; dependencies: DependencyReport[] };
}

export function makeHealth(log: Log): Health {
  const reports = new Map<string, DependencyReport>();
  let stopping = false;

  const change = (report: DependencyReport, state: DependencyState, error?: unknown): void => {
    if (error !== undefined) report.last_error = withoutCredentials(textOf(error)).slice(0, 500);
    if (report.state === state) return;
    report.state = state;
    report.since = new Date().toISOString();
    if (state === "up") {
      delete report.last_error;
      log.info("dependency up", { dependency: report.name });
    } else {
      log.warn("dependency down", { dependency: report.name, reason: report.last_error });
    }
  };

  const isReady = (): boolean =>
    !stopping && [...reports.values()].every((report) => report.state === "up" || !report.required);

  return {
    dependency(name, { required = true } = {}) {
      const report: DependencyReport = { name, state: "starting", required, since: new Date().toISOString() };
      reports.set(name, report);
      return {
        get state() {
          return report.state;
        },
        up: () => change(report, "up"),
        down: (error) => change(report, "down", error),
        circuit: (circuit) => {
          report.circuit = circuit;
        },
      };
    },
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
    }),
  };
}

/** A failure's cause tells an operator more than its message for callers. */
function textOf(error: unknown): string {
  return error instanceof Failure && error.cause !== undefined ? messageOf(error.cause) : messageOf(error);
}
