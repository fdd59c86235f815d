/**
 * Spans made by hand, since automatic instrumentation does not load on this runtime. A span has its ids from the context
 * that travels with the work (`Trace`), and is told to the sink once, when it is over: what is not sampled costs nothing.
 * Names and attributes follow OpenTelemetry's semantic conventions (https://opentelemetry.io/docs/specs/semconv/).
 */
import { Failure, type FailureCode, failureOf } from "#shared/errors";
import { childOf, type Trace } from "./context.ts";
import { currentSink } from "./sink.ts";

export type SpanKind = "internal" | "server" | "client" | "producer" | "consumer";
export type SpanAttributes = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;
/** Another span, of the same trace or of another one, that led to this one. */
export type SpanLink = Pick<Trace, "traceId" | "spanId">;

export interface SpanEvent {
  readonly name: string;
  /** Milliseconds since 1970, with fractions. */
  readonly at: number;
  readonly attributes?: SpanAttributes;
}

export interface FinishedSpan {
  /** The span's own ids. */
  readonly trace: Trace;
  readonly name: string;
  readonly kind: SpanKind;
  /** Milliseconds since 1970, with fractions. */
  readonly startedAt: number;
  readonly endedAt: number;
  readonly attributes: SpanAttributes;
  readonly links: readonly SpanLink[];
  readonly events: readonly SpanEvent[];
  /** `error.type`: absent where it went well. */
  readonly error?: FailureCode | (string & {});
}

export interface SpanOptions {
  /** Default: internal. */
  readonly kind?: SpanKind;
  readonly attributes?: SpanAttributes;
  readonly links?: readonly SpanLink[];
}

/** What work is given to know which span it is a part of: a `CallContext`, or less. */
interface Traced {
  /** Absent where the work is a part of nothing that is followed. */
  readonly trace?: Trace | undefined;
}

/** A span that is under way. */
export interface Span {
  /** Whether anybody will see what is set: lets what is dear to find out be left out. */
  readonly isRecorded: boolean;
  set(attributes: SpanAttributes): void;
  /** In place of its name, where what was done is known only once it is. */
  rename(name: string): void;
  event(name: string, attributes?: SpanAttributes): void;
  link(to: SpanLink): void;
  /** It did not go well, though it neither throws nor returns a failure. */
  fail(error: FailureCode | (string & {})): void;
}

const NO_SPAN: Span = {
  isRecorded: false,
  set: () => undefined,
  rename: () => undefined,
  event: () => undefined,
  link: () => undefined,
  fail: () => undefined,
};

/** Beyond this the clock was set, or has drifted from the monotonic one (ms). */
const MAX_DRIFT_MS = 2;
let offset = performance.timeOrigin;

/** Milliseconds since 1970, finer than `Date.now()`, and never going back unless the clock is set. */
export function preciseNow(): number {
  const now = performance.now() + offset;
  const drift = Date.now() - now;
  if (Math.abs(drift) <= MAX_DRIFT_MS) return now;
  offset += drift;
  return now + drift;
}

/** Tells the sink of a span that is over, whose ids travelled already. */
export function recordSpan(
  trace: Trace,
  span: Pick<FinishedSpan, "name" | "startedAt"> & Partial<Omit<FinishedSpan, "trace">>,
): void {
  if (!trace.sampled) return;
  currentSink()?.record({
    kind: "internal",
    endedAt: preciseNow(),
    attributes: {},
    links: [],
    events: [],
    ...span,
    trace,
  });
}

/** Whether spans go anywhere at all: before that nothing that is dear need be known of a trace. */
export function isFollowing(): boolean {
  return currentSink() !== undefined;
}

/** Whether the spans of `trace` go anywhere. */
export function isRecorded(trace: Trace): boolean {
  return trace.sampled && currentSink() !== undefined;
}

/**
 * Does `work` as a span of its own within the trace of `context`: what it calls with the context that it is given
 * becomes a part of that span. Where it throws or returns a failed `Result`, the span says so.
 */
export async function inSpan<C extends Traced, T>(
  context: C,
  name: string,
  options: SpanOptions,
  work: (context: C, span: Span) => Promise<T>,
): Promise<T> {
  // The sink first: the trace of a call by RPC is made when it is asked for.
  if (currentSink() === undefined) return work(context, NO_SPAN);
  const { trace } = context;
  if (trace?.sampled !== true) return work(context, NO_SPAN);
  return asSpan({ ...context, trace: childOf(trace) }, name, options, work);
}

/**
 * Does `work` as the span that the trace of `context` is already: for what goes on from a `traceparent` (`traceOf` makes
 * the span within it), or begins a trace of its own. Otherwise as `inSpan`.
 */
export async function asSpan<C extends Traced, T>(
  context: C,
  name: string,
  { kind = "internal", attributes = {}, links = [] }: SpanOptions,
  work: (context: C, span: Span) => Promise<T>,
): Promise<T> {
  if (currentSink() === undefined) return work(context, NO_SPAN);
  const { trace } = context;
  if (trace?.sampled !== true) return work(context, NO_SPAN);
  const startedAt = preciseNow();
  const known: Record<string, SpanAttributes[string]> = { ...attributes };
  const events: SpanEvent[] = [];
  const linked = [...links];
  let called = name;
  let error: string | undefined;
  const span: Span = {
    isRecorded: true,
    set: (more) => void Object.assign(known, more),
    rename(better) {
      called = better;
    },
    event: (happened, its = {}) => void events.push({ name: happened, at: preciseNow(), attributes: its }),
    link: (to) => void linked.push(to),
    fail: (code) => {
      error = code;
    },
  };
  try {
    const value = await work(context, span);
    error ??= errorOf(value);
    return value;
  } catch (thrown) {
    error ??= failureOf(thrown).code;
    throw thrown;
  } finally {
    recordSpan(trace, {
      name: called,
      kind,
      startedAt,
      attributes: known,
      links: linked,
      events,
      ...(error === undefined ? {} : { error }),
    });
  }
}

/** The code of a failed `Result`; undefined for anything else. */
function errorOf(value: unknown): FailureCode | undefined {
  if (typeof value !== "object" || value === null || !("ok" in value) || value.ok !== false) return undefined;
  return "error" in value && value.error instanceof Failure ? value.error.code : undefined;
}
