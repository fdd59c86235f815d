/** Every way from one part to another, with a proxy of ours in it. */
import type { BackingName } from "../backing/types.ts";
import { SERVICE_NAMES, type ServiceName } from "../services.ts";
import { type Proxy, startProxy } from "./proxy.ts";

/** Who goes to whom, and the variable that tells him the address. */
const HOPS = {
  "broker-logger": ["broker", "LOGGER_RPC_URL"],
  "broker-auth": ["broker", "AUTH_URL"],
  "broker-mail": ["broker", "MAIL_URL"],
  "broker-logger-http": ["broker", "LOGGER_URL"],
  "broker-listener": ["broker", "LISTENER_URL"],
  "broker-rabbitmq": ["broker", "RABBITMQ_URL"],
  "listener-logger": ["listener", "LOGGER_RPC_URL"],
  "listener-mail": ["listener", "MAIL_URL"],
  "listener-rabbitmq": ["listener", "RABBITMQ_URL"],
  "logger-mongodb": ["logger", "MONGODB_URL"],
  "auth-mail": ["auth", "MAIL_URL"],
  "auth-rabbitmq": ["auth", "RABBITMQ_URL"],
  "auth-postgres": ["auth", "DATABASE_URL"],
  "mail-postgres": ["mail", "DATABASE_URL"],
  "mail-smtp": ["mail", "SMTP_URL"],
  "mail-rabbitmq": ["mail", "RABBITMQ_URL"],
} as const satisfies Record<string, readonly [ServiceName, string]>;

export type Hop = keyof typeof HOPS;
export const HOP_NAMES = Object.keys(HOPS) as Hop[];

/** The two parts that a way is between: who goes, and to whom. */
export function endsOf(hop: Hop): readonly (ServiceName | BackingName)[] {
  // A third word tells apart two ways between the same two.
  return hop.split("-").slice(0, 2) as (ServiceName | BackingName)[];
}

/**
 * Whether a proxy can stand in: an address of this machine, and one only. Others are left as they are: certificates are for
 * the name that was given, and a cluster tells its own addresses.
 */
function isNear(url: string): boolean {
  return URL.canParse(url) && NEAR.has(new URL(url).hostname);
}
const NEAR = new Set(["127.0.0.1", "localhost", "[::1]"]);

export interface Hops extends AsyncDisposable {
  readonly proxies: Readonly<Record<Hop, Proxy>>;
  /** For `startStack`: sends each service through its proxies. */
  readonly rewire: (service: ServiceName, environment: Record<string, string>) => Record<string, string>;
  /** Whether a service goes this way through the proxy. */
  readonly isProxied: (hop: Hop) => boolean;
  /** What a service was started with the last time, proxies and all. */
  readonly environment: (service: ServiceName) => Readonly<Record<string, string>>;
  /** Nothing is wrong with any of them any more. */
  readonly heal: () => Promise<void>;
}

export async function startHops(random?: () => number): Promise<Hops> {
  const proxies = {} as Record<Hop, Proxy>;
  for (const hop of HOP_NAMES) proxies[hop] = await startProxy(random);
  const proxied = new Set<Hop>();
  const environments = new Map<ServiceName, Record<string, string>>();
  return {
    proxies,
    rewire(service, environment) {
      const rewired = { ...environment };
      for (const hop of HOP_NAMES) {
        const [from, name] = HOPS[hop];
        const variable = `${from.toUpperCase()}_${name}`;
        const url = environment[variable];
        if (from !== service || url === undefined || !isNear(url)) continue;
        rewired[variable] = proxies[hop].through(url);
        proxied.add(hop);
      }
      environments.set(service, rewired);
      return rewired;
    },
    isProxied: (hop) => proxied.has(hop),
    environment(service) {
      const environment = environments.get(service);
      if (environment === undefined) throw new Error(`${service} was never started; there are ${SERVICE_NAMES.join()}`);
      return environment;
    },
    async heal() {
      for (const proxy of Object.values(proxies)) await proxy.heal();
    },
    async [Symbol.asyncDispose]() {
      for (const proxy of Object.values(proxies)) await proxy[Symbol.asyncDispose]();
    },
  };
}
