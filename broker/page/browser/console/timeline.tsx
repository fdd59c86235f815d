/** A trace as a timeline: one row a span, children below their parents, each where it lay in time. */
import { useState } from "preact/hooks";
import type { Schema } from "./api.ts";
import { Badge, Code, durationOf } from "./ui.tsx";

type Span = Schema<"TraceSpan">;

interface Row {
  readonly span: Span;
  readonly depth: number;
}

/** Children below their parents, both in order of time; a span whose parent is not here stands by itself. */
export function rowsOf(spans: readonly Span[]): Row[] {
  const here = new Set(spans.map(({ span_id }) => span_id));
  const children = new Map<string | undefined, Span[]>();
  for (const span of spans) {
    const parent = span.parent_id !== undefined && here.has(span.parent_id) ? span.parent_id : undefined;
    children.set(parent, [...(children.get(parent) ?? []), span]);
  }
  const rows: Row[] = [];
  const add = (parent: string | undefined, depth: number): void => {
    for (const span of children.get(parent) ?? []) {
      rows.push({ span, depth });
      add(span.span_id, depth + 1);
    }
  };
  add(undefined, 0);
  return rows;
}

const KINDS: Readonly<Record<Span["kind"], string>> = {
  internal: "work inside",
  server: "answers a request",
  client: "asks another part",
  producer: "publishes a message",
  consumer: "takes a message",
};
/** Deeper ones are not moved in further: names need the room. */
const DEPTH_MAX = 8;

export function Timeline({ trace }: { trace: Schema<"TraceDetail"> }) {
  const [open, setOpen] = useState<string>();
  const total = Math.max(trace.duration_ms, 0.001);
  const share = (ms: number): string => `${((Math.max(ms, 0) / total) * 100).toFixed(3)}%`;
  return (
    <div class="timeline">
      <ul class="legend" aria-label="Services">
        {trace.services.map((service) => (
          <li key={service}>
            <span class={`swatch of-${service}`} aria-hidden="true" /> {service}
          </li>
        ))}
      </ul>
      <ol aria-label="Spans">
        {rowsOf(trace.spans).map(({ span, depth }) => (
          <li key={span.span_id}>
            <button
              type="button"
              class="span"
              aria-expanded={open === span.span_id}
              onClick={() => setOpen(open === span.span_id ? undefined : span.span_id)}
            >
              <span class="span-name" style={{ paddingInlineStart: `${Math.min(depth, DEPTH_MAX) * 0.75}rem` }}>
                <small>{span.service}</small> {span.name}
                {span.error !== undefined && <Badge tone="bad">{span.error}</Badge>}
              </span>
              <span class="span-track" aria-hidden="true">
                <span
                  class={`span-bar of-${span.service}`}
                  style={{ insetInlineStart: share(span.offset_ms), width: share(span.duration_ms) }}
                />
              </span>
              <span class="span-time">{durationOf(span.duration_ms)}</span>
            </button>
            {open === span.span_id && <SpanDetail span={span} />}
          </li>
        ))}
      </ol>
    </div>
  );
}

function SpanDetail({ span }: { span: Span }) {
  const { kind, offset_ms, duration_ms, instance, attributes, events, links } = span;
  return (
    <div class="span-detail">
      <p>
        {KINDS[kind]}; began {durationOf(offset_ms)} after the start, took {durationOf(duration_ms)}
        {instance === undefined ? "" : `; instance ${instance}`}
      </p>
      {Object.keys(attributes).length > 0 && <Code label="Attributes" text={JSON.stringify(attributes, null, 2)} />}
      {events.map(({ name, offset_ms: at, attributes: more }) => (
        <p key={`${name}${at}`}>
          {durationOf(at)}: {name} {Object.keys(more).length > 0 && <code>{JSON.stringify(more)}</code>}
        </p>
      ))}
      {links.map(({ trace_id, span_id }) => (
        <p key={span_id}>
          Led to by <a href={`/console/traces/${trace_id}`}>another span</a>
        </p>
      ))}
    </div>
  );
}
