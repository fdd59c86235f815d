/** Keeps one backing service running: notices when ours dies, and starts it again on its port with its data. */
import { exponential, sleep } from "#shared/resilience";
import type { Backing, BackingName, Missing } from "./backing/types.ts";
import type { Part, PartEvent } from "./part.ts";
import { pidExists } from "./pids.ts";
import type { PartState } from "./state.ts";

/** Between two looks whether the process is there (ms). */
const LOOK_EVERY_MS = 250;
const backoff = exponential({ firstMs: 250, maxMs: 10_000 });

export interface BackingPart extends Part {
  readonly name: BackingName;
  readonly current: Backing;
}

export interface BackingPartOptions {
  readonly first: Backing;
  /** Starts it once more, as it was started the first time. */
  readonly open: (signal: AbortSignal) => Promise<Backing | Missing>;
  readonly onEvent: (event: PartEvent) => void;
}

export function makeBackingPart({ first, open, onEvent }: BackingPartOptions): BackingPart {
  let current = first;
  let state: PartState = "running";
  let restarts = 0;
  let wanted = new AbortController();
  let loop: Promise<void> = Promise.resolve();

  const begin = async (signal: AbortSignal): Promise<void> => {
    const before = current.url;
    const opened = await open(signal);
    if ("tried" in opened) throw new Error(opened.tried.join("; "));
    current = opened;
    state = "running";
    onEvent({ what: "ready", tookMs: opened.tookMs });
    if (opened.url !== before) onEvent({ what: "moved", url: opened.url });
  };

  const keep = async (signal: AbortSignal): Promise<void> => {
    let attempt = 0;
    while (!signal.aborted) {
      await sleep(LOOK_EVERY_MS, signal);
      if (state === "running" && current.pid !== undefined && pidExists(current.pid)) {
        continue;
      }
      if (state === "running") {
        state = "restarting";
        attempt = 0;
        // Takes away what the dead one has left (RabbitMQ's port mapper, records).
        await current.stop();
        const againInMs = backoff(attempt);
        onEvent({ what: "ended", how: "its process is gone", againInMs, lastWords: "" });
        await sleep(againInMs, signal);
      }
      try {
        restarts += 1;
        await begin(signal);
      } catch (error) {
        signal.throwIfAborted();
        attempt += 1;
        const againInMs = backoff(attempt);
        onEvent({ what: "failed to start", why: error instanceof Error ? error.message : String(error), againInMs });
        await sleep(againInMs, signal);
      }
    }
  };

  const watch = (): void => {
    wanted = new AbortController();
    const { signal } = wanted;
    // What is not our process (a configured server, a container) is not ours to watch.
    if (current.pid === undefined) return;
    loop = keep(signal).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
  };
  watch();

  const stop = async (): Promise<void> => {
    if (state === "stopped") return;
    wanted.abort(new Error("stopped"));
    await loop;
    await current.stop();
    state = "stopped";
    onEvent({ what: "stopped" });
  };
  const start = async (): Promise<void> => {
    if (state !== "stopped") return;
    state = "starting";
    onEvent({ what: "started" });
    await begin(new AbortController().signal);
    watch();
  };

  return {
    name: first.name,
    get current() {
      return current;
    },
    get url() {
      return current.url;
    },
    get pid() {
      return state === "running" ? current.pid : undefined;
    },
    get state() {
      return state;
    },
    get restarts() {
      return restarts;
    },
    kill(signal) {
      if (current.pid !== undefined) process.kill(current.pid, signal);
    },
    start,
    stop,
    async restart() {
      await stop();
      await start();
    },
  };
}
