/** A call over an edge as one span, whatever it takes: each of its tries is a span within it. */
import type { Result } from "#shared/errors";
import type { Edge } from "#shared/resilience";
import type { CallContext } from "./context.ts";
import { inSpan } from "./spans.ts";

/**
 * `edge.run` for work that is followed. The span is called as the edge is, and says how often it was tried
 * (`edge.tries`; 0: the edge let nothing through) and how its circuit stood before (`edge.state`).
 * @param work is given the time and the span of its try.
 */
export function overEdge<T>(
  edge: Edge,
  context: CallContext,
  work: (context: CallContext) => Promise<Result<T>>,
): Promise<Result<T>> {
  return inSpan(context, edge.name, {}, async (inner, span) => {
    if (!span.isRecorded) return edge.run(context.deadline, (deadline) => work({ ...context, deadline }));
    const { state } = edge;
    let tries = 0;
    const result = await edge.run(inner.deadline, (deadline) => {
      tries += 1;
      if (tries > 1) span.event("tried again");
      return work({ ...inner, deadline });
    });
    span.set({ "edge.tries": tries, "edge.state": state });
    return result;
  });
}
