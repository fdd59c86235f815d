/**
 * OTLP/HTTP, the receiving side of logs (OpenTelemetry Protocol Specification 1.7, "OTLP/HTTP"): requests in JSON and in
 * Protocol Buffers to entries, and what is answered. What is done with the entries is the service's that takes them.
 */
import { FAILURES, type Failure, fail, ok, type Result } from "#shared/errors";
import type { ForeignRoute } from "#shared/http";
import { decodeJson } from "#shared/validation";
import { type OtlpEntry, RECORDS_MAX, recordsOf } from "./records.ts";
import { decodeRequest, encodeResponse, encodeStatus } from "./wire.ts";

export type { OtlpEntry } from "./records.ts";

export type OtlpFormat = "json" | "protobuf";

const TYPES: Readonly<Record<OtlpFormat, string>> = { json: "application/json", protobuf: "application/x-protobuf" };

/** A body once it is inflated, and what it may hold: OTLP's JSON has four levels and four values where data has one. */
const LIMITS = { bytes: 4 * 1_048_576, depth: 140, nodes: 300_000, records: RECORDS_MAX };

/** By the `Content-Type` of the request; JSON where there is none of OTLP's. */
export function formatOf(request: Request): OtlpFormat {
  const type = request.headers.get("content-type")?.split(";", 1)[0]?.trim().toLowerCase();
  return type === TYPES.protobuf ? "protobuf" : "json";
}

/** For `httpApp`: how the body of such a route is read, and how it tells failures (google.rpc.Status). */
export const OTLP_ROUTE: ForeignRoute = {
  types: Object.values(TYPES),
  inflatedBytes: LIMITS.bytes,
  // What is well-formed and not valid is "bad data" to an exporter, as what is not.
  failure: ({ message, status, code }, request) => {
    const format = formatOf(request);
    const body = format === "json" ? JSON.stringify({ message }) : encodeStatus(message);
    return { status: code === "invalid" ? FAILURES.malformed.http : status, type: TYPES[format], body };
  },
};

/**
 * The log records of a request's body, each by itself, in order.
 * @returns failure `malformed`, `invalid` or `too_large` for the request as a whole.
 */
export function decodeLogs(body: unknown, format: OtlpFormat): Result<Result<OtlpEntry>[]> {
  // No body is an empty message in Protocol Buffers.
  const bytes = body instanceof Uint8Array ? body : new Uint8Array();
  const decoded = format === "json" ? decodeJson(bytes, LIMITS) : decodeRequest(bytes, LIMITS);
  return decoded.ok ? recordsOf(decoded.value) : decoded;
}

/** What became of a request's records. */
export interface Taken {
  readonly rejected: number;
  /** Why; empty where none was. */
  readonly message: string;
}

/** Reasons that are told of one request. */
const REASONS = 3;

/** By OTLP, what an exporter sends again: nothing else may say "later". */
const RETRYABLE: readonly number[] = [429, 502, 503, 504];

/**
 * What is answered for all: as long as one could not be kept for now, that. The exporter sends all again then, and what is
 * stored already has its id.
 */
export function takenOf(results: readonly Result<unknown>[]): Result<Taken> {
  const failed: { index: number; error: Failure }[] = [];
  for (const [index, result] of results.entries()) {
    if (result.ok) continue;
    if (RETRYABLE.includes(result.error.status)) {
      const { code, message, retryAfterS = 1 } = result.error;
      return fail(code, message, { cause: result.error, retryAfterS });
    }
    failed.push({ index, error: result.error });
  }
  const told = failed.slice(0, REASONS).map(({ index, error }) => `log record ${index}: ${error.message}`);
  const more = failed.length > REASONS ? [`and ${failed.length - REASONS} more`] : [];
  return ok({ rejected: failed.length, message: [...told, ...more].join("; ") });
}

/** The ExportLogsServiceResponse to a request of `format`, and its media type. */
export function responseOf({ rejected, message }: Taken, format: OtlpFormat) {
  const type = TYPES[format];
  if (format === "protobuf") return { type, body: encodeResponse(rejected, message) };
  const partialSuccess = { rejectedLogRecords: String(rejected), errorMessage: message };
  return { type, body: JSON.stringify(rejected === 0 ? {} : { partialSuccess }) };
}
