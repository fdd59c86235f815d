/** A command of the tool: what it is called, what it takes, what it does. */
import { parseArgs, type ParseArgsConfig } from "node:util";

type OptionTable = NonNullable<ParseArgsConfig["options"]>;

export interface Option {
  readonly type: "boolean" | "string";
  readonly short?: string;
  /** What its value is called in the help, for one that takes a value. */
  readonly value?: string;
  /** It may be given several times. */
  readonly multiple?: true;
  readonly about: string;
}

export interface Arguments {
  /** Given words that are no options. */
  readonly words: readonly string[];
  flag(name: string): boolean;
  text(name: string): string | undefined;
  /** All values of an option that may come several times, as typed. */
  texts(name: string): readonly string[];
}

export interface Command {
  readonly name: string;
  /** What stands behind the name in the usage: `[service]`. */
  readonly words?: string;
  /** How many words it takes at most (default 0). */
  readonly maxWords?: number;
  readonly summary: string;
  /** How it is typed, where that is not `bun run <name>`. */
  readonly typed?: string;
  /** Further paragraphs of its help. */
  readonly details?: string;
  readonly options: Readonly<Record<string, Option>>;
  /** Commands of their own behind its name, each called `<name> <word>`. */
  readonly subcommands?: readonly Command[];
  /** Whether what is typed is given as it is, options too, as words: they are somebody else's. */
  readonly passesArguments?: boolean;
  /** Does it and gives the exit code. */
  readonly run: (args: Arguments) => Promise<number>;
}

/** What was typed makes no sense: told in one line, exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** It could not be done: told in one line, exit code 1. */
export class CommandError extends Error {
  override readonly name = "CommandError";
}

/** `--data`: the commands that look at or change a run all take it. */
export const DATA_OPTION: Option = {
  type: "string",
  value: "DIR",
  about: "directory of this platform's data, logs and state (default PLATFORM_DATA_DIR, else .data)",
};

/** @throws UsageError for an option that is not known, a value that is missing, or too many words. */
export function parse(command: Command, args: readonly string[]): Arguments {
  const options: OptionTable = Object.fromEntries(
    Object.entries(command.options).map(([name, { type, short, multiple = false }]) => [
      name,
      { type, multiple, ...(short === undefined ? {} : { short }) },
    ]),
  );
  let parsed: ReturnType<typeof parseArgs>;
  try {
    parsed = parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    throw new UsageError(said.split(". To specify")[0] ?? said);
  }
  const { values, positionals } = parsed;
  const max = command.maxWords ?? 0;
  if (positionals.length > max) throw new UsageError(`unexpected "${positionals[max]}"`);
  return {
    words: positionals,
    flag: (name) => values[name] === true,
    text: (name) => {
      const value = values[name];
      return typeof value === "string" ? value : undefined;
    },
    texts: (name) => [values[name] ?? []].flat().filter((value) => typeof value === "string"),
  };
}

export function helpOf(command: Command): string {
  const options: Record<string, Option> = { ...command.options, help: { type: "boolean", about: "print this" } };
  const rows = Object.entries(options).map(([name, { short, value, about }]) => ({
    left: `${short === undefined ? "    " : `-${short}, `}--${name}${value === undefined ? "" : ` ${value}`}`,
    about,
  }));
  const width = Math.max(...rows.map(({ left }) => left.length));
  const words = command.words === undefined ? "" : ` ${command.words}`;
  const under = command.subcommands ?? [];
  const underWidth = Math.max(0, ...under.map(({ name }) => name.length));
  const commands = under.map(({ name, summary }) => `  bun run ${name.padEnd(underWidth)}  ${summary}`).join("\n");
  return `${command.summary}

Usage: ${command.typed ?? `bun run ${command.name} [options]`}${words}

${rows.map(({ left, about }) => `  ${left.padEnd(width)}  ${about}`).join("\n")}
${commands === "" ? "" : `\n${commands}\n`}${command.details === undefined ? "" : `\n${command.details}\n`}`;
}
