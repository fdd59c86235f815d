/** How the platform is: in a sentence, as a map, in figures, and over the last minutes. */
import type { Schema } from "../api.ts";
import { Show, useAsked } from "../asked.tsx";
import { Chart } from "../chart.tsx";
import { PlatformMap } from "../map.tsx";
import {
  backlogOf,
  type Figures,
  type Health,
  queuedOf,
  quietSince,
  sumOf,
  valueOf,
  type Wrong,
  wrongOf,
} from "../parts.ts";
import { durationOf, figure, Notice, PageTitle, Section, Time } from "../ui.tsx";

const HEALTH_MS = 2_000;
const FIGURES_MS = 5_000;
const WINDOW_S = 900;
/** Of the broker's charts those that say how the whole is. */
const CHARTS = ["requests", "latency", "outcomes"];

export function PlatformPage() {
  const health = useAsked<Health>("/v1/health", { everyMs: HEALTH_MS });
  const figures = useAsked<Figures>("/v1/platform/figures", { everyMs: FIGURES_MS });
  const charts = useAsked<Schema<"FiguresOverTime">>(`/v1/platform/figures/broker?window_s=${WINDOW_S}`, {
    everyMs: FIGURES_MS,
  });
  return (
    <>
      <PageTitle title="Platform" lead="Every part, who calls whom, and what waits. It is looked at all the time." />
      <Show of={health} what="how the parts are">
        {(report) => <Sentences report={report} />}
      </Show>
      <Section title="Map">
        {figures.trouble !== undefined && figures.data === undefined && (
          <Show of={figures} what="the figures">
            {() => null}
          </Show>
        )}
        <PlatformMap health={health.data} figures={figures.data} />
      </Section>
      <Section title="Now">
        <Show of={figures} what="the figures">
          {(data) => <Now figures={data} health={health.data} />}
        </Show>
      </Section>
      <Section title="The last 15 minutes">
        <Show of={charts} what="figures over time">
          {({ at, charts: all }) => (
            <div class="panes">
              {all
                .filter(({ key }) => CHARTS.includes(key))
                .map(({ key, title, unit, series }) => (
                  <Chart key={key} title={title} unit={unit} at={at} series={series} />
                ))}
            </div>
          )}
        </Show>
      </Section>
    </>
  );
}

function Sentences({ report }: { report: Health }) {
  const wrong = wrongOf(report);
  if (wrong.length === 0) {
    const since = quietSince(report);
    return (
      <Notice tone="good" title="All is well">
        {since !== undefined && (
          <>
            Nothing has changed since <Time at={since} /> (<Time at={since} how="ago" />
            ).
          </>
        )}
      </Notice>
    );
  }
  const isBad = wrong.some(({ tone }) => tone === "bad");
  return (
    <Notice
      tone={isBad ? "bad" : "warn"}
      title={isBad ? "Something is away" : "Something is done in another way than usual"}
    >
      <ul class="wrong">
        {wrong.map((one) => (
          <WrongLine key={`${one.part} ${one.text}`} wrong={one} />
        ))}
      </ul>
      <p>What is accepted meanwhile is kept, and goes on by itself when all is back.</p>
    </Notice>
  );
}

export function WrongLine({ wrong: { part, text, since } }: { wrong: Wrong }) {
  return (
    <li>
      <a href={`/console/platform/${part}`}>{text}</a>
      {since !== undefined && (
        <>
          , since <Time at={since} /> (<Time at={since} how="ago" />)
        </>
      )}
      .
    </li>
  );
}

function Now({ figures, health }: { figures: Figures; health: Health | undefined }) {
  const rate = (value: number | undefined): string => (value === undefined ? "–" : `${figure(value)}/s`);
  const count = (value: number | undefined): string => (value === undefined ? "–" : figure(value));
  const p95 = valueOf(figures, "broker", "latency.p95");
  const shown: readonly (readonly [string, string])[] = [
    ["requests", rate(valueOf(figures, "broker", "requests.all"))],
    ["failed", rate(valueOf(figures, "broker", "requests.failed"))],
    ["95 of 100 within", p95 === undefined ? "–" : durationOf(p95)],
    ["actions", rate(sumOf(figures, "broker", "actions"))],
    ["entries stored", rate(valueOf(figures, "logger", "entries.stored"))],
    ["mails sent", rate(valueOf(figures, "mail", "sent.sent"))],
    ["spooled", count(sumOf(figures, "broker", "spool"))],
    ["queued", count(queuedOf(figures, ["work", "retry"]))],
    ["mails that wait", count(backlogOf(health, "mail"))],
    ["dead letters", count(queuedOf(figures, ["dead-letters"]))],
  ];
  return (
    <dl class="figures">
      {shown.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
