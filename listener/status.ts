/** What the workers report, as one: dependencies for `/ready`, and metrics. */
import type { Health } from "#shared/lifecycle";
import type { Metrics } from "#shared/telemetry";
import { DEPENDENCIES, type DependencyName, RESULTS, type WorkerReport } from "./protocol.ts";

export interface Status {
  /** @param report undefined once the worker has ended. */
  onReport(index: number, report: WorkerReport | undefined): void;
  onRestart(): void;
}

export function makeStatus(health: Health, metrics: Metrics, running: () => number): Status {
  const reports = new Map<number, WorkerReport>();
  const messages = metrics.counter("listener_messages_total", "Messages dealt with, by queue and outcome.", [
    "queue",
    "result",
  ]);
  const restarts = metrics.counter("listener_worker_restarts_total", "Workers that ended and were started again.");
  metrics.gauge("listener_workers", "Worker threads that are alive.", [], (gauge) => gauge.set(running()));
  const perQueue = (name: string, help: string, of: "inHand" | "held"): void => {
    metrics.gauge(name, help, ["queue"], (gauge) => {
      gauge.reset();
      for (const { queues } of reports.values())
        for (const queue of queues) gauge.inc({ queue: queue.queue }, queue[of]);
    });
  };
  perQueue("listener_in_hand", "Messages taken from a queue and not acknowledged.", "inHand");
  perQueue("listener_held", "Messages that wait in hand for a neighbour to come back.", "held");

  const dependencies = Object.fromEntries(
    DEPENDENCIES.map((name) => [name, health.dependency(name, { required: name !== "mail" })]),
  ) as Record<DependencyName, ReturnType<Health["dependency"]>>;

  /** Down where any worker that lives says so; with no worker alive nothing is known to be up. */
  function update(): void {
    for (const name of DEPENDENCIES) {
      const states = [...reports.values()].map((report) => report.dependencies[name]);
      const down = states.find(({ state }) => state === "down");
      if (down !== undefined) dependencies[name].down(down.reason);
      else if (states.some(({ state }) => state === "up")) dependencies[name].up();
      else if (reports.size === 0 && dependencies[name].state === "up") dependencies[name].down("no worker is alive");
    }
  }

  return {
    onReport(index, report) {
      if (report === undefined) {
        reports.delete(index);
      } else {
        reports.set(index, report);
        for (const { queue, results } of report.queues) {
          for (const result of RESULTS) messages.inc({ queue, result }, results[result]);
        }
      }
      update();
    },
    onRestart: () => restarts.inc(),
  };
}
