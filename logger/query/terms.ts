/** What an entry can be asked for by equality, each as one number: its terms. */
import type { LogFilter, LogItem } from "#contracts/log-queries";
import { eachWord, wordsOf } from "./filter.ts";

/** Of one entry. One that has more is looked at whatever is asked for. */
const TERMS_MAX = 128;
/** Longest text that a field of `data` can be asked to be equal to (characters). */
const EQUALS_MAX = 1_024;

/** They are kept: another function here would need them made anew. The same number for two terms costs a look, no more. */
const hash = (text: string): number => Bun.hash.xxHash32(text);

const NAMED = { name: "n:", severity: "s:", producer: "p:", trace: "t:", request: "r:" } as const;
const field = (path: string, value: unknown): string => `d:${path}\0${JSON.stringify(value)}`;
const word = (text: string): string => `w:${text}`;

export interface Terms {
  /** Distinct, in no order. */
  readonly hashes: readonly number[];
  /** There are more. */
  readonly cut: boolean;
}

/** What of an entry is looked for. */
export type Subject = Pick<LogItem, "name" | "severity" | "data"> &
  Partial<Pick<LogItem, "trace_id" | "request_id" | "producer">>;

/** Terms of an entry. */
export function termsOf({ name, severity, data, trace_id, request_id, producer }: Subject): Terms {
  const hashes = new Set([hash(NAMED.name + name), hash(NAMED.severity + severity)]);
  if (trace_id !== undefined) hashes.add(hash(NAMED.trace + trace_id));
  if (request_id !== undefined) hashes.add(hash(NAMED.request + request_id));
  if (producer !== undefined) hashes.add(hash(NAMED.producer + producer.id));
  const addWords = (text: string): void => {
    for (const one of eachWord(text)) {
      hashes.add(hash(word(one)));
      if (hashes.size > TERMS_MAX) return;
    }
  };
  const look = (value: unknown, path: string): void => {
    if (hashes.size > TERMS_MAX) return;
    if (typeof value === "object" && value !== null) {
      for (const [key, inner] of Object.entries(value)) look(inner, path === "" ? key : `${path}.${key}`);
      return;
    }
    if (typeof value === "string") addWords(value);
    const isAskable = typeof value !== "string" || value.length <= EQUALS_MAX;
    if (path !== "" && isAskable) hashes.add(hash(field(path, value)));
  };
  addWords(name);
  look(data, "");
  const all = [...hashes];
  return { hashes: all.slice(0, TERMS_MAX), cut: all.length > TERMS_MAX };
}

/** Terms of a filter: of each list one has to be there. Times and `event_id` are no terms. */
export function termsAsked({ name, severity, producer, trace_id, request_id, data = [], q }: LogFilter): number[][] {
  const one = (prefix: string, value: string | undefined): number[][] =>
    value === undefined ? [] : [[hash(prefix + value)]];
  const some = (prefix: string, values: readonly string[] | undefined): number[][] =>
    values === undefined ? [] : [values.map((value) => hash(prefix + value))];
  return [
    // What is rare first.
    ...one(NAMED.trace, trace_id),
    ...one(NAMED.request, request_id),
    ...data.map(({ path, equals }) => [hash(field(path, equals))]),
    ...[...new Set(wordsOf(q ?? ""))].map((text) => [hash(word(text))]),
    ...some(NAMED.name, name),
    ...some(NAMED.severity, severity),
    ...one(NAMED.producer, producer),
  ];
}
