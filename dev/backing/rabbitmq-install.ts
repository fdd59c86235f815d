import { existsSync, readdirSync, realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";

/** Where an installed RabbitMQ has its parts. */

export interface Installation {
  /** The script that becomes the Erlang machine. */
  readonly server: string;
  /** Erlang's port mapper, through which nodes find each other; every private node gets one of its own. */
  readonly epmd: string;
  /** `3.10.8`, or empty where the path does not tell. */
  readonly version: string;
  /** It brings the management plugin along. */
  readonly management: boolean;
}

/** The name of Debian's stand-in, which changes to the user `rabbitmq` and refuses everybody but root. */
const WRAPPER = "rabbitmq-script-wrapper";

export function findInstallation(): Installation {
  const server = candidates().find((path) => existsSync(path) && basename(realpathSync(path)) !== WRAPPER);
  if (server === undefined) throw new Error("rabbitmq-server is not installed");
  const epmd = findEpmd();
  if (epmd === undefined) throw new Error("rabbitmq-server is installed, but Erlang's epmd was not found");
  const home = homeOf(realpathSync(server));
  const plugins = join(home, "plugins");
  return {
    server,
    epmd,
    version: /rabbitmq_server-(\d+(?:\.\d+)*)/.exec(home)?.[1] ?? /rabbitmq\/(\d+(?:\.\d+)*)/.exec(home)?.[1] ?? "",
    management: existsSync(plugins) && readdirSync(plugins).some((name) => name.startsWith("rabbitmq_management-")),
  };
}

function candidates(): string[] {
  const paths = [
    "/usr/lib/rabbitmq/bin/rabbitmq-server",
    "/opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server",
    "/usr/local/opt/rabbitmq/sbin/rabbitmq-server",
    "/opt/rabbitmq/sbin/rabbitmq-server",
  ];
  const onPath = Bun.which("rabbitmq-server") ?? Bun.which("rabbitmq-server", { PATH: "/usr/sbin:/usr/local/sbin" });
  return onPath === null ? paths : [...paths, onPath];
}

/** The directory with `sbin` and `plugins`; Debian has only links elsewhere. */
function homeOf(server: string): string {
  const debian = "/usr/lib/rabbitmq/lib";
  if (server.startsWith("/usr/lib/rabbitmq/") && existsSync(debian)) {
    const versions = readdirSync(debian).filter((name) => name.startsWith("rabbitmq_server-"));
    const newest = versions.sort((a, b) => Bun.semver.order(numberOf(b), numberOf(a)))[0];
    if (newest !== undefined) return join(debian, newest);
  }
  return dirname(dirname(server));
}

function numberOf(name: string): string {
  return name.slice("rabbitmq_server-".length);
}

function findEpmd(): string | undefined {
  const onPath =
    Bun.which("epmd") ?? Bun.which("epmd", { PATH: "/usr/local/bin:/opt/homebrew/bin:/usr/lib/erlang/bin" });
  if (onPath !== null) return onPath;
  for (const root of ["/usr/lib/erlang", "/usr/local/lib/erlang", "/opt/homebrew/lib/erlang"]) {
    if (!existsSync(root)) continue;
    for (const name of readdirSync(root)) {
      const path = join(root, name, "bin", "epmd");
      if (name.startsWith("erts-") && existsSync(path)) return path;
    }
  }
  return undefined;
}
