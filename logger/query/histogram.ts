/** Counts of entries over time. */
import type { LogHistogram } from "#contracts/log-queries";
import { fail, ok, type Result } from "#shared/errors";
import type { Buckets } from "./reader.ts";

const BUCKETS_MAX = 1_000;
/** About as many where nobody says how long one is. */
const BUCKETS_USUAL = 60;
const DAY_MS = 86_400_000;
/** Lengths that people read easily (ms). */
const STEPS = [
  1,
  5,
  10,
  50,
  100,
  500,
  1_000,
  5_000,
  10_000,
  30_000,
  60_000,
  300_000,
  600_000,
  1_800_000,
  3_600_000,
  10_800_000,
  21_600_000,
  43_200_000,
  DAY_MS,
  7 * DAY_MS,
  30 * DAY_MS,
];
/** Names with counts of their own; all further ones together are `others`. */
const NAMES_MAX = 10;
/** Names that are told apart while counting. */
const NAMES_COUNTED = 1_000;
const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: DAY_MS };

/** `30s`, `5m`, `1h`, `1d` in ms; undefined for anything else. */
export function intervalOf(text: string): number | undefined {
  const [, count, unit = ""] = /^([1-9]\d{0,6})(ms|s|m|h|d)$/.exec(text) ?? [];
  const length = UNITS[unit];
  return count === undefined || length === undefined ? undefined : Number(count) * length;
}

/**
 * The buckets from `from` to `to` (ms since 1970); without `from` those of the day before `to`, without `to` until now.
 * @returns failure `invalid` for an interval that is none, or too short.
 */
export function bucketsOf(
  asked: { from?: number | undefined; to?: number | undefined; interval?: string | undefined },
  now: number,
): Result<Buckets> {
  const to = asked.to ?? now;
  const from = asked.from ?? to - DAY_MS;
  if (!(from < to)) return fail("invalid", "from must be before to");
  const least = (to - from) / BUCKETS_USUAL;
  const usual = STEPS.find((step) => step >= least) ?? Math.ceil(least / DAY_MS) * DAY_MS;
  const intervalMs = asked.interval === undefined ? usual : intervalOf(asked.interval);
  if (intervalMs === undefined) return fail("invalid", "interval must be a number and ms, s, m, h or d, as 5m");
  const first = Math.floor(from / intervalMs) * intervalMs;
  if ((to - first) / intervalMs > BUCKETS_MAX) {
    return fail("invalid", `interval must be longer: that would be more than ${BUCKETS_MAX} buckets`);
  }
  return ok({ from, to, intervalMs });
}

/** Adds counts up. */
export class Histogram {
  readonly #buckets: Buckets;
  readonly #counts = new Map<number, Map<string, number>>();
  readonly #severities = new Map<number, Map<string, number>>();
  readonly #names = new Map<string, number>();
  #total = 0;

  constructor(buckets: Buckets) {
    this.#buckets = buckets;
  }

  add(at: number, name: string, severity: string, entries: number): void {
    this.#total += entries;
    if (this.#names.has(name) || this.#names.size < NAMES_COUNTED) {
      this.#names.set(name, (this.#names.get(name) ?? 0) + entries);
      raise(this.#counts, at, name, entries);
    }
    raise(this.#severities, at, severity, entries);
  }

  report(): LogHistogram {
    const { from, to, intervalMs } = this.#buckets;
    const names = [...this.#names]
      .sort(([a, first], [b, second]) => second - first || (a < b ? -1 : 1))
      .slice(0, NAMES_MAX)
      .map(([name]) => name);
    const buckets: LogHistogram["buckets"] = [];
    for (let at = Math.floor(from / intervalMs) * intervalMs; at < to; at += intervalMs) {
      const severities = Object.fromEntries(this.#severities.get(at) ?? []);
      const total = Object.values(severities).reduce((sum, count) => sum + count, 0);
      const ofNames = this.#counts.get(at) ?? new Map<string, number>();
      // By its place in `names`: a name may be any text, also one that means something as a key.
      const counts = names.map((name) => ofNames.get(name) ?? 0);
      const others = total - counts.reduce((sum, count) => sum + count, 0);
      buckets.push({ at: new Date(at).toISOString(), total, severities, names: counts, others });
    }
    return {
      from: new Date(from).toISOString(),
      to: new Date(to).toISOString(),
      interval_ms: intervalMs,
      total: this.#total,
      names,
      buckets,
    };
  }
}

function raise(counts: Map<number, Map<string, number>>, at: number, key: string, by: number): void {
  const some = counts.get(at) ?? new Map<string, number>();
  some.set(key, (some.get(key) ?? 0) + by);
  counts.set(at, some);
}
