/** Reads what `/metrics` of a service says (Prometheus' text format, version 0.0.4), as far as somebody wants to know. */

export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** By the name of the metric, then by the labels as they are written, which tell its samples apart. */
export type Exposition = ReadonlyMap<string, ReadonlyMap<string, Sample>>;

/** Samples that are kept of one text; a service has about a thousand of those that are wanted. */
const MAX_SAMPLES = 20_000;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;

/**
 * @param wanted names of metrics as they stand in a line: of a histogram `…_bucket`, `…_sum`, `…_count`.
 * @param before of the same process: what was read of labels then is not read again.
 * @returns without lines that are none.
 */
export function readExposition(text: string, wanted: ReadonlySet<string>, before?: Exposition): Exposition {
  const found = new Map<string, Map<string, Sample>>();
  let left = MAX_SAMPLES;
  for (let start = 0; start < text.length && left > 0; ) {
    const newline = text.indexOf("\n", start);
    const end = newline === -1 ? text.length : newline;
    const nameEnd = endOfName(text, start, end);
    const name = text.slice(start, nameEnd);
    if (wanted.has(name)) {
      // A label may have a brace in it; what follows the last one is a number.
      const brace = text[nameEnd] === "{" ? text.lastIndexOf("}", end) : nameEnd - 1;
      const labels = text.slice(nameEnd, brace + 1);
      const value = numberOf(text.slice(brace + 1, end).trim());
      if (value !== undefined) {
        const samples = found.get(name) ?? new Map<string, Sample>();
        found.set(name, samples);
        samples.set(labels, { labels: before?.get(name)?.get(labels)?.labels ?? labelsOf(labels), value });
        left -= 1;
      }
    }
    start = end + 1;
  }
  return found;
}

const BRACE = "{".charCodeAt(0);
const SPACE = " ".charCodeAt(0);

function endOfName(text: string, start: number, end: number): number {
  for (let at = start; at < end; at += 1) {
    const code = text.charCodeAt(at);
    if (code === BRACE || code === SPACE) return at;
  }
  return end;
}

/** A time may follow. */
function numberOf(text: string): number | undefined {
  const [first = ""] = text.split(" ", 1);
  if (first === "+Inf") return Number.POSITIVE_INFINITY;
  const value = first === "" ? Number.NaN : Number(first);
  return Number.isNaN(value) ? undefined : value;
}

function labelsOf(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const [, name = "", value = ""] of text.matchAll(LABEL)) {
    labels[name] = value.replaceAll(/\\(.)/g, (_all, char: string) => (char === "n" ? "\n" : char));
  }
  return labels;
}
