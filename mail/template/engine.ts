/**
 * LiquidJS, cut down to what a mail needs. Templates are text with conditions and loops: there is no way from them to
 * code, files or the network, and none for a variable to be more than text.
 *
 * - Tags and filters are lists of what is allowed. Not on them: what includes files, what turns a variable into
 *   template code (`where_exp` and its like), what differs each time (`sample`, dates of now), and `raw`: nothing that
 *   comes from a variable stands in HTML unescaped.
 * - Bounded in time (`RENDER_MS`), in memory (`memoryLimit`) and in what comes out (`OUTPUT_MAX`).
 */
import { Liquid, type Template } from "liquidjs";
import { fail, ok, type Result } from "#shared/errors";

/** Longest rendering (ms). LiquidJS looks at the clock between any two tags. */
export const RENDER_MS = 200;
/** Longest text of a part (bytes of UTF-8). */
export const OUTPUT_MAX = 524_288;
/** Characters and items that filters and ranges may make while rendering: LiquidJS does not look at the clock in an empty loop. */
const MEMORY_MAX = 500_000;
const SOURCE_MAX = 1_048_576;

const TAGS = new Set(["assign", "break", "capture", "case", "comment", "continue", "for", "if", "unless", "#"]);
const FILTERS = new Set(
  (
    "abs append at_least at_most capitalize ceil compact concat default divided_by downcase first floor join last lstrip " +
    "map minus modulo plus prepend remove replace reverse round rstrip size slice sort split strip strip_newlines times " +
    "truncate truncatewords uniq upcase url_encode"
  ).split(" "),
);

/** What every template knows besides its variables, as `mail`. */
export interface MailFacts {
  /** BCP 47, of the template's file: for `lang`. */
  readonly locale: string;
  readonly dir: "ltr" | "rtl";
  /** Not for the subject itself. */
  readonly subject?: string;
}

export type Parsed = Template[];

export interface Engine {
  /** @throws where it is not Liquid, or uses a tag or filter that there is not. */
  parse(source: string, file: string): Parsed;
  /** The variables that it reads, without `mail`. */
  variablesOf(template: Parsed): string[];
  /** @param format the locale for dates and numbers. */
  render(template: Parsed, variables: object, mail: MailFacts, format: string): Result<string>;
}

/** Said in the words of the thrower; LiquidJS wraps it in its own. */
class Refusal extends Error {}

function textOf(value: unknown): string {
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (value === null || value === undefined) return "";
  throw new Refusal("a list or an object is no text: take one of its fields, or loop over it");
}

const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/i;

/** They take milliseconds to make; the time zone is a variable, so there is an end to how many are kept. */
const dateFormats = new Map<string, Intl.DateTimeFormat>();
const FORMATS_MAX = 500;

function dateFormat(locale: string, timeZone: string): Intl.DateTimeFormat {
  const key = `${locale} ${timeZone}`;
  let format = dateFormats.get(key);
  if (format !== undefined) return format;
  try {
    format = new Intl.DateTimeFormat(locale, {
      year: "numeric",
      month: "long",
      day: "numeric",
      hour: "2-digit",
      minute: "2-digit",
      hourCycle: "h23",
      timeZoneName: "short",
      timeZone,
    });
  } catch {
    throw new Refusal(`date: ${JSON.stringify(timeZone.slice(0, 80))} is no time zone such as Europe/Berlin`);
  }
  if (dateFormats.size >= FORMATS_MAX) dateFormats.clear();
  dateFormats.set(key, format);
  return format;
}

/** E.g. `November 23, 2026 at 10:00 UTC`, as the locale has it. @throws Refusal. */
function dateText(value: unknown, zone: unknown, locale: string): string {
  const time = typeof value === "string" && RFC_3339.test(value) ? Date.parse(value) : Number.NaN;
  if (Number.isNaN(time)) throw new Refusal("date: the value has to be a time as RFC 3339 has it, with its offset");
  const timeZone = zone === undefined || zone === null || zone === "" ? "UTC" : textOf(zone);
  return dateFormat(locale, timeZone).format(time);
}

/** E.g. `1,234.50`, as the locale has it. @param digits after the point; default: up to three, as many as there are. */
function numberText(value: unknown, digits: unknown, locale: string): string {
  if (typeof value !== "number") throw new Refusal("number: the value has to be a number");
  const fixed = typeof digits === "number" ? Math.min(20, Math.max(0, Math.trunc(digits))) : undefined;
  return new Intl.NumberFormat(
    locale,
    fixed === undefined ? {} : { minimumFractionDigits: fixed, maximumFractionDigits: fixed },
  ).format(value);
}

/** The first line of an error of LiquidJS, which says file, line and column. */
function wordsOf(error: unknown): string {
  const inner = error instanceof Error && "originalError" in error ? error.originalError : undefined;
  if (inner instanceof Refusal) return inner.message;
  return (error instanceof Error ? error.message : String(error)).split("\n")[0] ?? "";
}

/** Without its place: that is one in the text with its layout around it. */
function whileRendering(error: unknown): string {
  return wordsOf(error).replace(/(, file:.*)?, line:\d+, col:\d+$/, "");
}

/** What LiquidJS says when the clock has run out. */
const OUT_OF_TIME = /render limit exceeded/;

/** @param escape whether variables are escaped for HTML. */
export function makeEngine(escape: boolean): Engine {
  // Of the rendering that goes on; they do not overlap, since rendering is synchronous.
  let left = 0;
  let locale = "en";

  const engine = new Liquid({
    // In place of a file system: an empty one.
    templates: {},
    strictFilters: true,
    strictVariables: true,
    // `{% if x %}` asks whether there is an x.
    lenientIf: true,
    ownPropertyOnly: true,
    locale: "en",
    timezoneOffset: 0,
    parseLimit: SOURCE_MAX,
    renderLimit: RENDER_MS,
    memoryLimit: MEMORY_MAX,
    outputEscape: (value: unknown) => {
      const text = textOf(value);
      left -= text.length;
      if (left < 0) throw new Refusal(`more than ${OUTPUT_MAX} bytes come out`);
      return escape ? Bun.escapeHTML(text) : text;
    },
  });
  for (const tag of Object.keys(engine.tags)) if (!TAGS.has(tag)) delete engine.tags[tag];
  for (const filter of Object.keys(engine.filters)) if (!FILTERS.has(filter)) engine.unregisterFilter(filter);
  engine.registerFilter("date", (value: unknown, zone: unknown) => dateText(value, zone, locale));
  engine.registerFilter("number", (value: unknown, digits: unknown) => numberText(value, digits, locale));

  function attempt(template: Parsed, variables: object, mail: MailFacts): string {
    left = OUTPUT_MAX;
    const text: unknown = engine.renderSync(template, variables, { globals: { mail } });
    return typeof text === "string" ? text : "";
  }

  return {
    parse(source, file) {
      try {
        return engine.parse(source, file);
      } catch (error) {
        throw new Error(wordsOf(error), { cause: error });
      }
    },
    variablesOf: (template) => engine.globalVariablesSync(template).filter((name) => name !== "mail"),
    render(template, variables, mail, format) {
      locale = format;
      let text: string;
      try {
        text = attempt(template, variables, mail);
      } catch (first) {
        // The clock also runs while this machine stands still: what is really too slow is so twice.
        if (!OUT_OF_TIME.test(wordsOf(first))) return fail("invalid", whileRendering(first), { cause: first });
        try {
          text = attempt(template, variables, mail);
        } catch (second) {
          return fail("invalid", whileRendering(second), { cause: second });
        }
      }
      if (Buffer.byteLength(text) > OUTPUT_MAX) return fail("invalid", `more than ${OUTPUT_MAX} bytes come out`);
      return ok(text);
    },
  };
}
