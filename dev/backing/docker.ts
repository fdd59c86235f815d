import { untilAnswers } from "./probes.ts";
import { run } from "./commands.ts";
import { plainEnvironment } from "./processes.ts";

import { hashOf, portFor } from "./records.ts";
import type { StartOptions } from "./types.ts";
import type { Kind, Way } from "./ways.ts";

/** A container of an engine that answers, with a name of its own per data directory; its data in a volume of that name. */

/** A local engine answers at once; an unreachable one must cost nothing (ms). */
const ENGINE_MS = 2_000;
/** A first start fetches the image (ms). */
const FETCH_MS = 300_000;
/** From the container's start to the first answer (ms). */
const READY_MS = 60_000;
/** The engine kills the container after 10 s (ms). */
const STOP_MS = 15_000;

export interface ContainerSpec {
  readonly image: string;
  /** The port that it serves inside. */
  readonly port: number;
  readonly environment: readonly string[];
  /** The directory inside that holds its data. */
  readonly dataAt: string;
  readonly url: (port: number) => string;
}

export function docker(kind: Kind, options: StartOptions, spec: ContainerSpec): Way {
  return {
    what: `Docker (${spec.image})`,
    otherData: true,
    open: async () => {
      const never = new AbortController().signal;
      const ask = (args: readonly string[], timeoutMs: number, signal: AbortSignal = options.signal) =>
        run("docker", args, { timeoutMs, signal, env: dockerEnvironment() });
      if (Bun.which("docker") === null) throw new Error("docker is not installed");
      await ask(["version", "--format", "{{.Server.Version}}"], ENGINE_MS).catch((error: unknown) => {
        throw new Error("no Docker engine answers", { cause: error });
      });
      const label = `platform-${hashOf(options.dataDir)}`;
      const name = `${label}-${kind.name}`;
      const remove = () => ask(["rm", "--force", name], STOP_MS, never).then(ignore, ignore);
      await remove();
      const port = await portFor(options, kind.name, "main", spec.port);
      const url = spec.url(port);
      const stop = async () => {
        await ask(["stop", "--time", "10", name], STOP_MS, never).then(ignore, ignore);
        await remove();
      };
      try {
        const variables = spec.environment.flatMap((variable) => ["--env", variable]);
        const named = [`--name=${name}`, `--label=${label}`];
        const places = [`--publish=127.0.0.1:${port}:${spec.port}`, `--volume=${name}:${spec.dataAt}`];
        await ask(["run", "--detach", ...named, ...places, ...variables, spec.image], FETCH_MS);
        await untilAnswers(() => kind.probe(url), READY_MS, options.signal);
      } catch (error) {
        await stop();
        throw error;
      }
      let stopping: Promise<void> | undefined;
      return { url, source: `Docker container ${name} (${spec.image})`, stop: () => (stopping ??= stop()) };
    },
  };
}

/** Which engine: the one that the developer's own settings name. */
function dockerEnvironment(): Record<string, string> {
  const own: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== undefined && /^(DOCKER_[A-Z_]+|XDG_RUNTIME_DIR|SSH_AUTH_SOCK)$/.test(name)) own[name] = value;
  }
  return plainEnvironment(own);
}

function ignore(): void {}
