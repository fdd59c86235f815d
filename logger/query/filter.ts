/** What is asked for, read from a URL; and whether an entry is that, for entries that are in hand. */
import { type DataEquals, LogFilter, type LogItem } from "#contracts/log-queries";
import { fail, ok, type Result } from "#shared/errors";
import { makeValidator, timeOf } from "#shared/validation";

/** Parameters that may come several times; one of them has to hold. */
const SEVERAL = new Set(["name", "severity"]);
const DATA = "data.";

const validFilter = makeValidator(LogFilter, { name: "query", unknown: "refuse" });

/** A JSON literal means itself; anything else is text, and text that looks like a literal is given in quotes. */
function literalOf(text: string): DataEquals["equals"] {
  if (!/^(-?\d{1,15}(\.\d{1,15})?|true|false|null|"(?:[^"\\]|\\.)*")$/.test(text)) return text;
  try {
    return JSON.parse(text) as DataEquals["equals"];
  } catch {
    return text;
  }
}

/**
 * The filter in a query: `name=`, `severity=` (each also several times), `from=`, `to=`, `producer=`, `trace_id=`,
 * `request_id=`, `event_id=`, `data.<path>=`, `q=`.
 * @param others parameters that are not the filter's, left out here.
 * @returns failure `invalid`, which names the parameter.
 */
export function filterOf(parameters: URLSearchParams, others: readonly string[] = []): Result<LogFilter> {
  const values: Record<string, unknown> = {};
  const data: DataEquals[] = [];
  for (const [name, text] of parameters) {
    if (others.includes(name)) continue;
    if (name === "data") return fail("invalid", "data is not a known field; a field of it is asked for as data.<path>");
    if (name.startsWith(DATA)) data.push({ path: name.slice(DATA.length), equals: literalOf(text) });
    else if (SEVERAL.has(name)) values[name] = [...((values[name] as string[] | undefined) ?? []), text];
    else if (Object.hasOwn(values, name)) return fail("invalid", `${name} is there twice`);
    else values[name] = text;
  }
  const valid = validFilter({ ...values, ...(data.length === 0 ? {} : { data }) });
  if (!valid.ok) return valid;
  if (valid.value.q !== undefined && wordsOf(valid.value.q).length === 0) {
    return fail("invalid", "q has no words: letters or digits");
  }
  for (const field of ["from", "to"] as const) {
    const text = valid.value[field];
    const time = text === undefined ? ok() : timeOf(field, text);
    if (!time.ok) return time;
  }
  return valid;
}

/** The value at `path` of `data`; undefined where there is none. */
function at(data: unknown, path: string): unknown {
  let value = data;
  for (const key of path.split(".")) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Record<string, unknown>)[key];
  }
  return value;
}

/** All texts in `data`, whatever the depth: values, not keys. */
function textsOf(data: unknown): string[] {
  if (typeof data === "string") return [data];
  if (typeof data !== "object" || data === null) return [];
  return Object.values(data).flatMap(textsOf);
}

/** Letters, digits and `_` of any script: what else there is parts words, as it does in MongoDB's own text indexes. */
const WORD = /[\p{L}\p{N}\p{M}_]+/gu;

/** The words of a text, as they are compared: one after the other, for texts of which not all are wanted. */
export function* eachWord(text: string): Generator<string, void, undefined> {
  for (const [word] of text.toLowerCase().matchAll(WORD)) yield word;
}

export const wordsOf = (text: string): string[] => [...eachWord(text)];

/** Whether all of `words` are among those of the name and the texts of `data`. */
function hasWords(item: Pick<LogItem, "name" | "data">, words: readonly string[]): boolean {
  const missing = new Set(words);
  for (const text of [item.name, ...textsOf(item.data)]) {
    if (missing.size === 0) return true;
    for (const word of eachWord(text)) if (missing.delete(word) && missing.size === 0) return true;
  }
  return missing.size === 0;
}

/** All words of an entry that it can be asked for by. */
export function wordsIn(item: Pick<LogItem, "name" | "data">): Set<string> {
  return new Set([item.name, ...textsOf(item.data)].flatMap(wordsOf));
}

/**
 * Whether an entry is what `filter` asks for, as the store would decide it: `known` gives `wordsIn` it, where several filters are
 * asked of the same entry.
 */
export function makeMatcher(filter: LogFilter): (item: LogItem, known?: () => ReadonlySet<string>) => boolean {
  const { name, severity, producer, trace_id, request_id, event_id, data = [], q } = filter;
  const from = filter.from === undefined ? undefined : new Date(filter.from).getTime();
  const to = filter.to === undefined ? undefined : new Date(filter.to).getTime();
  const words = wordsOf(q ?? "");
  return (item, known) => {
    if (name !== undefined && !name.includes(item.name)) return false;
    if (severity !== undefined && !severity.some((one) => one === item.severity)) return false;
    if (producer !== undefined && item.producer?.id !== producer) return false;
    if (trace_id !== undefined && item.trace_id !== trace_id) return false;
    if (request_id !== undefined && item.request_id !== request_id) return false;
    if (event_id !== undefined && item.event_id !== event_id) return false;
    if (from !== undefined || to !== undefined) {
      const time = Date.parse(item.created_at);
      if (from !== undefined && time < from) return false;
      if (to !== undefined && time >= to) return false;
    }
    if (!data.every(({ path, equals }) => at(item.data, path) === equals)) return false;
    if (words.length === 0 || known === undefined) return hasWords(item, words);
    const there = known();
    return words.every((word) => there.has(word));
  };
}
