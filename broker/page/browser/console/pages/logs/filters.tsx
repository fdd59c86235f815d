/** What is asked of the log, as a form. */
import { useState } from "preact/hooks";
import { fieldProblem, FIELDS_MAX, type LogQuery, SEVERITIES, type Span, SPANS, USUAL_SPAN } from "../../log-query.ts";
import { Button, ChoiceField, MomentField, Section, SettledField } from "../../ui.tsx";

const SPAN_WORDS: Readonly<Record<Span, string>> = {
  "15m": "the last 15 minutes",
  "1h": "the last hour",
  "24h": "the last 24 hours",
  "7d": "the last 7 days",
};
const IDS = [
  ["trace_id", "Trace"],
  ["request_id", "Request"],
  ["producer", "Producer"],
  ["event_id", "Entry or receipt"],
] as const;

export interface FiltersProps {
  readonly query: LogQuery;
  /** That there are: offered while one is typed. */
  readonly names: readonly string[];
  /** What is followed has no times. */
  readonly isLive: boolean;
  readonly onChange: (next: LogQuery) => void;
}

export function Filters({ query, names, isLive, onChange }: FiltersProps) {
  const set = (change: Partial<LogQuery>): void => onChange({ ...query, ...change });
  const hasIds = IDS.some(([name]) => query[name] !== "");
  const last = (chosen: string): void =>
    chosen === "between"
      ? set({ last: undefined, from: new Date(Date.now() - SPANS[USUAL_SPAN] * 1_000).toISOString() })
      : set({ last: chosen as Span | "all", from: "", to: "" });
  return (
    <Section title="Which">
      <div class="filters">
        <SettledField
          label="Words"
          type="search"
          placeholder="card declined"
          value={query.q}
          onInput={(q) => set({ q })}
        />
        <SettledField
          label="Name"
          placeholder="order, payment"
          suggestions={names}
          value={query.name.join(", ")}
          onInput={(text) => set({ name: listOf(text) })}
        />
        <fieldset class="severities">
          <legend>Severity</legend>
          {SEVERITIES.map((severity) => {
            const isChosen = query.severity.includes(severity);
            return (
              <Button
                key={severity}
                small
                pressed={isChosen}
                onClick={() =>
                  set({
                    severity: SEVERITIES.filter((one) => (one === severity ? !isChosen : query.severity.includes(one))),
                  })
                }
              >
                {severity}
              </Button>
            );
          })}
        </fieldset>
        {!isLive && (
          <ChoiceField
            label="When"
            value={query.last ?? "between"}
            onInput={last}
            options={[...Object.entries(SPAN_WORDS), ["all", "whenever"], ["between", "between two times"]]}
          />
        )}
        {!isLive && query.last === undefined && (
          <>
            <MomentField label="From" value={query.from} onInput={(from) => set({ from })} />
            <MomentField label="Until, not included" value={query.to} onInput={(to) => set({ to })} />
          </>
        )}
        <DataFields data={query.data} onChange={(data) => set({ data })} />
      </div>
      <details open={hasIds}>
        <summary>By an id</summary>
        <div class="filters">
          {IDS.map(([name, label]) => (
            <SettledField
              key={name}
              label={label}
              value={query[name]}
              onInput={(text) => set({ [name]: text.trim() })}
            />
          ))}
        </div>
      </details>
    </Section>
  );
}

function listOf(text: string): string[] {
  return text
    .split(",")
    .map((one) => one.trim())
    .filter(Boolean);
}

/** One for each that is asked for, and one more. */
function DataFields({ data, onChange }: { data: readonly string[]; onChange: (data: readonly string[]) => void }) {
  const [typed, setTyped] = useState<{ at: number; text: string }>();
  return (
    <>
      {[...data, ""].slice(0, FIELDS_MAX).map((field, at) => (
        <SettledField
          // oxlint-disable-next-line react/no-array-index-key
          key={at}
          label={at === 0 ? "Field of the data" : `And field ${at + 1} of the data`}
          placeholder="user.id=42"
          error={typed?.at === at ? fieldProblem(typed.text) : undefined}
          value={field}
          onInput={(text) => {
            setTyped({ at, text });
            if (fieldProblem(text) === undefined)
              onChange([...data.slice(0, at), text, ...data.slice(at + 1)].filter(Boolean));
          }}
        />
      ))}
    </>
  );
}
