import { startInbox } from "./smtp.ts";
import { startMongodb } from "./mongodb.ts";
import { startPostgres } from "./postgres.ts";
import { startRabbitmq } from "./rabbitmq.ts";
import type { Backing, Missing, StartOptions } from "./types.ts";

/** PostgreSQL, MongoDB, RabbitMQ and a mail inbox, on whatever machine this is. */

export { createDatabase } from "./database.ts";
export { startMongodb } from "./mongodb.ts";
export { freePort } from "./ports.ts";
export { outsideData, startPostgres } from "./postgres.ts";
export { probePostgres } from "./probes.ts";
export { startRabbitmq } from "./rabbitmq.ts";
export { reclaim } from "./records.ts";
export { startInbox } from "./smtp.ts";
export type { Backing, BackingName, Missing, StartOptions } from "./types.ts";

/**
 * Starts all four side by side, in the order of BACKING_NAMES: RabbitMQ first, as everything else is up long before it.
 * When the signal fires, or on a bug, everything that was started is stopped before this throws.
 */
export async function startBacking(options: StartOptions): Promise<(Backing | Missing)[]> {
  const rabbitmq = startRabbitmq(options);
  const postgres = startPostgres(options);
  const mongodb = startMongodb(options, postgres);
  const inbox = startInbox(options);
  const outcomes = await Promise.allSettled([rabbitmq, postgres, mongodb, inbox]);

  const all: (Backing | Missing)[] = [];
  let failure: unknown;
  let failed = false;
  for (const outcome of outcomes) {
    if (outcome.status === "fulfilled") all.push(outcome.value);
    else {
      failure ??= outcome.reason;
      failed = true;
    }
  }
  if (!failed && !options.signal.aborted) return all;
  await stopBacking(all);
  options.signal.throwIfAborted();
  throw failure;
}

/** Ends what was started, in an order in which nobody misses a neighbour: FerretDB before its PostgreSQL. */
export async function stopBacking(all: readonly (Backing | Missing)[]): Promise<void> {
  const started = all.filter((one) => "stop" in one);
  const last = started.filter(({ name }) => name === "postgres");
  await Promise.all(started.filter(({ name }) => name !== "postgres").map((one) => one.stop()));
  await Promise.all(last.map((one) => one.stop()));
}
