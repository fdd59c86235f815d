/** Figures over time, by uPlot. What is drawn is also there as a table, for those who can't see it. */
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { useTheme } from "./theme.ts";
import { figure } from "./ui.tsx";

export interface ChartSeries {
  readonly name: string;
  /** Null where nothing is known: a gap in the line. */
  readonly values: readonly (number | null)[];
}

export interface ChartProps {
  /** What it shows, with its unit. */
  readonly title: string;
  readonly unit: string;
  /** Moments, epoch seconds, ascending. */
  readonly at: readonly number[];
  readonly series: readonly ChartSeries[];
  /** `bars` for counts of intervals. Default: lines. */
  readonly kind?: "lines" | "bars";
  /** Series stand on each other, the first one at the bottom; each still says its own figure. */
  readonly stacked?: boolean;
  /** px, default 160. */
  readonly height?: number;
  /** A stretch was marked with the pointer: from and to (epoch, seconds). */
  readonly onSelect?: (from: number, to: number) => void;
  /** Colours by series, as custom properties; default: those of the theme, one after the other. */
  readonly colours?: readonly string[];
}

const COLOURS = ["--series-1", "--series-2", "--series-3", "--series-4", "--series-5", "--series-6"];

export function Chart({
  title,
  unit,
  at,
  series,
  kind = "lines",
  stacked = false,
  height = 160,
  onSelect,
  colours = COLOURS,
}: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | undefined>(undefined);
  const theme = useTheme();
  const select = useRef(onSelect);
  select.current = onSelect;
  const names = series.map(({ name }) => name).join("\n");
  // The topmost first: bars of lower ones are drawn over it.
  const drawn = stacked ? series.map((_one, index) => index).toReversed() : series.map((_one, index) => index);
  const sums = stacked ? summed(series) : series.map(({ values }) => values);
  const data = [at, ...drawn.map((index) => sums[index])] as unknown as uPlot.AlignedData;
  const own = useRef(series);
  own.current = series;
  const latest = useRef(data);
  latest.current = data;

  useEffect(() => {
    const box = place.current;
    if (box === null) return undefined;
    const colour = (name: string): string => {
      // As the theme makes it: the property itself has both.
      box.style.color = `var(${name})`;
      return getComputedStyle(box).color;
    };
    const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
    const made = new uPlot(
      {
        width: Math.max(box.clientWidth, 120),
        height,
        cursor: { points: { size: 6 }, drag: { x: select.current !== undefined, y: false, setScale: false } },
        legend: { live: true },
        scales: { y: { range: (_self, low, high) => [Math.min(0, low), high <= 0 ? 1 : high * 1.1] } },
        axes: [
          { ...axis, space: 70 },
          { ...axis, size: 56, space: 34, values: (_self, ticks) => ticks.map((tick) => figure(tick, 2)) },
        ],
        series: [
          {},
          ...drawn.map((index) => {
            const stroke = colour(colours[index % colours.length] ?? "--series-1");
            return {
              label: series[index]?.name ?? "",
              stroke,
              width: 1.75,
              spanGaps: false,
              points: { show: false },
              value: (_self: uPlot, _sum: number | null, _series: number, at: number | null) => {
                const value = own.current[index]?.values[at ?? -1] ?? null;
                return value === null ? "–" : `${figure(value, 2)} ${unit}`;
              },
              ...(kind === "bars" && uPlot.paths.bars !== undefined
                ? { fill: stroke, width: 0, paths: uPlot.paths.bars({ size: [0.85, 40] }) }
                : {}),
            };
          }),
        ],
        hooks: {
          setSelect: [
            (self) => {
              if (self.select.width < 4) return;
              const from = self.posToVal(self.select.left, "x");
              const to = self.posToVal(self.select.left + self.select.width, "x");
              self.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
              select.current?.(from, to);
            },
          ],
        },
      },
      latest.current,
      box,
    );
    box.style.color = "";
    chart.current = made;
    const watch = new ResizeObserver(() => made.setSize({ width: Math.max(box.clientWidth, 120), height }));
    watch.observe(box);
    return () => {
      watch.disconnect();
      made.destroy();
      chart.current = undefined;
    };
    // Anew for other lines and other colours only: figures that change are handed in below.
  }, [names, unit, theme, kind, height, stacked]);

  useEffect(() => chart.current?.setData(data), [data]);

  return (
    <figure class="chart">
      <figcaption>
        {title} <small>{unit}</small>
      </figcaption>
      <div ref={place} aria-hidden="true" />
      <div class="unseen">
        <table>
          <caption>
            {title}, {unit}
          </caption>
          <thead>
            <tr>
              <th>of</th>
              <th>last</th>
              <th>highest</th>
            </tr>
          </thead>
          <tbody>
            {series.map(({ name, values }) => (
              <tr key={name}>
                <th>{name}</th>
                <td>{lastOf(values)}</td>
                <td>{highestOf(values)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </figure>
  );
}

/** Each series with those below it. */
function summed(series: readonly ChartSeries[]): readonly (readonly (number | null)[])[] {
  let below: readonly (number | null)[] = [];
  return series.map(({ values }) => {
    below = values.map((value, index) => (value === null ? null : value + (below[index] ?? 0)));
    return below;
  });
}

const known = (values: readonly (number | null)[]): number[] => values.filter((value) => value !== null);
const lastOf = (values: readonly (number | null)[]): string => figure(known(values).at(-1) ?? 0, 2);
const highestOf = (values: readonly (number | null)[]): string => figure(Math.max(0, ...known(values)), 2);
