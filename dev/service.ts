/** Keeps one service running: starts it, watches it, starts it again with backoff, and ends it. */
import { outgoingTls } from "#shared/tls";
import { exponential, pause, sleep } from "#shared/resilience";
import { type Child, end, launch, type LaunchOptions } from "./backing/processes.ts";
import type { Part, PartEvent } from "./part.ts";
import type { PartState } from "./state.ts";

const backoff = exponential({ firstMs: 500, maxMs: 10_000 });
/** Whoever ran this long has recovered: its next crash is a first one again (ms). */
const STABLE_MS = 10_000;
/** Between two looks at `/ready` (ms): soon after the start often, since people wait; later now and then. */
const LOOK_EVERY_MS = 50;
const LOOK_LATER_MS = 500;
const HURRY_MS = 10_000;
/** How long one look may take (ms). */
const LOOK_MS = 1_000;
/** A service drains within 10 s (contract); after this it is killed (ms). */
const DRAIN_MS = 11_000;

/** Exit codes that no restart mends. */
const FINAL: Readonly<Record<number, string>> = {
  2: "its configuration is wrong; correct it and start again",
  3: "a queue of its name has another shape; its last lines say which, and how to migrate",
};

export interface ServiceOptions {
  readonly name: string;
  readonly url: string;
  /** What to run, asked anew at each start: addresses may have changed. */
  readonly launch: () => LaunchOptions;
  readonly onEvent: (event: PartEvent) => void;
}

export interface ServicePart extends Part {
  /** The kernel's time stamp of the process's start. */
  readonly started: string | undefined;
  /** Why it is not running, or how it ended the last time. */
  readonly reason: string | undefined;
  /** From its start until it was ready (ms). */
  readonly tookMs: number | undefined;
}

export function makeService({ name, url, launch: launchOptions, onEvent }: ServiceOptions): ServicePart {
  let child: Child | undefined;
  let state: PartState = "stopped";
  let restarts = 0;
  let reason: string | undefined;
  let tookMs: number | undefined;
  /** Fires when the service is to be down: ends the loop below. */
  let wanted = new AbortController();
  let loop: Promise<void> | undefined;

  /** Runs it again and again until it is told to stop, or it ends in a way that no restart mends. */
  const keep = async (signal: AbortSignal, onFirstStart: () => void): Promise<void> => {
    for (let attempt = 0; ; attempt += 1) {
      state = "starting";
      tookMs = undefined;
      const began = performance.now();
      const running = await launch(launchOptions());
      child = running;
      onEvent({ what: "started" });
      onFirstStart();
      if (signal.aborted) await end(running, "SIGTERM", DRAIN_MS);
      const readiness = new AbortController();
      void announceReadiness(began, AbortSignal.any([readiness.signal, signal]));
      const { code } = await running.exited;
      // Who was killed had no last words about it.
      const lastWords = code === null ? "" : running.lastWords();
      readiness.abort();
      child = undefined;
      if (signal.aborted) return;
      const how = running.ended() ?? "";
      reason = how;
      const why = code === null ? undefined : FINAL[code];
      if (why !== undefined) {
        state = "given up";
        onEvent({ what: "gave up", how, why, lastWords });
        return;
      }
      if (performance.now() - began > STABLE_MS) attempt = 0;
      state = "restarting";
      const againInMs = backoff(attempt);
      onEvent({ what: "ended", how, againInMs, lastWords });
      await sleep(againInMs, signal);
      restarts += 1;
    }
  };

  const announceReadiness = async (began: number, signal: AbortSignal): Promise<void> => {
    if (!(await readyWithin(url, signal))) return;
    tookMs = Math.round(performance.now() - began);
    state = "running";
    onEvent({ what: "ready", tookMs });
  };

  const start = async (): Promise<void> => {
    if (loop !== undefined && state !== "given up") return;
    wanted = new AbortController();
    const { signal } = wanted;
    const first = Promise.withResolvers<void>();
    loop = keep(signal, first.resolve)
      .catch((error: unknown) => {
        if (signal.aborted) return;
        // The program itself can't be run: no restart mends that.
        state = "given up";
        reason = error instanceof Error ? error.message : String(error);
        onEvent({ what: "gave up", how: "it could not be started", why: reason, lastWords: "" });
      })
      .finally(first.resolve);
    await first.promise;
  };

  const stop = async (): Promise<void> => {
    if (loop === undefined) return;
    wanted.abort(new Error("stopped"));
    const running = child;
    if (running !== undefined) await end(running, "SIGTERM", DRAIN_MS);
    await loop;
    loop = undefined;
    child = undefined;
    state = "stopped";
    onEvent({ what: "stopped" });
  };

  return {
    name,
    url,
    get pid() {
      return child?.pid;
    },
    get started() {
      return child?.started;
    },
    get state() {
      return state;
    },
    get restarts() {
      return restarts;
    },
    get reason() {
      return reason;
    },
    get tookMs() {
      return tookMs;
    },
    kill(signal) {
      if (child !== undefined) process.kill(child.pid, signal);
    },
    start,
    stop,
    async restart() {
      await stop();
      await start();
    },
  };
}

/** Resolves to true once `/ready` answers 200, to false when the signal fires. */
async function readyWithin(url: string, signal: AbortSignal): Promise<boolean> {
  const began = performance.now();
  while (!signal.aborted) {
    if ((await lookAt(`${url}/ready`))?.status === 200) return !signal.aborted;
    const waitMs = performance.now() - began < HURRY_MS ? LOOK_EVERY_MS : LOOK_LATER_MS;
    await pause(waitMs, signal);
  }
  return false;
}

export interface Readiness {
  readonly status: number;
  /** Of the dependencies that are not up: their name and last error. */
  readonly waitsFor: readonly { readonly name: string; readonly error?: string }[];
}

interface ReadyBody {
  readonly data?: {
    readonly dependencies?: readonly { readonly name: string; readonly state: string; readonly last_error?: string }[];
  };
}

/** One look at a service's `/ready`; undefined where nobody answers. */
export async function lookAt(readyUrl: string): Promise<Readiness | undefined> {
  try {
    const answer = await fetch(readyUrl, { ...outgoingTls(), signal: AbortSignal.timeout(LOOK_MS) });
    const body = (await answer.json()) as ReadyBody;
    const down = (body.data?.dependencies ?? []).filter(({ state }) => state !== "up");
    return {
      status: answer.status,
      waitsFor: down.map(({ name, last_error }) => ({
        name,
        ...(last_error === undefined ? {} : { error: last_error }),
      })),
    };
  } catch {
    return undefined;
  }
}
