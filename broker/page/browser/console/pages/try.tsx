/** The first page: a request of each kind by one click, what was sent and received side by side, and the path it took. */
import type { ComponentChildren } from "preact";
import { useRef, useState } from "preact/hooks";
import { ask } from "../api.ts";
import { TroubleNotice } from "../asked.tsx";
import { type Followed, useFollowed } from "../followed.ts";
import {
  type Action,
  actionsOf,
  asCurl,
  asFetch,
  asRpc,
  dataOf,
  type Example,
  EXAMPLES,
  FRESH,
  partOf,
  type Sent,
  typedOf,
  valueOf,
} from "../requests.ts";
import { makeStore, useStore } from "../store.ts";
import { Timeline } from "../timeline.tsx";
import {
  Button,
  ChoiceField,
  Code,
  CopyButton,
  durationOf,
  Empty,
  PageTitle,
  pretty,
  Section,
  Tabs,
  TextField,
  Time,
  type Tone,
} from "../ui.tsx";
import { ReceiptSteps } from "./receipt.tsx";

interface Exchange {
  readonly id: number;
  readonly at: number;
  readonly sent: Sent;
  readonly label: string;
  readonly status: number;
  readonly ms: number;
  readonly text: string;
  readonly headers: string;
  readonly degraded: string | undefined;
  readonly traceId: string | undefined;
  readonly receiptIds: readonly string[];
  /** Why there was no answer. */
  readonly problem?: string;
}

const HISTORY_MAX = 50;
const WITHIN_MS = 30_000;

/** Of this tab, and gone with it: bodies may hold passwords. */
const history = makeStore<readonly Exchange[]>([]);
let exchanges = 0;

/** What is on the page, so that it is there again when the reader comes back to it. */
interface Draft {
  readonly path: Example["path"];
  readonly text: string;
  readonly label: string;
  readonly key: string;
}
const FIRST = EXAMPLES[2];
const draft = makeStore<Draft>({ path: "/handle", text: JSON.stringify(FIRST?.body, null, 2), label: "", key: "" });
const shownExchange = makeStore<number | undefined>(undefined);

export function TryPage() {
  const { path, text, label, key } = useStore(draft);
  const exchangesSoFar = useStore(history);
  const shownId = useStore(shownExchange);
  const shown = exchangesSoFar.find(({ id }) => id === shownId);
  const [view, setView] = useState<"form" | "json">("json");
  const [sending, setSending] = useState<string>();
  const busy = useRef(false);
  const followed = useFollowed(shown?.traceId, shown?.receiptIds ?? []);
  const edit = (next: string): void => draft.set({ ...draft.get(), text: next });
  const headers: Record<string, string> = key === "" ? {} : { "idempotency-key": key };

  const send = async (example?: Example): Promise<void> => {
    if (busy.current) return;
    busy.current = true;
    if (example !== undefined) {
      draft.set({
        ...draft.get(),
        path: example.path,
        text: JSON.stringify(example.body, null, 2),
        label: example.label,
      });
    }
    const now = draft.get();
    setSending(now.path);
    const exchange = await exchanged({ path: now.path, text: now.text, headers }, now.label);
    history.set([exchange, ...history.get()].slice(0, HISTORY_MAX));
    shownExchange.set(exchange.id);
    setSending(undefined);
    busy.current = false;
  };

  return (
    <>
      <PageTitle
        title="Try it"
        lead="Each button sends one real request through the broker. Change it and send it again; below is the way that it took."
      />
      <div id="actions" role="group" aria-label="Requests">
        {EXAMPLES.map((example) => (
          <Button key={example.label} pressed={label === example.label} onClick={() => void send(example)}>
            {example.label}
          </Button>
        ))}
      </div>
      <Outcome sending={sending} shown={shown} />
      <div class="panes">
        <Section
          title="Sent"
          onKeyDown={(event) => {
            if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
            event.preventDefault();
            void send();
          }}
          actions={
            <>
              <small>Copy as</small>
              <CopyButton label="Copy as curl" text={() => asCurl({ path, text, headers })}>
                curl
              </CopyButton>
              <CopyButton label="Copy as fetch" text={() => asFetch({ path, text, headers })}>
                fetch
              </CopyButton>
              {asRpc(text) !== undefined && (
                <CopyButton label="Copy as a call of the RPC" text={() => asRpc(text) ?? ""}>
                  RPC
                </CopyButton>
              )}
            </>
          }
        >
          <p class="line">
            <code id="target">POST {path}</code>
            <Button kind="primary" onClick={() => void send()}>
              Send <kbd>Ctrl ⏎</kbd>
            </Button>
          </p>
          <Tabs
            label="How it is written"
            tabs={[
              ["json", "JSON"],
              ["form", "Form"],
            ]}
            chosen={view}
            onChoose={setView}
          />
          {view === "json" ? (
            <TextField label="Request body, JSON" lines={12} value={text} onInput={edit} error={problemOf(text)} />
          ) : (
            <Form text={text} path={path} onChange={edit} />
          )}
          <KeyField value={key} onInput={(next) => draft.set({ ...draft.get(), key: next })} />
        </Section>
        <Section title="Received">
          {shown === undefined ? (
            <Empty title="Nothing sent yet.">Press one of the buttons above.</Empty>
          ) : (
            <Received of={shown} />
          )}
        </Section>
      </div>
      {shown !== undefined && <Path followed={followed} traceId={shown.traceId} />}
      {exchangesSoFar.length > 0 && <History all={exchangesSoFar} shownId={shownId} />}
    </>
  );
}

async function exchanged(sent: Sent, label: string): Promise<Exchange> {
  const reply = await ask("POST", sent.path, { raw: sent.text, headers: sent.headers, withinMs: WITHIN_MS });
  return {
    id: (exchanges += 1),
    at: Date.now(),
    sent,
    label: label === "" ? `POST ${sent.path}` : label,
    status: reply.status,
    ms: reply.ms,
    text: reply.text,
    headers: [...reply.headers].map(([name, value]) => `${name}: ${value}`).join("\n"),
    degraded: reply.headers.get("x-degraded") ?? undefined,
    traceId: reply.headers.get("x-trace-id") ?? undefined,
    receiptIds: receiptsIn(reply.text, reply.headers.get("location")),
    ...(reply.status === 0 && !reply.ok ? { problem: reply.trouble.message } : {}),
  };
}

/** Ids of receipts that an answer names: its own, and those of the actions of a batch. */
function receiptsIn(text: string, at: string | null): string[] {
  const ids = new Set<string>();
  const last = /^\/v1\/receipts\/([^/]+)$/.exec(at ?? "")?.[1];
  if (last !== undefined) ids.add(decodeURIComponent(last));
  for (const [, id = ""] of text.matchAll(/"receipt_id":"([^"]+)"/g)) ids.add(id);
  return [...ids];
}

function problemOf(text: string): string | undefined {
  if (valueOf(text) !== undefined) return undefined;
  try {
    JSON.parse(text);
    return undefined;
  } catch (error) {
    return `Not JSON: ${error instanceof Error ? error.message : String(error)}. It can be sent: see what the broker says.`;
  }
}

function Outcome({ sending, shown }: { sending: string | undefined; shown: Exchange | undefined }) {
  const [tone, text] = told(sending, shown);
  return (
    <p id="status" class={tone} role="status">
      {text}
    </p>
  );
}

function told(sending: string | undefined, shown: Exchange | undefined): [Tone | "", string] {
  if (sending !== undefined) return ["", `Sending to ${sending} …`];
  if (shown === undefined) return ["", "Nothing sent yet."];
  const took = durationOf(shown.ms);
  if (shown.problem !== undefined) return ["bad", `${shown.problem}.`];
  if (shown.status >= 400) return ["bad", `Refused with ${shown.status} after ${took}.`];
  if (shown.degraded !== undefined) return ["warn", `Accepted in another way (${shown.degraded}) after ${took}.`];
  return ["good", `Done with ${shown.status} after ${took}.`];
}

function Received({ of: { status, ms, text, headers, traceId } }: { of: Exchange }) {
  return (
    <>
      <p class="line">
        <code id="outcome">{status === 0 ? "no answer" : `${status} · ${durationOf(ms)}`}</code>
        {traceId !== undefined && <a href={`/console/traces/${traceId}`}>Trace</a>}
      </p>
      <div id="received">
        <Code label="Answer body" text={pretty(text)} />
      </div>
      <details>
        <summary>Headers</summary>
        <Code label="Answer headers" text={headers} />
      </details>
    </>
  );
}

function KeyField({ value, onInput }: { value: string; onInput: (value: string) => void }) {
  return (
    <details open={value !== ""}>
      <summary>Idempotency-Key</summary>
      <TextField
        label="Idempotency-Key"
        value={value}
        onInput={onInput}
        hint="With it the request happens once, however often it is sent. Empty: none is sent."
      />
      <Button small onClick={() => onInput(newKey())}>
        Make one
      </Button>
    </details>
  );
}

/** `crypto.randomUUID` is there on secure pages only. */
function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function Path({
  followed: { trace, receipts, trouble, going },
  traceId,
}: {
  followed: Followed;
  traceId: string | undefined;
}) {
  return (
    <Section
      title="The path it took"
      actions={traceId !== undefined && <a href={`/console/logs?trace_id=${traceId}`}>Its log entries</a>}
    >
      {receipts.map((receipt) => (
        <ReceiptSteps key={receipt.id} receipt={receipt} />
      ))}
      {trouble !== undefined && <TroubleNotice trouble={trouble} what="the trace" />}
      {trace !== undefined && <Timeline trace={trace} />}
      {going && trouble === undefined && (
        <p class="spinner" role="status">
          <span class="ring" aria-hidden="true" />{" "}
          {trace === undefined ? "Its trace is on its way…" : "More of it may come…"}
        </p>
      )}
      {!going && trace === undefined && trouble === undefined && (
        <Empty title="There is no trace of it.">
          Traces are kept of a sample of requests where there are many, and the logger has to be there.
        </Empty>
      )}
    </Section>
  );
}

function History({ all, shownId }: { all: readonly Exchange[]; shownId: number | undefined }) {
  return (
    <Section
      title="Sent before"
      actions={
        <Button
          small
          onClick={() => {
            history.set([]);
            shownExchange.set(undefined);
          }}
        >
          Forget all
        </Button>
      }
    >
      <ul class="rows">
        {all.map((exchange) => (
          <li key={exchange.id}>
            <Button
              kind="plain"
              pressed={exchange.id === shownId}
              onClick={() => {
                const { path, text, headers } = exchange.sent;
                shownExchange.set(exchange.id);
                draft.set({
                  path: path === "/" ? "/" : "/handle",
                  text,
                  label: "",
                  key: headers["idempotency-key"] ?? "",
                });
              }}
            >
              <Time at={exchange.at} how="clock" /> {exchange.label}{" "}
              <span class={exchange.status >= 400 || exchange.status === 0 ? "bad" : "good"}>
                {exchange.status === 0 ? "no answer" : exchange.status}
              </span>{" "}
              <small>{durationOf(exchange.ms)}</small>
            </Button>
          </li>
        ))}
      </ul>
    </Section>
  );
}

/** The same body as a form: what it can't show is left to the JSON. */
function Form({ text, path, onChange }: { text: string; path: string; onChange: (text: string) => void }) {
  if (path === "/") return <p class="hint">This request says nothing: a body is ignored.</p>;
  const actions = actionsOf(text);
  if (actions === undefined)
    return <p class="hint">A form can't show this: it is not JSON, or not an action. See JSON.</p>;
  const isBatch = Array.isArray(valueOf(text));
  const write = (items: readonly unknown[]): void =>
    onChange(JSON.stringify(isBatch || items.length !== 1 ? items : items[0], null, 2));
  const replace = (at: number, item: unknown): void => write(actions.map((old, index) => (index === at ? item : old)));
  return (
    <div>
      {actions.map((item, at) => (
        // oxlint-disable-next-line react/no-array-index-key
        <ActionForm key={at} item={item} onChange={(next) => replace(at, next)}>
          {isBatch && (
            <Button small onClick={() => write(actions.filter((_, index) => index !== at))}>
              Take out
            </Button>
          )}
        </ActionForm>
      ))}
      <div class="actions">
        {(["log", "mail", "auth"] as const).map((action) => (
          <Button key={action} small onClick={() => onChange(JSON.stringify([...actions, FRESH[action]], null, 2))}>
            Add {action}
          </Button>
        ))}
      </div>
    </div>
  );
}

/** A field is a line of text; what else it may hold is seen in the JSON. */
const wordOf = (value: unknown): string => (typeof value === "string" ? value : (JSON.stringify(value) ?? ""));

const ACTIONS: readonly Action[] = ["auth", "log", "mail"];

interface ActionFormProps {
  readonly item: Readonly<Record<string, unknown>>;
  readonly onChange: (item: unknown) => void;
  readonly children: ComponentChildren;
}

function ActionForm({ item, onChange, children }: ActionFormProps) {
  const action = ACTIONS.find((name) => name === item["action"]);
  const part = partOf(item, action ?? "");
  const set = (field: string, value: unknown): void =>
    onChange({ ...item, [action ?? ""]: { ...part, [field]: value } });
  const line = (field: string, label: string, type: "text" | "email" | "password" = "text", lines?: number) => (
    <TextField
      label={label}
      type={type}
      value={wordOf(part[field])}
      onInput={(value) => set(field, value)}
      {...(lines === undefined ? {} : { lines })}
    />
  );
  return (
    <fieldset>
      <legend>{action ?? "an action that is not known"}</legend>
      <ChoiceField
        label="Action"
        value={action ?? ""}
        onInput={(next) => onChange(FRESH[next as Action])}
        options={[
          ...(action === undefined ? [["", "–"] as const] : []),
          ...ACTIONS.map((name) => [name, name] as const),
        ]}
      />
      {action === "auth" && [line("email", "E-mail address", "email"), line("password", "Password", "password")]}
      {action === "log" && (
        <>
          {line("name", "Name")}
          <ChoiceField
            label="Severity"
            value={wordOf(part["severity"] ?? "INFO")}
            onInput={(value) => set("severity", value)}
            options={["INFO", "WARNING", "ERROR"].map((name) => [name, name] as const)}
          />
          <TextField
            label="Data (JSON, or text)"
            lines={4}
            value={typedOf(part["data"])}
            onInput={(typed) => set("data", dataOf(typed))}
          />
        </>
      )}
      {action === "mail" && [
        line("from", "From", "email"),
        line("to", "To", "email"),
        line("subject", "Subject"),
        line("message", "Message", "text", 4),
      ]}
      {children}
    </fieldset>
  );
}
