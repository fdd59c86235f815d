import { expect, test } from "bun:test";
import { databaseBackoff, exponential, keepTrying, pause, reconnectBackoff, sleep } from "#shared/resilience";

test("waits double up to their bound, half of each is certain and half random", () => {
  const least = exponential({ firstMs: 100, maxMs: 1_000, random: () => 0 });
  const most = exponential({ firstMs: 100, maxMs: 1_000, random: () => 0.999_999 });
  expect([0, 1, 2, 3, 4, 5_000].map(least)).toEqual([50, 100, 200, 400, 500, 500]);
  expect([0, 1, 2, 3, 4, 5_000].map((attempt) => Math.round(most(attempt)))).toEqual([
    100, 200, 400, 800, 1_000, 1_000,
  ]);
});

test("a database is tried five times 2 s apart, then at least every 3 s; another neighbour at least every 1.5 s", () => {
  for (let attempt = 0; attempt < 40; attempt += 1) {
    if (attempt < 5) expect(databaseBackoff(attempt)).toBe(2_000);
    expect(databaseBackoff(attempt)).toBeLessThanOrEqual(3_000);
    expect(databaseBackoff(attempt)).toBeGreaterThanOrEqual(1_000);
    expect(reconnectBackoff(attempt)).toBeLessThanOrEqual(1_500);
  }
});

test("trying goes on until it succeeds, and every failure is told with the wait that follows", async () => {
  const told: [string, number, number][] = [];
  let tries = 0;
  const opened = await keepTrying(
    async () => {
      tries += 1;
      if (tries < 4) throw new Error(`no ${tries}`);
      return "open";
    },
    {
      backoff: (attempt) => attempt,
      signal: new AbortController().signal,
      onFailure: (error, attempt, waitMs) => told.push([(error as Error).message, attempt, waitMs]),
    },
  );
  expect(opened).toBe("open");
  expect(told).toEqual([
    ["no 1", 1, 0],
    ["no 2", 2, 1],
    ["no 3", 3, 2],
  ]);
});

test("stopping ends the wait at once, and no further try is made", async () => {
  const stopping = new AbortController();
  let tries = 0;
  const waits = Promise.withResolvers<void>();
  const trying = keepTrying(
    async () => {
      tries += 1;
      throw new Error("away");
    },
    { backoff: () => 60_000, signal: stopping.signal, onFailure: () => waits.resolve() },
  );
  await waits.promise;
  stopping.abort(new Error("stopped"));
  expect(trying).rejects.toThrow("stopped");
  await trying.catch(() => undefined);
  expect(tries).toBe(1);
});

test("a sleep leaves no listener behind, however it ends", async () => {
  const listeners = new Set<unknown>();
  const signal = {
    aborted: false,
    reason: new Error("ended"),
    addEventListener: (_: string, listener: () => void) => listeners.add(listener),
    removeEventListener: (_: string, listener: () => void) => listeners.delete(listener),
  } as unknown as AbortSignal;
  await sleep(1, signal);
  expect(listeners.size).toBe(0);
  expect(sleep(60_000, AbortSignal.abort(new Error("before")))).rejects.toThrow("before");
});

test("a pause ends when its signal fires, without failing, and lasts its time otherwise", async () => {
  const gone = new AbortController();
  const startedAt = performance.now();
  const paused = pause(60_000, gone.signal);
  gone.abort();
  await paused;
  await pause(60_000, gone.signal);
  expect(performance.now() - startedAt).toBeLessThan(1_000);
  await pause(20, new AbortController().signal);
  expect(performance.now() - startedAt).toBeGreaterThanOrEqual(15);
});
