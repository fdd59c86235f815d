import { spawn } from "node:child_process";
import { type Command, UsageError } from "../command.ts";
import { dataDirectory } from "../paths.ts";
import { programOf } from "../services.ts";
import { liveState } from "../state.ts";

const EXIT_FAILED = 1;

export const dlq: Command = {
  name: "dlq",
  typed: "bun run dlq",
  words: "<list|peek|replay|drop|queues> [options]",
  summary: "list, peek, replay or drop dead letters of the running platform",
  details: `The listener's own command with the addresses of the running platform; bun run dlq help tells all of its options:
  bun run dlq list --error refused --older-than 10m
  bun run dlq replay --parked logs --rate 50 --dry-run
--data DIR, first, names the platform by its data directory. Operators use the executable: listener dlq --help.`,
  options: {},
  passesArguments: true,
  async run({ words }) {
    const [first, dir, ...behind] = words;
    const named = first === "--data";
    if (named && dir === undefined) throw new UsageError("--data needs a directory");
    const state = liveState(dataDirectory(named ? dir : undefined));
    if (state === undefined) {
      process.stderr.write("The platform is not up. Start it in another terminal: bun run up\n");
      return EXIT_FAILED;
    }
    const { rabbitmq } = state.backing;
    const rpc = state.services.logger?.rpc;
    if (rabbitmq === undefined || rpc === undefined) {
      process.stderr.write("RabbitMQ or the logger is not there yet; see bun run status.\n");
      return EXIT_FAILED;
    }
    const { command, args, cwd } = programOf("listener", undefined);
    const child = spawn(command, [...args, "dlq", ...(named ? behind : words)], {
      cwd,
      stdio: "inherit",
      env: { ...process.env, LISTENER_RABBITMQ_URL: rabbitmq.url, LISTENER_LOGGER_RPC_URL: rpc },
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
