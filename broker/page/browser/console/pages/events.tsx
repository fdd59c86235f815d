/** Queues as they are now and were, and what is parked because nobody could use it. */
import type { Schema } from "../api.ts";
import { Show, useAsked } from "../asked.tsx";
import { Chart } from "../chart.tsx";
import { figure, PageTitle, Section, TableBox } from "../ui.tsx";
import { DeadLetters } from "./dead-letters.tsx";

type Queue = Schema<"QueueView">;

const QUEUES_MS = 2_000;
const FIGURES_MS = 5_000;

const ROLES: Readonly<Record<Queue["role"], string>> = {
  work: "work",
  retry: "tried again later",
  "dead-letters": "dead letters",
  unrouted: "no queue wanted it",
};

export function EventsPage() {
  const queues = useAsked<Schema<"QueueList">>("/v1/events/queues", { everyMs: QUEUES_MS });
  return (
    <>
      <PageTitle
        title="Events"
        lead="What waits in the queues, and messages that nobody could use: look at them, send them again, or drop them."
      />
      <Section title="Queues">
        <Show of={queues} what="the queues">
          {({ items }) => <Queues items={items} />}
        </Show>
        <OverTime />
      </Section>
      <DeadLetters queues={queues.data?.items ?? []} onChanged={queues.refresh} />
    </>
  );
}

function Queues({ items }: { items: readonly Queue[] }) {
  const figures = useAsked<Schema<"PlatformFigures">>("/v1/platform/figures", { everyMs: FIGURES_MS });
  const rates = figures.data?.parts.find(({ name }) => name === "listener")?.values ?? {};
  return (
    <TableBox label="Queues">
      <table class="queues">
        <thead>
          <tr>
            <th>Queue</th>
            <th>For</th>
            <th class="number">Waiting</th>
            <th class="number">In hand</th>
            <th class="number">Held</th>
            <th class="number">Consumers</th>
            <th class="number">Done a second</th>
          </tr>
        </thead>
        <tbody>
          {items.map(({ name, role, messages, in_hand, held, consumers }) => {
            const rate = rates[`messages.${name}`];
            return (
              <tr key={name}>
                <td>
                  <code>{name}</code>
                </td>
                <td>{ROLES[role]}</td>
                <td class={messages > 0 ? "number some" : "number"}>{figure(messages)}</td>
                <td class="number">{figure(in_hand)}</td>
                <td class={held > 0 ? "number some warn" : "number"}>{figure(held)}</td>
                <td class={role === "work" && consumers === 0 ? "number some bad" : "number"}>{figure(consumers)}</td>
                <td class="number">{rate === undefined || rate === null ? "–" : figure(rate)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </TableBox>
  );
}

function OverTime() {
  const depth = useAsked<Schema<"FiguresOverTime">>("/v1/platform/figures/rabbitmq", { everyMs: FIGURES_MS });
  const rates = useAsked<Schema<"FiguresOverTime">>("/v1/platform/figures/listener", { everyMs: FIGURES_MS });
  return (
    <details>
      <summary>The last quarter of an hour</summary>
      <div class="panes">
        {(
          [
            [depth, "depth"],
            [rates, "messages"],
          ] as const
        ).map(([asked, key]) => (
          <Show key={key} of={asked} what="the figures">
            {({ at, charts }) =>
              charts
                .filter((chart) => chart.key === key)
                .map(({ title, unit, series }) => (
                  <Chart key={key} title={title} unit={unit} at={at} series={telling(series)} />
                ))
            }
          </Show>
        ))}
      </div>
    </details>
  );
}

type Series = Schema<"FiguresOverTime">["charts"][number]["series"];

/** Queues in which nothing ever was only hide the others; where it was so in all of them, that is to be seen. */
function telling(series: Series): Series {
  const some = series.filter(({ values }) => values.some((value) => value !== null && value > 0));
  return some.length > 0 ? some : series.slice(0, 2);
}
