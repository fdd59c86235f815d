/** Decides whether one more is let in, under every limit that it counts under, and what the caller is told. */
import { LRUCache } from "lru-cache";
import type { Redis } from "#shared/redis";
import type { Metrics } from "#shared/telemetry";
import type { Limit } from "./rules.ts";
import { COUNT, count, countArguments, look, type State, type Window } from "./window.ts";

/** Keys that a process remembers at most: then the one that was counted longest ago begins anew. */
const MAX_KEYS = 20_000;

/** Under which key something is counted, and under which limit. */
export interface Count {
  /** The policy's name. */
  readonly name: string;
  /** Of whom: with the name, unlike any other. */
  readonly key: string;
  readonly limit: Limit;
}

/** How it stands under the limit that is nearest to its end. */
export interface Clearance {
  readonly name: string;
  readonly remaining: number;
  /** When more will be let in than now (s). */
  readonly resetS: number;
}

export interface Verdict {
  readonly admitted: boolean;
  /** Undefined where nothing was counted. */
  readonly nearest: Clearance | undefined;
}

export interface Limiter {
  /** Counts it under all of them where none is full, else under none. Never fails, never waits longer than Redis may take (60 ms). */
  admit(counts: readonly Count[]): Promise<Verdict>;
}

export interface LimiterOptions {
  /** What its keys in Redis begin with: limiters of the same name count together. */
  readonly name: string;
  /** Shared by the replicas; undefined: each by itself. */
  readonly redis: Pick<Redis, "run"> | undefined;
  readonly metrics: Metrics;
  /** Keys remembered here (default 20,000). */
  readonly maxKeys?: number;
  /** Milliseconds of a clock that never steps (default `performance.now`). */
  readonly now?: () => number;
}

export function makeLimiter({
  name,
  redis,
  metrics,
  maxKeys = MAX_KEYS,
  now = () => performance.now(),
}: LimiterOptions): Limiter {
  const decisions = metrics.counter("rate_limit_decisions_total", "Decisions of rate limits, by who counted.", [
    "by",
    "admitted",
  ]);
  const windows = new LRUCache<string, Window>({ max: maxKeys });
  metrics.gauge("rate_limit_keys", "Callers and limits that are counted in this process.", [], (gauge) =>
    gauge.set(windows.size),
  );

  const fullKey = (one: Count): string => `${name}:${one.name}:${one.key}`;

  function windowOf(key: string): Window {
    const found = windows.get(key) ?? [];
    windows.set(key, found);
    return found;
  }

  function countHere(counts: readonly Count[]): State[] {
    const at = now();
    return counts.map((one) => {
      const window = windowOf(fullKey(one));
      count(window, one.limit, at);
      return look(window, one.limit, at);
    });
  }

  function here(counts: readonly Count[]): Verdict {
    const at = now();
    const states = counts.map((one) => {
      const window = windows.get(fullKey(one));
      return window === undefined ? { used: 0, freeMs: 0 } : look(window, one.limit, at);
    });
    const admitted = counts.every((one, index) => (states[index]?.used ?? 0) < one.limit.quota);
    decisions.inc({ by: "process", admitted: String(admitted) });
    return verdictOf(admitted, counts, admitted ? countHere(counts) : states);
  }

  async function there(shared: Pick<Redis, "run">, counts: readonly Count[]): Promise<Verdict | undefined> {
    const keys = counts.map((one) => `limit:${fullKey(one)}`);
    const answer = await shared.run(
      COUNT,
      keys,
      counts.flatMap((one) => countArguments(one.limit)),
    );
    const numbers = answer.ok ? numbersOf(answer.value, 1 + 2 * counts.length) : undefined;
    if (numbers === undefined) return undefined;
    const admitted = numbers[0] === 1;
    // Counted here too: should Redis go, nobody begins anew with this replica.
    if (admitted) countHere(counts);
    decisions.inc({ by: "redis", admitted: String(admitted) });
    const states = counts.map((_, index) => ({
      used: numbers[1 + 2 * index] ?? 0,
      freeMs: numbers[2 + 2 * index] ?? 0,
    }));
    return verdictOf(admitted, counts, states);
  }

  return {
    async admit(counts) {
      if (counts.length === 0) return { admitted: true, nearest: undefined };
      return (redis === undefined ? undefined : await there(redis, counts)) ?? here(counts);
    },
  };
}

function numbersOf(value: unknown, length: number): number[] | undefined {
  return Array.isArray(value) && value.length === length && value.every((item) => typeof item === "number")
    ? value
    : undefined;
}

function verdictOf(admitted: boolean, counts: readonly Count[], states: readonly State[]): Verdict {
  let nearest: Clearance | undefined;
  counts.forEach(({ name, limit }, index) => {
    const { used = 0, freeMs = 0 } = states[index] ?? {};
    const remaining = Math.max(0, limit.quota - used);
    const resetS = freeMs / 1_000;
    // Of several that are full, the one that takes longest: coming back earlier is of no use.
    if (
      nearest === undefined ||
      remaining < nearest.remaining ||
      (remaining === 0 && nearest.remaining === 0 && resetS > nearest.resetS)
    ) {
      nearest = { name, remaining, resetS };
    }
  });
  return { admitted, nearest };
}
