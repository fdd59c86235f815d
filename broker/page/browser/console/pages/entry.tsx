/** One entry of the log, and the trace that it came of. */
import { useRoute } from "preact-iso";
import type { Schema } from "../api.ts";
import { Show, useAsked } from "../asked.tsx";
import { type Entry, EntryFields, Severity } from "../entries.tsx";
import { Timeline } from "../timeline.tsx";
import { Button, CopyButton, durationOf, Empty, PageTitle, Section } from "../ui.tsx";

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
      {asked.trouble?.kind === "not-found" ? (
        <NotThere id={id} onRetry={asked.refresh} />
      ) : (
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
              </Section>
              {entry.trace_id !== undefined && <ItsTrace id={entry.trace_id} />}
            </>
          )}
        </Show>
      )}
    </>
  );
}

/** What never came here may be elsewhere. */
function NotThere({ id, onRetry }: { id: string; onRetry: () => void }) {
  const its = encodeURIComponent(id);
  return (
    <Empty title="No entry has this id.">
      <p>
        <code>{id}</code> was never stored, is still on its way, or was removed since.{" "}
        <Button small onClick={onRetry}>
          Look again
        </Button>
      </p>
      <a href={`/console/receipts/${its}`}>Its receipt</a> tells where it is, if it was accepted here. Or it is among
      the <a href={`/console/events?id=${its}`}>dead letters</a>.
    </Empty>
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
