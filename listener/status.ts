/** What the workers report, as one: dependencies for `/ready`, and metrics. */
import type { Dependency, Health } from "#shared/lifecycle";
import type { Metrics } from "#shared/telemetry";
import { REQUIRED, RESULTS, type WorkerReport } from "./protocol.ts";

export interface Status {
  /** @param report undefined once the worker has ended. */
  onReport(index: number, report: WorkerReport | undefined): void;
  onRestart(): void;
  /** Messages of a queue that our workers have in hand, and of these what waits for a neighbour. */
  inHand(queue: string): { readonly in_hand: number; readonly held: number };
}

/** @param others neighbours that are shown and not required: those of jobs. */
export function makeStatus(health: Health, metrics: Metrics, others: readonly string[], running: () => number): Status {
  const reports = new Map<number, WorkerReport>();
  const messages = metrics.counter("listener_messages_total", "Messages dealt with, by queue and outcome.", [
    "queue",
    "result",
  ]);
  const restarts = metrics.counter("listener_worker_restarts_total", "Workers that ended and were started again.");
  metrics.gauge("listener_workers", "Worker threads that are alive.", [], (gauge) => gauge.set(running()));
  metrics.gauge("listener_cautious_workers", "Workers that handle one message at a time, after a crash.", [], (gauge) =>
    gauge.set([...reports.values()].filter(({ cautious }) => cautious).length),
  );
  const perQueue = (name: string, help: string, of: "inHand" | "held"): void => {
    metrics.gauge(name, help, ["queue"], (gauge) => {
      gauge.reset();
      for (const { queues } of reports.values())
        for (const queue of queues) gauge.inc({ queue: queue.queue }, queue[of]);
    });
  };
  perQueue("listener_in_hand", "Messages taken from a queue and not acknowledged.", "inHand");
  perQueue("listener_held", "Messages that wait in hand for a neighbour to come back.", "held");

  const dependencies = new Map<string, Dependency>([
    ...REQUIRED.map((name) => [name, health.dependency(name)] as const),
    ...others.map((name) => [name, health.dependency(name, { required: false })] as const),
  ]);

  /** Down where any worker that lives says so; with no worker alive nothing is known to be up. */
  function update(): void {
    for (const [name, dependency] of dependencies) {
      const states = [...reports.values()].map((report) => report.dependencies[name]);
      const down = states.find((one) => one?.state === "down");
      if (down !== undefined) dependency.down(down.reason);
      else if (states.some((one) => one?.state === "up")) dependency.up();
      else if (reports.size === 0 && dependency.state === "up") dependency.down("no worker is alive");
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
    inHand(name) {
      const all = [...reports.values()].flatMap(({ queues }) => queues.filter(({ queue }) => queue === name));
      const sum = (of: "inHand" | "held"): number => all.reduce((total, queue) => total + queue[of], 0);
      return { in_hand: sum("inHand"), held: sum("held") };
    },
  };
}
