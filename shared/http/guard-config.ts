/** What a service that the world reaches reads from its environment about the guard before its door. */
import { choice, integer, optional, type Values } from "#shared/config";
import type { Runtime } from "#shared/lifecycle";
import type { TrustedProxies } from "./address.ts";
import type { GuardedBy } from "./listen.ts";

export const guardFields = {
  GUARD: optional(
    choice(
      "Whether connections are bounded and slow ones cut; off where a proxy in front does it. Default: on in production, off in development",
      "on",
      ["on", "off"],
    ),
  ),
  GUARD_CONNECTIONS: integer("With the guard: connections at once; each takes up to 3 file descriptors", 4_096, {
    min: 1,
    max: 1_000_000,
  }),
  GUARD_CONNECTIONS_PER_ADDRESS: integer("With the guard: connections at once from one address (IPv6: one /64)", 128, {
    min: 1,
    max: 1_000_000,
  }),
  GUARD_HEAD_MS: integer("With the guard: how long the head of a request may take to arrive (ms)", 10_000, {
    min: 100,
    max: 600_000,
  }),
};

type GuardConfig = Values<typeof guardFields> & {
  readonly ENVIRONMENT: "development" | "production";
  readonly TRUSTED_PROXIES: TrustedProxies;
};

/** The guard as configured, or none. */
export function guardOf(config: GuardConfig, runtime: Runtime): GuardedBy | undefined {
  const isOn = (config.GUARD ?? (config.ENVIRONMENT === "production" ? "on" : "off")) === "on";
  if (!isOn) return undefined;
  return {
    runtime,
    connections: config.GUARD_CONNECTIONS,
    connectionsPerAddress: config.GUARD_CONNECTIONS_PER_ADDRESS,
    headMs: config.GUARD_HEAD_MS,
    isProxy: (address) => config.TRUSTED_PROXIES.has(address),
  };
}
