/** Breaking the platform that runs, under load, and the verdict: where everything is that was accepted. Development only. */
import { useLocation, useRoute } from "preact-iso";
import { useState } from "preact/hooks";
import { ask, download, type Schema } from "../api.ts";
import { Show, useAsked } from "../asked.tsx";
import { Chart } from "../chart.tsx";
import { FACTS } from "../platform.ts";
import { may } from "../session.ts";
import {
  Badge,
  Button,
  durationOf,
  Empty,
  figure,
  Notice,
  PageTitle,
  Section,
  TextField,
  Time,
  toast,
} from "../ui.tsx";

type Overview = Schema<"ChaosOverview">;
type Experiment = Schema<"ChaosExperiment">;
type Report = Schema<"ChaosReport">;
type Verdict = NonNullable<Report["verdict"]>;
type Result = Schema<"ChaosResult">;
type Part = Schema<"ChaosPart">;

const OVERVIEW_MS = 3_000;
const RUNNING_MS = 700;
const SCOPE = "platform:manage";

const FAULTS: readonly (readonly [fault: Experiment["fault"], shown: string])[] = [
  ["kill", "kill"],
  ["crash_loop", "crash loop"],
  ["stop", "stop"],
  ["freeze", "freeze"],
  ["slow", "slow"],
  ["cut", "cut"],
  ["blackhole", "black hole"],
  ["trickle", "trickle"],
];
const nameOf = (fault: string): string => FAULTS.find(([name]) => name === fault)?.[1] ?? fault;

export function BreakPage() {
  const { params } = useRoute();
  const id = params["id"];
  if (!FACTS.breakable) {
    return (
      <>
        <PageTitle title="Break it" />
        <Empty title="This platform can't be broken from here.">
          It is on offer where <code>bun run up</code> has started the platform for development.
        </Empty>
      </>
    );
  }
  return id === undefined ? <Start /> : <One id={id} />;
}

function Start() {
  const overview = useAsked<Overview>("/v1/chaos", { everyMs: OVERVIEW_MS });
  return (
    <>
      <PageTitle
        title="Break it"
        lead="Pick a part and what shall happen to it. Requests go on meanwhile; at the end everything that was accepted is looked for in the stores themselves."
      />
      <Show of={overview} what="what can be broken">
        {(data) => (
          <>
            {data.running !== null && <Running of={data.running} />}
            <Choose overview={data} />
            <Reports reports={data.reports} />
          </>
        )}
      </Show>
    </>
  );
}

function Running({ of: { id, suite, fault, part, says } }: { of: Experiment }) {
  return (
    <Notice tone="warn" title={suite ? "The suite is running" : `${nameOf(fault)} of ${part} is under way`}>
      <p>{says}</p>
      <a class="button primary" href={`/console/break/${id}`}>
        Watch it
      </a>
    </Notice>
  );
}

function Choose({ overview: { parts, suite, defaults, notes, running } }: { overview: Overview }) {
  const { route } = useLocation();
  const [seconds, setSeconds] = useState(String(defaults.seconds));
  const [rate, setRate] = useState(String(defaults.rate));
  const isFree = running === null && may(SCOPE);
  const start = async (body: unknown): Promise<void> => {
    const reply = await ask<Experiment>("POST", "/v1/chaos/experiments", { body });
    if (reply.ok) route(`/console/break/${reply.data.id}`);
    else toast(reply.trouble.message, { tone: "bad" });
  };
  const calls = { rate: Number(rate) };
  return (
    <>
      <Section title="All at once">
        <p>
          {suite.steps.length} experiments one after the other, each with its own count, in at most{" "}
          {durationOf(suite.longest_s * 1_000)}: {summed(suite.steps)}.
        </p>
        <Button kind="primary" disabled={!isFree} onClick={() => start({ suite: true, ...calls })}>
          Run the suite
        </Button>
      </Section>
      <Section title="One fault">
        {notes.map((note) => (
          <Notice key={note} tone="info" title={note} />
        ))}
        {!may(SCOPE) && (
          <Notice tone="warn" title="You may look, and not break">
            It takes the right <code>{SCOPE}</code>.
          </Notice>
        )}
        <div class="filters">
          <TextField
            label="For how long (s, 1 to 60)"
            type="number"
            value={seconds}
            onInput={setSeconds}
            hint="It can be ended before."
          />
          <TextField label="Requests a second (1 to 200)" type="number" value={rate} onInput={setRate} />
        </div>
        <div class="table">
          <table class="faults">
            <caption class="unseen">What can happen to which part</caption>
            <thead>
              <tr>
                <th scope="col">part</th>
                {FAULTS.map(([fault, shown]) => (
                  <th key={fault} scope="col">
                    {shown}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {parts.map((part) => (
                <tr key={part.name}>
                  <th scope="row">
                    {part.name} <small>{part.state}</small>
                  </th>
                  {FAULTS.map(([fault, shown]) => (
                    <td key={fault}>
                      <FaultButton
                        part={part}
                        fault={fault}
                        shown={shown}
                        isFree={isFree}
                        onStart={() => start({ fault, part: part.name, seconds: Number(seconds), ...calls })}
                      />
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
        <dl class="facts">
          {FAULTS.map(([fault, shown]) => {
            const about = parts.flatMap(({ offers }) => offers).find((offer) => offer.fault === fault)?.about;
            return about !== undefined && [<dt key={`${fault}-dt`}>{shown}</dt>, <dd key={`${fault}-dd`}>{about}</dd>];
          })}
        </dl>
      </Section>
    </>
  );
}

function summed(steps: Overview["suite"]["steps"]): string {
  const parts = [...new Set(steps.map(({ part }) => part))];
  const faults = [...new Set(steps.map(({ fault }) => nameOf(fault)))];
  return `${faults.join(", ")} of ${parts.join(", ")}`;
}

interface FaultButtonProps {
  readonly part: Part;
  readonly fault: Experiment["fault"];
  readonly shown: string;
  readonly isFree: boolean;
  readonly onStart: () => Promise<void>;
}

function FaultButton({ part, fault, shown, isFree, onStart }: FaultButtonProps) {
  const refused = part.refuses.find((one) => one.fault === fault)?.why;
  if (refused !== undefined || !part.offers.some((one) => one.fault === fault)) {
    return (
      <span title={refused}>
        <span aria-hidden="true">–</span>
        <span class="unseen">{refused ?? "not on offer"}</span>
      </span>
    );
  }
  return (
    <Button small disabled={!isFree} label={`${shown} ${part.name}`} onClick={onStart}>
      {shown}
    </Button>
  );
}

function Reports({ reports }: { reports: Overview["reports"] }) {
  return (
    <Section title="Reports">
      {reports.length === 0 ? (
        <Empty title="Nothing has been broken yet." />
      ) : (
        <div class="table">
          <table>
            <thead>
              <tr>
                <th>When</th>
                <th>What</th>
                <th>Verdict</th>
                <th class="number">Accepted</th>
                <th class="number">Lost</th>
                <th class="number">Twice</th>
                <th class="number">Took</th>
              </tr>
            </thead>
            <tbody>
              {reports.map((report) => (
                <tr key={report.id}>
                  <td>
                    <a href={`/console/break/${report.id}`}>
                      <Time at={report.started_at} />
                    </a>
                  </td>
                  <td>{report.title}</td>
                  <td>
                    <VerdictBadge {...report} />
                  </td>
                  <td class="number">{figure(report.accepted)}</td>
                  <td class="number">{report.lost}</td>
                  <td class="number">{report.twice}</td>
                  <td class="number">{durationOf(report.took_ms)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Section>
  );
}

function VerdictBadge({ outcome, lost, twice }: { outcome: Report["outcome"]; lost: number; twice: number }) {
  if (lost > 0) return <Badge tone="bad">lost {lost}</Badge>;
  if (twice > 0) return <Badge tone="bad">twice {twice}</Badge>;
  if (outcome === "failed") return <Badge tone="bad">could not be counted</Badge>;
  return <Badge tone="good">{outcome === "stopped" ? "stopped, nothing lost" : "nothing lost"}</Badge>;
}

/** One experiment: as it runs, or its report. */
function One({ id }: { id: string }) {
  const path = encodeURIComponent(id);
  const running = useAsked<Experiment>(`/v1/chaos/experiments/${path}`, { everyMs: RUNNING_MS });
  const isOver = running.data?.ended_at !== undefined || running.trouble?.kind === "not-found";
  const report = useAsked<Report>(isOver ? `/v1/chaos/reports/${path}` : undefined);
  return (
    <>
      <PageTitle title="Break it">
        <a class="button" href="/console/break">
          All parts and faults
        </a>
      </PageTitle>
      {isOver ? (
        <Show of={report} what="the report">
          {(data) => <ReportView report={data} samples={running.data} />}
        </Show>
      ) : (
        <Show of={running} what="the experiment">
          {(data) => <ExperimentView experiment={data} />}
        </Show>
      )}
    </>
  );
}

const PHASES = ["load", "fault", "healing", "draining", "counting"] as const;
const PHASE_WORDS: Readonly<Record<(typeof PHASES)[number], string>> = {
  load: "Requests begin",
  fault: "It is broken",
  healing: "It heals",
  draining: "What waited arrives",
  counting: "Everything is counted",
};

function ExperimentView({ experiment }: { experiment: Experiment }) {
  const { id, suite, fault, part, phase, says, step, counters, results } = experiment;
  const act = async (method: "POST" | "DELETE", path: string, done: string): Promise<void> => {
    const reply = await ask(method, `/v1/chaos/experiments/${id}${path}`, method === "POST" ? { body: {} } : {});
    toast(reply.ok ? done : reply.trouble.message, { tone: reply.ok ? "good" : "bad" });
  };
  const reached = PHASES.findIndex((name) => name === phase);
  return (
    <>
      <Section
        title={`${nameOf(fault)} of ${part}`}
        actions={
          <>
            {phase === "fault" && (
              <Button kind="primary" disabled={!may(SCOPE)} onClick={() => act("POST", "/heal", "It heals")}>
                End the fault now
              </Button>
            )}
            <Button disabled={!may(SCOPE)} onClick={() => act("DELETE", "", "It stops, and counts what there is")}>
              {suite ? "Stop the suite" : "Stop"}
            </Button>
          </>
        }
      >
        {suite && (
          <p>
            <label>
              Experiment {step.number} of {step.of} <progress max={step.of} value={step.number - 1} />
            </label>
          </p>
        )}
        <ol class="phases" aria-label="Phases">
          {PHASES.map((name, index) => (
            <li
              key={name}
              {...(name === phase ? { "aria-current": "step" as const } : {})}
              class={index < reached ? "past" : ""}
            >
              {PHASE_WORDS[name]}
            </li>
          ))}
        </ol>
        <p role="status">
          <strong>{says}</strong>
        </p>
        <Counters counters={counters} />
      </Section>
      <OverTime of={experiment} />
      {results.length > 0 && <Results results={results} />}
    </>
  );
}

function Counters({ counters }: { counters: Experiment["counters"] }) {
  const shown: readonly (readonly [string, number])[] = [
    ["requests", counters.calls],
    ["accepted", counters.accepted],
    ["of these in another way", counters.degraded],
    ["logins", counters.logins],
    ["refused", counters.refused],
    ["without an answer", counters.unanswered],
  ];
  return (
    <dl class="figures">
      {shown.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{figure(value)}</dd>
        </div>
      ))}
    </dl>
  );
}

function OverTime({ of: { samples, started_at } }: { of: Experiment }) {
  if (samples.length === 0) return null;
  const start = Math.floor(Date.parse(started_at) / 1_000);
  const at = samples.map(({ t }) => start + t);
  return (
    <Section title="Second by second">
      <div class="panes">
        <Chart
          title="Answers"
          unit="/s"
          at={at}
          series={[
            { name: "accepted", values: samples.map(({ accepted }) => accepted) },
            { name: "refused or none", values: samples.map(({ refused }) => refused) },
          ]}
          colours={["--good", "--bad"]}
        />
        <Chart
          title="95 of 100 answers within"
          unit="ms"
          at={at}
          series={[{ name: "p95", values: samples.map(({ p95_ms }) => p95_ms) }]}
        />
      </div>
    </Section>
  );
}

function ReportView({ report, samples }: { report: Report; samples: Experiment | undefined }) {
  const { id, title, outcome, error, verdict, results, machine, versions, how, seed, rate, started_at, took_ms } =
    report;
  const keep = async (format: "json" | "markdown"): Promise<void> => {
    const path = `/v1/chaos/reports/${encodeURIComponent(id)}${format === "markdown" ? "?format=markdown" : ""}`;
    const got = await download(path, `chaos-${id}.${format === "markdown" ? "md" : "json"}`);
    if ("message" in got) toast(got.message, { tone: "bad" });
  };
  return (
    <>
      <Section
        title={title}
        actions={
          <>
            <Button small onClick={() => keep("markdown")}>
              Keep as Markdown
            </Button>
            <Button small onClick={() => keep("json")}>
              Keep as JSON
            </Button>
          </>
        }
      >
        {error !== undefined && <Notice tone="bad" title={error} />}
        {verdict === undefined ? (
          <Empty title={`It was ${outcome}, and nothing could be counted.`} />
        ) : (
          <VerdictView verdict={verdict} stopped={outcome === "stopped"} />
        )}
      </Section>
      {results.length > 1 && <Results results={results} />}
      {samples !== undefined && <OverTime of={samples} />}
      <Section title="How it was counted">
        <ul>
          {how.map((sentence) => (
            <li key={sentence}>{sentence}</li>
          ))}
        </ul>
        <dl class="facts">
          <dt>when</dt>
          <dd>
            <Time at={started_at} />, {durationOf(took_ms)}
          </dd>
          <dt>load</dt>
          <dd>
            {rate} requests a second, seed {seed}
          </dd>
          <dt>machine</dt>
          <dd>
            {machine.platform}, {machine.cores} cores, {figure(machine.memory_mib)} MiB
          </dd>
          <dt>versions</dt>
          <dd>
            platform {versions.platform}, Bun {versions.bun};{" "}
            {Object.entries(versions.backing)
              .map(([name, version]) => `${name}: ${version}`)
              .join(", ")}
          </dd>
        </dl>
      </Section>
    </>
  );
}

function VerdictView({ verdict, stopped }: { verdict: Verdict; stopped: boolean }) {
  const { accepted, lost, twice, altered, heal_ms, back_ms, drain_ms, refused, dishonest } = verdict;
  const isWell = lost.count + twice.count + altered.count + dishonest.length === 0;
  const places: readonly (readonly [string, number])[] = [
    ["stored", verdict.stored],
    ["delivered", verdict.delivered],
    ["dead-lettered", verdict.dead_lettered],
    ["unrouted", verdict.unrouted],
    ["queued", verdict.queued],
    ["spooled", verdict.spooled],
    ["ambiguous", verdict.ambiguous],
    ["failed", verdict.failed],
    ["lost", lost.count],
  ];
  const times: readonly (readonly [string, number | undefined])[] = [
    ["until the part was back", back_ms],
    ["until all was well", heal_ms],
    ["until nothing waited", drain_ms],
  ];
  const refusals = Object.entries(refused);
  return (
    <>
      <Notice
        tone={isWell ? "good" : "bad"}
        title={
          isWell
            ? `Nothing was lost, nothing came twice: ${figure(accepted)} accepted${stopped ? " until it was stopped" : ""}`
            : `${lost.count} lost, ${twice.count} twice, ${altered.count} altered`
        }
      />
      <p class="law">
        <strong>{figure(accepted)}</strong> accepted ={" "}
        {places
          .filter(([name, count]) => count > 0 || name === "stored" || name === "lost")
          .map(([name, count], index) => (
            <span key={name} class={name === "lost" ? (count > 0 ? "bad" : "good") : ""}>
              {index > 0 && " + "}
              <strong>{figure(count)}</strong> {name}
            </span>
          ))}
        ; <strong class={twice.count > 0 ? "bad" : "good"}>{twice.count}</strong> twice
      </p>
      <dl class="figures">
        {times.map(([name, ms]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{ms === undefined ? "not in time" : durationOf(ms)}</dd>
          </div>
        ))}
        {refusals.map(([status, count]) => (
          <div key={status}>
            <dt>refused with {status}</dt>
            <dd>{figure(count)}</dd>
          </div>
        ))}
      </dl>
      <Names title="Lost" names={lost} />
      <Names title="Twice" names={twice} />
      <Names title="Altered" names={altered} />
      {dishonest.map((sentence) => (
        <Notice key={sentence} tone="bad" title={sentence} />
      ))}
    </>
  );
}

function Names({ title, names: { count, ids } }: { title: string; names: Verdict["lost"] }) {
  if (count === 0) return null;
  return (
    <details>
      <summary>
        {title}: {count}
      </summary>
      <ul>
        {ids.map((id) => (
          <li key={id}>
            <a href={`/console/logs?name=${encodeURIComponent(id)}`}>
              <code>{id}</code>
            </a>
          </li>
        ))}
      </ul>
    </details>
  );
}

function Results({ results }: { results: readonly Result[] }) {
  return (
    <Section title="Experiment by experiment">
      <div class="table">
        <table>
          <thead>
            <tr>
              <th>What</th>
              <th>Verdict</th>
              <th class="number">Fault</th>
              <th class="number">Accepted</th>
              <th class="number">Stored</th>
              <th class="number">Delivered</th>
              <th class="number">Lost</th>
              <th class="number">Twice</th>
              <th class="number">Refused</th>
              <th class="number">Healed in</th>
              <th class="number">Drained in</th>
            </tr>
          </thead>
          <tbody>
            {results.map(({ fault, part, fault_s, outcome, verdict, counters, error, started_at }) => (
              <tr key={started_at}>
                <th scope="row">
                  {nameOf(fault)} of {part}
                  {error !== undefined && <small class="bad"> {error}</small>}
                </th>
                <td>
                  <VerdictBadge outcome={outcome} lost={verdict?.lost.count ?? 0} twice={verdict?.twice.count ?? 0} />
                </td>
                <td class="number">{durationOf(fault_s * 1_000)}</td>
                <td class="number">{figure(verdict?.accepted ?? counters.accepted)}</td>
                <td class="number">{verdict === undefined ? "–" : figure(verdict.stored)}</td>
                <td class="number">{verdict === undefined ? "–" : figure(verdict.delivered)}</td>
                <td class="number">{verdict?.lost.count ?? "–"}</td>
                <td class="number">{verdict?.twice.count ?? "–"}</td>
                <td class="number">{figure(counters.refused + counters.unanswered)}</td>
                <td class="number">{verdict?.heal_ms === undefined ? "–" : durationOf(verdict.heal_ms)}</td>
                <td class="number">{verdict?.drain_ms === undefined ? "–" : durationOf(verdict.drain_ms)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Section>
  );
}
