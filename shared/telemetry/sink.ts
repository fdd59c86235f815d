/** Where the spans of this process go. Until something is in use, nowhere. */
import type { FinishedSpan } from "./spans.ts";

export interface SpanSink {
  /** Whether a trace that begins here is recorded. */
  isRootSampled(): boolean;
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

export function isRootSampled(): boolean {
  return sink?.isRootSampled() ?? true;
}
