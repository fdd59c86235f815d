import { join } from "node:path";
import { type Command, UsageError } from "../command.ts";
import { ROOT } from "../paths.ts";
import { SERVICE_NAMES } from "../services.ts";

export const run: Command = {
  name: "run",
  typed: "bun run",
  words: "<service> [argument]",
  summary: "run one service from source, with the environment as it is",
  details: `Services: ${SERVICE_NAMES.join(", ")}. What stands behind the service's name goes to
the service: bun run broker --help tells its variables, --check-config checks them.`,
  options: {},
  passesArguments: true,
  async run({ words }) {
    const [service, ...rest] = words;
    if (service === undefined) throw new UsageError(`which service? One of ${SERVICE_NAMES.join(", ")}`);
    const name = SERVICE_NAMES.find((known) => known === service);
    if (name === undefined) {
      throw new UsageError(`there is no service "${service}"; there are ${SERVICE_NAMES.join(", ")}`);
    }
    const program = join(ROOT, name, "main.ts");
    // In this very process: signals, terminal and exit code are the service's own.
    process.argv.splice(1, Number.POSITIVE_INFINITY, program, ...rest);
    await import(program);
    return Number(process.exitCode ?? 0);
  },
};
