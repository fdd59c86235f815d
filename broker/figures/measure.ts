/** Figures of one service out of what its instances told twice: rates of counters, quantiles of histograms, gauges as they are. */
import type { Exposition, Sample } from "./exposition.ts";

/** What an instance told. */
export interface Reading {
  /** By `performance.now()`. */
  readonly at: number;
  /** ms since 1970. */
  readonly wallMs: number;
  readonly samples: Exposition;
}

/** The same instance, now and the time before; without a time before nothing of it has a rate. */
export interface Interval {
  readonly now: Reading;
  readonly before: Reading | undefined;
}

export type Labels = Sample["labels"];
export type Where = (labels: Labels) => boolean;
/** What samples are told apart by; those of the same text are one. undefined: this one does not count. */
export type By = (labels: Labels) => string | undefined;

/** Of all instances together. null: nobody has told, or it is not known yet. */
export interface Measure {
  /** Increase of a counter a second. 0 for a counter that nobody has counted with. */
  rate(counter: string, where?: Where): number | null;
  rates(counter: string, by: By): Map<string, number>;
  /** By how much it has increased since the time before. */
  increase(counter: string): number | null;
  /** Of what a histogram observed since the time before, in its own unit; null where that is nothing. @param of each in [0, 1]. */
  quantiles(histogram: string, of: readonly number[], where?: Where): (number | null)[];
  sum(gauge: string, where?: Where): number | null;
  max(gauge: string, where?: Where): number | null;
  min(gauge: string, where?: Where): number | null;
  sums(gauge: string, by: By): Map<string, number>;
  maxes(gauge: string, by: By): Map<string, number>;
}

const STARTED = "process_start_time_seconds";
const ALL: Where = () => true;
/** A process that is younger than this (s) tells no rates by its age: a moment of work would be a great deal a second. */
const LEAST_S = 1;

/** An interval with what follows from it for everything that is counted. */
interface Span {
  readonly now: Exposition;
  /** Empty where the process is another one than before: its counters began anew. */
  readonly before: Exposition;
  readonly seconds: number;
}

function spanOf({ now, before }: Interval): Span | undefined {
  if (before === undefined) return undefined;
  const startedAt = startOf(now.samples);
  const elapsedS = (now.at - before.at) / 1_000;
  if (elapsedS <= 0) return undefined;
  if (startedAt === startOf(before.samples)) return { now: now.samples, before: before.samples, seconds: elapsedS };
  const ageS = startedAt === undefined ? elapsedS : now.wallMs / 1_000 - startedAt;
  return { now: now.samples, before: new Map(), seconds: Math.max(LEAST_S, Math.min(elapsedS, ageS)) };
}

function startOf(samples: Exposition): number | undefined {
  const [first] = samples.get(STARTED)?.values() ?? [];
  return first?.value;
}

/** @param asked told of every name that is asked for, as it stands in the text. */
export function measure(intervals: readonly Interval[], asked: (name: string) => void = () => undefined): Measure {
  const spans = intervals.flatMap((interval) => spanOf(interval) ?? []);

  /** A counter that is less than before began anew, whatever the process says: a thread of it did. */
  function* increases(name: string): Generator<{ labels: Labels; by: number; seconds: number }> {
    for (const { now, before, seconds } of spans) {
      const earlier = before.get(name);
      for (const [key, { labels, value }] of now.get(name) ?? []) {
        const was = earlier?.get(key)?.value ?? 0;
        yield { labels, by: value < was ? value : value - was, seconds };
      }
    }
  }

  function* values(name: string): Generator<Sample> {
    asked(name);
    for (const { now } of intervals) yield* now.samples.get(name)?.values() ?? [];
  }

  function reduced(name: string, where: Where, pick: (one: number, other: number) => number): number | null {
    let result: number | null = null;
    for (const { labels, value } of values(name))
      if (where(labels)) result = result === null ? value : pick(result, value);
    return result;
  }

  function grouped(name: string, by: By, pick: (one: number, other: number) => number): Map<string, number> {
    const groups = new Map<string, number>();
    for (const { labels, value } of values(name)) {
      const group = by(labels);
      if (group === undefined) continue;
      const known = groups.get(group);
      groups.set(group, known === undefined ? value : pick(known, value));
    }
    return groups;
  }

  const added = (one: number, other: number): number => one + other;

  return {
    rate(counter, where = ALL) {
      asked(counter);
      if (spans.length === 0) return null;
      let rate = 0;
      for (const { labels, by, seconds } of increases(counter)) if (where(labels)) rate += by / seconds;
      return rate;
    },
    rates(counter, by) {
      asked(counter);
      const rates = new Map<string, number>();
      for (const { labels, by: increase, seconds } of increases(counter)) {
        const group = by(labels);
        if (group !== undefined) rates.set(group, (rates.get(group) ?? 0) + increase / seconds);
      }
      return rates;
    },
    increase(counter) {
      asked(counter);
      if (spans.length === 0) return null;
      let sum = 0;
      for (const { by } of increases(counter)) sum += by;
      return sum;
    },
    quantiles(histogram, of, where = ALL) {
      asked(`${histogram}_bucket`);
      const upTo = new Map<number, number>();
      for (const { labels, by } of increases(`${histogram}_bucket`)) {
        const bound = labels["le"] === "+Inf" ? Number.POSITIVE_INFINITY : Number(labels["le"]);
        if (where(labels)) upTo.set(bound, (upTo.get(bound) ?? 0) + by);
      }
      const buckets = [...upTo].sort(([one], [other]) => one - other);
      return of.map((quantile) => quantileOf(buckets, quantile));
    },
    sum: (gauge, where = ALL) => reduced(gauge, where, added),
    max: (gauge, where = ALL) => reduced(gauge, where, Math.max),
    min: (gauge, where = ALL) => reduced(gauge, where, Math.min),
    sums: (gauge, by) => grouped(gauge, by, added),
    maxes: (gauge, by) => grouped(gauge, by, Math.max),
  };
}

/**
 * As `histogram_quantile` of Prometheus: evenly spread within a bucket, of which the first begins at 0; beyond the last bound
 * it is that bound.
 * @param buckets upper bounds, ascending, with how many were not over them.
 */
function quantileOf(buckets: readonly (readonly [bound: number, upTo: number])[], quantile: number): number | null {
  const total = buckets.at(-1)?.[1] ?? 0;
  if (total <= 0) return null;
  const rank = quantile * total;
  let [lower, below] = [0, 0];
  for (const [bound, upTo] of buckets) {
    if (upTo >= rank && upTo > below) {
      return Number.isFinite(bound) ? lower + ((bound - lower) * (rank - below)) / (upTo - below) : lower;
    }
    if (Number.isFinite(bound)) lower = bound;
    below = Math.max(below, upTo);
  }
  return lower;
}
