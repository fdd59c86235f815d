/** The last traces, as the logger keeps them. Translates only. */
import { Elysia } from "elysia";
import { TraceDetail, TracePage, TraceQuery } from "#contracts/traces";
import type { Neighbour } from "../forward.ts";
import { at, type Desk, NO_QUERY } from "./desk.ts";

export function traceRoutes({ reading }: Desk, logger: Neighbour) {
  return new Elysia({ name: "broker.traces", prefix: "/v1" })
    .get("/traces", reading(logger, "/traces", TraceQuery, TracePage))
    .get("/traces/:id", reading(logger, at("/traces", "id"), NO_QUERY, TraceDetail));
}
