/** What an attack must leave as it was: memory, open files, and the answers to everybody else. */
import { readdir, readFile } from "node:fs/promises";

export interface Footprint {
  readonly rssBytes: number;
  readonly files: number;
}

/** By what Linux tells of a process. */
export async function footprintOf(pid: number): Promise<Footprint> {
  const [status, files] = await Promise.all([readFile(`/proc/${pid}/status`, "utf8"), readdir(`/proc/${pid}/fd`)]);
  return { rssBytes: Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1_024, files: files.length };
}

export interface PingWatch {
  /** Ends the watch; times of all answers (ms), ascending. An answer that did not come is Infinity. */
  stop(): Promise<number[]>;
}

/** Asks `/ping` of each service every 50 ms, each time on a connection of its own. */
export function watchPings(urls: readonly string[]): PingWatch {
  const times: number[] = [];
  const ending = new AbortController();
  const watching = urls.map(async (url) => {
    while (!ending.signal.aborted) {
      const startedAt = performance.now();
      const well = await fetch(`${url}/ping`, { keepalive: false, signal: AbortSignal.timeout(2_000) })
        .then(async (answer) => answer.status === 200 && (await answer.text()) === "OK")
        .catch(() => false);
      times.push(well ? performance.now() - startedAt : Number.POSITIVE_INFINITY);
      await Bun.sleep(50);
    }
  });
  return {
    async stop() {
      ending.abort();
      await Promise.all(watching);
      return times.sort((a, b) => a - b);
    },
  };
}
