/** One entry of the log, and the trace that it came of. */
import { useRoute } from "preact-iso";
import type { Schema } from "../api.ts";
import { Show, useAsked } from "../asked.tsx";
import { type Entry, EntryFields, Severity } from "../entries.tsx";
import { Timeline } from "../timeline.tsx";
import { Code, CopyButton, durationOf, PageTitle, Section } from "../ui.tsx";

export function EntryPage() {
  const { params } = useRoute();
  const id = params["id"] ?? "";
  const asked = useAsked<Entry>(`/v1/logs/${encodeURIComponent(id)}`);
  return (
    <>
      <PageTitle title="Log entry">
        <a class="button" href="/console/logs">
          All entries
        </a>
      </PageTitle>
      <Show of={asked} what="the entry">
        {(entry) => (
          <>
            <Section
              title={entry.name}
              actions={
                <>
                  <Severity of={entry.severity} />
                  <CopyButton text={() => JSON.stringify(entry, null, 2)}>Copy as JSON</CopyButton>
                </>
              }
            >
              <EntryFields entry={entry} />
              {entry.origin !== undefined && (
                <details>
                  <summary>The event that it came from</summary>
                  <Code label="Its origin" text={JSON.stringify(entry.origin, null, 2)} />
                </details>
              )}
            </Section>
            {entry.trace_id !== undefined && <ItsTrace id={entry.trace_id} />}
          </>
        )}
      </Show>
    </>
  );
}

function ItsTrace({ id }: { id: string }) {
  const asked = useAsked<Schema<"TraceDetail">>(`/v1/traces/${id}`);
  return (
    <Section
      title={`The request that it came of${asked.data === undefined ? "" : `, ${durationOf(asked.data.duration_ms)}`}`}
    >
      {asked.trouble?.kind === "not-found" ? (
        <p class="hint">Its trace is not kept any more: the last ones are.</p>
      ) : (
        <Show of={asked} what="its trace">
          {(trace) => <Timeline trace={trace} />}
        </Show>
      )}
    </Section>
  );
}
