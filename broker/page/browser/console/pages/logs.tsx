/** The log: asked by what is in the address, counted over time, and followed as it is stored. */
import { useLocation } from "preact-iso";
import { useMemo, useState } from "preact/hooks";
import { download, type Schema, withQuery } from "../api.ts";
import { More, Show, TroubleNotice, useAsked, usePages } from "../asked.tsx";
import { Chart } from "../chart.tsx";
import { Entries, type Entry } from "../entries.tsx";
import { DRAWN, useLive } from "../live.ts";
import {
  askedOf,
  fieldProblem,
  followedOf,
  type LogQuery,
  queryOf,
  searchOf,
  SEVERITIES,
  type Span,
  SPANS,
  USUAL_SPAN,
} from "../log-query.ts";
import { forgetQuery, saveQuery, savedQueries } from "../saved-queries.ts";
import { useStore } from "../store.ts";
import {
  Badge,
  Button,
  ChoiceField,
  Empty,
  figure,
  MomentField,
  Notice,
  PageTitle,
  Section,
  SettledField,
  TextField,
  toast,
} from "../ui.tsx";

const PAGE = 50;
/** The logger looks for up to 28 s (ms). */
const WITHIN_MS = 32_000;
const SPAN_WORDS: Readonly<Record<Span, string>> = {
  "15m": "the last 15 minutes",
  "1h": "the last hour",
  "24h": "the last 24 hours",
  "7d": "the last 7 days",
};
const COLOURS: Readonly<Record<(typeof SEVERITIES)[number], string>> = {
  INFO: "--series-1",
  WARNING: "--series-2",
  ERROR: "--bad",
};

export function LogsPage() {
  const { url, route } = useLocation();
  const given = new URLSearchParams(url.split("?")[1] ?? "");
  const isLive = given.get("live") === "1";
  const query = queryOf(given.toString());
  const search = searchOf(query);
  const go = (next: LogQuery, live = isLive): void => {
    const to = [searchOf(next), live ? "live=1" : ""].filter(Boolean).join("&");
    route(to === "" ? "/console/logs" : `/console/logs?${to}`, true);
  };
  return (
    <>
      <PageTitle title="Logs" lead="Everything that was stored: asked by what you know of it, or followed as it comes.">
        <Button pressed={isLive} onClick={() => go(query, !isLive)}>
          Live
        </Button>
      </PageTitle>
      <Filters query={query} isLive={isLive} onChange={go} />
      <Saved search={search} onGo={(to) => route(to === "" ? "/console/logs" : `/console/logs?${to}`)} />
      {isLive ? <LiveEntries key={search} query={query} /> : <Asked key={search} query={query} onChange={go} />}
    </>
  );
}

interface FiltersProps {
  readonly query: LogQuery;
  readonly isLive: boolean;
  readonly onChange: (next: LogQuery) => void;
}

function Filters({ query, isLive, onChange }: FiltersProps) {
  const set = (change: Partial<LogQuery>): void => onChange({ ...query, ...change });
  const [field, setField] = useState(query.data[0] ?? "");
  const problem = fieldProblem(field);
  const hasMore = [query.trace_id, query.request_id, query.producer, query.event_id].some((text) => text !== "");
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
          value={query.name.join(", ")}
          onInput={(text) =>
            set({
              name: text
                .split(",")
                .map((one) => one.trim())
                .filter(Boolean),
            })
          }
        />
        <SettledField
          label="Field of the data"
          placeholder="user.id=42"
          error={problem}
          value={query.data[0] ?? ""}
          onInput={(text) => {
            setField(text);
            if (fieldProblem(text) === undefined) set({ data: [text, ...query.data.slice(1)].filter(Boolean) });
          }}
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
                    severity: isChosen
                      ? query.severity.filter((one) => one !== severity)
                      : SEVERITIES.filter((one) => one === severity || query.severity.includes(one)),
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
            onInput={(last) =>
              last === "between"
                ? set({ last: undefined, from: new Date(Date.now() - SPANS[USUAL_SPAN] * 1_000).toISOString() })
                : set({ last: last as Span | "all", from: "", to: "" })
            }
            options={[...Object.entries(SPAN_WORDS), ["all", "whenever"], ["between", "between two times"]]}
          />
        )}
      </div>
      {!isLive && query.last === undefined && (
        <div class="filters">
          <MomentField label="From" value={query.from} onInput={(from) => set({ from })} />
          <MomentField label="Until, not included" value={query.to} onInput={(to) => set({ to })} />
        </div>
      )}
      <details open={hasMore}>
        <summary>By an id</summary>
        <div class="filters">
          {(
            [
              ["trace_id", "Trace"],
              ["request_id", "Request"],
              ["producer", "Producer"],
              ["event_id", "Entry"],
            ] as const
          ).map(([name, label]) => (
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

function Saved({ search, onGo }: { search: string; onGo: (search: string) => void }) {
  const saved = useStore(savedQueries);
  const [name, setName] = useState("");
  const save = (event: Event): void => {
    event.preventDefault();
    const kept = name.trim();
    if (kept === "") return;
    saveQuery({ name: kept, search });
    setName("");
    toast(`"${kept}" is kept in this browser`);
  };
  return (
    <details class="saved">
      <summary>Saved questions{saved.length === 0 ? "" : ` (${saved.length})`}</summary>
      {saved.length === 0 && (
        <p class="hint">Give a question a name to ask it again. Each is an address: it can be sent to others, too.</p>
      )}
      <ul class="rows">
        {saved.map((one) => (
          <li key={one.name}>
            <a
              href={`/console/logs?${one.search}`}
              onClick={(event) => {
                event.preventDefault();
                onGo(one.search);
              }}
              {...(one.search === search ? { "aria-current": "true" as const } : {})}
            >
              {one.name}
            </a>{" "}
            <Button
              small
              kind="plain"
              label={`Forget ${one.name}`}
              onClick={() => toast(`"${one.name}" is forgotten`, { undo: forgetQuery(one.name) })}
            >
              ✕
            </Button>
          </li>
        ))}
      </ul>
      <form class="filters" onSubmit={save}>
        <TextField label="Save this question as" value={name} onInput={setName} />
        <Button type="submit" disabled={name.trim() === ""}>
          Save
        </Button>
      </form>
    </details>
  );
}

interface AskedProps {
  readonly query: LogQuery;
  readonly onChange: (next: LogQuery) => void;
}

function Asked({ query, onChange }: AskedProps) {
  const [now, setNow] = useState(() => Date.now());
  const asked = useMemo(() => askedOf(query, now).toString(), [now]);
  const pages = usePages<Entry>(`/v1/logs?${asked}${asked === "" ? "" : "&"}limit=${PAGE}`, { withinMs: WITHIN_MS });
  const [counts, setCounts] = useState(true);
  return (
    <>
      {counts && (
        <Histogram
          asked={asked}
          onSelect={(from, to) =>
            onChange({
              ...query,
              last: undefined,
              from: new Date(from * 1_000).toISOString(),
              to: new Date(to * 1_000).toISOString(),
            })
          }
        />
      )}
      <Section
        title="Entries, newest first"
        actions={
          <>
            <Button small pressed={counts} onClick={() => setCounts(!counts)}>
              Counts
            </Button>
            <Button small onClick={() => setNow(Date.now())}>
              Ask again
            </Button>
            <Export asked={asked} />
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
                <Entries items={items} />
                {items.length === 0 && <p class="hint">Nothing so far, and not everything has been looked at.</p>}
                <More of={pages} />
              </>
            )
          }
        </Show>
      </Section>
    </>
  );
}

function Histogram({ asked, onSelect }: { asked: string; onSelect: (from: number, to: number) => void }) {
  const histogram = useAsked<Schema<"LogHistogram">>(
    withQuery("/v1/logs/histogram", {}) + (asked === "" ? "" : `?${asked}`),
    {
      withinMs: WITHIN_MS,
    },
  );
  return (
    <Section title="How many, and when">
      <Show of={histogram} what="the counts">
        {({ buckets, total, interval_ms, names }) => (
          <>
            <Chart
              title={`${figure(total)} entries`}
              unit={`in ${words(interval_ms)}`}
              kind="bars"
              stacked
              height={140}
              at={buckets.map(({ at }) => Date.parse(at) / 1_000)}
              series={SEVERITIES.map((severity) => ({
                name: severity,
                values: buckets.map(({ severities }) => severities[severity] ?? 0),
              }))}
              colours={SEVERITIES.map((severity) => COLOURS[severity])}
              onSelect={onSelect}
            />
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
        )}
      </Show>
    </Section>
  );
}

function words(ms: number): string {
  const s = ms / 1_000;
  if (s < 60) return `${figure(s)} s`;
  if (s < 3_600) return `${figure(s / 60)} min`;
  return s < 86_400 ? `${figure(s / 3_600)} h` : `${figure(s / 86_400)} days`;
}

function Export({ asked }: { asked: string }) {
  const [progress, setProgress] = useState<{ bytes: number; stop: AbortController } | undefined>(undefined);
  const begin = async (): Promise<void> => {
    const stop = new AbortController();
    setProgress({ bytes: 0, stop });
    const path = `/v1/logs/export${asked === "" ? "" : `?${asked}`}`;
    const got = await download(path, "entries.ndjson", {
      signal: stop.signal,
      onProgress: (bytes) => setProgress({ bytes, stop }),
    });
    setProgress(undefined);
    if (stop.signal.aborted) toast("The export was stopped", { tone: "warn" });
    else if ("message" in got) toast(got.message, { tone: "bad" });
    else if (got.cut) toast("Only its beginning fits in here: use bun run logs export", { tone: "warn" });
    else toast(`${figure(got.bytes / 1_024)} KiB are kept as entries.ndjson`);
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

function LiveEntries({ query }: { query: LogQuery }) {
  const [held, setHeld] = useState(false);
  const followed = followedOf(query).toString();
  const live = useLive(`/v1/logs/tail${followed === "" ? "" : `?${followed}`}`, held);
  const { entries, count, waiting, dropped, notes, state, trouble, clear } = live;
  return (
    <Section
      title="As they are stored"
      actions={
        <>
          <span role="status">
            {state === "live" ? (
              <Badge tone={held ? "warn" : "good"}>{held ? `held, ${figure(waiting)} more` : "live"}</Badge>
            ) : (
              <Badge tone={state === "broken" ? "bad" : "info"}>
                {state === "broken" ? "broken off" : "connecting"}
              </Badge>
            )}
          </span>
          <Button small pressed={held} onClick={() => setHeld(!held)}>
            Hold
          </Button>
          <Button small onClick={clear}>
            Clear
          </Button>
        </>
      }
    >
      {trouble !== undefined &&
        (trouble.kind === "offline" ? (
          <Notice tone="warn" title="It is connected again by itself">
            {trouble.message}
          </Notice>
        ) : (
          <TroubleNotice trouble={trouble} what="the log" />
        ))}
      {notes.map((text) => (
        <p key={text} class="hint">
          {text}
        </p>
      ))}
      {dropped > 0 && (
        <p class="hint warn">{figure(dropped)} more than can be shown were left out here. The log has them all.</p>
      )}
      {entries.length === 0 && state === "live" && !held ? (
        <Empty title="Nothing has come yet.">
          <a href="/">Send something</a> in another tab, and it is here.
        </Empty>
      ) : (
        <>
          <Entries items={entries} isNew />
          {count > DRAWN && (
            <p class="hint">
              The newest {DRAWN} of {figure(count)}. Older ones are in the log.
            </p>
          )}
        </>
      )}
    </Section>
  );
}
