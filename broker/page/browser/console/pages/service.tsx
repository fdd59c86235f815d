/** One part: how it is, what it depends on, its figures over time, and how much its log says. */
import { useLocation, useRoute } from "preact-iso";
import { useState } from "preact/hooks";
import { type Schema, withQuery } from "../api.ts";
import { change, Show, useAsked, useBarred } from "../asked.tsx";
import { Chart } from "../chart.tsx";
import { Ways } from "../map.tsx";
import { type Figures, type Health, PARTS, SERVICES, stateOf, titleOf, wrongOf } from "../parts.ts";
import {
  Badge,
  Button,
  ChoiceField,
  durationOf,
  Empty,
  Notice,
  PageTitle,
  Section,
  TableBox,
  Tabs,
  Time,
} from "../ui.tsx";
import { WrongLine } from "./platform.tsx";

const HEALTH_MS = 2_000;
const FIGURES_MS = 5_000;
const WINDOWS = [
  ["300", "5 min"],
  ["900", "15 min"],
  ["3600", "1 h"],
] as const;
const USUAL = "900";

export function ServicePage() {
  const { params } = useRoute();
  const name = PARTS.find((one) => one === params["service"]);
  if (name === undefined) {
    return (
      <>
        <PageTitle title="There is no such part" />
        <Empty title={`The platform has no part "${params["service"] ?? ""}".`}>
          <a href="/console/platform">All parts</a>
        </Empty>
      </>
    );
  }
  return <Part key={name} name={name} />;
}

function Part({ name }: { name: (typeof PARTS)[number] }) {
  const health = useAsked<Health>("/v1/health", { everyMs: HEALTH_MS });
  const state = stateOf(health.data, name);
  const isService = SERVICES.some((one) => one === name);
  return (
    <>
      <PageTitle title={titleOf(name)}>
        <Badge tone={state.tone}>{state.word}</Badge>
        {isService && (
          <a class="button" href={withQuery("/console/traces", { service: name })}>
            Its traces
          </a>
        )}
        <a class="button" href="/console/platform">
          All parts
        </a>
      </PageTitle>
      <Show of={health} what="how it is">
        {(report) =>
          isService ? <ServiceHealth report={report} name={name} /> : <BackingHealth report={report} name={name} />
        }
      </Show>
      <OverTime name={name} />
      <ItsWays name={name} />
      {isService && <Levels service={name} />}
    </>
  );
}

function ItsTroubles({ report, name }: { report: Health; name: string }) {
  const wrong = wrongOf(report).filter(({ part }) => part === name);
  if (wrong.length === 0) return null;
  return (
    <Notice tone={wrong.some(({ tone }) => tone === "bad") ? "bad" : "warn"} title="It is not as it should be">
      <ul class="wrong">
        {wrong.map((one) => (
          <WrongLine key={one.text} wrong={one} />
        ))}
      </ul>
    </Notice>
  );
}

function ServiceHealth({ report, name }: { report: Health; name: string }) {
  const service = report.services.find((one) => one.name === name);
  if (service === undefined) return <Empty title="The broker knows no instance of it." />;
  const { instances, dependencies, backlog } = service;
  return (
    <>
      <ItsTroubles report={report} name={name} />
      <Section title={instances.length === 1 ? "Instance" : `${instances.length} instances`}>
        <TableBox label="Instances">
          <table>
            <thead>
              <tr>
                <th>State</th>
                <th>Address</th>
                <th>Version</th>
                <th>Runs since</th>
                <th class="number">Answered in</th>
              </tr>
            </thead>
            <tbody>
              {instances.map(({ state, url, version, up_since, took_ms }, index) => (
                <tr key={url ?? index}>
                  <td>
                    <Badge tone={state === "up" ? "good" : state === "degraded" ? "warn" : "bad"}>
                      {state.replace("_", " ")}
                    </Badge>
                  </td>
                  <td>{url === undefined ? "–" : <code>{url}</code>}</td>
                  <td>{version ?? "–"}</td>
                  <td>
                    <Time at={up_since} />
                  </td>
                  <td class="number">{durationOf(took_ms)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </TableBox>
        {backlog.length > 0 && (
          <dl class="figures">
            {backlog.map(({ name: what, waiting }) => (
              <div key={what}>
                <dt>{what}</dt>
                <dd>{waiting}</dd>
              </div>
            ))}
          </dl>
        )}
      </Section>
      {dependencies.length > 0 && (
        <Section title="What it depends on">
          <Dependencies of={dependencies} />
        </Section>
      )}
    </>
  );
}

function Dependencies({ of }: { of: readonly Schema<"DependencyView">[] }) {
  return (
    <TableBox label="Dependencies">
      <table>
        <thead>
          <tr>
            <th>Part</th>
            <th>State</th>
            <th>Since</th>
            <th>Circuit</th>
            <th>Needed</th>
            <th>Last trouble</th>
          </tr>
        </thead>
        <tbody>
          {of.map(({ name, state, since, circuit, required, last_error, last_error_at }) => (
            <tr key={name}>
              <th scope="row">
                {PARTS.some((part) => part === name) ? <a href={`/console/platform/${name}`}>{titleOf(name)}</a> : name}
              </th>
              <td>
                <Badge tone={state === "up" ? "good" : required ? "bad" : "warn"}>
                  {state === "down" ? "away" : state}
                </Badge>
              </td>
              <td>
                <Time at={since} />
              </td>
              <td class={circuit === "open" ? "bad" : ""}>{circuit ?? "–"}</td>
              <td>{required ? "yes" : "it does without"}</td>
              <td class="breaks">
                {last_error === undefined ? (
                  "–"
                ) : (
                  <>
                    {last_error} {last_error_at !== undefined && <Time at={last_error_at} how="ago" />}
                  </>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </TableBox>
  );
}

function BackingHealth({ report, name }: { report: Health; name: string }) {
  const backing = report.backing.find((one) => one.name === name);
  if (backing === undefined) return <Empty title="No service uses it.">It is used where a setting says so.</Empty>;
  const { since, seen_by, last_error, last_error_at } = backing;
  return (
    <>
      <ItsTroubles report={report} name={name} />
      <Section title="How it is">
        <dl class="facts">
          <dt>used by</dt>
          <dd>{seen_by.join(", ") || "nobody who answers"}</dd>
          <dt>as it is since</dt>
          <dd>
            <Time at={since} />
          </dd>
          <dt>last trouble</dt>
          <dd>
            {last_error ?? "none"} {last_error_at !== undefined && <Time at={last_error_at} how="ago" />}
          </dd>
        </dl>
      </Section>
    </>
  );
}

function OverTime({ name }: { name: string }) {
  const { path, route } = useLocation();
  const { query } = useRoute();
  const chosen = WINDOWS.find(([seconds]) => seconds === query["window"])?.[0] ?? USUAL;
  const figures = useAsked<Schema<"FiguresOverTime">>(`/v1/platform/figures/${name}?window_s=${chosen}`, {
    everyMs: FIGURES_MS,
  });
  return (
    <Section title="Over time">
      <Tabs
        label="How far back"
        tabs={WINDOWS}
        chosen={chosen}
        onChoose={(seconds) => route(withQuery(path, { window: seconds === USUAL ? undefined : seconds }), true)}
      />
      <Show of={figures} what="its figures">
        {({ at, charts }) => {
          const shown = charts.filter(({ series }) => series.length > 0);
          return shown.length === 0 ? (
            <Empty title="Nobody has told figures of it yet.">They are looked at every five seconds.</Empty>
          ) : (
            <div class="panes">
              {shown.map(({ key, title, unit, series }) => (
                <Chart key={key} title={title} unit={unit} at={at} series={series} />
              ))}
            </div>
          );
        }}
      </Show>
    </Section>
  );
}

function ItsWays({ name }: { name: string }) {
  const figures = useAsked<Figures>("/v1/platform/figures", { everyMs: FIGURES_MS });
  const edges = (figures.data?.edges ?? []).filter(({ from, to }) => from === name || to === name);
  if (edges.length === 0) return null;
  return (
    <Section title="Its ways">
      <Ways edges={edges} />
    </Section>
  );
}

const LEVELS = ["debug", "info", "warn", "error", "silent"] as const;
type Level = (typeof LEVELS)[number];
const DURATIONS = [
  ["300", "for 5 minutes"],
  ["900", "for 15 minutes"],
  ["3600", "for an hour"],
  ["0", "until it is restarted"],
] as const;

function Levels({ service }: { service: string }) {
  const levels = useAsked<Schema<"LevelList">>("/v1/log-levels");
  return (
    <Section title="How much its log says">
      <Show of={levels} what="the levels of the logs">
        {({ items }) => {
          const own = items.filter((one) => one.service === service);
          return (
            <>
              <ul class="levels">
                {own.map(({ instance, level, configured, until, error }, index) => (
                  <li key={instance ?? index}>
                    {error === undefined ? (
                      <>
                        <strong>{level}</strong> and worse
                        {until !== undefined && (
                          <>
                            {" "}
                            until <Time at={until} />, then {configured} again
                          </>
                        )}
                      </>
                    ) : (
                      <span class="bad">{error}</span>
                    )}
                  </li>
                ))}
              </ul>
              <LevelForm service={service} now={own.find(({ level }) => level !== undefined)} onDone={levels.refresh} />
            </>
          );
        }}
      </Show>
    </Section>
  );
}

interface LevelFormProps {
  readonly service: string;
  readonly now: Schema<"InstanceLevel"> | undefined;
  readonly onDone: () => void;
}

function LevelForm({ service, now, onDone }: LevelFormProps) {
  const [level, setLevel] = useState<Level>("debug");
  const [seconds, setSeconds] = useState<string>("900");
  const barred = useBarred("platform:manage");
  const put = async (to: Level, forS: number, undo?: () => Promise<void>): Promise<void> => {
    const { ok } = await change("PUT", "/v1/log-levels", {
      body: { services: [service], level: to, for_s: forS },
      done: `The log of ${service} says ${to} and worse`,
      ...(undo === undefined ? {} : { undo }),
    });
    if (ok) onDone();
  };
  const before = now?.level ?? "info";
  // Back to what is configured needs no end; what was a change before ends when it would have.
  const left = now?.until === undefined ? 0 : Math.max(1, Math.round((Date.parse(now.until) - Date.now()) / 1_000));
  return (
    <div class="filters">
      <ChoiceField
        label="Level"
        value={level}
        onInput={(value) => setLevel(LEVELS.find((one) => one === value) ?? "info")}
        options={LEVELS.map((one) => [one, one] as const)}
      />
      <ChoiceField label="How long" value={seconds} onInput={setSeconds} options={DURATIONS} />
      <Button barred={barred} onClick={() => put(level, Number(seconds), () => put(before, left))}>
        Change
      </Button>
    </div>
  );
}
