/** Where the instances of the services behind are: what the deployment has for it, as `DISCOVERY` says. */
import { REGISTRY_EXCHANGE, type RegisteredService } from "#contracts/registry";
import { makeSubscriber } from "#shared/amqp";
import type { Secret } from "#shared/config";
import type { Dependency } from "#shared/lifecycle";
import type { Log } from "#shared/log";
import type { Metrics } from "#shared/telemetry";
import { type Resolve, resolved } from "./dns.ts";
import { fixed, type Source } from "./endpoint.ts";
import { type DiscoveryConfig, type DiscoveryMode, modeOf } from "./fields.ts";
import { makePool, type Pool } from "./pool.ts";
import { probeHttp } from "./probe.ts";
import { makeRegistry, type UrlKind } from "./registry.ts";
import { makeRpcPool, type RpcPool, type RpcPoolOptions } from "./rpc-pool.ts";

export interface DiscoveryOptions {
  readonly config: DiscoveryConfig;
  readonly rabbitmqUrl: Secret;
  /** Who looks, as RabbitMQ's tools show the connection. */
  readonly name: string;
  readonly log: Log;
  readonly metrics: Metrics;
  /** How names are resolved (default: as the system does). */
  readonly resolve?: Resolve;
}

/** How the registry is; `off`: another way is used. */
export interface RegistryState {
  readonly mode: DiscoveryMode;
  readonly state: "up" | "down" | "off";
  /** RFC 3339 in UTC. */
  readonly since: string;
  /** Instances that have announced themselves. */
  readonly announced: number;
}

export interface Discovery extends AsyncDisposable {
  /** The instances that answer over HTTP. With a `dependency` each is asked how it is, and it is up while one is. */
  http(service: RegisteredService, urls: readonly string[], dependency?: Dependency): Pool;
  /** The instances' RPC, as one client. */
  rpc(
    service: RegisteredService,
    urls: readonly string[],
    options: Omit<RpcPoolOptions, "service" | "log" | "metrics">,
  ): RpcPool;
  registry(): RegistryState;
}

/** Disposing ends all pools, after the clients that use them. */
export function openDiscovery({ config, rabbitmqUrl, name, log, metrics, resolve }: DiscoveryOptions): Discovery {
  const mode = modeOf(config);
  const opened = new AsyncDisposableStack();
  const pools: { readonly service: string; readonly pool: Pool }[] = [];
  let since = new Date().toISOString();
  let isUp = false;

  const refused = metrics.counter("registry_refused_total", "Announcements that were not believed.", ["reason"]);
  metrics.gauge("discovery_instances", "Instances of a service, by how they are.", ["service", "state"], (gauge) => {
    gauge.reset();
    for (const { service, pool } of pools) for (const { state } of pool.distinct()) gauge.inc({ service, state });
  });
  const registry =
    mode === "rabbitmq"
      ? makeRegistry({
          announcers: config.SERVICE_ANNOUNCERS,
          log,
          onRefused: (reason) => refused.inc({ reason }),
        })
      : undefined;
  const become = (up: boolean): void => {
    if (isUp !== up) since = new Date().toISOString();
    isUp = up;
  };
  if (registry !== undefined) {
    opened.use(
      makeSubscriber({
        url: rabbitmqUrl,
        name: `${name} registry`,
        log,
        exchange: REGISTRY_EXCHANGE,
        keys: ["#"],
        onMessage: (_key, body) => registry.hear(body),
        onUp() {
          become(true);
          registry.up();
        },
        onDown() {
          become(false);
          registry.down();
        },
      }),
    );
  }

  function sourceOf(service: RegisteredService, kind: UrlKind, urls: readonly string[]): Source {
    const configured =
      mode === "static" ? fixed(urls) : resolved(urls, { log, ...(resolve === undefined ? {} : { resolve }) });
    return registry === undefined ? configured : registry.source(service, kind, configured);
  }

  return {
    http(service, urls, dependency) {
      const onHealth: Parameters<typeof makePool>[0]["onHealth"] =
        dependency === undefined
          ? undefined
          : (health) => (health.up ? dependency.up(health.tookMs) : dependency.down(health.error));
      const source = sourceOf(service, "url", urls);
      const pool = opened.use(
        makePool({ service, source, log, probe: probeHttp, ...(onHealth === undefined ? {} : { onHealth }) }),
      );
      pools.push({ service, pool });
      return pool;
    },
    rpc(service, urls, options) {
      const rpc = opened.use(makeRpcPool(sourceOf(service, "rpc_url", urls), { ...options, service, log, metrics }));
      pools.push({ service: `${service}_rpc`, pool: rpc.pool });
      return rpc;
    },
    registry: () => ({
      mode,
      state: registry === undefined ? "off" : isUp ? "up" : "down",
      since,
      announced: registry?.size ?? 0,
    }),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}
