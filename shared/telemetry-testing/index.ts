/** Spans and metrics as a test sees them. */
import { type FinishedSpan, type Metrics, useSpans } from "#shared/telemetry";

/** All spans of this process from now on, in the order of their ends, until it is disposed. */
export function collectSpans(): { readonly spans: FinishedSpan[] } & Disposable {
  const spans: FinishedSpan[] = [];
  const using = useSpans({ isRootSampled: () => true, record: (span) => void spans.push(span) });
  return { spans, [Symbol.dispose]: () => using[Symbol.dispose]() };
}

/** The value of the first line of the metrics that begins with `name`; NaN where there is none. */
export async function metricOf(metrics: Metrics, name: string): Promise<number> {
  const line = (await metrics.text()).split("\n").find((one) => one.startsWith(name));
  return Number(line?.split(" ").at(-1));
}
