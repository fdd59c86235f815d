/** Where the spans of this process go. Until something is in use, nowhere. */
import type { FinishedSpan } from "./spans.ts";

export interface SpanSink {
  /** Whether a trace that begins here is recorded. */
  isRootSampled(traceId: string): boolean;
  /**
   * Whether a trace that goes on here is. Default: as it was decided where it began.
   * @param fromOutside by somebody who is none of us, and may have asked for more than we can do.
   */
  isContinuedSampled?(traceId: string, sampled: boolean, fromOutside: boolean): boolean;
  /** Takes a span of a trace that is sampled. Never throws, never waits. */
  record(span: FinishedSpan): void;
}

let sink: SpanSink | undefined;

/** From now on spans go to `given`; disposing gives back what was in use before. */
export function useSpans(given: SpanSink): Disposable {
  const before = sink;
  sink = given;
  return {
    [Symbol.dispose]() {
      if (sink === given) sink = before;
    },
  };
}

export function currentSink(): SpanSink | undefined {
  return sink;
}

/** Where spans go nowhere no trace is recorded from here on: nobody would have its root. */
export function isRootSampled(traceId: string): boolean {
  return sink?.isRootSampled(traceId) ?? false;
}

export function isContinuedSampled(traceId: string, sampled: boolean, fromOutside: boolean): boolean {
  // What one of ours decided goes on; what somebody outside asks for has no limit here to be met within.
  if (sink === undefined) return sampled && !fromOutside;
  return sink.isContinuedSampled?.(traceId, sampled, fromOutside) ?? sampled;
}
