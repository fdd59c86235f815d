/**
 * The last traces of the platform, bounded in number and age. Spans wait in a small queue of their own: where it is full they are refused, and
 * who sent them counts them; storing entries never waits for them.
 */
import { LRUCache } from "lru-cache";
import type { TraceDetail, TracePage, TraceQuery, TraceSummary } from "#contracts/traces";
import { Failure, fail, failureOf, ok, type Result } from "#shared/errors";
import type { Log } from "#shared/log";
import { Deadline, pause } from "#shared/resilience";
import type { CallContext, Metrics } from "#shared/telemetry";
import { decodePlace, encodePlace } from "./cursor.ts";
import { type KeptSpan, spansOf } from "./otlp.ts";
import type { Part, TraceDocument, TraceStore } from "./store.ts";

export interface TracesOptions {
  readonly store: TraceStore;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Traces that are kept; 0: none is. */
  readonly max: number;
  /** How long one is kept (s). */
  readonly maxAgeS: number;
  /** Spans that one logger keeps of one trace. */
  readonly maxSpans: number;
  readonly limits?: Partial<TracesLimits>;
}

export interface TracesLimits {
  /** Spans that wait to be stored. */
  readonly queueSpans: number;
  /** Between two writes, and between two looks whether there are too many (ms). */
  readonly writeEveryMs: number;
  readonly pruneEveryMs: number;
}

const LIMITS: TracesLimits = { queueSpans: 5_000, writeEveryMs: 250, pruneEveryMs: 30_000 };
/** Spans of one write. */
const WRITE_SPANS = 1_000;
const WRITE_MS = 5_000;
/** For all that waits when this stops. */
const LAST_WRITES_MS = 1_000;
/** Tries of one write, and the time between two (ms): what MongoDB does not take by then is dropped. */
const WRITE_TRIES = 5;
const RETRY_MS = 1_000;
const PRUNE_MS = 20_000;
/** Traces that are removed at a time, so that others have their turn. */
const PRUNE_AT_ONCE = 500;
const PRUNE_AT_MOST = 10_000;
const READ_MS = 10_000;
const DEFAULT_LIMIT = 20;

export interface Traces extends AsyncDisposable {
  /**
   * Takes spans as OTLP/HTTP has them in JSON. They are stored within a moment, and not before this returns.
   * @returns how many were no spans. Failures: `invalid`, `exhausted` (all of it: more wait than may).
   */
  take(request: unknown): Result<{ accepted: number; rejected: number }>;
  /** Failures: `not_found`, `unavailable`, `deadline`. */
  read(traceId: string, context: CallContext): Promise<Result<TraceDetail>>;
  /** Failures: `invalid` (the cursor), `unavailable`, `deadline`. */
  list(query: TraceQuery, context: CallContext): Promise<Result<TracePage>>;
  /** Stores what waits, within a second; the rest is dropped, and counted. */
  [Symbol.asyncDispose](): Promise<void>;
}

export function makeTraces({ store, log, metrics, max, maxAgeS, maxSpans, limits }: TracesOptions): Traces {
  const { queueSpans, writeEveryMs, pruneEveryMs } = { ...LIMITS, ...limits };
  const stored = metrics.counter("logger_trace_spans_stored_total", "Spans that were stored.");
  const dropped = metrics.counter("logger_trace_spans_dropped_total", "Spans that were taken and not stored.", [
    "reason",
  ]);
  const removed = metrics.counter(
    "logger_traces_removed_total",
    "Traces that were removed, being too old or too many.",
  );
  let waiting: KeptSpan[] = [];
  metrics.gauge("logger_trace_spans_waiting", "Spans that wait to be stored.", [], (gauge) =>
    gauge.set(waiting.length),
  );
  /** How many spans of a trace were kept: what is over its limit comes within minutes, or never. */
  const counts = new LRUCache<string, number>({ max: 10_000 });
  const stopping = new AbortController();
  /** Over when the time for the last writes is. */
  const lastOver = new AbortController();
  let isWell = true;

  function partsOf(spans: readonly KeptSpan[]): Part[] {
    const parts = new Map<string, { traceId: string; spans: KeptSpan[]; isCut: boolean }>();
    for (const span of spans) {
      const part = parts.get(span.traceId) ?? { traceId: span.traceId, spans: [], isCut: false };
      parts.set(span.traceId, part);
      const count = (counts.get(span.traceId) ?? 0) + 1;
      counts.set(span.traceId, count);
      if (count <= maxSpans) {
        part.spans.push(span);
      } else {
        dropped.inc({ reason: "trace_full" });
        part.isCut = true;
      }
    }
    return [...parts.values()];
  }

  async function write(spans: readonly KeptSpan[]): Promise<void> {
    const parts = partsOf(spans);
    const count = parts.reduce((sum, part) => sum + part.spans.length, 0);
    for (let attempt = 1; ; attempt += 1) {
      try {
        await store.write(parts, Deadline.after(WRITE_MS, lastOver.signal));
        stored.inc(count);
        isWell = true;
        return;
      } catch (error) {
        if (attempt === WRITE_TRIES || stopping.signal.aborted) {
          dropped.inc({ reason: "unavailable" }, count);
          if (isWell) log.warn("spans could not be stored, and are dropped", { spans: count, error });
          isWell = false;
          return;
        }
        await pause(RETRY_MS, stopping.signal);
      }
    }
  }

  async function writing(): Promise<void> {
    while (!stopping.signal.aborted || waiting.length > 0) {
      if (waiting.length === 0) await pause(writeEveryMs, stopping.signal);
      if (waiting.length > 0) await write(waiting.splice(0, WRITE_SPANS));
    }
  }

  async function prune(): Promise<void> {
    const deadline = Deadline.after(PRUNE_MS, stopping.signal);
    const before = Date.now() - maxAgeS * 1_000;
    const excess = Math.max(0, (await store.count(deadline)) - max);
    const oldest = await store.oldest(Math.min(PRUNE_AT_MOST, Math.max(excess, PRUNE_AT_ONCE)), deadline);
    const gone = oldest.filter(({ start }, index) => index < excess || start < before).map(({ _id }) => _id);
    for (let at = 0; at < gone.length; at += PRUNE_AT_ONCE) {
      const ids = gone.slice(at, at + PRUNE_AT_ONCE);
      await store.remove(ids, deadline);
      removed.inc(ids.length);
    }
  }

  async function pruning(): Promise<void> {
    while (!stopping.signal.aborted) {
      await pause(pruneEveryMs, stopping.signal);
      if (stopping.signal.aborted) return;
      try {
        await prune();
      } catch (error) {
        // The next time is soon.
        log.debug("old traces could not be removed", { error });
      }
    }
  }

  const lives = max === 0 ? [] : [writing(), pruning()];

  return {
    take(request) {
      const found = spansOf(request);
      if (!found.ok) return found;
      const { spans, rejected } = found.value;
      if (max === 0 || stopping.signal.aborted) return ok({ accepted: 0, rejected: rejected + spans.length });
      if (waiting.length > 0 && waiting.length + spans.length > queueSpans)
        return fail("exhausted", "too many spans are waiting to be stored", { retryAfterS: 1 });
      waiting.push(...spans);
      return ok({ accepted: spans.length, rejected });
    },

    async read(traceId, context) {
      try {
        const found = await store.read(traceId, context.deadline.within(READ_MS));
        if (found === undefined)
          return fail("not_found", "no such trace: it was not recorded, is still on its way, or was removed since");
        return ok(detailOf(found.trace, found.spans));
      } catch (error) {
        return { ok: false, error: error instanceof Failure ? error : failureOf(error) };
      }
    },

    async list(query, context) {
      const place = query.cursor === undefined ? ok(undefined) : decodePlace(query.cursor);
      if (!place.ok) return place;
      const limit = query.limit ?? DEFAULT_LIMIT;
      try {
        const found = await store.list(query, place.value, limit + 1, context.deadline.within(READ_MS));
        const last = found.length > limit ? found[limit - 1] : undefined;
        return ok({
          items: found.slice(0, limit).map(summaryOf),
          ...(last === undefined ? {} : { next_cursor: encodePlace({ start: last.start, id: last._id }) }),
        });
      } catch (error) {
        return { ok: false, error: error instanceof Failure ? error : failureOf(error) };
      }
    },

    async [Symbol.asyncDispose]() {
      stopping.abort(new Error("the logger is stopping"));
      const timer = setTimeout(() => lastOver.abort(new Error("the logger is stopping")), LAST_WRITES_MS);
      await Promise.all(lives);
      clearTimeout(timer);
    },
  };
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}

/** To a tenth of a microsecond, which is what times of this size are exact to. */
function rounded(ms: number): number {
  return Math.round(ms * 10_000) / 10_000;
}

function summaryOf({ _id, start, end, name, service, services = {}, spans, error }: TraceDocument): TraceSummary {
  return {
    trace_id: _id,
    started_at: iso(start),
    duration_ms: rounded(end - start),
    ...(name === undefined ? {} : { name }),
    ...(service === undefined ? {} : { service }),
    services: Object.keys(services).sort(),
    spans,
    error: error === true,
  };
}

/** @param came as they came: what was sent twice is there twice. */
export function detailOf({ _id, cut }: TraceDocument, came: readonly KeptSpan[]): TraceDetail {
  const spans = [...new Map(came.map((span) => [span.spanId, span])).values()].sort((a, b) => a.start - b.start);
  const start = Math.min(...spans.map((span) => span.start));
  const end = Math.max(...spans.map((span) => span.end));
  const ids = new Set(spans.map(({ spanId }) => spanId));
  const missing = spans.flatMap(({ parentId, fromOutside }) =>
    parentId === undefined || fromOutside === true || ids.has(parentId) ? [] : [parentId],
  );
  return {
    trace_id: _id,
    started_at: iso(start),
    ended_at: iso(end),
    duration_ms: rounded(end - start),
    services: [...new Set(spans.map(({ service }) => service))].sort(),
    error: spans.some(({ error }) => error !== undefined),
    whole: missing.length === 0 && cut !== true,
    missing_parents: [...new Set(missing)],
    cut: cut === true,
    spans: spans.map((span) => ({
      span_id: span.spanId,
      ...(span.parentId === undefined ? {} : { parent_id: span.parentId }),
      name: span.name,
      kind: span.kind,
      service: span.service,
      ...(span.instance === undefined ? {} : { instance: span.instance }),
      started_at: iso(span.start),
      offset_ms: rounded(span.start - start),
      duration_ms: rounded(span.end - span.start),
      ...(span.error === undefined ? {} : { error: span.error }),
      attributes: { ...span.attributes },
      events: span.events.map(({ name, at, attributes }) => ({
        name,
        offset_ms: rounded(at - start),
        attributes: { ...attributes },
      })),
      links: span.links.map((link) => ({ trace_id: link.traceId, span_id: link.spanId })),
    })),
  };
}
