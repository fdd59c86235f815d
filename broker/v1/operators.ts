/** The operators' routes: queues, dead letters and gaps, as their owners tell. Translates only. Those of mails are in mails.ts. */
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import {
  DeadLetterFilter,
  DeadLetterOutcome,
  DeadLetterPage,
  DropRequest,
  QueueList,
  ReplayRequest,
} from "#contracts/dead-letters";
import { LogSizes } from "#contracts/log-sizes";
import { AuditReport } from "#contracts/audit";
import { GapsReport, Producer } from "#contracts/logs";
import type { Neighbour } from "../forward.ts";
import { type Desk, NO_QUERY } from "./desk.ts";

const paging = {
  limit: Type.Optional(Type.Integer({ minimum: 1 })),
  cursor: Type.Optional(Type.String({ minLength: 1, maxLength: 2_048 })),
};
/** The owners have the last word: how many at once, and what a cursor is. */
export const DeadLetterQuery = Type.Object({ ...DeadLetterFilter.properties, ...paging });
export const GapsQuery = Type.Object({
  producer: Type.Optional(Producer.properties.id),
  ...paging,
});

export const SizesQuery = Type.Object({ days: Type.Optional(Type.Integer({ minimum: 1 })) });

export interface OperatorRoutes {
  readonly desk: Desk;
  readonly listener: Neighbour;
  /** The listener too, for what it may work at for half a minute. */
  readonly listenerCommands: Neighbour;
  readonly logger: Neighbour;
}

export function operatorRoutes({ desk, listener, listenerCommands, logger }: OperatorRoutes) {
  const { reading, doing } = desk;
  return new Elysia({ name: "broker.operators", prefix: "/v1" })
    .get("/events/queues", reading(listener, "/events/queues", NO_QUERY, QueueList))
    .get("/events/dead-letters", reading(listener, "/events/dead-letters", DeadLetterQuery, DeadLetterPage))
    .post(
      "/events/dead-letters/replay",
      doing(listenerCommands, "/events/dead-letters/replay", ReplayRequest, DeadLetterOutcome),
    )
    .post(
      "/events/dead-letters/drop",
      doing(listenerCommands, "/events/dead-letters/drop", DropRequest, DeadLetterOutcome),
    )
    .get("/logs/sizes", reading(logger, "/logs/sizes", SizesQuery, LogSizes))
    .get("/logs/gaps", reading(logger, "/logs/gaps", GapsQuery, GapsReport))
    .get("/logs/audit", reading(logger, "/logs/audit", NO_QUERY, AuditReport));
}
