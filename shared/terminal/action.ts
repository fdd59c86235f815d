/** What is typed behind a command that has actions (`mail outbox list …`). */
import { parseArgs, type ParseArgsConfig } from "node:util";
import { messageOf } from "#shared/errors";
import type { Terminal } from "./index.ts";

type Options = NonNullable<ParseArgsConfig["options"]>;
type Typed<O extends Options> = ReturnType<typeof parseArgs<{ options: O; allowPositionals: true }>>["values"];

/** What was typed makes no sense: told in one line. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

export interface TypedAction<A extends string, O extends Options> {
  readonly action: A;
  readonly values: Typed<O>;
  /** Behind the action: what is no option. */
  readonly words: readonly string[];
}

/**
 * @param options of all actions together; `help` among them.
 * @param actions the options that each takes, besides `json`.
 * @throws UsageError for no action or one that is not known, and for options that are not known or not this action's.
 */
export function readAction<const O extends Options, A extends string>(
  args: readonly string[],
  options: O,
  actions: Readonly<Record<A, readonly string[]>>,
): TypedAction<A, O> | "help" {
  let parsed: ReturnType<typeof parseArgs<{ options: O; allowPositionals: true }>>;
  try {
    parsed = parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    throw new UsageError(messageOf(error).split(/[.\n]/)[0] ?? "");
  }
  const values: Readonly<Record<string, unknown>> = parsed.values;
  const [word, ...words] = parsed.positionals;
  if (values["help"] === true || word === "help") return "help";
  if (word === undefined || !isAction(word, actions)) {
    const names = Object.keys(actions).join(", ");
    throw new UsageError(`${word === undefined ? "what?" : `there is no "${word}":`} ${names}`);
  }
  const stray = Object.keys(values).find((name) => name !== "json" && !actions[word].includes(name));
  if (stray !== undefined) throw new UsageError(`${word} takes no --${stray}`);
  return { action: word, values: parsed.values, words };
}

function isAction<A extends string>(word: string, actions: Readonly<Record<A, unknown>>): word is A {
  return Object.hasOwn(actions, word);
}

/** The exit codes of a command that does nothing: it told what it does, or what was wrong with what was typed. */
const EXIT_TOLD = 0;
const EXIT_USAGE = 2;

/**
 * @param command as it is typed, e.g. `mail outbox`. @param read gives what is asked for; throws UsageError.
 * @returns what is asked for; the exit code where the command ends with its help, or with what was wrong.
 */
export function askedOrExit<T extends object>(
  command: string,
  usage: string,
  read: () => T | "help",
  terminal: Pick<Terminal, "out" | "err">,
): T | number {
  try {
    const asked = read();
    if (asked !== "help") return asked;
    terminal.out(usage);
    return EXIT_TOLD;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    terminal.err(`${command.split(" ").at(-1) ?? ""}: ${error.message}; see ${command} --help\n`);
    return EXIT_USAGE;
  }
}
