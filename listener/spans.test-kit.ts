/** Spans of worker threads, as a test sees them. */
import type { FinishedSpan, Trace } from "#shared/telemetry";
import { collectSpans } from "#shared/telemetry-testing";

export const openWorker = (): Worker => new Worker(new URL("./spans-worker.fixture.ts", import.meta.url));

/** The spans of the worker threads that `openWorker` opens, and of this one. */
export function allSpans() {
  const here = collectSpans();
  const channel = new BroadcastChannel("spans");
  channel.addEventListener("message", (event: Event) => {
    here.spans.push((event as MessageEvent).data as FinishedSpan);
  });
  const of = ({ traceId }: Pick<Trace, "traceId">): FinishedSpan[] =>
    here.spans.filter((span) => span.trace.traceId === traceId).sort((a, b) => a.startedAt - b.startedAt);
  return {
    spans: here.spans,
    of,
    /** The spans of a trace by name, the earliest first. */
    named: (trace: Pick<Trace, "traceId">, name: string): FinishedSpan[] =>
      of(trace).filter((span) => span.name === name),
    [Symbol.dispose]() {
      channel.close();
      here[Symbol.dispose]();
    },
  };
}
