/** What the words after `logs` have in common: the filter as options, the running platform's broker, and how an entry reads. */
import type { LogItem } from "#contracts/log-queries";
import { silentLog } from "#shared/log";
import { harmless } from "#shared/terminal";
import { outgoingTls, useTls } from "#shared/tls";
import { durationMs } from "#shared/validation";
import { type Arguments, type Command, CommandError, type Option, UsageError } from "../../command.ts";
import { dataDirectory } from "../../paths.ts";
import { liveState } from "../../state.ts";
import type { Paint } from "../../terminal.ts";

/** A word after `logs`: `logs query`. */
export interface LogsWord extends Command {
  readonly name: `logs ${string}`;
}

export const EXIT_FAILED = 1;
/** Longest until the broker begins to answer (ms). */
const ANSWER_MS = 35_000;

/** `--data` is a field of an entry's data here, so the platform's directory has another name. */
const PLATFORM_OPTION: Option = {
  type: "string",
  value: "DIR",
  about: "the platform's data directory (default PLATFORM_DATA_DIR, else .data)",
};

/** Options that say which entries, in the order of the help. */
export const FILTER_OPTIONS: Readonly<Record<string, Option>> = {
  name: { type: "string", value: "NAME", multiple: true, about: "entries of this name; several times: of one of them" },
  severity: { type: "string", value: "S", multiple: true, about: "INFO, WARNING or ERROR; several times: one of them" },
  from: { type: "string", value: "TIME", about: "since then (included): RFC 3339, or an age as 15m, 2h, 7d" },
  to: { type: "string", value: "TIME", about: "until then (not included): RFC 3339, or an age" },
  q: { type: "string", value: "WORDS", about: "words that all have to be in the name or the data, in any case" },
  data: { type: "string", value: "PATH=VALUE", multiple: true, about: "a field of the data: --data user.id=42" },
  producer: { type: "string", value: "ID", about: "who numbered the entry" },
  trace: { type: "string", value: "ID", about: "trace id: 32 hexadecimal digits" },
  request: { type: "string", value: "ID", about: "request id" },
  event: { type: "string", value: "ID", about: "event id" },
  platform: PLATFORM_OPTION,
};

/** An age (`15m`) as the time it was at `now`; anything else as it is, for the logger to judge. */
export function timeOf(text: string, now: number): string {
  const ms = durationMs(text);
  if (ms === undefined) return text;
  const time = new Date(now - ms);
  // Before all that a date can be: the logger says so.
  return Number.isNaN(time.getTime()) ? text : time.toISOString();
}

/**
 * The filter as the broker takes it in a query.
 * @throws UsageError for a `--data` without `=`.
 */
export function filterQuery(args: Arguments, now = Date.now()): URLSearchParams {
  const query = new URLSearchParams();
  for (const name of ["name", "severity"]) for (const text of args.texts(name)) query.append(name, text);
  for (const name of ["from", "to"]) {
    const text = args.text(name);
    if (text !== undefined) query.set(name, timeOf(text, now));
  }
  const parameters = { q: "q", producer: "producer", trace: "trace_id", request: "request_id", event: "event_id" };
  for (const [option, parameter] of Object.entries(parameters)) {
    const text = args.text(option);
    if (text !== undefined) query.set(parameter, text);
  }
  for (const text of args.texts("data")) {
    const at = text.indexOf("=");
    if (at < 1) throw new UsageError(`--data is a field and its value, as user.id=42, not "${text}"`);
    query.append(`data.${text.slice(0, at)}`, text.slice(at + 1));
  }
  return query;
}

/** The credential of who asks: OPERATOR_TOKEN as the broker was given it, where it has one. */
function credential(): Record<string, string> {
  const { BROKER_OPERATOR_TOKEN: ofBroker, OPERATOR_TOKEN: token = ofBroker } = process.env;
  return token === undefined || token === "" ? {} : { authorization: `Bearer ${token}` };
}

export interface Ask {
  readonly method?: "GET" | "POST";
  readonly query?: URLSearchParams;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Ends the call, its answer's body too. */
  readonly signal?: AbortSignal;
}

/**
 * Asks the running platform's broker. The body of the answer is not read yet, and may go on for as long as it likes.
 * @throws CommandError that says in one line what is wrong, also where the broker refuses.
 */
export async function askBroker(args: Arguments, path: string, ask: Ask = {}): Promise<Response> {
  const { method = "GET", query, body, headers = {}, signal } = ask;
  const state = liveState(dataDirectory(args.text("platform")));
  const url = state?.services.broker?.url;
  if (state === undefined || url === undefined) {
    throw new CommandError("The platform is not up. Start it in another terminal: bun run up");
  }
  if (state.tls !== undefined) useTls(state.tls, silentLog);
  const begins = new AbortController();
  const timer = setTimeout(() => begins.abort(new Error(`no answer within ${ANSWER_MS / 1_000} s`)), ANSWER_MS);
  let answer: Response;
  try {
    answer = await fetch(`${url}${path}${query === undefined || query.size === 0 ? "" : `?${query.toString()}`}`, {
      method,
      headers: { ...credential(), ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.any([begins.signal, ...(signal === undefined ? [] : [signal])]),
      ...outgoingTls(),
    });
  } catch (error) {
    throw new CommandError(
      `The broker at ${url} does not answer: ${String(error instanceof Error ? error.message : error)}`,
    );
  } finally {
    clearTimeout(timer);
  }
  if (answer.ok) return answer;
  const told = (await answer.json().catch(() => undefined)) as { message?: string } | undefined;
  const hint = answer.status === 401 ? " (give the broker's OPERATOR_TOKEN in the environment)" : "";
  throw new CommandError(`The broker answered ${answer.status}: ${told?.message ?? answer.statusText}${hint}`);
}

/** Lines of a body as they come, without their ends. */
export async function* linesOf(answer: Response): AsyncGenerator<string> {
  if (answer.body === null) return;
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of answer.body) {
    const lines = `${rest}${decoder.decode(chunk, { stream: true })}`.split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
  if (rest !== "") yield rest;
}

let isWatched = false;

/** Writes a line, and waits while whoever reads is slower. Once he is gone (`| head`) the command ends. */
export async function printLine(line: string): Promise<void> {
  if (!isWatched) process.stdout.on("error", () => process.exit(0));
  isWatched = true;
  if (process.stdout.write(`${line}\n`)) return;
  await new Promise<void>((resolve) => {
    process.stdout.once("drain", resolve);
    process.stdout.once("close", resolve);
  });
}

/** `2026-01-31 12:00:03.120 ERROR  payment_failed  {"order":7}  trace=4bf9…`, as a person reads an entry. */
export function readableEntry(item: LogItem, paint: Paint): string {
  const colours: Record<string, (text: string) => string> = { WARNING: paint.yellow, ERROR: paint.red };
  const colour = colours[item.severity] ?? paint.green;
  const ids = { trace: item.trace_id, request: item.request_id, event: item.event_id };
  const data = typeof item.data === "string" ? item.data : JSON.stringify(item.data);
  return [
    paint.dim(item.created_at.replace("T", " ").replace("Z", "")),
    colour(harmless(item.severity).padEnd(7)),
    paint.bold(harmless(item.name)),
    harmless(data ?? "").replaceAll("\n", " "),
    paint.dim(
      Object.entries(ids)
        .flatMap(([key, value]) => (value === undefined || value === "" ? [] : [`${key}=${harmless(value)}`]))
        .join(" "),
    ),
  ]
    .filter((word) => word !== "")
    .join("  ");
}
