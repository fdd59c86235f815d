/** Questions in: translates, never decides. */
import { type Static, Type } from "@sinclair/typebox";
import type { LogFilter } from "#contracts/log-queries";
import { EventId } from "#contracts/logs";
import { Failure, fail, ok, orThrow, type Result } from "#shared/errors";
import { contextOf, envelope, type HttpApp } from "#shared/http";
import type { Log } from "#shared/log";
import { idsOf, type Metrics } from "#shared/telemetry";
import { makeQueryValidator, makeValidator } from "#shared/validation";
import { ndjsonOf } from "./export.ts";
import { filterOf } from "./filter.ts";
import type { Queries } from "./query.ts";

const DEFAULT_LIMIT = 50;
const PageQuery = Type.Object({
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 500 })),
  cursor: Type.Optional(Type.String({ minLength: 1, maxLength: 2_048 })),
});
const HistogramQuery = Type.Object({ interval: Type.Optional(Type.String({ minLength: 1, maxLength: 20 })) });

/** Exports at a time: each keeps MongoDB busy as long as it lasts. */
const EXPORTS_MAX = 2;
const EXPORTS_RETRY_S = 5;

const noQuery = makeQueryValidator(Type.Object({}));
const idOf = makeValidator(EventId, { name: "event_id" });

/** The query of a URL: parameters of `schema`, and the filter. */
function makeQuestion<S extends typeof PageQuery | typeof HistogramQuery>(schema: S) {
  const names = Object.keys(schema.properties);
  const validate = makeQueryValidator(schema);
  return (url: string): Result<{ filter: LogFilter; rest: Static<S> }> => {
    const own = new URL("http://localhost/");
    const { searchParams } = new URL(url);
    for (const [name, text] of searchParams) if (names.includes(name)) own.searchParams.append(name, text);
    const rest = validate(own.href);
    if (!rest.ok) return rest;
    const filter = filterOf(searchParams, names);
    return filter.ok ? ok({ filter: filter.value, rest: rest.value }) : filter;
  };
}

const pageQuestion = makeQuestion(PageQuery);
const histogramQuestion = makeQuestion(HistogramQuery);

export interface QueryRoutesOptions {
  readonly queries: Queries;
  /** Ends exports that are under way. */
  readonly stopping: AbortSignal;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** `GET /logs`, `/logs/histogram`, `/logs/export`, `/logs/:id`. */
export function queryRoutes(app: HttpApp, { queries, stopping, log, metrics }: QueryRoutesOptions) {
  let exports = 0;
  const exported = metrics.counter("logger_exports_total", "Exports of entries by how they ended.", ["result"]);

  const startExport = (request: Request, filter: LogFilter): Result<ReadableStream<Uint8Array>> => {
    if (exports >= EXPORTS_MAX) {
      return fail("exhausted", `${EXPORTS_MAX} exports are under way: try again when one has ended`, {
        retryAfterS: EXPORTS_RETRY_S,
      });
    }
    exports += 1;
    const gone = new AbortController();
    const signal = AbortSignal.any([request.signal, stopping, gone.signal]);
    const context = contextOf(request);
    const stream = ndjsonOf(queries.all(filter, signal), (how, error) => {
      exports -= 1;
      // Whoever has gone needs no more of it.
      gone.abort(new Failure("unavailable", "the export has ended"));
      const result = request.signal.aborted ? "left" : how;
      exported.inc({ result });
      if (result === "failed") log.warn("an export broke off", { ...idsOf(context), error });
    });
    return ok(stream);
  };

  return app
    .get("/logs", async ({ request }) => {
      const { filter, rest } = orThrow(pageQuestion(request.url));
      const { limit = DEFAULT_LIMIT, cursor } = rest;
      const page = orThrow(await queries.page(filter, limit, cursor, contextOf(request)));
      return envelope("Log entries, newest first", page);
    })
    .get("/logs/histogram", async ({ request }) => {
      const { filter, rest } = orThrow(histogramQuestion(request.url));
      const counted = orThrow(await queries.histogram(filter, rest.interval, contextOf(request)));
      return envelope("Log entries over time", counted);
    })
    .get("/logs/export", ({ request }) => {
      const filter = orThrow(filterOf(new URL(request.url).searchParams));
      const headers = { "content-type": "application/x-ndjson" };
      if (request.method === "HEAD") return new Response(null, { headers });
      return new Response(orThrow(startExport(request, filter)), { headers });
    })
    .get("/logs/:id", async ({ request, params }) => {
      orThrow(noQuery(request.url));
      const id = orThrow(idOf(params.id));
      return envelope("The log entry", orThrow(await queries.entry(id, contextOf(request))));
    });
}
