/** The parts that every page is made of. What they show comes as text, never as markup. */
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import { makeStore, useStore } from "./store.ts";
import { MARKS, type Tone } from "./words.ts";

export type { Tone } from "./words.ts";

export interface ButtonProps {
  readonly children: ComponentChildren;
  readonly onClick?: () => void | Promise<void>;
  readonly kind?: "primary" | "danger" | "plain";
  readonly type?: "button" | "submit";
  readonly disabled?: boolean;
  /** Why whoever looks may not press it: it stays where it is, can be reached, and says so. */
  readonly barred?: string | undefined;
  readonly pressed?: boolean;
  /** Where the text alone does not say it. */
  readonly label?: string;
  readonly small?: boolean;
}

/** While what it does is under way it can't be pressed again. */
export function Button(props: ButtonProps) {
  const { children, onClick, kind, type = "button", disabled, barred, pressed, label, small } = props;
  const [busy, setBusy] = useState(false);
  const id = useId();
  const click = (event: Event): void => {
    if (barred !== undefined) {
      event.preventDefault();
      return toast(barred, { tone: "warn" });
    }
    const doing = onClick?.();
    if (!(doing instanceof Promise)) return;
    setBusy(true);
    void doing.finally(() => setBusy(false));
  };
  return (
    <button
      type={type}
      class={[kind, small === true ? "small" : ""].filter(Boolean).join(" ")}
      disabled={(disabled === true && barred === undefined) || busy}
      aria-busy={busy}
      {...(pressed === undefined ? {} : { "aria-pressed": pressed })}
      {...(label === undefined ? {} : { "aria-label": label, title: label })}
      {...(barred === undefined ? {} : { "aria-disabled": true, "aria-describedby": id, title: barred })}
      {...(onClick === undefined && barred === undefined ? {} : { onClick: click })}
    >
      {children}
      {barred !== undefined && (
        <span id={id} hidden>
          {barred}
        </span>
      )}
    </button>
  );
}

/** The heading of a page; the browser's title follows it, and the focus comes here when the page changes. */
export function PageTitle({
  children,
  title,
  lead,
}: {
  children?: ComponentChildren;
  title: string;
  lead?: ComponentChildren;
}) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} · Platform`;
    // After a click on a link, not at the first drawing: then the reader starts at the top.
    if (document.activeElement !== document.body || history.state !== null)
      heading.current?.focus({ preventScroll: true });
  }, [title]);
  return (
    <div class="page-title">
      <h1 ref={heading} tabIndex={-1}>
        {title}
      </h1>
      <div class="actions">{children}</div>
      {lead !== undefined && <p class="lead">{lead}</p>}
    </div>
  );
}

export interface SectionProps {
  readonly title: string;
  readonly actions?: ComponentChildren;
  readonly children: ComponentChildren;
  readonly class?: string;
  readonly onKeyDown?: (event: KeyboardEvent) => void;
}

export function Section({ title, actions, children, class: name = "", onKeyDown }: SectionProps) {
  const id = useId();
  return (
    <section class={`card ${name}`} aria-labelledby={id} {...(onKeyDown === undefined ? {} : { onKeyDown })}>
      <div class="card-head">
        <h2 id={id}>{title}</h2>
        {actions !== undefined && <div class="actions">{actions}</div>}
      </div>
      {children}
    </section>
  );
}

export function Notice({ tone, title, children }: { tone: Tone; title: string; children?: ComponentChildren }) {
  return (
    <div class={`notice ${tone}`} role={tone === "bad" ? "alert" : "status"}>
      <span class="mark" aria-hidden="true">
        {MARKS[tone]}
      </span>
      <div>
        <strong>{title}</strong>
        {children !== undefined && <div>{children}</div>}
      </div>
    </div>
  );
}

export function Badge({ tone, children }: { tone: Tone; children: ComponentChildren }) {
  return (
    <span class={`badge ${tone}`}>
      <span aria-hidden="true">{MARKS[tone]}</span> {children}
    </span>
  );
}

/** Said only when it takes longer than a moment, so that quick answers do not flicker. */
export function Spinner({ what }: { what: string }) {
  return (
    <p class="spinner" role="status">
      <span class="ring" aria-hidden="true" /> Loading {what}…
    </p>
  );
}

/** Nothing is there, which is as it may be: what it would be, and how it comes to be. */
export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <p>
        <strong>{title}</strong>
      </p>
      {children !== undefined && <div>{children}</div>}
    </div>
  );
}

export interface FieldProps {
  readonly label: string;
  /** Below it, in small. */
  readonly hint?: string;
  readonly error?: string | undefined;
  readonly children: (attributes: { id: string; "aria-describedby"?: string; "aria-invalid"?: true }) => JSX.Element;
  readonly inline?: boolean;
}

/** A control with its label, hint and error. */
export function Field({ label, hint, error, children, inline }: FieldProps) {
  const id = useId();
  const described = error ?? hint;
  return (
    <div class={inline === true ? "field inline" : "field"}>
      <label for={id}>{label}</label>
      {children({
        id,
        ...(described === undefined ? {} : { "aria-describedby": `${id}-more` }),
        ...(error === undefined ? {} : { "aria-invalid": true as const }),
      })}
      {described !== undefined && (
        <span id={`${id}-more`} class={error === undefined ? "hint" : "hint bad"}>
          {described}
        </span>
      )}
    </div>
  );
}

export interface TextFieldProps {
  readonly label: string;
  readonly value: string;
  readonly onInput: (value: string) => void;
  readonly type?: "text" | "email" | "password" | "search" | "number" | "datetime-local";
  readonly hint?: string;
  readonly error?: string | undefined;
  readonly required?: boolean;
  readonly placeholder?: string;
  readonly autocomplete?: string;
  /** What may be meant, offered while it is typed. */
  readonly suggestions?: readonly string[];
  /** Of a number or a moment: what it can be a multiple of. */
  readonly step?: string;
  /** Lines of a text area; without it, a line. */
  readonly lines?: number;
  readonly inline?: boolean;
}

export function TextField({
  label,
  value,
  onInput,
  type = "text",
  hint,
  error,
  lines,
  inline,
  suggestions,
  ...rest
}: TextFieldProps) {
  const list = useId();
  const input = (event: { currentTarget: { value: string } }): void => onInput(event.currentTarget.value);
  return (
    <Field
      label={label}
      error={error}
      {...(hint === undefined ? {} : { hint })}
      {...(inline === undefined ? {} : { inline })}
    >
      {(attributes) =>
        lines === undefined ? (
          <>
            <input
              {...attributes}
              {...rest}
              {...({ type } as { type: "text" })}
              {...(suggestions === undefined ? {} : { list })}
              value={value}
              onInput={input}
            />
            {suggestions !== undefined && (
              <datalist id={list}>
                {suggestions.map((one) => (
                  <option key={one} value={one} />
                ))}
              </datalist>
            )}
          </>
        ) : (
          <textarea {...attributes} {...rest} rows={lines} value={value} onInput={input} spellcheck={false} />
        )
      }
    </Field>
  );
}

/** How long after the last key what was typed is handed on (ms). */
const SETTLED_MS = 400;

/** A text field whose value is an address or a question: handed on once the typing has paused, by Enter, or when it is left. */
export function SettledField({ value, onInput, ...rest }: TextFieldProps) {
  const [typed, setTyped] = useState(value);
  const handed = useRef(value);
  const hand = (text: string): void => {
    if (text === handed.current) return;
    handed.current = text;
    onInput(text);
  };
  useEffect(() => {
    // Changed from elsewhere, such as by going back.
    if (value !== handed.current) {
      handed.current = value;
      setTyped(value);
    }
  }, [value]);
  useEffect(() => {
    const timer = setTimeout(() => hand(typed), SETTLED_MS);
    return () => clearTimeout(timer);
  }, [typed]);
  return (
    <div
      class="settled"
      onKeyDown={(event) => event.key === "Enter" && rest.lines === undefined && hand(typed)}
      onFocusOut={() => hand(typed)}
    >
      <TextField {...rest} value={typed} onInput={setTyped} />
    </div>
  );
}

export interface MomentFieldProps {
  readonly label: string;
  /** ISO 8601, or empty. */
  readonly value: string;
  /** ISO 8601 in UTC, or empty where it was emptied. */
  readonly onInput: (value: string) => void;
  readonly hint?: string;
  readonly error?: string | undefined;
}

/** A moment, shown and typed in the reader's zone, to the second. */
export function MomentField({ value, onInput, ...rest }: MomentFieldProps) {
  return (
    <TextField
      {...rest}
      type="datetime-local"
      step="1"
      value={value === "" ? "" : localOf(value)}
      onInput={(text) => onInput(text === "" ? "" : new Date(text).toISOString())}
    />
  );
}

/** As the browser's field has it: the reader's zone, without saying so. */
function localOf(iso: string): string {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return "";
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

export interface ChoiceFieldProps {
  readonly label: string;
  readonly value: string;
  readonly onInput: (value: string) => void;
  /** Value and what is shown for it. */
  readonly options: readonly (readonly [value: string, shown: string])[];
  readonly hint?: string;
  readonly inline?: boolean;
}

export function ChoiceField({ label, value, onInput, options, hint, inline }: ChoiceFieldProps) {
  return (
    <Field label={label} {...(hint === undefined ? {} : { hint })} {...(inline === undefined ? {} : { inline })}>
      {(attributes) => (
        <select {...attributes} value={value} onChange={(event) => onInput(event.currentTarget.value)}>
          {options.map(([option, shown]) => (
            <option key={option} value={option}>
              {shown}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

/** Views of one thing beside each other (WAI-ARIA tabs: arrows move between them). */
export function Tabs<K extends string>({
  label,
  tabs,
  chosen,
  onChoose,
}: {
  label: string;
  tabs: readonly (readonly [key: K, shown: string])[];
  chosen: K;
  onChoose: (key: K) => void;
}) {
  const list = useRef<HTMLDivElement>(null);
  const move = (event: KeyboardEvent): void => {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (step === 0) return;
    event.preventDefault();
    const at = tabs.findIndex(([key]) => key === chosen);
    const next = (at + step + tabs.length) % tabs.length;
    onChoose(tabs[next]?.[0] ?? chosen);
    list.current?.querySelectorAll("button")[next]?.focus();
  };
  return (
    <div class="tabs" role="tablist" aria-label={label} ref={list} onKeyDown={move}>
      {tabs.map(([key, shown]) => (
        <button
          key={key}
          type="button"
          role="tab"
          aria-selected={key === chosen}
          tabIndex={key === chosen ? 0 : -1}
          onClick={() => onChoose(key)}
        >
          {shown}
        </button>
      ))}
    </div>
  );
}

/** A table that scrolls sideways where it does not fit, by keyboard too. */
export function TableBox({ label, children }: { label: string; children: ComponentChildren }) {
  return (
    <div class="table" tabIndex={0} role="region" aria-label={label}>
      {children}
    </div>
  );
}

/** Text as it is, such as JSON; scrolls by keyboard too. */
export function Code({ text, label }: { text: string; label: string }) {
  return (
    <pre class="code" tabIndex={0} role="region" aria-label={label}>
      {text}
    </pre>
  );
}

/** JSON laid out; what is none as it came. */
export function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

export interface TimeProps {
  /** ISO 8601, or epoch (ms). */
  readonly at: string | number | undefined;
  /**
   *     moment   the time of day, with the date where it is not today's (default)
   *     instant  date and time to the millisecond
   *     clock    the time of day to the millisecond
   *     ago      how long ago, roughly
   */
  readonly how?: "moment" | "instant" | "clock" | "ago";
}

/** A moment in the reader's zone; the exact one, in UTC, on hover. */
export function Time({ at, how = "moment" }: TimeProps) {
  if (at === undefined) return <>–</>;
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return <>{String(at)}</>;
  const exact = date.toISOString();
  return (
    <time dateTime={exact} title={exact}>
      {SHOWN[how](date)}
    </time>
  );
}

/** Made once: making one takes many times as long as using it, and lists have hundreds of times. */
const CLOCK = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  fractionalSecondDigits: 3,
  hourCycle: "h23",
});

const clockOf = (date: Date): string => CLOCK.format(date);

const SHOWN: Readonly<Record<NonNullable<TimeProps["how"]>, (date: Date) => string>> = {
  moment: (date) => {
    const isToday = date.toDateString() === new Date().toDateString();
    return isToday ? date.toLocaleTimeString() : date.toLocaleString();
  },
  instant: (date) => `${date.toLocaleDateString()} ${clockOf(date)}`,
  clock: clockOf,
  ago: (date) => ago(date.getTime()),
};

/** How long ago, in words, roughly. */
export function ago(at: number): string {
  const s = Math.round((Date.now() - at) / 1_000);
  if (Math.abs(s) < 2) return "just now";
  return s < 0 ? `in ${span(-s)}` : `${span(s)} ago`;
}

function span(s: number): string {
  if (s < 90) return `${s} s`;
  if (s < 5_400) return `${Math.round(s / 60)} min`;
  return s < 129_600 ? `${Math.round(s / 3_600)} h` : `${Math.round(s / 86_400)} days`;
}

/** A length of time with a unit that fits. */
export function durationOf(ms: number): string {
  if (ms < 1) return `${(ms * 1_000).toFixed(0)} µs`;
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  return ms < 60_000 ? `${(ms / 1_000).toFixed(1)} s` : span(Math.round(ms / 1_000));
}

/** A figure as people read it: 1,234 or 1.2 M. */
export function figure(value: number, digits = 1): string {
  if (value >= 1_000_000) return `${(value / 1_000_000).toFixed(1)} M`;
  return value.toLocaleString("en-US", { maximumFractionDigits: value >= 100 || Number.isInteger(value) ? 0 : digits });
}

export function CopyButton({
  text,
  children,
  label,
}: {
  text: () => string;
  children: ComponentChildren;
  label?: string;
}) {
  const copy = async (): Promise<void> => {
    const content = text();
    try {
      await navigator.clipboard.writeText(content);
      toast("Copied");
    } catch {
      // Not allowed where the page is not secure: it is shown instead, to be copied by hand.
      toast("The browser does not let this page copy", { detail: content });
    }
  };
  return (
    <Button small onClick={copy} {...(label === undefined ? {} : { label })}>
      {children}
    </Button>
  );
}

interface Toast {
  readonly id: number;
  readonly text: string;
  readonly tone: Tone;
  readonly detail?: string;
  readonly undo?: () => void | Promise<void>;
}

const toasts = makeStore<readonly Toast[]>([]);
/** How long one stays (ms): longer where there is something to do in it. */
const TOAST_MS = 5_000;
const UNDO_MS = 12_000;
const TOASTS_MAX = 4;
let toastIds = 0;

/** Tells what happened in a corner, for a while. @param undo makes it undone: offered as a button. */
export function toast(
  text: string,
  more: { tone?: Tone; detail?: string; undo?: () => void | Promise<void> } = {},
): void {
  const id = (toastIds += 1);
  const { tone = "good", ...rest } = more;
  toasts.set([...toasts.get(), { id, text, tone, ...rest }].slice(-TOASTS_MAX));
  setTimeout(() => dismiss(id), more.undo === undefined && more.detail === undefined ? TOAST_MS : UNDO_MS);
}

function dismiss(id: number): void {
  toasts.set(toasts.get().filter((one) => one.id !== id));
}

export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {useStore(toasts).map(({ id, text, tone, detail, undo }) => (
        <div key={id} class={`toast ${tone}`}>
          <span>
            {text}
            {detail !== undefined && <pre>{detail}</pre>}
          </span>
          {undo !== undefined && (
            <Button
              small
              onClick={async () => {
                await undo();
                dismiss(id);
              }}
            >
              Undo
            </Button>
          )}
          <Button small kind="plain" label="Close" onClick={() => dismiss(id)}>
            ✕
          </Button>
        </div>
      ))}
    </div>
  );
}

interface Question {
  readonly title: string;
  readonly body: ComponentChildren;
  readonly yes: string;
  readonly danger: boolean;
  readonly answer: (isYes: boolean) => void;
}

const question = makeStore<Question | undefined>(undefined);

export interface ConfirmOptions {
  readonly title: string;
  /** What will be so afterwards, and whether it can be undone. */
  readonly body: ComponentChildren;
  /** The button: the deed by its name, such as "Drop 3 messages". */
  readonly yes: string;
  readonly danger?: boolean;
}

/** Asks once, in a dialog; Escape and the other button are no. */
export function confirm({ title, body, yes, danger = true }: ConfirmOptions): Promise<boolean> {
  return new Promise((resolve) => {
    question.get()?.answer(false);
    question.set({
      title,
      body,
      yes,
      danger,
      answer: (isYes) => {
        question.set(undefined);
        resolve(isYes);
      },
    });
  });
}

export function Confirmation() {
  const asked = useStore(question);
  if (asked === undefined) return null;
  return (
    <Dialog title={asked.title} onClose={() => asked.answer(false)}>
      <div>{asked.body}</div>
      <div class="actions end">
        <Button onClick={() => asked.answer(false)}>Cancel</Button>
        <Button kind={asked.danger ? "danger" : "primary"} onClick={() => asked.answer(true)}>
          {asked.yes}
        </Button>
      </div>
    </Dialog>
  );
}

/** In front of everything else; Escape closes it, and the focus goes back to where it was (the browser's own `<dialog>`). */
export function Dialog({
  title,
  onClose,
  children,
}: {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useLayoutEffect(() => {
    const shown = dialog.current;
    shown?.showModal();
    return () => shown?.close();
  }, []);
  return (
    <dialog ref={dialog} aria-labelledby={id} onCancel={(event) => (event.preventDefault(), onClose())}>
      <h2 id={id}>{title}</h2>
      {children}
    </dialog>
  );
}
