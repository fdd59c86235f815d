/** What was measured, as long as it is kept: a ring of samples, in which each series has a place for every one. */
import type { FigurePart, FigureSeries } from "#contracts/figures";

/** One figure at one time. */
export interface Point {
  readonly part: FigurePart;
  readonly chart: string;
  readonly series: string;
  readonly value: number | null;
}

export interface HistoryOptions {
  /** Samples that are kept; at the first one more, the oldest is over. */
  readonly samples: number;
  /** Series at most: what comes beyond is left out until one of them was not heard of for as long as samples are kept. */
  readonly series: number;
}

/** Of one part: times in whole seconds since 1970, oldest first, and by chart what there was at each. */
export interface Window {
  readonly at: readonly number[];
  readonly charts: ReadonlyMap<string, readonly FigureSeries[]>;
}

/** Memory: 4 bytes a sample and series, 8 a sample. */
export interface History {
  /** @param atS seconds since 1970. A series that is not among `points` has no value then. */
  record(atS: number, points: Iterable<Point>): void;
  /** @param sinceS samples of this time and later. */
  window(part: FigurePart, sinceS: number): Window;
}

interface Series {
  readonly part: FigurePart;
  readonly chart: string;
  readonly name: string;
  /** NaN where there is none. */
  readonly values: Float32Array;
  /** The number of the sample that it was in last. */
  heard: number;
}

/** Digits that are shown: more would be noise, and most of an answer. */
const DIGITS = 4;

/** A figure as it is shown. */
export function shown(value: number | null): number | null {
  return value === null || !Number.isFinite(value) ? null : Number(value.toPrecision(DIGITS));
}

export function makeHistory({ samples, series: most }: HistoryOptions): History {
  const times = new Float64Array(samples);
  const known = new Map<string, Series>();
  /** Samples so far; the place of number n is n modulo `samples`. */
  let count = 0;

  function seriesOf({ part, chart, series: name }: Point): Series | undefined {
    const id = `${part} ${chart} ${name}`;
    const found = known.get(id);
    if (found !== undefined || known.size >= most) return found;
    const values = new Float32Array(samples).fill(Number.NaN);
    const made = { part, chart, name, values, heard: count };
    known.set(id, made);
    return made;
  }

  return {
    record(atS, points) {
      const place = count % samples;
      times[place] = atS;
      for (const [id, { values, heard }] of known) {
        values[place] = Number.NaN;
        if (count - heard >= samples) known.delete(id);
      }
      for (const point of points) {
        const series = seriesOf(point);
        if (series === undefined) continue;
        series.heard = count;
        series.values[place] = point.value ?? Number.NaN;
      }
      count += 1;
    },
    window(part, sinceS) {
      const places: number[] = [];
      for (let number = Math.max(0, count - samples); number < count; number += 1) {
        const place = number % samples;
        if ((times[place] ?? 0) >= sinceS) places.push(place);
      }
      const charts = new Map<string, FigureSeries[]>();
      for (const { part: its, chart, name, values } of known.values()) {
        if (its !== part) continue;
        const series = { name, values: places.map((place) => shown(values[place] ?? null)) };
        const others = charts.get(chart);
        if (others === undefined) charts.set(chart, [series]);
        else others.push(series);
      }
      return { at: places.map((place) => Math.round(times[place] ?? 0)), charts };
    },
  };
}
