/** Log entries, one below the other: what each says in a line, and all of it when it is opened. */
import { memo } from "preact/compat";
import { type Schema, withQuery } from "./api.ts";
import { Badge, Code, Time, type Tone } from "./ui.tsx";

export type Entry = Schema<"LogItem"> & { readonly data_cut?: number };

const TONES: Readonly<Record<string, Tone>> = { INFO: "info", WARNING: "warn", ERROR: "bad" };
/** Of the data in one line (characters). */
const LINE = 300;

export function Severity({ of }: { of: string }) {
  return <Badge tone={TONES[of] ?? "info"}>{of}</Badge>;
}

/** @param isNew entries come by themselves: only a line is drawn for each, which leads to its page. */
export function Entries({ items, isNew = false }: { items: readonly Entry[]; isNew?: boolean }) {
  return (
    <ul class="entries" aria-label="Entries">
      {items.map((entry) => (
        <li key={entry.event_id}>{isNew ? <Line entry={entry} /> : <Opened entry={entry} />}</li>
      ))}
    </ul>
  );
}

/** Drawn once: an entry does not change. */
const Line = memo(({ entry }: { entry: Entry }) => (
  <a class="entry" href={`/console/logs/${encodeURIComponent(entry.event_id)}`}>
    <Said entry={entry} />
  </a>
));

const Opened = memo(({ entry }: { entry: Entry }) => (
  <details>
    <summary class="entry">
      <Said entry={entry} />
    </summary>
    <EntryFields entry={entry} />
  </details>
));

function Said({ entry: { created_at, severity, name, data } }: { entry: Entry }) {
  const isToday = new Date(created_at).toDateString() === new Date().toDateString();
  return (
    <>
      <Time at={created_at} how={isToday ? "clock" : "instant"} />
      <Severity of={severity} />
      <strong>{name}</strong>
      <span class="said">{lineOf(data)}</span>
    </>
  );
}

function lineOf(data: unknown): string {
  const text = typeof data === "string" ? data : JSON.stringify(data);
  return text.length > LINE ? `${text.slice(0, LINE)}…` : text;
}

/** Everything that is known of an entry, with what leads on from it. */
export function EntryFields({ entry }: { entry: Entry }) {
  const { event_id, name, data, created_at, stored_at, source, request_id, trace_id, producer, origin, data_cut } =
    entry;
  const id = encodeURIComponent(event_id);
  return (
    <div class="entry-fields">
      <Code label={`Data of ${name}`} text={typeof data === "string" ? data : JSON.stringify(data, null, 2)} />
      {data_cut !== undefined && <p class="hint">This is its beginning, of {data_cut} characters.</p>}
      <dl class="facts">
        <dt>happened</dt>
        <dd>
          <Time at={created_at} how="instant" />
        </dd>
        {stored_at !== undefined && [
          <dt key="stored">stored</dt>,
          <dd key="stored-at">
            <Time at={stored_at} how="instant" />
            {source !== undefined && `, by ${source}`}
          </dd>,
        ]}
        <dt>id</dt>
        <dd>
          <a href={`/console/logs/${id}`}>
            <code>{event_id}</code>
          </a>{" "}
          (<a href={`/console/receipts/${id}`}>receipt</a>)
        </dd>
        {trace_id !== undefined && [
          <dt key="trace">trace</dt>,
          <dd key="trace-id">
            <a href={`/console/traces/${trace_id}`}>
              <code>{trace_id}</code>
            </a>{" "}
            (<a href={`/console/logs?trace_id=${trace_id}`}>its entries</a>)
          </dd>,
        ]}
        {request_id !== undefined && [
          <dt key="request">request</dt>,
          <dd key="request-id">
            <a href={`/console/logs?request_id=${encodeURIComponent(request_id)}`}>
              <code>{request_id}</code>
            </a>
          </dd>,
        ]}
        {producer !== undefined && [
          <dt key="producer">producer</dt>,
          <dd key="producer-id">
            <a href={`/console/logs?producer=${encodeURIComponent(producer.id)}`}>
              <code>{producer.id}</code>
            </a>
            , its number {producer.sequence}
          </dd>,
        ]}
        {origin !== undefined && [
          <dt key="origin">event</dt>,
          <dd key="origin-key">
            <code>{origin.routing_key}</code> of <code>{origin.exchange}</code>
          </dd>,
        ]}
        <dt>more</dt>
        <dd>
          <a href={`/console/logs?name=${encodeURIComponent(name)}`}>of this name</a>; a minute before and after:{" "}
          <a href={around(created_at)}>of everybody</a>, <a href={around(created_at, { name })}>of this name</a>
          {producer !== undefined && (
            <>
              , <a href={around(created_at, { producer: producer.id })}>of this producer</a>
            </>
          )}
        </dd>
      </dl>
    </div>
  );
}

const AROUND_MS = 60_000;

function around(at: string, more: Readonly<Record<string, string>> = {}): string {
  const moment = Date.parse(at);
  return withQuery("/console/logs", {
    ...more,
    from: new Date(moment - AROUND_MS).toISOString(),
    to: new Date(moment + AROUND_MS).toISOString(),
  });
}
