/** HTTP in: spans, and questions for traces. Translates, never decides. */
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import type { ValueLimits } from "#contracts/limits";
import { TraceQuery } from "#contracts/traces";
import { FAILURES, Failure, orThrow } from "#shared/errors";
import { contextOf, envelope, type ForeignRoute } from "#shared/http";
import { type Sent, TRACES_PATH } from "#shared/tracing";
import { makeQueryValidator, parseJson } from "#shared/validation";
import type { Traces } from "./traces.ts";

const JSON_TYPE = "application/json";
/** Of one request: what OTLP writes of a span are dozens of values, in objects in objects. */
const LIMITS: ValueLimits = { bytes: 4 * 1_048_576, depth: 40, nodes: 400_000 };

/** Spans are taken in JSON only: what services of ours send. A failure is a `google.rpc.Status`. */
export const TRACES_ROUTE: Readonly<Record<string, ForeignRoute>> = {
  [TRACES_PATH]: {
    types: [JSON_TYPE],
    inflatedBytes: LIMITS.bytes,
    failure: ({ message, status, code }) => ({
      // Bad data is 400 there.
      status: code === "invalid" ? FAILURES.malformed.http : status,
      type: JSON_TYPE,
      body: JSON.stringify({ message }),
    }),
  },
};

const traceQuery = makeQueryValidator(TraceQuery);
const noQuery = makeQueryValidator(Type.Object({}));

/** @throws Failure for what is no such request. */
function taken(traces: Traces, body: Uint8Array): { accepted: number; rejected: number } {
  return orThrow(traces.take(orThrow(parseJson(body, LIMITS))));
}

/** The same for spans of this process. */
export function takeRequest(traces: Traces, body: Uint8Array): Sent {
  try {
    return { sent: true, rejected: taken(traces, body).rejected };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const why = error.message;
    if (error.code === "too_large") return { sent: false, reason: "too_large", why };
    return { sent: false, reason: error.code === "exhausted" ? "unavailable" : "refused", why };
  }
}

export function traceRoutes(traces: Traces) {
  return new Elysia({ name: "logger.traces" })
    .post(TRACES_PATH, ({ body }) => {
      const { rejected } = taken(traces, body instanceof Uint8Array ? body : new Uint8Array());
      if (rejected === 0) return {};
      return { partialSuccess: { rejectedSpans: String(rejected), errorMessage: "they have no ids or no start" } };
    })
    .get("/traces", async ({ request }) => {
      const query = orThrow(traceQuery(request.url));
      return envelope("traces, newest first", orThrow(await traces.list(query, contextOf(request))));
    })
    .get("/traces/:id", async ({ params, request }) => {
      orThrow(noQuery(request.url));
      const trace = orThrow(await traces.read(params.id, contextOf(request)));
      const message = trace.whole ? "the trace is whole" : "parts of the trace are missing";
      return envelope(message, trace);
    });
}
