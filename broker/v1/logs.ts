/** Asking for log entries, as the logger answers. Translates only; an export goes through as it comes. */
import { type TObject, Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import type { Envelope } from "#contracts/envelope";
import { ACTOR_HEADER, REQUEST_ID_HEADER, TIMEOUT_HEADER } from "#contracts/headers";
import { LogFilter, LogHistogram, LogItem, LogPage } from "#contracts/log-queries";
import { asClient, failureOfAnswer, noteStatus, serviceKeyHeaders } from "#shared/client";
import type { Secret } from "#shared/config";
import { atSome, fetchAt, type Pool } from "#shared/discovery";
import { fail, ok, orThrow, type Result } from "#shared/errors";
import { contextOf } from "#shared/http";
import type { Edge } from "#shared/resilience";
import { type CallContext, overEdge, traceHeaders } from "#shared/telemetry";
import type { Access } from "../access/access.ts";
import { actorOf, principalOf } from "../access/principal.ts";
import { type Neighbour, OF_THE_CALLER, refusalOf } from "../forward.ts";
import { at, type Desk, NO_QUERY, type QueryReader } from "./desk.ts";
import { linesThrough } from "./lines.ts";

const NDJSON = "application/x-ndjson";
/** What the logger takes as one query is shorter still (characters). */
const QUERY_MAX = 8_192;
const DATA = "data.";
/** How often it is looked whether whoever reads an export still may, and how long he may take nothing (ms). */
const LOOK_MS = 2_000;
const STALL_MS = 30_000;
/** A connection that takes nothing more is closed this soon (s); the runtime looks every 4 s. */
const HURRY_S = 1;

/** Parameters of the filter in a query; of those that may come several times the description has one. */
const FILTER = {
  name: Type.Optional(Type.String({ minLength: 1, maxLength: 255, description: "Several times: one of them" })),
  severity: Type.Optional(
    Type.String({ pattern: "^(INFO|WARNING|ERROR)$", description: "Several times: one of them" }),
  ),
  from: LogFilter.properties.from,
  to: LogFilter.properties.to,
  producer: LogFilter.properties.producer,
  trace_id: LogFilter.properties.trace_id,
  request_id: LogFilter.properties.request_id,
  event_id: LogFilter.properties.event_id,
  q: LogFilter.properties.q,
};
export const LogsQuery = Type.Object({
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 500 })),
  cursor: Type.Optional(Type.String({ minLength: 1, maxLength: 2_048 })),
  ...FILTER,
});
export const HistogramQuery = Type.Object({
  interval: Type.Optional(Type.String({ minLength: 1, maxLength: 20, description: "A number and ms, s, m, h or d" })),
  ...FILTER,
});
export const ExportQuery = Type.Object(FILTER);

/** What is known by name, and fields of `data`, is handed on as it is: what it means is the logger's to say. */
function readerOf(schema: TObject): QueryReader {
  const names = new Set(Object.keys(schema.properties));
  return (url) => {
    const { search, searchParams } = new URL(url);
    if (search.length > QUERY_MAX) return fail("invalid", `the query is longer than ${QUERY_MAX} characters`);
    for (const name of searchParams.keys()) {
      if (!names.has(name) && !name.startsWith(DATA)) return fail("invalid", `${name} is not a known field`);
    }
    return ok(searchParams);
  };
}

export interface Exports {
  readonly logger: Pool;
  /** Shows the logger who is asking. */
  readonly key: Secret | undefined;
  readonly edge: Edge;
  /** Ends what is under way. */
  readonly stopping: AbortSignal;
}

export interface LogRoutes {
  readonly desk: Desk;
  readonly logger: Neighbour;
  readonly exports: Exports;
  readonly access: Pick<Access, "stillMay">;
}

export function logRoutes({ desk, logger, exports, access }: LogRoutes) {
  const { reading } = desk;
  const exportQuery = readerOf(ExportQuery);
  return new Elysia({ name: "broker.logs", prefix: "/v1" })
    .get("/logs", reading(logger, "/logs", readerOf(LogsQuery), LogPage))
    .get("/logs/histogram", reading(logger, "/logs/histogram", readerOf(HistogramQuery), LogHistogram))
    .get("/logs/export", async ({ request, server }) => {
      const query = orThrow(exportQuery(request.url));
      const headers = { "content-type": NDJSON };
      if (request.method === "HEAD") return new Response(null, { headers });
      const body = orThrow(await exportOf(exports, query, request));
      const lines = linesThrough(body, {
        may: () => access.stillMay(request, "GET /v1/logs/export"),
        lookMs: LOOK_MS,
        stallMs: STALL_MS,
        hurry: () => server?.timeout(request, HURRY_S),
      });
      return new Response(lines, { headers });
    })
    .get("/logs/:id", reading(logger, at("/logs", "id"), NO_QUERY, LogItem));
}

/**
 * The logger's export, to be handed on at the pace of whoever reads: once it has begun, it takes as long as it takes, and
 * ends with the reader, or when nothing is taken of it. Where the logger breaks off, so do we: its last line is missing then.
 */
async function exportOf(
  { logger, key, edge, stopping }: Exports,
  query: URLSearchParams,
  request: Request,
): Promise<Result<ReadableStream<Uint8Array>>> {
  const begun = new AbortController();
  const begins = await overEdge<Response>(edge, contextOf(request), async (context) => {
    const { deadline } = context;
    const late = (): void => begun.abort(deadline.signal.reason);
    deadline.signal.addEventListener("abort", late, { once: true });
    try {
      const path = `/logs/export${query.size === 0 ? "" : `?${query.toString()}`}`;
      const options = { remainingMs: () => deadline.remainingMs(), isRepeatable: true };
      // The span is of the answer's beginning: how long it goes on is its reader's doing.
      return await atSome(logger, options, (endpoint) =>
        asClient<Response>(
          { name: "the logger", method: "GET", baseUrl: endpoint.url },
          context,
          async (inner, span) => {
            try {
              const response = await fetchAt(endpoint, path, {
                headers: headersOf(key, request, inner),
                redirect: "manual",
                signal: AbortSignal.any([request.signal, stopping, begun.signal]),
              });
              noteStatus(span, response.status);
              return await asked(response);
            } catch (cause) {
              return deadline.passed
                ? fail("deadline", "the logger took too long", { cause })
                : fail("unavailable", "the logger is not reachable", { cause });
            }
          },
        ),
      );
    } finally {
      // What has begun is no more bound by the time for the answer.
      deadline.signal.removeEventListener("abort", late);
    }
  });
  if (!begins.ok) return begins;
  return ok(begins.value.body ?? new ReadableStream());
}

function headersOf(key: Secret | undefined, request: Request, { deadline, requestId, trace }: CallContext) {
  return {
    accept: NDJSON,
    ...traceHeaders(trace),
    [REQUEST_ID_HEADER]: requestId,
    [TIMEOUT_HEADER]: String(Math.max(1, deadline.remainingMs())),
    [ACTOR_HEADER]: actorOf(principalOf(request)),
    ...serviceKeyHeaders(key),
  };
}

/** @returns an answer that is an export; the logger's refusal where it is the caller's to know, else `bad_gateway`. */
async function asked(response: Response): Promise<Result<Response>> {
  const type = response.headers.get("content-type") ?? "";
  if (response.status === 200 && type.startsWith(NDJSON)) return ok(response);
  const told = (await response.json().catch(() => undefined)) as Partial<Envelope> | undefined;
  const after = Number(response.headers.get("retry-after") ?? Number.NaN);
  const failure = failureOfAnswer({
    status: response.status,
    envelope: { error: true, message: told?.message ?? "the logger answered with what is no export" },
    retryAfterS: Number.isNaN(after) ? undefined : after,
    overloaded: false,
    replayed: false,
  });
  return { ok: false, error: refusalOf(failure, OF_THE_CALLER) };
}
