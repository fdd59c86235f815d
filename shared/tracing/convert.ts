/** A span of ours as one of the SDK's: with its resource, within its limits, and in the shape that its serializers take. */
import { type Link, ROOT_CONTEXT, SpanKind, SpanStatusCode, TraceFlags, trace as traces } from "@opentelemetry/api";
import { defaultResource, resourceFromAttributes } from "@opentelemetry/resources";
import { AlwaysOnSampler, type ReadableSpan, TracerProvider } from "@opentelemetry/sdk-trace";
import type { FinishedSpan, SpanLink } from "#shared/telemetry";
import type { TracingSettings } from "./settings.ts";

/** Of one span, the SDK's defaults but for the length: a span is no place for a body. */
const LIMITS = {
  attributeCountLimit: 128,
  attributeValueLengthLimit: 2_048,
  eventCountLimit: 128,
  linkCountLimit: 128,
  attributePerEventCountLimit: 32,
  attributePerLinkCountLimit: 32,
};

const KINDS: Readonly<Record<FinishedSpan["kind"], SpanKind>> = {
  internal: SpanKind.INTERNAL,
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
};

/** Says that the parent is nobody's whom we know: where a trace is looked at, it is not missed. */
export const FROM_OUTSIDE = "platform.parent.outside";

export type Converter = (span: FinishedSpan) => ReadableSpan;

function linkOf({ traceId, spanId }: SpanLink): Link {
  return { context: { traceId, spanId, traceFlags: TraceFlags.SAMPLED } };
}

export function makeConverter({ resource, version }: Pick<TracingSettings, "resource" | "version">): Converter {
  const ids = { traceId: "", spanId: "" };
  let ended: ReadableSpan | undefined;
  const provider = new TracerProvider({
    resource: defaultResource().merge(resourceFromAttributes(resource)),
    // It was decided when the ids were made.
    sampler: new AlwaysOnSampler(),
    spanLimits: LIMITS,
    idGenerator: { generateTraceId: () => ids.traceId, generateSpanId: () => ids.spanId },
    spanProcessors: [
      {
        onStart: () => undefined,
        onEnd: (span) => {
          ended = span;
        },
        forceFlush: () => Promise.resolve(),
        shutdown: () => Promise.resolve(),
      },
    ],
  });
  const tracer = provider.getTracer("platform", version);

  return ({ trace, name, kind, startedAt, endedAt, attributes, links, events, error }) => {
    const { traceId, spanId, parentId, fromOutside } = trace;
    ids.traceId = traceId;
    ids.spanId = spanId;
    const isRemote = kind === "server" || kind === "consumer";
    const context =
      parentId === undefined
        ? ROOT_CONTEXT
        : traces.setSpanContext(ROOT_CONTEXT, { traceId, spanId: parentId, traceFlags: TraceFlags.SAMPLED, isRemote });
    const span = tracer.startSpan(
      name,
      {
        kind: KINDS[kind],
        startTime: startedAt,
        attributes: {
          ...attributes,
          ...(error === undefined ? {} : { "error.type": error }),
          ...(fromOutside === true ? { [FROM_OUTSIDE]: true } : {}),
        },
        links: links.map(linkOf),
      },
      context,
    );
    for (const event of events) span.addEvent(event.name, event.attributes, event.at);
    if (error !== undefined) span.setStatus({ code: SpanStatusCode.ERROR });
    span.end(endedAt);
    if (ended === undefined) throw new Error("a span did not end");
    const converted = ended;
    ended = undefined;
    return converted;
  };
}
