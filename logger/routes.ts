/** HTTP in: translates, never decides. */
import { contextOf, envelope, type HttpApp } from "#shared/http";
import type { Entries } from "./entries.ts";

/** The routes of the logger; `/api/log` is the same as `/log`. */
export function routes(app: HttpApp, entries: Entries) {
  const log = async ({
    body,
    request,
    set,
  }: {
    body: unknown;
    request: Request;
    set: { status?: number | string };
  }) => {
    const result = await entries.takeRequest(body, contextOf(request));
    if (!result.ok) throw result.error;
    set.status = 202;
    return envelope("logged");
  };
  return app.post("/log", log).post("/api/log", log);
}
