/** What is parked: looked at, picked, sent again or dropped. */
import { useLocation, useRoute } from "preact-iso";
import { useEffect, useRef, useState } from "preact/hooks";
import { type Schema, withQuery } from "../api.ts";
import { More, Show, useBarred, usePages } from "../asked.tsx";
import {
  Button,
  ChoiceField,
  Code,
  confirm,
  Empty,
  figure,
  Notice,
  pretty,
  Section,
  SettledField,
  TableBox,
  Tabs,
  Time,
  toast,
} from "../ui.tsx";
import { type Choice, count, type Deed, IDS_MAX, run, type Run } from "./dead-letter-run.ts";

type Letter = Schema<"DeadLetter">;
type Parked = Letter["parked"];
type Queue = Schema<"QueueView">;

const PAGE = 50;
/** Characters of a message that a list has at most. */
const PREVIEW = 2_000;

const PARKED: readonly (readonly [parked: Parked, shown: string])[] = [
  ["logs", "Events"],
  ["jobs", "Jobs"],
  ["unrouted", "Unrouted"],
];
const WHAT: Readonly<Record<Parked, string>> = {
  logs: "Events that are no valid entries, that the logger has refused, or that failed too often.",
  jobs: "Jobs that can't be done, such as a mail that is not valid.",
  unrouted: "What was published under a key that no queue is bound with.",
};
const AGES: readonly (readonly [seconds: string, shown: string])[] = [
  ["", "any time"],
  ["60", "a minute"],
  ["600", "ten minutes"],
  ["3600", "an hour"],
  ["86400", "a day"],
];

const DEEDS: Readonly<Record<Deed, { readonly verb: string; readonly past: string; readonly means: string }>> = {
  replay: {
    verb: "Send again",
    past: "sent again",
    means:
      "They go to the queue that they are for, under the ids that they have: what is stored already is not stored twice. Mend the cause first: what fails again comes back here.",
  },
  drop: { verb: "Drop", past: "dropped", means: "They are gone for good: this can't be undone." },
};

const messages = (n: number): string => `${figure(n)} ${n === 1 ? "message" : "messages"}`;

/** How many are parked there, as far as the queues tell. */
function depthOf(queues: readonly Queue[], parked: Parked): number {
  const its = queues.filter(({ name, role }) =>
    parked === "unrouted" ? role === "unrouted" : role === "dead-letters" && name.includes(`${parked}.`),
  );
  return its.reduce((sum, one) => sum + one.messages, 0);
}

export function DeadLetters({ queues, onChanged }: { queues: readonly Queue[]; onChanged: () => void }) {
  const { route } = useLocation();
  const { query } = useRoute();
  const parked = PARKED.find(([name]) => name === query["parked"])?.[0] ?? "logs";
  const filter = {
    error: query["error"],
    routing_key: query["routing_key"],
    id: query["id"],
    older_than_s: query["older_than_s"],
  };
  const set = (name: string, value: string): void =>
    route(withQuery("/console/events", { parked: query["parked"], ...filter, [name]: value }), true);
  const path = withQuery("/v1/events/dead-letters", { parked, ...filter, limit: PAGE });
  const pages = usePages<Letter>(path);
  const [picked, setPicked] = useState<ReadonlySet<string>>(new Set());
  useEffect(() => setPicked(new Set()), [path]);
  const { doing, start, stop, close } = useRun(() => {
    setPicked(new Set());
    pages.refresh();
    onChanged();
  });
  const choice: Choice = {
    parked,
    ...(filter.error === undefined ? {} : { error: filter.error }),
    ...(filter.routing_key === undefined ? {} : { routing_key: filter.routing_key }),
    ...(filter.id === undefined ? {} : { id: filter.id }),
    ...(filter.older_than_s === undefined ? {} : { older_than_s: Number(filter.older_than_s) }),
  };
  const chosen = [...picked];
  const slices: Choice[] = Array.from({ length: Math.ceil(chosen.length / IDS_MAX) }, (_one, at) => ({
    parked,
    ids: chosen.slice(at * IDS_MAX, (at + 1) * IDS_MAX),
  }));
  const barred = useBarred("events:manage") ?? (doing?.going === true ? "One thing at a time" : undefined);
  const isFiltered = Object.values(filter).some((one) => one !== undefined);

  return (
    <Section title="Parked" actions={<Button onClick={pages.refresh}>Look again</Button>}>
      <Tabs
        label="What is parked"
        tabs={PARKED.map(([name, shown]) => {
          const depth = depthOf(queues, name);
          return [name, depth === 0 ? shown : `${shown} ${figure(depth)}`] as const;
        })}
        chosen={parked}
        onChoose={(name) => set("parked", name)}
      />
      <p class="hint">{WHAT[parked]}</p>
      <div class="filters">
        <SettledField
          label="Reason contains"
          type="search"
          value={filter.error ?? ""}
          onInput={(value) => set("error", value)}
        />
        <SettledField
          label="Routing key"
          type="search"
          placeholder="log.*"
          value={filter.routing_key ?? ""}
          onInput={(value) => set("routing_key", value)}
        />
        <SettledField label="Id" type="search" value={filter.id ?? ""} onInput={(value) => set("id", value)} />
        <ChoiceField
          label="Here for at least"
          value={filter.older_than_s ?? ""}
          onInput={(value) => set("older_than_s", value)}
          options={AGES}
        />
      </div>
      {doing !== undefined && <Doing of={doing} onStop={stop} onClose={close} />}
      <Show of={pages} what="what is parked">
        {(letters) =>
          letters.length === 0 ? (
            <Empty title={isFiltered ? "Nothing that is parked fits." : "Nothing is parked here."}>
              {isFiltered ? "Take a condition away, or look under another heading." : "So it should be."}
            </Empty>
          ) : (
            <>
              <div class="actions deeds" role="group" aria-label="What is done">
                {picked.size > 0 &&
                  (["replay", "drop"] as const).map((deed) => (
                    <Button
                      key={deed}
                      {...(deed === "drop" ? { kind: "danger" as const } : {})}
                      barred={barred}
                      onClick={() => start(deed, slices)}
                    >
                      {DEEDS[deed].verb} {figure(picked.size)} picked
                    </Button>
                  ))}
                {(["replay", "drop"] as const).map((deed) => (
                  <Button
                    key={deed}
                    {...(deed === "drop" ? { kind: "danger" as const } : {})}
                    barred={barred}
                    onClick={() => start(deed, [choice])}
                  >
                    {DEEDS[deed].verb} all {isFiltered ? "that fit" : "of these"}
                  </Button>
                ))}
                <small>
                  Who did what is an <a href="/console/logs?name=audit">entry in the log</a>.
                </small>
              </div>
              <Letters letters={letters} picked={picked} onPick={setPicked} />
              <More of={pages} />
            </>
          )
        }
      </Show>
    </Section>
  );
}

/** One deed at a time; it ends with the page. */
function useRun(onDone: () => void) {
  const [doing, setDoing] = useState<Run>();
  const stopping = useRef(new AbortController());
  useEffect(() => () => stopping.current.abort(), []);
  return {
    doing,
    start: async (deed: Deed, choices: readonly Choice[]): Promise<void> => {
      stopping.current = new AbortController();
      const { signal } = stopping.current;
      const of = await count(deed, choices, signal);
      if (typeof of !== "number") return toast(of.message, { tone: "bad" });
      if (of === 0) {
        toast("None of them is there any more", { tone: "info" });
        return onDone();
      }
      const { verb, means } = DEEDS[deed];
      const wanted = await confirm({
        title: `${verb}: ${messages(of)}?`,
        body: means,
        yes: `${verb}: ${messages(of)}`,
        danger: deed === "drop",
      });
      if (!wanted) return;
      await run(deed, choices, of, { signal, tell: setDoing });
      onDone();
    },
    stop: () => stopping.current.abort(),
    close: () => setDoing(undefined),
  };
}

function Doing({ of: { deed, done, of, auditIds, trouble, going }, onStop, onClose }: DoingProps) {
  const { past } = DEEDS[deed];
  if (going) {
    return (
      <Notice tone="info" title={`${figure(done)} of ${messages(of)} ${past} so far`}>
        <progress max={of} value={done} aria-label={`Messages ${past}`} />
        <Button small onClick={onStop}>
          Stop
        </Button>
      </Notice>
    );
  }
  const left = of - done;
  const last = auditIds.at(-1);
  return (
    <Notice
      tone={trouble === undefined && left === 0 ? "good" : "warn"}
      title={`${messages(done)} ${past}${left === 0 ? "" : `, ${figure(left)} left`}`}
    >
      {trouble !== undefined && <p>{trouble.message}.</p>}
      {trouble === undefined && left > 0 && <p>The rest is still here: it was stopped, or has nowhere to go.</p>}
      <p class="actions">
        {last !== undefined && <a href={`/console/logs/${last}`}>Its entry in the log</a>}
        <a href="/console/logs?name=audit">All that operators did</a>
        <Button small onClick={onClose}>
          Close
        </Button>
      </p>
    </Notice>
  );
}

interface DoingProps {
  readonly of: Run;
  readonly onStop: () => void;
  readonly onClose: () => void;
}

interface LettersProps {
  readonly letters: readonly Letter[];
  /** Ids. */
  readonly picked: ReadonlySet<string>;
  readonly onPick: (picked: ReadonlySet<string>) => void;
}

function Letters({ letters, picked, onPick }: LettersProps) {
  const [open, setOpen] = useState<number>();
  useEffect(() => setOpen(undefined), [letters[0]]);
  const ids = letters.flatMap(({ id }) => (id === "" ? [] : [id]));
  const isAll = ids.length > 0 && ids.every((id) => picked.has(id));
  const toggle = (id: string): void => {
    const next = new Set(picked);
    if (!next.delete(id)) next.add(id);
    onPick(next);
  };
  return (
    <TableBox label="Parked messages">
      <table class="dead">
        <thead>
          <tr>
            <th>
              <input
                type="checkbox"
                aria-label="Pick all that are shown"
                checked={isAll}
                disabled={ids.length === 0}
                onChange={() => onPick(new Set(isAll ? [] : ids))}
              />
            </th>
            <th>Since</th>
            <th>Reason</th>
            <th>Routing key</th>
            <th class="number">Attempts</th>
            <th class="number">Bytes</th>
          </tr>
        </thead>
        <tbody>
          {letters.map((letter, index) => {
            const { id, at, error, routing_key, attempts, bytes } = letter;
            const isOpen = open === index;
            return [
              <tr key={`${id}${index}`}>
                <td>
                  <input
                    type="checkbox"
                    aria-label={`Pick ${id === "" ? "a message without an id: only by a filter" : id}`}
                    checked={picked.has(id)}
                    disabled={id === ""}
                    onChange={() => toggle(id)}
                  />
                </td>
                <td>
                  <Time at={at} />
                </td>
                <td class="wide">
                  <button
                    type="button"
                    class="plain"
                    aria-expanded={isOpen}
                    onClick={() => setOpen(isOpen ? undefined : index)}
                  >
                    {error}
                  </button>
                </td>
                <td>
                  <code>{routing_key}</code>
                </td>
                <td class="number">{attempts}</td>
                <td class="number">{figure(bytes)}</td>
              </tr>,
              isOpen && (
                <tr key={`${id}${index} whole`}>
                  <td colSpan={6}>
                    <div class="whole">
                      <Whole letter={letter} />
                    </div>
                  </td>
                </tr>
              ),
            ];
          })}
        </tbody>
      </table>
    </TableBox>
  );
}

function Whole({ letter: { id, bytes, content_type, preview, headers = {}, replayed_by } }: { letter: Letter }) {
  const traceId = /^[0-9a-f]{2}-([0-9a-f]{32})-/.exec(headers["traceparent"] ?? "")?.[1];
  return (
    <>
      <p class="actions">
        <span>
          Id <code>{id === "" ? "none" : id}</code>
        </span>
        {content_type !== undefined && <small>{content_type}</small>}
        {replayed_by !== undefined && <small>sent again before, by {replayed_by}</small>}
        {traceId !== undefined && <a href={`/console/traces/${traceId}`}>Its trace</a>}
        {id !== "" && <a href={`/console/receipts/${encodeURIComponent(id)}`}>Its receipt</a>}
      </p>
      <h3>Message</h3>
      <Code label="Message" text={pretty(preview)} />
      {preview.length >= PREVIEW && <p class="hint">Its beginning: it has {figure(bytes)} bytes.</p>}
      <h3>Headers</h3>
      {Object.keys(headers).length === 0 ? (
        <p class="hint">None.</p>
      ) : (
        <dl class="facts">
          {Object.entries(headers).map(([name, value]) => [
            <dt key={name}>
              <code>{name}</code>
            </dt>,
            <dd key={`${name} value`}>
              <code>{value}</code>
            </dd>,
          ])}
        </dl>
      )}
    </>
  );
}
