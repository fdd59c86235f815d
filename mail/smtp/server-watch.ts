/** Whether the mail server is there. While it is not, nothing is sent to it but one probe at a time. */
import type { Dependency } from "#shared/lifecycle";
import { keepTrying, reconnectBackoff, sleep } from "#shared/resilience";

/** Pause before a session that was lost is opened again (ms): a server may end idle ones as often as it likes. */
const RECHECK_MS = 500;

export interface ServerWatch extends AsyncDisposable {
  /** `unknown` until the first probe has ended. */
  readonly state: "unknown" | "up" | "away";
  /** It was seen to be away. */
  away(error: unknown): void;
  /** It may be away: an idle session was lost. */
  suspect(): void;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface ServerWatchOptions {
  /** Opens a session. */
  readonly probe: (signal: AbortSignal) => Promise<void>;
  readonly dependency: Dependency;
  /** It can be used from now on. */
  readonly onUp: () => void;
}

/** Probes at once. */
export function watchServer({ probe, dependency, onUp }: ServerWatchOptions): ServerWatch {
  const closing = new AbortController();
  let state: ServerWatch["state"] = "unknown";
  let probing: Promise<void> | undefined;

  function start(pauseMs: number): void {
    if (probing !== undefined || closing.signal.aborted) return;
    probing = run(pauseMs)
      // Only the signal ends the loop without success: then nobody asks any more.
      .catch(() => undefined)
      .finally(() => {
        probing = undefined;
        // It was lost again before this probe was put away.
        if (state === "away") start(RECHECK_MS);
      });
  }

  async function run(pauseMs: number): Promise<void> {
    await sleep(pauseMs, closing.signal);
    await keepTrying(() => probe(closing.signal), {
      backoff: reconnectBackoff,
      signal: closing.signal,
      onFailure: (error) => {
        state = "away";
        dependency.down(error);
      },
    });
    state = "up";
    dependency.up();
    onUp();
  }

  start(0);
  return {
    get state() {
      return state;
    },
    away(error) {
      state = "away";
      dependency.down(error);
      start(reconnectBackoff(0));
    },
    suspect: () => start(RECHECK_MS),
    async [Symbol.asyncDispose]() {
      closing.abort();
      await probing;
    },
  };
}
