/** `GET /v1/logs/tail`: entries as they are stored, by all loggers, as server-sent events. Translates only. */
import { Elysia } from "elysia";
import { LAST_EVENT_ID_HEADER, PLACE_MAX, sinceText, tailPlaceOf } from "#contracts/log-tail";
import { fail, ok, orThrow, type Result } from "#shared/errors";
import { EVENT_STREAM_HEADERS, eventStream } from "#shared/sse";
import type { Access } from "../access/access.ts";
import { actorOf, principalOf } from "../access/principal.ts";
import type { BrokerTail, Following } from "./hub.ts";

/** Longest filter (characters): each different one is kept as a name. */
const QUERY_MAX = 4_096;
/** A connection that takes nothing more is closed this soon (s); the runtime looks every 4 s. */
const HURRY_S = 1;
/** Between broker and logger. */
const INNER = ["follow", "own"];

export interface TailRoutes {
  readonly tail: BrokerTail;
  readonly access: Pick<Access, "stillMay">;
}

/** The logger has the last word on the filter. */
function askedOf(request: Request): Result<Pick<Following, "query" | "after">> {
  const query = new URL(request.url).searchParams;
  for (const name of INNER) if (query.has(name)) return fail("invalid", `${name} is not a known field`);
  const texts = query.getAll("after");
  if (texts.length > 1) return fail("invalid", "after is there twice");
  const text = texts[0] ?? request.headers.get(LAST_EVENT_ID_HEADER) ?? "";
  query.delete("after");
  query.sort();
  const filter = query.toString();
  if (filter.length > QUERY_MAX) return fail("invalid", `the filter is longer than ${QUERY_MAX} characters`);
  if (text === "") return ok({ query: filter });
  const place = tailPlaceOf(text);
  if (place === undefined) {
    return fail(
      "invalid",
      `after is the id of an event of this stream, of at most ${PLACE_MAX} characters, or an RFC 3339 time`,
    );
  }
  const told = "since" in place ? sinceText(place.since) : text.slice(text.lastIndexOf("~") + 1);
  return ok({ query: filter, after: { place, text: told } });
}

export function tailRoutes({ tail, access }: TailRoutes) {
  return new Elysia({ name: "broker.tail", prefix: "/v1" }).get("/logs/tail", async ({ request, server }) => {
    const asked = orThrow(askedOf(request));
    if (request.method === "HEAD") return new Response(null, { headers: EVENT_STREAM_HEADERS });
    const outlet = orThrow(
      await tail.subscribe({
        ...asked,
        caller: actorOf(principalOf(request)),
        may: () => access.stillMay(request, "GET /v1/logs/tail"),
        signal: request.signal,
        hurry: () => server?.timeout(request, HURRY_S),
      }),
    );
    return eventStream(outlet);
  });
}
