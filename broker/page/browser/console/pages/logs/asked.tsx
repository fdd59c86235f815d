/** What is stored and fits: counted over time, page by page, and as a file. */
import { useEffect, useMemo, useState } from "preact/hooks";
import { download, type Download, type Schema, type Trouble } from "../../api.ts";
import { type Asked, More, type Pages, Show, useAsked, usePages } from "../../asked.tsx";
import { Chart } from "../../chart.tsx";
import { Entries, type Entry } from "../../entries.tsx";
import { askedOf, exportProblem, type LogQuery, SEVERITIES } from "../../log-query.ts";
import { Button, durationOf, Empty, figure, Notice, Section, Time, toast } from "../../ui.tsx";

type Counts = Schema<"LogHistogram">;

const PAGE = 50;
/** The logger looks for up to 28 s (ms). */
const WITHIN_MS = 32_000;
const COLOURS: Readonly<Record<string, string>> = { INFO: "--series-1", WARNING: "--series-2", ERROR: "--bad" };

export interface AskedEntriesProps {
  readonly query: LogQuery;
  readonly onChange: (next: LogQuery) => void;
  /** Names that there are. */
  readonly onNames: (names: readonly string[]) => void;
}

export function AskedEntries({ query, onChange, onNames }: AskedEntriesProps) {
  const [now, setNow] = useState(() => Date.now());
  const [isCounted, setCounted] = useState(true);
  const asked = useMemo(() => askedOf(query, now).toString(), [now]);
  const filter = asked === "" ? "" : `?${asked}`;
  const pages = usePages<Entry>(`/v1/logs?${asked}${asked === "" ? "" : "&"}limit=${PAGE}`, { withinMs: WITHIN_MS });
  const counts = useAsked<Counts>(isCounted ? `/v1/logs/histogram${filter}` : undefined, { withinMs: WITHIN_MS });
  const names = counts.data?.names;
  useEffect(() => names && onNames(names), [names]);
  const again = (): void => {
    setNow(Date.now());
    pages.refresh();
    counts.refresh();
  };
  if (pages.trouble?.status === 422) {
    return (
      <Notice tone="warn" title="This can't be asked">
        {pages.trouble.message}
      </Notice>
    );
  }
  return (
    <>
      {isCounted && (
        <Histogram
          counts={counts}
          isDay={!new URLSearchParams(asked).has("from")}
          onSelect={(from, to) => onChange({ ...query, last: undefined, from: isoOf(from), to: isoOf(to) })}
        />
      )}
      <Section
        title="Entries, newest first"
        actions={
          <>
            <Button small pressed={isCounted} onClick={() => setCounted(!isCounted)}>
              Counts
            </Button>
            <Button small onClick={again}>
              Ask again
            </Button>
            <Export path={`/v1/logs/export${filter}`} />
          </>
        }
      >
        <Show of={pages} what="the entries">
          {(items) =>
            items.length === 0 && pages.more === undefined ? (
              <Empty title="No entry is like that.">
                {query.last === undefined || query.last === "all" ? (
                  <>
                    Ask for less, or <a href="/">send one</a>.
                  </>
                ) : (
                  <Button onClick={() => onChange({ ...query, last: "all" })}>Ask without a time</Button>
                )}
              </Empty>
            ) : (
              <>
                <HowMany of={pages} total={asked.includes("from=") ? counts.data?.total : undefined} />
                <Entries items={items} />
                {pages.more !== undefined && items.length % PAGE !== 0 && (
                  <p class="hint warn">Looking took long, and not everything has been looked at: there may be more.</p>
                )}
                <More of={pages} />
              </>
            )
          }
        </Show>
      </Section>
    </>
  );
}

/** @param total of all that fit, where that is counted. */
function HowMany({ of: { data = [], more, ms }, total }: { of: Pages<Entry>; total: number | undefined }) {
  const shown = figure(data.length);
  const of =
    total !== undefined && total >= data.length ? ` of ${figure(total)}` : more === undefined ? "" : ", of more";
  return (
    <p class="hint" role="status">
      {shown}
      {of}
      {ms !== undefined && `; the first page took ${durationOf(ms)}`}
    </p>
  );
}

interface HistogramProps {
  readonly counts: Asked<Counts>;
  /** It was asked for without a beginning. */
  readonly isDay: boolean;
  /** Epoch, seconds. */
  readonly onSelect: (from: number, to: number) => void;
}

function Histogram({ counts, isDay, onSelect }: HistogramProps) {
  return (
    <Section title="How many, and when">
      <Show of={counts} what="the counts">
        {({ buckets, total, interval_ms, names, from, to }) => {
          const others = [...new Set(buckets.flatMap(({ severities }) => Object.keys(severities)))];
          const severities = [...new Set([...SEVERITIES, ...others])];
          return (
            <>
              <Chart
                title={`${figure(total)} entries`}
                unit={`in ${words(interval_ms)}`}
                kind="bars"
                stacked
                height={140}
                at={buckets.map(({ at }) => Date.parse(at) / 1_000)}
                series={severities.map((severity) => ({
                  name: severity,
                  values: buckets.map((bucket) => bucket.severities[severity] ?? 0),
                }))}
                colours={severities.map((severity) => COLOURS[severity] ?? "--series-5")}
                onSelect={onSelect}
              />
              <p class="hint">
                Mark a stretch to ask for it.
                {isDay && (
                  <>
                    {" "}
                    Counted is the day from <Time at={from} how="instant" /> to <Time at={to} how="instant" />; the list
                    has what was before, too.
                  </>
                )}
              </p>
              {names.length > 0 && (
                <p class="names">
                  Most frequent:{" "}
                  {names.map((name, index) => (
                    <span key={name}>
                      {index > 0 && ", "}
                      <a href={`/console/logs?name=${encodeURIComponent(name)}`}>{name}</a>
                    </span>
                  ))}
                </p>
              )}
            </>
          );
        }}
      </Show>
    </Section>
  );
}

/** To whole seconds, as the fields have them. */
const isoOf = (s: number): string => new Date(Math.round(s) * 1_000).toISOString();

function words(ms: number): string {
  const s = ms / 1_000;
  if (s < 60) return `${figure(s)} s`;
  if (s < 3_600) return `${figure(s / 60)} min`;
  return s < 86_400 ? `${figure(s / 3_600)} h` : `${figure(s / 86_400)} days`;
}

function Export({ path }: { path: string }) {
  const [progress, setProgress] = useState<{ bytes: number; stop: AbortController } | undefined>(undefined);
  const begin = async (): Promise<void> => {
    const stop = new AbortController();
    setProgress({ bytes: 0, stop });
    const got = await download(path, "entries.ndjson", {
      signal: stop.signal,
      onProgress: (bytes) => setProgress({ bytes, stop }),
    });
    setProgress(undefined);
    if (stop.signal.aborted) toast("The export was stopped: nothing is kept", { tone: "warn" });
    else tell(got);
  };
  if (progress === undefined) {
    return (
      <Button small onClick={begin}>
        Export
      </Button>
    );
  }
  return (
    <>
      <span role="status">{figure(progress.bytes / 1_024)} KiB…</span>
      <Button small onClick={() => progress.stop.abort()}>
        Stop
      </Button>
    </>
  );
}

function tell(got: Download | Trouble): void {
  if ("message" in got) return toast(got.message, { tone: "bad" });
  if (got.cut) return toast("Only its beginning fits in here: use bun run logs export", { tone: "warn" });
  const problem = exportProblem(got.end);
  if (problem === undefined) toast(`${figure(got.bytes / 1_024)} KiB are kept as entries.ndjson`);
  else toast(`entries.ndjson is not all of it: ${problem}`, { tone: "warn" });
}
