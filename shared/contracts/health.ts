/** How all parts are: `data` of `GET /v1/health`. Owner: broker, by asking each service's `/ready`. */
import { type Static, Type } from "@sinclair/typebox";

const one = <const T extends string>(...values: T[]) => Type.Union(values.map((value) => Type.Literal(value)));

/** A part that a service depends on, as its `/ready` tells. Times are RFC 3339 in UTC. */
export const DependencyView = Type.Object({
  name: Type.String(),
  state: one("starting", "up", "down"),
  required: Type.Boolean({ description: "false: the service does its work in another way meanwhile" }),
  since: Type.String(),
  last_error: Type.Optional(Type.String({ description: "For operators only" })),
  circuit: Type.Optional(one("closed", "open", "half-open")),
});
export type DependencyView = Static<typeof DependencyView>;

/**
 *     up          ready, and so is all that it depends on
 *     degraded    ready, and something that it can do without is away
 *     not_ready   alive, and something that it needs is away
 *     away        did not answer within a second
 */
export const ServiceHealth = Type.Object({
  name: Type.String(),
  state: one("up", "degraded", "not_ready", "away"),
  dependencies: Type.Array(DependencyView),
  took_ms: Type.Integer({ minimum: 0 }),
});
export type ServiceHealth = Static<typeof ServiceHealth>;

/** A backing service, by what the services that use it say. */
export const BackingHealth = Type.Object({
  name: Type.String(),
  state: one("up", "down", "unknown"),
  seen_by: Type.Array(Type.String()),
});
export type BackingHealth = Static<typeof BackingHealth>;

export const HealthReport = Type.Object({
  services: Type.Array(ServiceHealth),
  backing: Type.Array(BackingHealth),
});
export type HealthReport = Static<typeof HealthReport>;
