/** `GET /logs/tail`: entries as they are stored, as server-sent events. */
import { LAST_EVENT_ID_HEADER, PLACE_MAX, tailPlaceOf } from "#contracts/log-tail";
import { fail, ok, orThrow, type Result } from "#shared/errors";
import type { HttpApp } from "#shared/http";
import { EVENT_STREAM_HEADERS, eventStream } from "#shared/sse";
import { filterOf } from "../query/filter.ts";
import type { TailHub, TailRequest } from "./hub.ts";

const OTHERS = ["after", "follow", "own"];
/** A connection that takes nothing more is closed this soon (s); the runtime looks every 4 s. */
const HURRY_S = 1;

function flagOf(query: URLSearchParams, name: string, otherwise: boolean): Result<boolean> {
  const texts = query.getAll(name);
  if (texts.length === 0) return ok(otherwise);
  const [text] = texts;
  if (texts.length > 1 || (text !== "true" && text !== "false")) return fail("invalid", `${name} is true or false`);
  return ok(text === "true");
}

/** The id in the query comes first: who gives one there means it, and a browser's header comes by itself. */
function afterOf(query: URLSearchParams, request: Request): Result<TailRequest["after"]> {
  const texts = query.getAll("after");
  if (texts.length > 1) return fail("invalid", "after is there twice");
  const text = texts[0] ?? request.headers.get(LAST_EVENT_ID_HEADER) ?? "";
  if (text === "") return ok(undefined);
  const place = tailPlaceOf(text);
  if (place === undefined) {
    return fail(
      "invalid",
      `after is the id of an event of this stream, of at most ${PLACE_MAX} characters, or an RFC 3339 time`,
    );
  }
  return ok(place);
}

export function tailRoutes(app: HttpApp, hub: TailHub) {
  return app.get("/logs/tail", ({ request, server }) => {
    const query = new URL(request.url).searchParams;
    const filter = orThrow(filterOf(query, OTHERS));
    const after = orThrow(afterOf(query, request));
    const follow = orThrow(flagOf(query, "follow", true));
    const own = orThrow(flagOf(query, "own", false));
    if (!follow && after === undefined) throw orThrow(fail("invalid", "follow=false needs after"));
    if (request.method === "HEAD") return new Response(null, { headers: EVENT_STREAM_HEADERS });
    const { signal } = request;
    const hurry = (): void => server?.timeout(request, HURRY_S);
    return eventStream(orThrow(hub.subscribe({ filter, after, own, follow, signal, hurry })));
  });
}
