import { type Child, end, launch, type LaunchOptions, untilReady } from "./processes.ts";
import { forget, remember, type Started } from "./records.ts";
import type { BackingName, StartOptions } from "./types.ts";

/** A server that we start: launched, written down, waited for, and ended once. */

export interface ServerSpec {
  readonly launch: LaunchOptions;
  /** The signal that it takes as "finish and go". */
  readonly endBy: NodeJS.Signals;
  /** Throws until it answers. */
  readonly probe: () => Promise<void>;
  /** How long it may take to answer (ms). */
  readonly deadlineMs: number;
  /** What was started for it and is ended after it. */
  readonly helpers?: readonly Started[];
  /** Anything else to put away after it has ended. */
  readonly after?: () => Promise<void>;
}

export interface Served {
  readonly pid: number;
  readonly stop: () => Promise<void>;
}

export async function serve(options: StartOptions, name: BackingName, spec: ServerSpec): Promise<Served> {
  const helpers = spec.helpers ?? [];
  let started: readonly Started[] = helpers;
  let child: Child | undefined;
  const endAll = async () => {
    for (const process_ of started) await end(process_, process_.endBy);
    forget(options.dataDir, name, started);
    await spec.after?.();
  };
  try {
    options.signal.throwIfAborted();
    child = await launch(spec.launch);
    started = [{ pid: child.pid, started: child.started, endBy: spec.endBy }, ...helpers];
    remember(options.dataDir, name, started);
    await untilReady(child, spec.probe, { deadlineMs: spec.deadlineMs, signal: options.signal, endBy: spec.endBy });
  } catch (error) {
    await endAll();
    throw error;
  }
  let stopping: Promise<void> | undefined;
  return { pid: child.pid, stop: () => (stopping ??= endAll()) };
}
