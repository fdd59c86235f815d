/** The database of a command of an executable (`auth keys`, `mail outbox`): silent, small, brought up to date first. */
import type { Secret } from "#shared/config";
import { makeRuntime } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import type { Metrics } from "#shared/telemetry";
import { makeDatabase } from "./database.ts";
import type { Database, Migration } from "./types.ts";

export interface CommandDatabase extends AsyncDisposable {
  /** Wait until it is ready: what that says is for the person at the terminal. */
  readonly database: Database;
  /** Shown to nobody: for parts that want some. */
  readonly metrics: Metrics;
}

/** @param options.name how its connections call themselves: service and command. */
export function openForCommand(options: {
  readonly name: string;
  readonly url: Secret;
  readonly migrations: readonly Migration[];
}): CommandDatabase {
  const { metrics, health } = makeRuntime(options.name, silentLog, () => undefined);
  const database = makeDatabase({
    ...options,
    log: silentLog,
    metrics,
    dependency: health.dependency("postgres"),
    maxConnections: 2,
  });
  return {
    database,
    metrics,
    async [Symbol.asyncDispose]() {
      await database[Symbol.asyncDispose]();
      metrics[Symbol.dispose]();
    },
  };
}
