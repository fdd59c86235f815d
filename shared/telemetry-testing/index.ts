/** Spans as a test sees them. */
import { type FinishedSpan, useSpans } from "#shared/telemetry";

/** All spans of this process from now on, in the order of their ends, until it is disposed. */
export function collectSpans(): { readonly spans: FinishedSpan[] } & Disposable {
  const spans: FinishedSpan[] = [];
  const using = useSpans({ isRootSampled: () => true, record: (span) => void spans.push(span) });
  return { spans, [Symbol.dispose]: () => using[Symbol.dispose]() };
}
