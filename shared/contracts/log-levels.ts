/** The level of what services log, changed while they run. Owner: each service; the broker asks all of them. */
import { type Static, Type } from "@sinclair/typebox";

export const LevelName = Type.Union(
  ["debug", "info", "warn", "error", "silent"].map((level) => Type.Literal(level)),
  { description: "Least severe line that is written" },
);

/** `PUT /log-level` of a service. */
export const LevelChange = Type.Object({
  level: LevelName,
  for_s: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 86_400,
      default: 900,
      description: "After this many seconds it is as configured again; 0: not before the service ends",
    }),
  ),
});
export type LevelChange = Static<typeof LevelChange>;
export const LEVEL_CHANGE_S = 900;

/** `data` of `GET /log-level` and of `PUT /log-level` of a service. */
export const LevelView = Type.Object({
  level: LevelName,
  configured: LevelName,
  until: Type.Optional(Type.String({ description: "When it is as configured again, RFC 3339 in UTC" })),
});
export type LevelView = Static<typeof LevelView>;

/** The services, as the broker calls them. */
export const LEVEL_SERVICES = ["broker", "auth", "logger", "mail", "listener"] as const;
const ServiceName = Type.Union(LEVEL_SERVICES.map((name) => Type.Literal(name)));

/** `PUT /v1/log-levels`: of all services, or of those that are named. */
export const LevelsChange = Type.Object({
  ...LevelChange.properties,
  services: Type.Optional(Type.Array(ServiceName, { minItems: 1, maxItems: 5, uniqueItems: true })),
});
export type LevelsChange = Static<typeof LevelsChange>;

/** One instance of a service; `error` in place of its level where it could not be asked. */
export const InstanceLevel = Type.Object({
  service: Type.String(),
  instance: Type.Optional(Type.String()),
  level: Type.Optional(LevelName),
  configured: Type.Optional(LevelName),
  until: Type.Optional(Type.String()),
  error: Type.Optional(Type.String()),
});
export type InstanceLevel = Static<typeof InstanceLevel>;
export const LevelList = Type.Object({ items: Type.Array(InstanceLevel) });
export type LevelList = Static<typeof LevelList>;
