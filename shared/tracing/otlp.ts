/** OTLP/HTTP out (https://opentelemetry.io/docs/specs/otlp/#otlphttp): one request, and what its answer means. Never throws. */
import { JsonTraceSerializer, ProtobufTraceSerializer } from "@opentelemetry/otlp-transformer";
import type { ReadableSpan } from "@opentelemetry/sdk-trace";
import { messageOf } from "#shared/errors";
import { outgoingTls } from "#shared/tls";
import type { Send, Sent } from "./pipeline.ts";
import type { DestinationSettings } from "./settings.ts";

const SERIALIZERS = {
  protobuf: { serializer: ProtobufTraceSerializer, contentType: "application/x-protobuf" },
  json: { serializer: JsonTraceSerializer, contentType: "application/json" },
} as const;

/** Those after which the same request may go well (OTLP, "Retryable Response Codes"). */
const RETRYABLE = new Set([429, 502, 503, 504]);
/** What is read of an answer: there is a count and a sentence in it. */
const MAX_ANSWER_BYTES = 65_536;
/** Sending spans is no work to make spans of: whoever takes them is told so. */
const NOT_RECORDED = "00-73656e64696e67207370616e73000000-6e6f7472656163cc-00";

/** Spans as JSON, as OTLP writes it. */
export function jsonOf(spans: readonly ReadableSpan[]): Uint8Array {
  return JsonTraceSerializer.serializeRequest([...spans]) ?? new Uint8Array();
}

/** @param version of the platform, for `User-Agent`. */
export function makeOtlpSend({ url, headers, encoding }: DestinationSettings, version: string): Send<ReadableSpan> {
  const { serializer, contentType } = SERIALIZERS[encoding];
  return async (spans, signal) => {
    try {
      const answer = await fetch(url, {
        method: "POST",
        body: (serializer.serializeRequest([...spans]) ?? new Uint8Array()) as Uint8Array<ArrayBuffer>,
        headers: {
          "user-agent": `platform/${version}`,
          ...headers,
          "content-type": contentType,
          traceparent: NOT_RECORDED,
        },
        ...outgoingTls(),
        redirect: "manual",
        signal,
      });
      if (answer.status !== 200) {
        await answer.body?.cancel();
        return refusalOf(answer);
      }
      return acceptedOf(answer, serializer);
    } catch (error) {
      return { sent: false, reason: "unavailable", why: messageOf(error) };
    }
  };
}

function refusalOf({ status, headers }: Response): Sent {
  const why = `status ${status}`;
  if (status === 413) return { sent: false, reason: "too_large", why };
  if (!RETRYABLE.has(status)) {
    const hint = status === 401 || status === 403 ? ": see its key or headers here" : "";
    return { sent: false, reason: "refused", why: `${why}${hint}` };
  }
  const retryAfterMs = waitOf(headers.get("retry-after"));
  return { sent: false, reason: "unavailable", why, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
}

/** `Retry-After` (RFC 9110 §10.2.3): seconds, or a date. */
function waitOf(text: string | null): number | undefined {
  if (text === null) return undefined;
  const ms = /^\d{1,9}$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - Date.now();
  return Number.isNaN(ms) ? undefined : Math.max(0, ms);
}

/** Taken; some of it perhaps not, which is not sent again ("Partial Success"). */
async function acceptedOf(
  answer: Response,
  serializer: (typeof SERIALIZERS)[keyof typeof SERIALIZERS]["serializer"],
): Promise<Sent> {
  const length = Number(answer.headers.get("content-length") ?? 0);
  if (length === 0 || length > MAX_ANSWER_BYTES) {
    await answer.body?.cancel();
    return { sent: true, rejected: 0 };
  }
  const bytes = await answer.bytes();
  try {
    const { partialSuccess } = serializer.deserializeResponse(bytes);
    // As text in JSON, like all that has 64 bits there.
    const told: unknown = partialSuccess?.rejectedSpans;
    const rejected = Number(told ?? 0);
    return {
      sent: true,
      rejected: Number.isSafeInteger(rejected) && rejected > 0 ? rejected : 0,
      ...(partialSuccess?.errorMessage ? { why: partialSuccess.errorMessage.slice(0, 200) } : {}),
    };
  } catch {
    // They are taken: what else it says is of no use.
    return { sent: true, rejected: 0 };
  }
}
