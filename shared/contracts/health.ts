/** How all parts are: `data` of every service's `/ready`, and of `GET /v1/health` of the broker, which asks for the former. */
import { type Static, Type } from "@sinclair/typebox";

const one = <const T extends string>(...values: T[]) => Type.Union(values.map((value) => Type.Literal(value)));
const count = (description: string) => Type.Integer({ minimum: 0, description });

/** A part that a service depends on, as its `/ready` tells. Times are RFC 3339 in UTC. */
export const DependencyView = Type.Object({
  name: Type.String(),
  state: one("starting", "up", "down"),
  required: Type.Boolean({ description: "false: the service does its work in another way meanwhile" }),
  since: Type.String(),
  changes: Type.Optional(count("How often its state has changed since the service was started")),
  checked_at: Type.Optional(Type.String({ description: "When it was last seen to answer, or not to" })),
  took_ms: Type.Optional(count("How long its last answer took, where it is asked by the clock")),
  last_error: Type.Optional(Type.String({ description: "Also after it is up again. For operators only" })),
  last_error_at: Type.Optional(Type.String()),
  circuit: Type.Optional(one("closed", "open", "half-open")),
});
export type DependencyView = Static<typeof DependencyView>;

/** What waits in a service to be handed on. */
export const BacklogView = Type.Object({
  name: Type.String({ maxLength: 64 }),
  waiting: count("Records, mails or the like"),
});
export type BacklogView = Static<typeof BacklogView>;

/** `data` of `/ready`. */
export const Readiness = Type.Object({
  dependencies: Type.Array(DependencyView, { maxItems: 64 }),
  backlog: Type.Optional(Type.Array(BacklogView, { maxItems: 16 })),
  started_at: Type.Optional(Type.String()),
  version: Type.Optional(Type.String({ description: "Not where the world can read it in production" })),
});
export type Readiness = Static<typeof Readiness>;

/**
 *     up          ready, and so is all that it depends on
 *     degraded    ready, and something that it can do without is away, or one of its instances is
 *     not_ready   alive, and something that it needs is away
 *     away        did not answer within a second
 */
const serviceState = one("up", "degraded", "not_ready", "away");

/** One process of a service. */
export const InstanceHealth = Type.Object({
  state: serviceState,
  url: Type.Optional(Type.String({ description: "For operators only" })),
  version: Type.Optional(Type.String({ description: "For operators only" })),
  up_since: Type.Optional(Type.String({ description: "When it was started" })),
  last_seen: Type.Optional(Type.String({ description: "When it last answered the broker" })),
  took_ms: count("How long its answer took"),
});
export type InstanceHealth = Static<typeof InstanceHealth>;

export const ServiceHealth = Type.Object({
  name: Type.String(),
  state: serviceState,
  instances: Type.Array(InstanceHealth),
  /** Of several instances the worst word on each. */
  dependencies: Type.Array(DependencyView),
  backlog: Type.Array(BacklogView, { description: "Instances share what waits: the largest figure of them" }),
  took_ms: count("How long the slowest of its instances took"),
});
export type ServiceHealth = Static<typeof ServiceHealth>;

/** A backing service, by what the services that use it say. */
export const BackingHealth = Type.Object({
  name: Type.String(),
  state: one("up", "down", "unknown"),
  since: Type.Optional(Type.String({ description: "Since when the first of them says so" })),
  last_error: Type.Optional(Type.String({ description: "For operators only" })),
  last_error_at: Type.Optional(Type.String()),
  seen_by: Type.Array(Type.String()),
});
export type BackingHealth = Static<typeof BackingHealth>;

/** How instances are found. */
export const RegistryHealth = Type.Object({
  mode: one("static", "dns", "rabbitmq"),
  state: one("up", "down", "off"),
  since: Type.String(),
  announced: count("Instances that have announced themselves"),
});
export type RegistryHealth = Static<typeof RegistryHealth>;

export const HealthReport = Type.Object({
  services: Type.Array(ServiceHealth),
  backing: Type.Array(BackingHealth),
  registry: RegistryHealth,
});
export type HealthReport = Static<typeof HealthReport>;
