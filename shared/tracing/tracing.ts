/** The spans of this process or thread, from their end to where they are kept. */
import type { ReadableSpan } from "@opentelemetry/sdk-trace";
import type { Log } from "#shared/log";
import { type FinishedSpan, type Metrics, useSpans } from "#shared/telemetry";
import { makeConverter } from "./convert.ts";
import { jsonOf, makeOtlpSend } from "./otlp.ts";
import { makePipeline, type Pipeline, type Sent, type SpanCount } from "./pipeline.ts";
import { makeSampler } from "./sampler.ts";
import { PLATFORM_BATCH, TRACES_PATH, type TracingSettings } from "./settings.ts";

/** How long a process that ends gives its spans (ms). */
const STOP_MS = 1_000;

export interface Tracing extends AsyncDisposable {
  /** For a thread of this process: it starts tracing by itself. */
  readonly settings: TracingSettings;
  /** Counts what a thread of this process has reported. */
  count(count: SpanCount): void;
  /** From now on spans go to `take`, too: as JSON of OTLP, within this process. Never throws. */
  deliverTo(take: (request: Uint8Array) => Promise<Sent>): void;
  /** Sends what waits, for at most `ms`. */
  flush(ms: number): Promise<void>;
  /** Sends what waits, for at most a second; the rest is dropped, and counted. */
  [Symbol.asyncDispose](): Promise<void>;
}

export interface TracingOptions {
  readonly log: Log;
  readonly onCount: (count: SpanCount) => void;
}

/** For `onCount`: what became of spans, in the metrics of this process. */
export function makeSpanCounters(metrics: Metrics): (count: SpanCount) => void {
  const exported = metrics.counter("trace_spans_exported_total", "Spans that a destination has taken.", [
    "destination",
  ]);
  const dropped = metrics.counter("trace_spans_dropped_total", "Spans that were dropped, and why.", [
    "destination",
    "reason",
  ]);
  return ({ destination, result, spans }) => {
    if (result === "exported") exported.inc({ destination }, spans);
    else dropped.inc({ destination, reason: result }, spans);
  };
}

/** For `onCount` of a thread: sums, until they are taken to where the metrics are. */
export function makeSpanTally(): { readonly add: (count: SpanCount) => void; readonly take: () => SpanCount[] } {
  let sums = new Map<string, SpanCount>();
  return {
    add(count) {
      const key = `${count.destination} ${count.result}`;
      sums.set(key, { ...count, spans: count.spans + (sums.get(key)?.spans ?? 0) });
    },
    take() {
      const taken = [...sums.values()];
      sums = new Map();
      return taken;
    },
  };
}

/** Takes the spans of this process, or of this thread, until it is disposed. */
export function startTracing(settings: TracingSettings, { log, onCount }: TracingOptions): Tracing {
  const { version, destinations, sampler: how } = settings;
  const convert = makeConverter(settings);
  const sampler = makeSampler(how);
  const pipelines: Pipeline<ReadableSpan>[] = destinations.map((destination) =>
    makePipeline({
      ...destination.batch,
      name: destination.name,
      send: makeOtlpSend(destination, version),
      onCount,
      log,
    }),
  );

  function record(span: FinishedSpan): void {
    // Taking spans in is no work to make spans of, where everything is recorded whatever the sender says.
    if (span.attributes["http.route"] === TRACES_PATH) return;
    let converted: ReadableSpan | undefined;
    try {
      // Of no use where nobody has room for it.
      if (pipelines.some(({ isFull }) => !isFull)) converted = convert(span);
    } catch (error) {
      log.error("a span could not be written: this is a bug", { span: span.name, error });
      for (const { name } of destinations) onCount({ destination: name, result: "broken", spans: 1 });
      return;
    }
    for (const pipeline of pipelines) pipeline.add(converted as ReadableSpan);
  }

  const using = useSpans({
    isRootSampled: (traceId) => pipelines.length > 0 && sampler.isRootSampled(traceId),
    isContinuedSampled: (traceId, sampled, fromOutside) => sampler.isContinuedSampled(traceId, sampled, fromOutside),
    record,
  });

  return {
    settings,
    count: onCount,
    deliverTo: (take) =>
      void pipelines.push(
        makePipeline({ ...PLATFORM_BATCH, name: "platform", send: (spans) => take(jsonOf(spans)), onCount, log }),
      ),
    flush: async (ms) => {
      await Promise.all(pipelines.map((pipeline) => pipeline.flush(ms)));
    },
    async [Symbol.asyncDispose]() {
      using[Symbol.dispose]();
      await Promise.all(pipelines.map((pipeline) => pipeline.stop(STOP_MS)));
    },
  };
}
