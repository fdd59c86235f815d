/** The five services: their ports, what each needs before it is worth starting, and the environment it is given. */
import { join } from "node:path";
import type { BackingName } from "./backing/types.ts";
import { freePort } from "./backing/ports.ts";
import { ROOT } from "./paths.ts";
import { withDatabase } from "./backing/addresses.ts";

/** In the order in which they are stopped: first what takes new work in, last what others depend on. */
export const SERVICE_NAMES = ["broker", "listener", "auth", "logger", "mail"] as const;
export type ServiceName = (typeof SERVICE_NAMES)[number];

interface ServiceSpec {
  readonly port: number;
  /** Its URL has to be known; the service itself copes with a server that is away. */
  readonly needs: readonly BackingName[];
  /** PostgreSQL database that is created for it. */
  readonly database?: string;
}

export const SERVICES: Readonly<Record<ServiceName, ServiceSpec>> = {
  broker: { port: 8080, needs: ["rabbitmq", "smtp"] },
  listener: { port: 8084, needs: ["rabbitmq"] },
  auth: { port: 8081, needs: ["postgres", "rabbitmq"], database: "users" },
  logger: { port: 8082, needs: ["mongodb"] },
  mail: { port: 8083, needs: ["postgres", "smtp", "rabbitmq"], database: "mail" },
};

const RPC_PORT = 5001;
export const LOGS_DATABASE = "logs";

export type Environment = Readonly<Record<string, string | undefined>>;

/** Where each service listens: known before anything is started, because they are told each other's. */
export interface ServicePorts {
  readonly http: Readonly<Record<ServiceName, number>>;
  readonly rpc: number;
}

/** The ports of the contract (or those that the environment gives), or free ones for a second platform beside it. */
export async function choosePorts(ports: "usual" | "free", env: Environment): Promise<ServicePorts> {
  const choose = async (variable: string, usual: number): Promise<number> => {
    const given = Number(env[variable]);
    if (Number.isInteger(given) && given > 0 && given < 65_536) return given;
    return ports === "usual" ? usual : await freePort();
  };
  const http = {} as Record<ServiceName, number>;
  for (const name of SERVICE_NAMES) http[name] = await choose(`${name.toUpperCase()}_PORT`, SERVICES[name].port);
  return { http, rpc: await choose("RPC_PORT", RPC_PORT) };
}

/** The address at which this machine reaches a service that listens on `HOST`. */
function localHost(name: ServiceName, env: Environment): string {
  const host = env[`${name.toUpperCase()}_HOST`] ?? env["HOST"] ?? "127.0.0.1";
  if (host === "0.0.0.0" || host === "") return "127.0.0.1";
  if (host === "::") return "[::1]";
  return host.includes(":") ? `[${host}]` : host;
}

/** Whether a service is given a certificate to listen with. */
function isSecure(name: ServiceName, env: Environment): boolean {
  return (env[`${name.toUpperCase()}_TLS_CERT_FILE`] ?? env["TLS_CERT_FILE"] ?? "") !== "";
}

export function urlOf(name: ServiceName, ports: ServicePorts, env: Environment): string {
  return `${isSecure(name, env) ? "https" : "http"}://${localHost(name, env)}:${ports.http[name]}`;
}

export function rpcUrlOf(ports: ServicePorts, env: Environment): string {
  return `${isSecure("logger", env) ? "tls" : "tcp"}://${localHost("logger", env)}:${ports.rpc}`;
}

/** What the services have to know of the backing services; absent where one could not be had. */
export type BackingUrls = Readonly<Partial<Record<BackingName, { readonly url: string; readonly web?: string }>>>;

/** Signs links of mails that do not leave this machine: none of them has to be guessed. */
const LINKS_SECRET = "for-mails-of-a-development-inbox";

export interface EnvironmentOptions {
  readonly ports: ServicePorts;
  readonly backing: BackingUrls;
  readonly dataDir: string;
  /** What the person who starts the platform has set. */
  readonly env: Environment;
}

/**
 * The environment of one service: the person's own, and on top the addresses of this run. Addresses are given under the
 * service's own names (`AUTH_DATABASE_URL`), which it reads first; one that the person has set under such a name stays.
 */
export function environmentOf(name: ServiceName, options: EnvironmentOptions): Record<string, string> {
  const { ports, backing, env } = options;
  const database = SERVICES[name].database;
  const isSet = (variable: string): boolean => (env[variable] ?? env[`${variable}_FILE`]) !== undefined;
  const own: Record<string, string | undefined> = {
    PORT: String(ports.http[name]),
    RPC_PORT: String(ports.rpc),
    DATABASE_URL:
      backing.postgres === undefined || database === undefined
        ? undefined
        : withDatabase(backing.postgres.url, database),
    MONGODB_URL: backing.mongodb === undefined ? undefined : withDatabase(backing.mongodb.url, LOGS_DATABASE),
    // With it the logger announces itself, which one of each need not.
    RABBITMQ_URL: SERVICES[name].needs.includes("rabbitmq") ? backing.rabbitmq?.url : undefined,
    SMTP_URL: backing.smtp?.url,
    INBOX_URL: backing.smtp?.web,
    AUTH_URL: urlOf("auth", ports, env),
    MAIL_URL: urlOf("mail", ports, env),
    LOGGER_URL: urlOf("logger", ports, env),
    LISTENER_URL: urlOf("listener", ports, env),
    LOGGER_RPC_URL: rpcUrlOf(ports, env),
    TRACES_URL: isSet("TRACES_URL") ? undefined : urlOf("logger", ports, env),
    SPOOL_DIR: join(options.dataDir, "spool", name),
    PUBLIC_URL: isSet("PUBLIC_URL") ? undefined : urlOf("broker", ports, env),
    UNSUBSCRIBE_SECRET: isSet("UNSUBSCRIBE_SECRET") ? undefined : LINKS_SECRET,
  };
  const result: Record<string, string> = {};
  for (const [key, value] of Object.entries(env)) if (value !== undefined) result[key] = value;
  for (const [key, value] of Object.entries(own)) {
    const variable = `${name.toUpperCase()}_${key}`;
    if (value !== undefined && !isSet(variable)) result[variable] = value;
  }
  return result;
}

/** What runs a service: its source by this Bun, or its compiled executable in the directory `executables`. */
export function programOf(
  name: ServiceName,
  executables: string | undefined,
): { command: string; args: readonly string[]; cwd: string } {
  if (executables === undefined) return { command: process.execPath, args: [join(ROOT, name, "main.ts")], cwd: ROOT };
  const suffix = process.platform === "win32" ? ".exe" : "";
  return { command: join(executables, `${name}${suffix}`), args: [], cwd: executables };
}
