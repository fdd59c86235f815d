/** Every way out of the broker with its limits; what each of them means is in shared/resilience. */
import type { Dependency } from "#shared/lifecycle";
import type { Log } from "#shared/log";
import { type Edge, type EdgeOptions, type EdgeState, makeEdge } from "#shared/resilience";
import type { Metrics } from "#shared/telemetry";

type NeighbourName = "auth" | "logger" | "mail" | "listener";

/** A batch of 100 actions of one kind fits. Reading has edges of its own: its troubles are none of accepting. */
const EDGES = {
  // No retry: a login that was slow is not made faster by hashing the password twice.
  auth: { to: "auth", attemptMs: 2_500, totalMs: 3_000, concurrent: 64, queue: 64 },
  // Whose session it is: asking twice is harmless, and what was known is there when it takes longer.
  auth_sessions: { to: "auth", attemptMs: 1_000, totalMs: 2_000, retries: 1, concurrent: 256, queue: 256 },
  // Changes of users, sessions and keys. No retry: what was lost is the caller's to look at.
  auth_commands: { to: "auth", attemptMs: 3_000, totalMs: 3_000, concurrent: 64, queue: 64 },
  auth_reads: { to: "auth", attemptMs: 2_000, totalMs: 4_000, retries: 1, concurrent: 32, queue: 32 },
  // Whose an API key is: with what was known where it takes longer. Made-up keys are nobody else's trouble.
  auth_api_keys: { to: "auth", attemptMs: 1_000, totalMs: 2_000, retries: 1, concurrent: 64, queue: 64 },
  // Twice is safe, since the entry has its id.
  logger: { to: "logger", attemptMs: 1_000, totalMs: 2_000, retries: 1, concurrent: 2_048 },
  // A mail waits up to 2 s for its first attempt; twice is safe, since the key makes it once.
  mail: { to: "mail", attemptMs: 3_000, totalMs: 5_000, retries: 1, concurrent: 64, queue: 64 },
  // Anybody with a link from a mail may come, and comes again: a rush of them is nobody else's trouble.
  mail_unsubscribe: { to: "mail", attemptMs: 3_000, totalMs: 5_000, retries: 1, concurrent: 32, queue: 32 },
  // A receipt asks three times, within 2.5 s in all; who asks for it may ask again.
  logger_receipts: { to: "logger", attemptMs: 700, totalMs: 700, concurrent: 256 },
  mail_receipts: { to: "mail", attemptMs: 700, totalMs: 700, concurrent: 64 },
  listener_receipts: { to: "listener", attemptMs: 1_000, totalMs: 1_000, concurrent: 32 },
  // Looking through queues and through all entries takes its time; it is for a few people.
  listener: { to: "listener", attemptMs: 10_000, totalMs: 15_000, retries: 1, concurrent: 16 },
  logger_reports: { to: "logger", attemptMs: 10_000, totalMs: 15_000, retries: 1, concurrent: 16 },
  // The logger looks as long as it is given time, and answers with what it has found. An export: until it begins.
  logger_queries: { to: "logger", attemptMs: 20_000, totalMs: 20_000, concurrent: 32, queue: 32 },
  logger_exports: { to: "logger", attemptMs: 20_000, totalMs: 20_000, concurrent: 8 },
  mail_reports: { to: "mail", attemptMs: 5_000, totalMs: 8_000, retries: 1, concurrent: 16 },
  // No retry, as below.
  mail_commands: { to: "mail", attemptMs: 10_000, totalMs: 10_000, concurrent: 8 },
  // The listener stops in time and tells how far it came. No retry: that is the operator's to decide.
  listener_commands: { to: "listener", attemptMs: 25_000, totalMs: 25_000, concurrent: 4 },
} as const satisfies Record<string, Partial<EdgeOptions> & { to: NeighbourName }>;
type EdgeName = keyof typeof EDGES;

/** As the metric has them; also how bad they are. */
const RANK: Readonly<Record<EdgeState, number>> = { closed: 0, "half-open": 1, open: 2 };

export interface EdgesOptions {
  readonly metrics: Metrics;
  readonly log: Log;
  /** Each is shown the worst circuit of the ways to it. */
  readonly dependencies: Readonly<Record<NeighbourName, Pick<Dependency, "circuit">>>;
}

/** @returns makes the edge of a name; its state is in the metric `circuitbreaker_state` and in `/ready`. */
export function makeEdges({ metrics, log, dependencies }: EdgesOptions): (name: EdgeName) => Edge {
  const states = metrics.gauge("circuitbreaker_state", "0 closed, 1 half-open, 2 open.", ["name"]);
  const known = new Map<EdgeName, EdgeState>();

  function show(name: EdgeName, state: EdgeState): void {
    known.set(name, state);
    states.set({ name }, RANK[state]);
    const { to } = EDGES[name];
    const all = [...known].flatMap(([other, its]) => (EDGES[other].to === to ? [its] : []));
    dependencies[to].circuit(all.reduce((worst, its) => (RANK[its] > RANK[worst] ? its : worst)));
  }

  return (name) => {
    const { to, ...limits } = EDGES[name];
    show(name, "closed");
    return makeEdge({
      name: `broker→${name}`,
      ...limits,
      onState: (state) => {
        show(name, state);
        log.warn("circuit changed", { to, edge: name, state });
      },
    });
  };
}
