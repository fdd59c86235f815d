/** Storing, and steps of MongoDB, as spans of what they are for (semantic conventions of database spans); no value of a query is in them. */
import {
  type CallContext,
  childOf,
  inSpan,
  preciseNow,
  recordSpan,
  type SpanAttributes,
  type Trace,
} from "#shared/telemetry";

function attributesOf(operation: string, collection: string): SpanAttributes {
  return { "db.system.name": "mongodb", "db.operation.name": operation, "db.collection.name": collection };
}

/** Does `work`, an `operation` (`find`, `aggregate`, …) on a collection. */
export function inMongo<T>(
  context: { readonly trace?: Trace | undefined },
  operation: string,
  collection: string,
  work: () => Promise<T>,
): Promise<T> {
  const options = { kind: "client", attributes: attributesOf(operation, collection) } as const;
  return inSpan(context, `${operation} ${collection}`, options, work);
}

/** Entries of one call that each have a span of their own: of a trace no more than some thousand spans are kept. */
const SPANS_MAX = 100;

/**
 * Stores the entries of one call, which have a span each; where they are many, one for all of them in place of those. Entries that name
 * a trace of their own have theirs all the same.
 */
export function inStore<T>(
  context: CallContext,
  entries: number,
  work: (context: CallContext) => Promise<T>,
  spansMax = SPANS_MAX,
): Promise<T> {
  if (entries <= spansMax) return work(context);
  return inSpan(context, "store entries", { attributes: { "logger.entries": entries } }, (within, span) =>
    work(span.isRecorded ? { ...within, trace: { ...within.trace, sampled: false } } : within),
  );
}

/** When a step for many began. */
export function stepBegins(): number {
  return preciseNow();
}

/**
 * A step that was one for many: a span in the trace of each that is followed, all with the same times.
 * @param errorOf the failure of an item, by its place.
 */
export function recordStep(
  { operation, collection, startedAt }: { operation: string; collection: string; startedAt: number },
  items: readonly { readonly trace?: Trace }[],
  errorOf: (index: number) => string | undefined = () => undefined,
): void {
  const endedAt = preciseNow();
  const attributes = {
    ...attributesOf(operation, collection),
    ...(items.length > 1 ? { "db.operation.batch.size": items.length } : {}),
  };
  for (const [index, { trace }] of items.entries()) {
    if (trace === undefined) continue;
    const error = errorOf(index);
    recordSpan(childOf(trace), {
      name: `${operation} ${collection}`,
      kind: "client",
      startedAt,
      endedAt,
      attributes,
      ...(error === undefined ? {} : { error }),
    });
  }
}
