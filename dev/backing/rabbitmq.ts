import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { LOGS_EXCHANGE, UNROUTED_EXCHANGE } from "#contracts/events";
import { docker } from "./docker.ts";
import { answers, freePort } from "./ports.ts";
import { run } from "./commands.ts";
import { launch, plainEnvironment } from "./processes.ts";
import { probeAmqp } from "./probes.ts";
import { claim, hashOf, portFor, remember, type Started } from "./records.ts";
import { findInstallation, type Installation } from "./rabbitmq-install.ts";
import { serve } from "./servers.ts";
import type { Backing, Missing, StartOptions } from "./types.ts";
import { firstThatWorks, installCommand, type Kind, type Opened } from "./ways.ts";

/**
 * A private RabbitMQ node: its own name, cookie, port mapper, data and configuration, so that it neither meets the
 * system's node nor a second private one.
 */

const USUAL_PORT = 5672;
const USUAL_WEB_PORT = 15_672;
/** Four to five seconds when nothing else runs; a first start of a busy machine takes far longer (ms). */
const START_MS = 90_000;
const EPMD_KILL_MS = 5_000;
const PORT_ATTEMPTS = 3;
const PORT_TAKEN = /already_used|eaddrinuse/i;

/**
 * What a node begins with. A policy keeps events that no queue wants: with the management plugin the listener sets the
 * same one by itself, but that plugin costs a second at every start, which this does not. A node that is given
 * definitions makes no virtual host and no user of its own, so the usual ones are here, too.
 */
const DEFINITIONS = {
  users: [{ name: "guest", password: "guest", tags: ["administrator"] }],
  vhosts: [{ name: "/" }],
  permissions: [{ user: "guest", vhost: "/", configure: ".*", write: ".*", read: ".*" }],
  policies: [
    {
      vhost: "/",
      name: "platform-unrouted",
      pattern: `^${LOGS_EXCHANGE}$`,
      "apply-to": "exchanges",
      definition: { "alternate-exchange": UNROUTED_EXCHANGE },
      priority: 0,
    },
  ],
};

const RABBITMQ: Kind = {
  name: "rabbitmq",
  title: "RabbitMQ",
  variable: "RABBITMQ_URL",
  probe: probeAmqp,
  // The path is the virtual host and stays.
  tidy: (url) => url,
  usual: ["amqp://guest:guest@127.0.0.1:5672"],
  remedy: () => installCommand({ apt: "rabbitmq-server", brew: "rabbitmq", other: "docker compose up -d rabbitmq" }),
};

export function startRabbitmq(options: StartOptions): Promise<Backing | Missing> {
  return firstThatWorks(RABBITMQ, options, [
    { what: "private node of rabbitmq-server", open: () => startNode(findInstallation(), options) },
    docker(RABBITMQ, options, {
      image: "rabbitmq:4.1.4",
      port: USUAL_PORT,
      // The node's name is part of where its data is: it must not be the container's random one.
      environment: ["RABBITMQ_NODENAME=rabbit@localhost"],
      dataAt: "/var/lib/rabbitmq",
      url: (port) => `amqp://guest:guest@127.0.0.1:${port}`,
    }),
  ]);
}

async function startNode(installation: Installation, options: StartOptions): Promise<Opened> {
  await claim(options.dataDir, "rabbitmq");
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await startOnPorts(installation, options);
    } catch (error) {
      // Seconds lie between the look for a free port and the node's use of it: somebody else was there first.
      if (attempt === PORT_ATTEMPTS || !PORT_TAKEN.test(String(error))) throw error;
    }
  }
}

async function startOnPorts(installation: Installation, options: StartOptions): Promise<Opened> {
  const home = join(options.dataDir, "rmq");
  const port = await portFor(options, "rabbitmq", "main", USUAL_PORT);
  const webPort =
    options.management === true && installation.management
      ? await portFor(options, "rabbitmq", "web", USUAL_WEB_PORT)
      : undefined;
  const epmdPort = await freePort();
  const environment = await prepare({ home, port, webPort, epmdPort, distPort: await freePort() });
  const log = join(options.dataDir, "logs", "rabbitmq.log");

  // In the foreground and ours: left to itself, the node would start one that outlives it.
  const epmd = await launch({
    command: installation.epmd,
    args: ["-address", "127.0.0.1", "-port", String(epmdPort)],
    env: environment,
    log,
  });
  const helpers: Started[] = [{ pid: epmd.pid, started: epmd.started, endBy: "SIGTERM" }];
  remember(options.dataDir, "rabbitmq", helpers);

  const url = `amqp://guest:guest@127.0.0.1:${port}`;
  const node = await serve(options, "rabbitmq", {
    launch: { command: installation.server, args: [], env: environment, log, cwd: home },
    endBy: "SIGTERM",
    deadlineMs: START_MS,
    helpers,
    probe: async () => {
      if (!(await answers(port))) throw new Error("not listening yet");
      await probeAmqp(url);
    },
    after: () => endStrayMapper(installation, environment, epmdPort),
  });
  return {
    url,
    ...(webPort === undefined ? {} : { web: `http://127.0.0.1:${webPort}` }),
    source: `private node of rabbitmq-server ${installation.version}`.trim(),
    ...node,
  };
}

interface Layout {
  readonly home: string;
  readonly port: number;
  readonly webPort: number | undefined;
  readonly epmdPort: number;
  readonly distPort: number;
}

/** Writes the node's configuration and gives the environment it runs in. */
async function prepare({ home, port, webPort, epmdPort, distPort }: Layout): Promise<Record<string, string>> {
  const at = (name: string) => join(home, name);
  for (const directory of ["home", "data", "log", "conf.d", "schema"]) await mkdir(at(directory), { recursive: true });
  const settings = [
    `listeners.tcp.default = 127.0.0.1:${port}`,
    "log.file = false",
    "log.console = true",
    // A laptop's disk is often nearly full; the default depends on its size in later versions.
    "disk_free_limit.absolute = 50MB",
    `load_definitions = ${at("definitions.json")}`,
    ...(webPort === undefined ? [] : ["management.tcp.ip = 127.0.0.1", `management.tcp.port = ${webPort}`]),
  ];
  await writeFile(at("definitions.json"), JSON.stringify(DEFINITIONS));
  await writeFile(at("rabbitmq.conf"), `${settings.join("\n")}\n`);
  await writeFile(at("advanced.config"), "[].\n");
  await writeFile(at("enabled_plugins"), webPort === undefined ? "[].\n" : "[rabbitmq_management].\n");
  return plainEnvironment({
    HOME: at("home"),
    // Erlang takes names of files and of the host in this encoding.
    LANG: "C.UTF-8",
    RABBITMQ_NODENAME: await nodeName(home),
    RABBITMQ_CONF_ENV_FILE: at("none"),
    RABBITMQ_CONFIG_FILE: at("rabbitmq.conf"),
    RABBITMQ_CONFIG_FILES: at("conf.d"),
    RABBITMQ_ADVANCED_CONFIG_FILE: at("advanced.config"),
    RABBITMQ_ENABLED_PLUGINS_FILE: at("enabled_plugins"),
    RABBITMQ_MNESIA_BASE: at("data"),
    RABBITMQ_LOG_BASE: at("log"),
    RABBITMQ_SCHEMA_DIR: at("schema"),
    RABBITMQ_GENERATED_CONFIG_DIR: at("schema"),
    RABBITMQ_PID_FILE: at("pid"),
    RABBITMQ_NODE_IP_ADDRESS: "127.0.0.1",
    RABBITMQ_NODE_PORT: String(port),
    RABBITMQ_DIST_PORT: String(distPort),
    // Distribution on the loopback only; no busy waiting, which costs a small machine a core at every start.
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS:
      "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none",
    ERL_EPMD_PORT: String(epmdPort),
    ERL_EPMD_ADDRESS: "127.0.0.1",
    // The start script then becomes the Erlang machine instead of waiting for it: a killed script would orphan it.
    RUNNING_UNDER_SYSTEMD: "true",
  });
}

/**
 * The node's name is part of its files' names, so it is written down once: with another name (a moved directory) it
 * would find nothing of its data. It holds no port for the same reason.
 */
async function nodeName(home: string): Promise<string> {
  const file = join(home, "nodename");
  if (!existsSync(file)) await writeFile(file, `platform-${hashOf(home)}@localhost\n`);
  return (await readFile(file, "utf8")).trim();
}

/** Where our port mapper was killed under the node, the node has started one in the background: it goes too. */
async function endStrayMapper(
  installation: Installation,
  environment: Record<string, string>,
  epmdPort: number,
): Promise<void> {
  if (!(await answers(epmdPort))) return;
  await run(installation.epmd, ["-port", String(epmdPort), "-kill"], {
    timeoutMs: EPMD_KILL_MS,
    signal: new AbortController().signal,
    env: environment,
  });
}
