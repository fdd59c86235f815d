/** Which command was asked for. */
import { audit } from "./commands/audit.ts";
import { build } from "./commands/build.ts";
import { certificates } from "./commands/certificates.ts";
import { chaos } from "./commands/chaos.ts";
import { check } from "./commands/check.ts";
import { demo } from "./commands/demo.ts";
import { down } from "./commands/down.ts";
import { faults } from "./commands/faults.ts";
import { logs } from "./commands/logs.ts";
import { dlq, outbox } from "./commands/operate.ts";
import { run } from "./commands/run.ts";
import { sbom } from "./commands/sbom.ts";
import { security } from "./commands/security.ts";
import { serviceKey } from "./commands/service-key.ts";
import { status } from "./commands/status.ts";
import { test } from "./commands/test.ts";
import { up } from "./commands/up.ts";
import { type Command, CommandError, helpOf, parse, UsageError } from "./command.ts";
import { StackError } from "./stack.ts";

const COMMANDS: readonly Command[] = [
  up,
  down,
  status,
  logs,
  demo,
  dlq,
  outbox,
  test,
  chaos,
  faults,
  security,
  check,
  sbom,
  audit,
  build,
  run,
  serviceKey,
  certificates,
];

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

function help(): string {
  const width = Math.max(...COMMANDS.map(({ name }) => name.length));
  return `The platform's commands: bun run <command> [options]   (without Bun: npx --yes bun@1.4.5 run <command>)

${COMMANDS.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`).join("\n")}

bun run <command> --help tells what a command takes.
`;
}

/** Runs what was typed; gives the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  const [first, ...behind] = args;
  if (first === undefined || first === "--help" || first === "-h" || first === "help") {
    process.stdout.write(help());
    return 0;
  }
  const main = COMMANDS.find((known) => known.name === first);
  if (main === undefined) {
    process.stderr.write(`There is no command "${first}". Known: ${COMMANDS.map((known) => known.name).join(", ")}.\n`);
    return EXIT_USAGE;
  }
  const under = main.subcommands?.find((known) => known.name === `${first} ${behind[0]}`);
  const command = under ?? main;
  const { name } = command;
  const rest = under === undefined ? behind : behind.slice(1);
  // What passes its arguments on has its own help only where nothing else is asked.
  if ((rest.includes("--help") || rest.includes("-h")) && (command.passesArguments !== true || rest.length === 1)) {
    process.stdout.write(helpOf(command));
    return 0;
  }
  try {
    return await command.run(command.passesArguments === true ? passed(rest) : parse(command, rest));
  } catch (error) {
    if (error instanceof UsageError) {
      process.stderr.write(`${name}: ${error.message}; see bun run ${name} --help\n`);
      return EXIT_USAGE;
    }
    if (error instanceof StackError || error instanceof CommandError) {
      process.stderr.write(`${error.message}\n`);
      return error instanceof StackError ? EXIT_USAGE : EXIT_FAILED;
    }
    throw error;
  }
}

function passed(words: readonly string[]) {
  return { words, flag: () => false, text: () => undefined, texts: () => [] };
}
