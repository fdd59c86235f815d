/** Ending things: a running stack in order, and what a killed run has left behind. */
import { end, isAlive } from "./backing/processes.ts";
import { reclaim } from "./backing/index.ts";
import type { BackingName } from "./backing/types.ts";
import type { Part } from "./part.ts";
import { SERVICE_NAMES, type ServiceName } from "./services.ts";
import { readState, removeState } from "./state.ts";

/** A service drains within 10 s (contract) (ms). */
const DRAIN_MS = 11_000;

/** First what takes work in, then what it hands work to; the document store before the database that may hold it. */
const STAGES: readonly (readonly (ServiceName | BackingName)[])[] = [
  ["broker"],
  ["listener"],
  ["auth", "logger", "mail"],
  ["rabbitmq", "mongodb", "smtp"],
  ["postgres"],
];

/** Ends all parts in order; what fails to end keeps nobody else from being ended. */
export async function stopInOrder(parts: ReadonlyMap<ServiceName | BackingName, Part>): Promise<void> {
  const failures: unknown[] = [];
  for (const stage of STAGES) {
    const ends = stage.flatMap((name) => parts.get(name) ?? []).map((part) => part.stop());
    for (const result of await Promise.allSettled(ends)) {
      if (result.status === "rejected") failures.push(result.reason);
    }
  }
  if (failures.length > 0) throw new AggregateError(failures, "not everything could be ended");
}

/**
 * Ends what is left of a run whose supervisor was killed: services by pid and start time, so that a pid that is
 * somebody else's by now is left alone, then backing services. Gives the names of what was ended.
 */
export async function takeDownLeftovers(dataDir: string): Promise<string[]> {
  const state = readState(dataDir);
  if (state !== undefined && state.up.pid !== process.pid && isAlive(state.up)) return [];
  const ended: string[] = [];
  for (const name of SERVICE_NAMES) {
    const { pid, started } = state?.services[name] ?? {};
    // Without a start time nobody can tell whose pid it is.
    if (pid === undefined || started === undefined) continue;
    if (!isAlive({ pid, started })) continue;
    await end({ pid, started }, "SIGTERM", DRAIN_MS);
    ended.push(name);
  }
  ended.push(...(await reclaim(dataDir)));
  removeState(dataDir);
  return ended;
}
