/** Log records of OTLP as entries of ours. docs/intake.md says what becomes of what. */
import { HTTP_LIMITS } from "#contracts/limits";
import type { Severity } from "#contracts/logs";
import { fail, ok, type Result } from "#shared/errors";
import { problemOf } from "#shared/validation";
import { anyOf, attributesOf, fieldsOf, listOf, textOf, wholeOf } from "./values.ts";

/** A log record, as it is to be stored. */
export interface OtlpEntry {
  readonly name: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly severity: Severity;
  /** RFC 3339; absent where the record does not say. */
  readonly createdAt?: string;
  /** Of the record, 32 hexadecimal digits. */
  readonly traceId?: string;
  /** Of the span that it belongs to, 16 hexadecimal digits. */
  readonly spanId?: string;
  /** The same for the same record, whenever it comes; of two that are the same in one request, `copy` tells them apart. */
  readonly key: string;
  readonly copy: number;
}

/** Records of one request; beyond that it is refused as a whole. The batch processor of the OpenTelemetry collector sends 8,192. */
export const RECORDS_MAX = 10_000;
const NAME_MAX = 255;
const KEY_MAX = 128;
/** Without an event name, and where neither the resource nor the scope has a name. */
const NAMELESS = "otlp";
const MAX_TIME = 2n ** 64n;
const NS_PER_MS = 1_000_000n;
/** As the logger has it: told here, since what a queue has taken is refused to nobody. */
const MAX_AHEAD_MS = 24 * 3_600_000;

/** SeverityNumber (opentelemetry/proto/logs/v1/logs.proto): 13 is WARN, 17 ERROR, 21 FATAL, up to 24. */
const WARN = 13;
const ERROR = 17;
const HIGHEST = 24;
const WARNING_TEXT = /^warn/i;
const ERROR_TEXT = /^(err|fatal|crit|alert|emerg|panic|severe)/i;

function severityOf(number: number, text: string | undefined): Severity {
  if (number > 0) return number >= ERROR ? "ERROR" : number >= WARN ? "WARNING" : "INFO";
  if (text === undefined) return "INFO";
  return ERROR_TEXT.test(text) ? "ERROR" : WARNING_TEXT.test(text) ? "WARNING" : "INFO";
}

function firstText(...texts: readonly unknown[]): string | undefined {
  return texts.map(textOf).find((text) => text !== undefined && text !== "");
}

function idOf(value: unknown, digits: number): string | undefined {
  const id = typeof value === "string" ? value.toLowerCase() : "";
  return new RegExp(`^(?!0+$)[0-9a-f]{${digits}}$`).test(id) ? id : undefined;
}

/** Nanoseconds since 1970; 0 is "not known". Failure `invalid` for what is no such time. */
function timeOf(field: string, value: unknown): Result<bigint> {
  if (value === undefined || value === null) return ok(0n);
  const time = wholeOf(value);
  if (time !== undefined && time >= 0n && time < MAX_TIME) return ok(time);
  return fail("invalid", `${field} must be nanoseconds since 1970`);
}

/** Without what is not there. */
function present(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** Attributes, undefined for none. */
function someOf(list: unknown): Record<string, unknown> | undefined {
  return listOf(list).length === 0 ? undefined : attributesOf(list);
}

/** What the records of one scope share. */
interface Origin {
  readonly resource: Record<string, unknown> | undefined;
  readonly scope: Record<string, unknown> | undefined;
  /** What a record without an event name is called. */
  readonly name: string | undefined;
}

function originOf(resourceLogs: unknown, scopeLogs: unknown): Origin {
  const resourceAttributes = fieldsOf(fieldsOf(resourceLogs)["resource"])["attributes"];
  const scope = fieldsOf(fieldsOf(scopeLogs)["scope"]);
  const named = present({
    name: firstText(scope["name"]),
    version: firstText(scope["version"]),
    attributes: someOf(scope["attributes"]),
  });
  return {
    resource: someOf(resourceAttributes),
    scope: Object.keys(named).length === 0 ? undefined : named,
    name: firstText(attributeOf(resourceAttributes, "service.name"), scope["name"]),
  };
}

function attributeOf(list: unknown, key: string): unknown {
  const found = listOf(list).find((pair) => fieldsOf(pair)["key"] === key);
  return found === undefined ? undefined : anyOf(fieldsOf(found)["value"]);
}

function nameOf(...candidates: readonly unknown[]): string {
  const name = (firstText(...candidates) ?? NAMELESS).replaceAll("\0", "").slice(0, NAME_MAX).toWellFormed();
  return name === "" ? NAMELESS : name;
}

function entryOf(record: unknown, { resource, scope, name: fallback }: Origin): Result<Omit<OtlpEntry, "copy">> {
  if (typeof record !== "object" || record === null) return fail("invalid", "it is no log record");
  const fields = fieldsOf(record);
  const number = fields["severityNumber"] ?? 0;
  if (typeof number !== "number" || !Number.isInteger(number) || number < 0 || number > HIGHEST) {
    return fail("invalid", `severityNumber must be a whole number of 0 to ${HIGHEST}`);
  }
  const time = timeOf("timeUnixNano", fields["timeUnixNano"]);
  if (!time.ok) return time;
  const observed = timeOf("observedTimeUnixNano", fields["observedTimeUnixNano"]);
  if (!observed.ok) return observed;
  const { attributes } = fields;
  const severityText = firstText(fields["severityText"]);
  const eventName = firstText(fields["eventName"]);
  const spanId = idOf(fields["spanId"], 16);
  const dropped = fields["droppedAttributesCount"];
  const data = present({
    body: fields["body"] === undefined || fields["body"] === null ? undefined : anyOf(fields["body"]),
    attributes: someOf(attributes),
    event_name: eventName,
    severity_text: severityText,
    severity_number: number === 0 ? undefined : number,
    time_unix_nano: time.value === 0n ? undefined : String(time.value),
    observed_time_unix_nano: observed.value === 0n ? undefined : String(observed.value),
    span_id: spanId,
    flags: typeof fields["flags"] === "number" && fields["flags"] > 0 ? fields["flags"] : undefined,
    dropped_attributes_count: typeof dropped === "number" && dropped > 0 ? dropped : undefined,
    resource,
    scope,
  });
  const problem = problemOf(data, HTTP_LIMITS);
  if (problem !== undefined) return { ok: false, error: problem };
  const text = JSON.stringify(data);
  if (Buffer.byteLength(text) > HTTP_LIMITS.bytes) {
    return fail("invalid", `it is larger than ${HTTP_LIMITS.bytes} bytes`);
  }
  const name = nameOf(eventName, attributeOf(attributes, "event.name"), fallback);
  const severity = severityOf(number, severityText);
  const traceId = idOf(fields["traceId"], 32);
  const at = Number((time.value === 0n ? observed.value : time.value) / NS_PER_MS);
  if (at > Date.now() + MAX_AHEAD_MS) return fail("invalid", "its time lies more than a day ahead");
  return ok({
    name,
    data,
    severity,
    key: keyOf(attributeOf(attributes, "log.record.uid"), [name, severity, traceId ?? "", text]),
    ...(at === 0 ? {} : { createdAt: new Date(at).toISOString() }),
    ...(traceId === undefined ? {} : { traceId }),
    ...(spanId === undefined ? {} : { spanId }),
  });
}

/** By `log.record.uid` (OpenTelemetry's semantic conventions: what has the same may be removed as a duplicate), else by all that it says. */
function keyOf(uid: unknown, content: readonly string[]): string {
  if (typeof uid === "string" && uid !== "" && uid.length <= KEY_MAX) return `uid:${uid.toWellFormed()}`;
  const hash = new Bun.CryptoHasher("sha256");
  for (const part of content) hash.update(`${part.length}:`).update(part);
  return `content:${hash.digest("base64url")}`;
}

/**
 * The records of an ExportLogsServiceRequest in OTLP's JSON form, each by itself, in order.
 * @returns failure `malformed` for what is no such request, `too_large` for more than 10,000 records.
 */
export function recordsOf(request: unknown): Result<Result<OtlpEntry>[]> {
  if (typeof request !== "object" || request === null || Array.isArray(request)) {
    return fail("malformed", "the body is no ExportLogsServiceRequest");
  }
  const { resourceLogs = [] } = request as { resourceLogs?: unknown };
  if (!Array.isArray(resourceLogs)) return fail("malformed", "resourceLogs must be a list");
  const copies = new Map<string, number>();
  const records: Result<OtlpEntry>[] = [];
  for (const ofResource of resourceLogs) {
    for (const ofScope of listOf(fieldsOf(ofResource)["scopeLogs"])) {
      const origin = originOf(ofResource, ofScope);
      const given = listOf(fieldsOf(ofScope)["logRecords"]);
      if (records.length + given.length > RECORDS_MAX) {
        return fail("too_large", `more than ${RECORDS_MAX} log records: send smaller batches`);
      }
      for (const record of given) {
        const entry = entryOf(record, origin);
        if (!entry.ok) {
          records.push(entry);
          continue;
        }
        const { key } = entry.value;
        const copy = copies.get(key) ?? 0;
        copies.set(key, copy + 1);
        // What has an id of its own is the same thing, however often it is there.
        records.push(ok({ ...entry.value, copy: key.startsWith("uid:") ? 0 : copy }));
      }
    }
  }
  return ok(records);
}
