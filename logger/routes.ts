/** HTTP in: translates, never decides. */
import { contextOf, envelope, type HttpApp } from "#shared/http";
import type { CallerTable } from "#shared/service-keys";
import { makeQueryValidator } from "#shared/validation";
import type { Entries } from "./entries.ts";
import { type Gaps, GapsQuery } from "./gaps.ts";
import { DAYS_DEFAULT, type Sizes, SizesQuery } from "./sizes/sizes.ts";

/** Which service may ask what. Entries of services come by RPC. */
export const CALLERS: CallerTable = { broker: ["*"] };

const gapsQuery = makeQueryValidator(GapsQuery);
const sizesQuery = makeQueryValidator(SizesQuery);

/** The routes of the logger; `/api/log` is the same as `/log`. */
export function routes(app: HttpApp, entries: Entries, gaps: Gaps, sizes: Sizes) {
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
  return app
    .post("/log", log)
    .post("/api/log", log)
    .get("/logs/sizes", async ({ request }) => {
      const query = sizesQuery(request.url);
      if (!query.ok) throw query.error;
      const report = await sizes.report(query.value.days ?? DAYS_DEFAULT, contextOf(request));
      if (!report.ok) throw report.error;
      return envelope("what is stored", report.value);
    })
    .get("/logs/gaps", async ({ request }) => {
      const query = gapsQuery(request.url);
      if (!query.ok) throw query.error;
      const report = await gaps.report(query.value, contextOf(request));
      if (!report.ok) throw report.error;
      return envelope(report.value.missing === 0 ? "nothing is missing" : "numbers are missing", report.value);
    });
}
