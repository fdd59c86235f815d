/** A service's own commands for operators, with the addresses of the running platform. */
import { spawn } from "node:child_process";
import { type Command, UsageError } from "../command.ts";
import { variablesOf } from "../certificates/files.ts";
import { withDatabase } from "../backing/addresses.ts";
import { dataDirectory } from "../paths.ts";
import { programOf, SERVICES, type ServiceName } from "../services.ts";
import { liveState, type State } from "../state.ts";

const EXIT_FAILED = 1;

interface Operated {
  readonly name: string;
  readonly service: ServiceName;
  readonly words: string;
  readonly summary: string;
  readonly examples: readonly string[];
  /** What the command needs to know of the platform; undefined while that is not there, which `lacks` names. */
  readonly environment: (state: State) => Record<string, string> | undefined;
  readonly lacks: string;
}

function operate({ name, service, words, summary, examples, environment, lacks }: Operated): Command {
  return {
    name,
    typed: `bun run ${name}`,
    words: `<${words}> [options]`,
    summary,
    details: `The ${service}'s own command with the addresses of the running platform; bun run ${name} help tells all of its options:
${examples.map((example) => `  bun run ${name} ${example}`).join("\n")}
--data DIR, first, names the platform by its data directory. Operators use the executable: ${service} ${name} --help.`,
    options: {},
    passesArguments: true,
    async run({ words: given }) {
      const [first, dir, ...behind] = given;
      const named = first === "--data";
      if (named && dir === undefined) throw new UsageError("--data needs a directory");
      const state = liveState(dataDirectory(named ? dir : undefined));
      if (state === undefined) {
        process.stderr.write("The platform is not up. Start it in another terminal: bun run up\n");
        return EXIT_FAILED;
      }
      const env = environment(state);
      if (env === undefined) {
        process.stderr.write(`${lacks} is not there yet; see bun run status.\n`);
        return EXIT_FAILED;
      }
      const { command, args, cwd } = programOf(service, undefined);
      const child = spawn(command, [...args, name, ...(named ? behind : given)], {
        cwd,
        stdio: "inherit",
        env: { ...process.env, ...env, ...variablesOf(service, state.tls ?? {}) },
      });
      // Ctrl-C reaches it by itself, as part of the same foreground group; it ends in order, and we after it.
      process.on("SIGINT", () => undefined);
      for (const signal of ["SIGTERM", "SIGHUP"] as const) process.on(signal, () => child.kill(signal));
      return await new Promise((resolve, reject) => {
        child.once("error", reject);
        child.once("exit", (code) => resolve(code ?? EXIT_FAILED));
      });
    },
  };
}

export const dlq = operate({
  name: "dlq",
  service: "listener",
  words: "list|peek|replay|drop|queues",
  summary: "list, peek, replay or drop dead letters of the running platform",
  examples: ["list --error refused --older-than 10m", "replay --parked logs --rate 50 --dry-run"],
  environment({ backing: { rabbitmq }, services: { logger } }) {
    if (rabbitmq === undefined || logger?.rpc === undefined) return undefined;
    return { LISTENER_RABBITMQ_URL: rabbitmq.url, LISTENER_LOGGER_RPC_URL: logger.rpc };
  },
  lacks: "RabbitMQ or the logger",
});

export const outbox = operate({
  name: "outbox",
  service: "mail",
  words: "list|show|resolve|cancel",
  summary: "where mails of the running platform stand, and deciding on them by hand",
  examples: ["list --state ambiguous", "resolve 01938f3c-… --as resend"],
  environment({ backing: { postgres } }) {
    const database = SERVICES.mail.database;
    if (postgres === undefined || database === undefined) return undefined;
    return { MAIL_DATABASE_URL: withDatabase(postgres.url, database) };
  },
  lacks: "PostgreSQL",
});
