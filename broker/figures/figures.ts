/**
 * The figures of the platform, always: every 5 s each instance of each service is asked for its metrics, what follows from
 * them is kept for an hour, and whoever looks sees what was before he came.
 *
 * Bounded: an hour of samples for at most 500 series (1.4 MiB), and of each instance its last metrics (about 1,000
 * samples). A part that is away has no values meanwhile, and holds nobody up. One for a broker.
 */
import type { QueueView } from "#contracts/dead-letters";
import {
  type EdgeFigures,
  FIGURE_PARTS,
  FIGURE_SERVICES,
  type FigurePart,
  FIGURES_EVERY_S,
  FIGURES_KEPT_S,
  type FiguresOverTime,
  type PartFigures,
  type PlatformFigures,
} from "#contracts/figures";
import type { Secret } from "#shared/config";
import type { Endpoint, Pool } from "#shared/discovery";
import type { Result } from "#shared/errors";
import type { Log } from "#shared/log";
import { pause } from "#shared/resilience";
import type { Metrics } from "#shared/telemetry";
import { chartsOf, DERIVED, titlesOf } from "./charts.ts";
import { EDGES, readEdge, tellerOf } from "./edges.ts";
import { readExposition } from "./exposition.ts";
import { makeHistory, type Point, shown } from "./history.ts";
import { type Interval, measure, type Reading } from "./measure.ts";
import { askMetrics, askQueues } from "./sources.ts";

const MS = 1_000;
const MAX_SERIES = 500;
/** Instances of one service that are asked: beyond, their sums are too small. */
const MAX_INSTANCES = 32;
/** The broker itself, among what readings are kept of. */
const OWN = "own";

type Service = (typeof FIGURE_SERVICES)[number];
type Behind = Exclude<Service, "broker">;

export interface FiguresOptions {
  /** Of the broker. */
  readonly own: Pick<Metrics, "text">;
  /** The services behind. */
  readonly pools: Readonly<Record<Behind, Pick<Pool, "distinct">>>;
  /** What the broker shows to the services behind (SERVICE_KEY). */
  readonly key: Secret | undefined;
  readonly log: Log;
  /** Between two samples (ms; default 5,000). */
  readonly everyMs?: number;
}

export interface Figures extends AsyncDisposable {
  latest(): PlatformFigures;
  /** @param windowS how far back (s). */
  over(part: FigurePart, windowS: number): FiguresOverTime;
  /** Ends a sample that is under way, too. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** What a service has told at one time. */
interface Told {
  readonly service: Service;
  readonly instances: number;
  readonly intervals: readonly Interval[];
}

export function makeFigures({ own, pools, key, log, everyMs = FIGURES_EVERY_S * MS }: FiguresOptions): Figures {
  const history = makeHistory({ samples: (FIGURES_KEPT_S * MS) / everyMs, series: MAX_SERIES });
  const stopping = new AbortController();
  const { signal } = stopping;
  let latest: PlatformFigures = { at: null, interval_s: FIGURES_EVERY_S, parts: [], edges: [], queues: [] };
  /** By service and instance. */
  let readings = new Map<string, Reading>();

  async function read(id: string, asked: Promise<Result<string>>): Promise<Interval | undefined> {
    const before = readings.get(id);
    const text = await asked;
    if (!text.ok) {
      log.debug("no figures", { instance: id, reason: text.error });
      return undefined;
    }
    const samples = readExposition(text.value, WANTED, before?.samples);
    return { now: { at: performance.now(), wallMs: Date.now(), samples }, before };
  }

  /** All side by side. What is no instance any more is forgotten; who is away has the same time before once he is back. */
  async function readAll(service: Service, asked: readonly [id: string, text: Promise<Result<string>>][]) {
    const found = await Promise.all(asked.map(async ([id, text]) => [id, await read(id, text)] as const));
    const kept = found.flatMap(([id, interval]): [string, Reading][] => {
      const reading = interval?.now ?? readings.get(id);
      return reading === undefined ? [] : [[id, reading]];
    });
    const intervals = found.flatMap(([, interval]) => interval ?? []);
    return { told: { service, instances: asked.length, intervals } satisfies Told, kept };
  }

  function endpointsOf(service: Behind): readonly Endpoint[] {
    return pools[service]
      .distinct()
      .slice(0, MAX_INSTANCES)
      .map(({ endpoint }) => endpoint);
  }

  function asked(service: Service): readonly [id: string, text: Promise<Result<string>>][] {
    if (service === "broker") return [[OWN, own.text().then((value) => ({ ok: true, value }))]];
    return endpointsOf(service).map((endpoint) => [`${service} ${endpoint.url}`, askMetrics(endpoint, key, signal)]);
  }

  async function queues(): Promise<readonly QueueView[] | undefined> {
    const states = pools.listener.distinct();
    const { endpoint } = states.find(({ state }) => state === "up") ?? states[0] ?? {};
    if (endpoint === undefined) return undefined;
    const told = await askQueues(endpoint, key, signal);
    return told.ok ? told.value : undefined;
  }

  async function sample(): Promise<void> {
    const atMs = Date.now();
    const [depths, ...all] = await Promise.all([
      queues(),
      ...FIGURE_SERVICES.map((service) => readAll(service, asked(service))),
    ]);
    if (signal.aborted) return;
    readings = new Map(all.flatMap(({ kept }) => kept));
    const told = all.map((one) => one.told);
    const measures = new Map(told.map(({ service, intervals }) => [service, measure(intervals)]));
    const edges = EDGES.flatMap((spec) => {
      const its = measures.get(tellerOf(spec));
      return (its === undefined ? undefined : readEdge(spec, its)) ?? [];
    });
    const points = [
      ...told.flatMap(({ service }) => [...ownPoints(service, measures)]),
      ...edgePoints(edges),
      ...queuePoints(depths ?? []),
    ];
    history.record(atMs / MS, points);
    latest = {
      at: new Date(atMs).toISOString(),
      interval_s: FIGURES_EVERY_S,
      parts: partsOf(told, points),
      edges: edges.map((edge) => ({
        ...edge,
        calls_per_s: shown(edge.calls_per_s),
        failed_per_s: shown(edge.failed_per_s),
        p95_ms: shown(edge.p95_ms),
      })),
      queues: [...(depths ?? [])],
    };
  }

  /** One after the other: a sample that was late is not made up for. */
  async function live(): Promise<void> {
    let due = performance.now();
    while (!signal.aborted) {
      try {
        await sample();
      } catch (error) {
        log.error("no figures: this is a bug", { error });
      }
      const now = performance.now();
      due = Math.max(due + everyMs, now);
      await pause(due - now, signal);
    }
  }
  const ended = live();

  return {
    latest: () => latest,
    over(part, windowS) {
      const { at, charts } = history.window(part, Date.now() / MS - windowS);
      return {
        interval_s: FIGURES_EVERY_S,
        at: [...at],
        charts: titlesOf(part).flatMap(({ key: chart, title, unit }) => {
          const series = charts.get(chart);
          return series === undefined ? [] : [{ key: chart, title, unit, series: [...series] }];
        }),
      };
    },
    async [Symbol.asyncDispose]() {
      stopping.abort(new Error("the broker is stopping"));
      await ended;
    },
  };
}

type Measures = ReadonlyMap<Service, ReturnType<typeof measure>>;

function* ownPoints(service: Service, measures: Measures): Generator<Point> {
  const its = measures.get(service);
  if (its === undefined) return;
  for (const { key: chart, read } of chartsOf(service))
    for (const [series, value] of read(its)) yield { part: service, chart, series, value };
}

/** Of both ends, as far as they are parts that there is a page of. */
function* edgePoints(edges: readonly EdgeFigures[]): Generator<Point> {
  for (const { from, to, via, calls_per_s, failed_per_s, p95_ms } of edges) {
    const [start, end] = [partOf(from), partOf(to)];
    const [outward, inward] = [`${to} ${via}`, `${from} ${via}`];
    if (start !== undefined) {
      yield { part: start, chart: DERIVED.calls_out.key, series: outward, value: calls_per_s };
      yield { part: start, chart: DERIVED.failed_out.key, series: outward, value: failed_per_s };
      yield { part: start, chart: DERIVED.time_out.key, series: outward, value: p95_ms };
    }
    if (end !== undefined) {
      yield { part: end, chart: DERIVED.calls_in.key, series: inward, value: calls_per_s };
      yield { part: end, chart: DERIVED.time_in.key, series: inward, value: p95_ms };
    }
  }
}

function* queuePoints(queues: readonly QueueView[]): Generator<Point> {
  for (const { name, messages, consumers } of queues) {
    yield { part: "rabbitmq", chart: DERIVED.depth.key, series: name, value: messages };
    yield { part: "rabbitmq", chart: DERIVED.consumers.key, series: name, value: consumers };
  }
}

function partOf(name: string): FigurePart | undefined {
  return FIGURE_PARTS.find((part) => part === name);
}

/** Those that anything is known of. */
function partsOf(told: readonly Told[], points: readonly Point[]): PartFigures[] {
  const values = new Map<FigurePart, Record<string, number | null>>();
  for (const { part, chart, series, value } of points) {
    const its = values.get(part) ?? {};
    values.set(part, its);
    its[`${chart}.${series}`] = shown(value);
  }
  return FIGURE_PARTS.flatMap((name) => {
    const service = told.find((one) => one.service === name);
    const its = values.get(name);
    if (its === undefined) return [];
    return [{ name, instances: service?.instances ?? 0, answered: service?.intervals.length ?? 0, values: its }];
  });
}

/** What all charts and edges ask for: the rest of what a service tells is not read. */
export const WANTED: ReadonlySet<string> = wanted();

function wanted(): Set<string> {
  // So that a restart is seen.
  const names = new Set(["process_start_time_seconds"]);
  const nobody = measure([], (name) => names.add(name));
  for (const service of FIGURE_SERVICES) for (const { read } of chartsOf(service)) for (const _figure of read(nobody));
  for (const spec of EDGES) readEdge(spec, nobody);
  return names;
}
