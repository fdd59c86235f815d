/** What is asked of the log, as the address of the page has it, and as the API takes it. Pure. */

export const SEVERITIES = ["INFO", "WARNING", "ERROR"] as const;
/** How far back, where no times are given: a parameter `last` of the page only. */
export const SPANS = { "15m": 900, "1h": 3_600, "24h": 86_400, "7d": 604_800 } as const;
export type Span = keyof typeof SPANS;
export const USUAL_SPAN: Span = "1h";
/** Of one question. */
export const FIELDS_MAX = 5;

export interface LogQuery {
  /** How far back; undefined where times are given, or everything is asked for. */
  readonly last: Span | "all" | undefined;
  /** RFC 3339, or empty. */
  readonly from: string;
  readonly to: string;
  readonly severity: readonly string[];
  readonly name: readonly string[];
  readonly q: string;
  readonly trace_id: string;
  readonly request_id: string;
  readonly producer: string;
  readonly event_id: string;
  /** `path=value`. */
  readonly data: readonly string[];
}

const TEXTS = ["q", "trace_id", "request_id", "producer", "event_id"] as const;
const DATA = "data.";

/** @param search of an address, with or without its question mark. What is not known is left out. */
export function queryOf(search: string): LogQuery {
  const given = new URLSearchParams(search);
  const text = (name: string): string => given.get(name) ?? "";
  const last = text("last");
  const hasTimes = given.has("from") || given.has("to");
  return {
    last: hasTimes
      ? undefined
      : last === "all" || Object.hasOwn(SPANS, last)
        ? (last as Span | "all")
        : usualFor(given),
    from: text("from"),
    to: text("to"),
    severity: given.getAll("severity").filter((one) => (SEVERITIES as readonly string[]).includes(one)),
    name: given.getAll("name").filter((one) => one !== ""),
    q: text("q"),
    trace_id: text("trace_id"),
    request_id: text("request_id"),
    producer: text("producer"),
    event_id: text("event_id"),
    data: [...given.entries()]
      .filter(([name]) => name.startsWith(DATA))
      .map(([name, value]) => `${name.slice(DATA.length)}=${value}`)
      .slice(0, FIELDS_MAX),
  };
}

/** Who asks for what has an id asks for it whenever it was. */
function usualFor(given: URLSearchParams): Span | "all" {
  return ["trace_id", "request_id", "event_id"].some((name) => (given.get(name) ?? "") !== "") ? "all" : USUAL_SPAN;
}

function filterOf(query: LogQuery): URLSearchParams {
  const search = new URLSearchParams();
  for (const severity of query.severity) search.append("severity", severity);
  for (const name of query.name) search.append("name", name);
  for (const name of TEXTS) if (query[name] !== "") search.set(name, query[name]);
  for (const field of query.data) {
    const at = field.indexOf("=");
    if (at > 0) search.append(`${DATA}${field.slice(0, at)}`, field.slice(at + 1));
  }
  return search;
}

/** As the address of the page has it; what is usual is left out. */
export function searchOf(query: LogQuery): string {
  const search = filterOf(query);
  if (query.from !== "") search.set("from", query.from);
  if (query.to !== "") search.set("to", query.to);
  if (query.last !== undefined && query.last !== usualFor(search)) search.set("last", query.last);
  return search.toString();
}

/** As the API takes it. @param nowMs epoch (ms): where "the last hour" ends. */
export function askedOf(query: LogQuery, nowMs: number): URLSearchParams {
  const search = filterOf(query);
  if (query.last !== undefined && query.last !== "all")
    search.set("from", new Date(nowMs - SPANS[query.last] * 1_000).toISOString());
  if (query.from !== "") search.set("from", query.from);
  if (query.to !== "") search.set("to", query.to);
  return search;
}

/** What is followed: the filter without times, since what comes is of now. */
export function followedOf(query: LogQuery): URLSearchParams {
  return filterOf(query);
}

/** Why a text for a field of the data can't be asked for; undefined where it can. */
export function fieldProblem(text: string): string | undefined {
  if (text === "" || /^[^=\s][^=]*=/.test(text)) return undefined;
  return "a path, =, and a value: user.id=42";
}

/** Why an export is not whole, by its end; undefined where it is. */
export function exportProblem(end: string): string | undefined {
  const last = end.trimEnd().split("\n").at(-1) ?? "";
  try {
    const { $export } = JSON.parse(last) as { $export?: { complete: boolean; error?: string } };
    if ($export?.complete === true) return undefined;
    if ($export !== undefined) return $export.error ?? "the logger has ended it";
  } catch {
    // The middle of an entry.
  }
  return "it was cut off";
}
