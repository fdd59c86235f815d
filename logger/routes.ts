/** HTTP in: translates, never decides. */
import { Type } from "@sinclair/typebox";
import { orThrow } from "#shared/errors";
import { contextOf, envelope, type HttpApp } from "#shared/http";
import type { CallerTable } from "#shared/service-keys";
import { TRACES_PATH } from "#shared/tracing";
import { makeQueryValidator } from "#shared/validation";
import type { AuditDesk } from "./audit/desk.ts";
import type { Entries } from "./entries.ts";
import { type Gaps, GapsQuery } from "./gaps.ts";
import { DAYS_DEFAULT, type Sizes, SizesQuery } from "./sizes/sizes.ts";

/** Which service may ask what. Entries of services come by RPC. */
export const CALLERS: CallerTable = {
  broker: ["*"],
  auth: [`POST ${TRACES_PATH}`],
  mail: [`POST ${TRACES_PATH}`],
  listener: [`POST ${TRACES_PATH}`],
};

const gapsQuery = makeQueryValidator(GapsQuery);
const sizesQuery = makeQueryValidator(SizesQuery);

const noQuery = makeQueryValidator(Type.Object({}));

/** The routes of the logger; `/api/log` is the same as `/log`. */
export function routes(app: HttpApp, entries: Entries, gaps: Gaps, sizes: Sizes, audit: AuditDesk) {
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
    })
    .get("/logs/audit", async ({ request }) => {
      orThrow(noQuery(request.url));
      const report = orThrow(await audit.report(contextOf(request)));
      const { state, intact, breaks } = report;
      if (state === "running") return envelope("it is being verified: ask again", report);
      return envelope(
        intact === true ? "the audit trail is intact" : `the audit trail is broken in ${breaks} places`,
        report,
      );
    });
}
