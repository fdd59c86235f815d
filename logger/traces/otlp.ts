/** Spans as OTLP writes them in JSON (opentelemetry/proto/trace/v1/trace.proto), as those that are kept. Lenient, since others write them, too: only ids have to be right. */
import { SPAN_KINDS } from "#contracts/traces";
import { fail, ok, type Result } from "#shared/errors";
import { FROM_OUTSIDE } from "#shared/tracing";

export interface KeptEvent {
  readonly name: string;
  readonly at: number;
  readonly attributes: Readonly<Record<string, unknown>>;
}

/** Times in milliseconds since 1970, with fractions. */
export interface KeptSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentId?: string;
  /** Its parent is nobody's whom we know. */
  readonly fromOutside?: true;
  readonly name: string;
  readonly kind: (typeof SPAN_KINDS)[number];
  readonly service: string;
  readonly instance?: string;
  readonly start: number;
  readonly end: number;
  readonly error?: string;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly events: readonly KeptEvent[];
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
}

const MAX_TEXT = 2_048;
const MAX_NAME = 256;
const MAX_ATTRIBUTES = 128;
const MAX_ITEMS = 32;
const MAX_EVENTS = 128;
const MAX_LINKS = 128;
/** A value in a value in …: what is deeper is left out. */
const MAX_DEPTH = 4;

type Fields = Readonly<Record<string, unknown>>;

function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function textOf(value: unknown, max: number): string {
  return typeof value === "string" ? value.slice(0, max) : "";
}

/** Nanoseconds since 1970, as text or as a number, in milliseconds; exact to a fraction of a microsecond. */
function timeOf(value: unknown): number {
  const text = typeof value === "string" || typeof value === "number" ? String(value) : "";
  if (!/^\d{1,19}$/.test(text)) return 0;
  const nanos = BigInt(text);
  return Number(nanos / 1_000_000n) + Number(nanos % 1_000_000n) / 1e6;
}

/** An `AnyValue`, which is an object with one of its fields. */
function valueOf(value: unknown, depth = 0): unknown {
  const any = fieldsOf(value);
  if ("stringValue" in any) return textOf(any["stringValue"], MAX_TEXT);
  if ("boolValue" in any) return any["boolValue"] === true;
  // 64-bit integers are text there.
  if ("intValue" in any) return numberOf(any["intValue"]);
  if ("doubleValue" in any) return numberOf(any["doubleValue"]);
  if ("bytesValue" in any) return textOf(any["bytesValue"], MAX_TEXT);
  if (depth >= MAX_DEPTH) return undefined;
  if ("arrayValue" in any) {
    const values = listOf(fieldsOf(any["arrayValue"])["values"]);
    return values.slice(0, MAX_ITEMS).map((item) => valueOf(item, depth + 1));
  }
  if ("kvlistValue" in any) return attributesOf(fieldsOf(any["kvlistValue"])["values"], MAX_ITEMS, depth + 1);
  return undefined;
}

function numberOf(value: unknown): number | string {
  const number = Number(value);
  return Number.isFinite(number) && (typeof value === "number" || Number.isSafeInteger(number))
    ? number
    : String(value).slice(0, 32);
}

function attributesOf(list: unknown, max: number, depth = 0): Record<string, unknown> {
  const pairs: [string, unknown][] = [];
  for (const item of listOf(list).slice(0, max)) {
    const { key, value } = fieldsOf(item);
    const known = valueOf(value, depth);
    if (typeof key === "string" && key !== "" && known !== undefined) pairs.push([key.slice(0, MAX_NAME), known]);
  }
  return Object.fromEntries(pairs);
}

function idOf(value: unknown, digits: 16 | 32): string | undefined {
  if (typeof value !== "string" || value.length !== digits) return undefined;
  const id = value.toLowerCase();
  return /^[0-9a-f]+$/.test(id) && !/^0+$/.test(id) ? id : undefined;
}

const SERVICE = /[^A-Za-z0-9_-]/g;
const ERROR = 2;

function spanOf(given: unknown, service: string, instance: string): KeptSpan | undefined {
  const span = fieldsOf(given);
  const traceId = idOf(span["traceId"], 32);
  const spanId = idOf(span["spanId"], 16);
  const start = timeOf(span["startTimeUnixNano"]);
  if (traceId === undefined || spanId === undefined || start === 0) return undefined;
  const parentId = idOf(span["parentSpanId"], 16);
  const {
    [FROM_OUTSIDE]: outside,
    "error.type": type,
    ...attributes
  } = attributesOf(span["attributes"], MAX_ATTRIBUTES);
  const { code, message } = fieldsOf(span["status"]);
  const isFailed = code === ERROR || code === "STATUS_CODE_ERROR";
  const error = typeof type === "string" && type !== "" ? type : textOf(message, MAX_NAME) || "error";
  const links = listOf(span["links"]).slice(0, MAX_LINKS).map(fieldsOf);
  return {
    traceId,
    spanId,
    ...(parentId === undefined ? {} : { parentId }),
    ...(outside === true ? { fromOutside: true } : {}),
    name: textOf(span["name"], MAX_NAME),
    kind: SPAN_KINDS[Number(span["kind"]) - 1] ?? "internal",
    service,
    ...(instance === "" ? {} : { instance }),
    start,
    end: Math.max(start, timeOf(span["endTimeUnixNano"])),
    ...(isFailed ? { error: error.slice(0, MAX_NAME) } : {}),
    attributes,
    events: listOf(span["events"])
      .slice(0, MAX_EVENTS)
      .map(fieldsOf)
      .map((event) => ({
        name: textOf(event["name"], MAX_NAME),
        at: timeOf(event["timeUnixNano"]),
        attributes: attributesOf(event["attributes"], MAX_ITEMS),
      })),
    links: links.flatMap((link) => {
      const ids = { traceId: idOf(link["traceId"], 32), spanId: idOf(link["spanId"], 16) };
      return ids.traceId === undefined || ids.spanId === undefined
        ? []
        : [{ traceId: ids.traceId, spanId: ids.spanId }];
    }),
  };
}

/** @returns the spans of an `ExportTraceServiceRequest`, and how many were no spans; failure `invalid` for what is no such request. */
export function spansOf(request: unknown): Result<{ spans: KeptSpan[]; rejected: number }> {
  const { resourceSpans } = fieldsOf(request);
  if (!Array.isArray(resourceSpans)) return fail("invalid", "resourceSpans must be a list");
  const spans: KeptSpan[] = [];
  let rejected = 0;
  for (const group of resourceSpans.map(fieldsOf)) {
    const resource = attributesOf(fieldsOf(group["resource"])["attributes"], MAX_ATTRIBUTES);
    const service = textOf(resource["service.name"], 64).replace(SERVICE, "_") || "unknown";
    const instance = textOf(resource["service.instance.id"], MAX_NAME);
    for (const scope of listOf(group["scopeSpans"]).map(fieldsOf)) {
      for (const given of listOf(scope["spans"])) {
        const span = spanOf(given, service, instance);
        if (span === undefined) rejected += 1;
        else spans.push(span);
      }
    }
  }
  return ok({ spans, rejected });
}
