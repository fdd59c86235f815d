/**
 * Breaking a platform that runs for development, as its controller does it (`dev/chaos`, started by `bun run up`).
 * Translates only. Where there is no controller, as in production, there is nothing of it.
 */
import { Elysia } from "elysia";
import {
  ChaosExperiment,
  ChaosNothing,
  ChaosOverview,
  ChaosReport,
  ChaosReportQuery,
  ChaosReportText,
  ChaosRequest,
} from "#contracts/chaos";
import { makeJsonClient } from "#shared/client";
import type { Secret } from "#shared/config";
import { Failure, orThrow } from "#shared/errors";
import { makeEdge } from "#shared/resilience";
import { makeQueryValidator, makeValidator } from "#shared/validation";
import type { Neighbour } from "../forward.ts";
import { at, type Desk, NO_QUERY } from "./desk.ts";

/** It answers out of memory, or reads one file (ms). */
const ASK_MS = 3_000;

/** @param token what the controller is shown. */
export function controllerAt(url: string, token: Secret | undefined): Neighbour {
  return {
    client: makeJsonClient("the controller", url, { key: token }),
    edge: makeEdge({ name: "broker→chaos", attemptMs: ASK_MS, totalMs: ASK_MS, concurrent: 16 }),
  };
}

const reportQuery = makeQueryValidator(ChaosReportQuery);
const textOf = makeValidator(ChaosReportText, { name: "the answer" });
const NONE = "this platform can't be broken from here: it was not started by bun run up, or with --direct";

/** @param controller undefined: each route answers 404. */
export function chaosRoutes(desk: Desk, controller: Neighbour | undefined) {
  const app = new Elysia({ name: "broker.chaos", prefix: "/v1" });
  if (controller === undefined) {
    const none = (): never => {
      throw new Failure("not_found", NONE);
    };
    return app
      .get("/chaos", none)
      .post("/chaos/experiments", none)
      .get("/chaos/experiments/:id", none)
      .post("/chaos/experiments/:id/heal", none)
      .delete("/chaos/experiments/:id", none)
      .get("/chaos/reports/:id", none);
  }
  const experiment = at("/experiments", "id");
  const report = desk.reading(controller, at("/reports", "id"), ChaosReportQuery, ChaosReport);
  const markdown = desk.reading(controller, at("/reports", "id", "/markdown"), ChaosReportQuery, ChaosReportText);
  return app
    .get("/chaos", desk.reading(controller, "/", NO_QUERY, ChaosOverview))
    .post("/chaos/experiments", desk.exchanging(controller, "/experiments", ChaosRequest, ChaosExperiment))
    .get("/chaos/experiments/:id", desk.reading(controller, experiment, NO_QUERY, ChaosExperiment))
    .post(
      "/chaos/experiments/:id/heal",
      desk.exchanging(controller, at("/experiments", "id", "/heal"), ChaosNothing, ChaosExperiment),
    )
    .delete("/chaos/experiments/:id", desk.removing(controller, experiment, NO_QUERY, ChaosExperiment))
    .get("/chaos/reports/:id", async (call) => {
      const { format } = orThrow(reportQuery(call.request.url));
      if (format !== "markdown") return report(call);
      const { data } = await markdown(call);
      call.set.headers["content-type"] = "text/markdown; charset=utf-8";
      return orThrow(textOf(data)).markdown;
    });
}
