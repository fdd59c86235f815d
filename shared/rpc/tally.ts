/**
 * Metrics of calls, cheap enough for hundreds of thousands a second: plain counters here, handed to the registry when
 * it is read (an increment of the registry's own costs as much as a third of a call).
 */
import type { FailureCode } from "#shared/errors";
import type { Metrics } from "#shared/telemetry";

/** Methods with a label of their own; calls of others are counted together. */
const MAX_METHODS = 64;
const OTHER = "other";
/** Calls timed between two calls of `refill`; beyond, a call is counted but not timed. */
const TIMED_PER_REFILL = 100;

/** Outcomes of the calls of one method. */
export class MethodTally {
  /** Its label. */
  readonly name: string;
  succeeded = 0;
  readonly failed = new Map<FailureCode, number>();

  constructor(name: string) {
    this.name = name;
  }

  fail(code: FailureCode): void {
    this.failed.set(code, (this.failed.get(code) ?? 0) + 1);
  }
}

/** Why a server closed a connection, or took none. */
export type Refusal = "frame" | "incomplete" | "stuck" | "full";

export interface Tally {
  /** The counts of `method`, or of all those that are too many to be told apart. */
  of(method: string): MethodTally;
  /** Whether a call that ends now is to be timed. */
  timing(): boolean;
  time(method: MethodTally, ms: number): void;
  /** Called at a steady pace while there are calls. */
  refill(): void;
  /** A connection that was closed, or not taken, for what its peer did. Servers only. */
  refuse(reason: Refusal): void;
  /** Something that is asked for its calls in flight, and its connections, when the metrics are read. */
  readonly sources: Set<{ readonly inFlight: number; readonly connections: number }>;
}

const made = new WeakMap<Metrics, Map<string, Tally>>();

/** The tally of all clients, or all servers, of a process: one, since a metric can be registered once. */
export function tallyOf(metrics: Metrics, side: "client" | "server"): Tally {
  const ofMetrics = made.get(metrics) ?? new Map<string, Tally>();
  made.set(metrics, ofMetrics);
  const tally = ofMetrics.get(side) ?? makeTally(metrics, side);
  ofMetrics.set(side, tally);
  return tally;
}

function makeTally(metrics: Metrics, side: "client" | "server"): Tally {
  const methods = new Map<string, MethodTally>();
  const sources: Tally["sources"] = new Set();
  let timedLeft = TIMED_PER_REFILL;

  const sum = (what: "inFlight" | "connections"): number => {
    let total = 0;
    for (const source of sources) total += source[what];
    return total;
  };
  const handOver = (): void => {
    for (const [method, tally] of methods) {
      if (tally.succeeded > 0) calls.inc({ method, code: "ok" }, tally.succeeded);
      tally.succeeded = 0;
      for (const [code, count] of tally.failed) calls.inc({ method, code }, count);
      tally.failed.clear();
    }
  };

  // First, because metrics are read in the order of their registration: reading this one hands over the counts.
  metrics.gauge(`rpc_${side}_in_flight`, "RPC calls that are not answered yet.", [], (gauge) => {
    handOver();
    gauge.set(sum("inFlight"));
  });
  metrics.gauge(
    side === "client" ? "rpc_client_connected" : "rpc_server_connections",
    side === "client" ? "Connections to RPC servers that are up." : "Connections of RPC clients.",
    [],
    (gauge) => gauge.set(sum("connections")),
  );
  const calls = metrics.counter(`rpc_${side}_calls_total`, "RPC calls by outcome.", ["method", "code"]);
  const seconds = metrics.histogram(
    `rpc_${side}_call_seconds`,
    "Time of RPC calls (s); under load a sample of them, see the counter for their number.",
    ["method"],
  );

  const refused =
    side === "server"
      ? metrics.counter("rpc_server_refused_total", "Connections closed for what the peer did.", ["reason"])
      : undefined;

  return {
    of(method) {
      const known = methods.get(method);
      if (known !== undefined) return known;
      const name = methods.size < MAX_METHODS ? method : OTHER;
      const tally = methods.get(name) ?? new MethodTally(name);
      methods.set(name, tally);
      return tally;
    },
    timing: () => timedLeft > 0,
    time(method, ms) {
      timedLeft -= 1;
      seconds.observe({ method: method.name }, ms / 1_000);
    },
    refill() {
      timedLeft = TIMED_PER_REFILL;
    },
    refuse: (reason) => refused?.inc({ reason }),
    sources,
  };
}
