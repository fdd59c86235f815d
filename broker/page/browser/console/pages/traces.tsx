/** The way of requests through the platform: the last ones, and one whole. */
import { useLocation, useRoute } from "preact-iso";
import { type Schema, withQuery } from "../api.ts";
import { More, Show, useAsked, usePages } from "../asked.tsx";
import { Timeline } from "../timeline.tsx";
import { Badge, ChoiceField, Code, durationOf, Empty, Notice, PageTitle, Section, TextField, Time } from "../ui.tsx";

const PAGE = 50;
const EVERY_MS = 2_000;

export function TracesPage() {
  const { route } = useLocation();
  const { query } = useRoute();
  const filter = {
    service: query["service"],
    name: query["name"],
    error: query["error"],
    min_duration_ms: query["min_duration_ms"],
  };
  const set = (name: string, value: string): void =>
    route(withQuery("/console/traces", { ...filter, [name]: value }), true);
  const pages = usePages<Schema<"TraceSummary">>(withQuery("/v1/traces", { ...filter, limit: PAGE }));
  return (
    <>
      <PageTitle
        title="Traces"
        lead="Each answer names its trace (X-Trace-Id). The last ones are kept in the platform itself."
      />
      <Section title="Which">
        <div class="filters">
          <ChoiceField
            label="Service"
            value={filter.service ?? ""}
            onInput={(value) => set("service", value)}
            options={[
              ["", "any"],
              ...["broker", "auth", "logger", "mail", "listener"].map((name) => [name, name] as const),
            ]}
          />
          <TextField
            label="Began with"
            placeholder="POST /handle"
            value={filter.name ?? ""}
            onInput={(value) => set("name", value)}
          />
          <ChoiceField
            label="Outcome"
            value={filter.error ?? ""}
            onInput={(value) => set("error", value)}
            options={[
              ["", "any"],
              ["true", "with an error"],
              ["false", "without"],
            ]}
          />
          <TextField
            label="Took at least (ms)"
            type="number"
            value={filter.min_duration_ms ?? ""}
            onInput={(value) => set("min_duration_ms", value)}
          />
        </div>
      </Section>
      <Section title="Newest first">
        <Show of={pages} what="the traces">
          {(items) =>
            items.length === 0 ? (
              <Empty title="No trace fits.">
                Send a request on <a href="/">Try</a>; it takes a few seconds until its trace is here.
              </Empty>
            ) : (
              <div class="table">
                <table>
                  <thead>
                    <tr>
                      <th>Began</th>
                      <th>With</th>
                      <th>Took</th>
                      <th>Through</th>
                      <th>Spans</th>
                      <th>Outcome</th>
                    </tr>
                  </thead>
                  <tbody>
                    {items.map((one) => (
                      <tr key={one.trace_id}>
                        <td>
                          <a href={`/console/traces/${one.trace_id}`}>
                            <Time at={one.started_at} />
                          </a>
                        </td>
                        <td>{one.name ?? "its beginning is not here"}</td>
                        <td>{durationOf(one.duration_ms)}</td>
                        <td>{one.services.join(", ")}</td>
                        <td>{one.spans}</td>
                        <td>{one.error ? <Badge tone="bad">error</Badge> : <Badge tone="good">well</Badge>}</td>
                      </tr>
                    ))}
                  </tbody>
                </table>
                <More of={pages} />
              </div>
            )
          }
        </Show>
      </Section>
    </>
  );
}

export function TracePage() {
  const { params } = useRoute();
  const id = params["id"] ?? "";
  const asked = useAsked<Schema<"TraceDetail">>(`/v1/traces/${encodeURIComponent(id)}`, { everyMs: EVERY_MS });
  return (
    <>
      <PageTitle title="Trace">
        <a class="button" href={`/console/logs?trace_id=${id}`}>
          Its log entries
        </a>
      </PageTitle>
      <Show of={asked} what="the trace">
        {(trace) => (
          <Section title={`${trace.spans[0]?.name ?? "Spans"}, ${durationOf(trace.duration_ms)}`}>
            <p>
              <code>{trace.trace_id}</code>, began <Time at={trace.started_at} />
            </p>
            {!trace.whole && (
              <Notice tone="warn" title="Not all of it is here">
                Spans that others name as their parents are missing. They may still come.
              </Notice>
            )}
            {trace.cut && <Notice tone="warn" title="It has more spans than are kept of one trace" />}
            <Timeline trace={trace} />
            <details>
              <summary>As JSON</summary>
              <Code label="The trace as JSON" text={JSON.stringify(trace, null, 2)} />
            </details>
          </Section>
        )}
      </Show>
    </>
  );
}
