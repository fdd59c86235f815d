/** `mail outbox …`: mails from a terminal. Works on the database, with the operations of the routes, also while no mail service runs. */
import type { MailView } from "#contracts/mail";
import { type Failure, messageOf, type Result } from "#shared/errors";
import { type Command, EXIT } from "#shared/lifecycle";
import { openForCommand } from "#shared/postgres";
import { Deadline } from "#shared/resilience";
import { askedOrExit, processTerminal, type Terminal, userAtHost } from "#shared/terminal";
import type { Config, fields } from "../config.ts";
import { MIGRATIONS } from "../migrations.ts";
import { type Asked, readArguments, USAGE } from "./arguments.ts";
import { makeMails, type Mails } from "./mails.ts";
import { makeDeskStore } from "./store.ts";
import { mailTable, wholeMail } from "./terminal.ts";

/** For the database to be there, and for each thing that is asked of it (ms). */
const WAIT_MS = 10_000;
const PAGE = 100;

/** @returns the exit code: 0 done, 1 failed or nothing to do, 2 for a command that is none. */
export async function runOutbox(config: Config, args: readonly string[], terminal: Terminal): Promise<number> {
  const asked = askedOrExit("mail outbox", USAGE, () => readArguments(args), terminal);
  if (typeof asked === "number") return asked;
  await using opened = openForCommand({ name: "mail outbox", url: config.DATABASE_URL, migrations: MIGRATIONS });
  const { database } = opened;
  const ready = await database.ready(Deadline.after(WAIT_MS));
  if (!ready.ok) return failed(ready.error, terminal);
  const mails = makeMails({ store: makeDeskStore(database), expireAfterMs: config.EXPIRE_AFTER_MS });
  return asked.action === "list" ? list(mails, asked, terminal) : one(mails, asked, terminal);
}

type AskedOf<A extends Asked["action"]> = Extract<Asked, { action: A }>;

async function list(mails: Mails, { query, limit, json }: AskedOf<"list">, terminal: Terminal): Promise<number> {
  const items: MailView[] = [];
  let cursor: string | undefined;
  do {
    const page = await mails.list(
      { ...query, limit: Math.min(PAGE, limit - items.length), ...(cursor === undefined ? {} : { cursor }) },
      Deadline.after(WAIT_MS),
    );
    if (!page.ok) return failed(page.error, terminal);
    items.push(...page.value.items);
    cursor = page.value.next_cursor;
  } while (cursor !== undefined && items.length < limit);
  if (json) {
    write({ items, complete: cursor === undefined }, terminal);
  } else {
    terminal.out(items.length === 0 ? "Nothing is there.\n" : mailTable(items, terminal));
    if (cursor !== undefined) terminal.err(`There are more than these ${items.length}: --limit\n`);
  }
  return EXIT.drained;
}

async function one(mails: Mails, asked: Exclude<Asked, { action: "list" }>, terminal: Terminal): Promise<number> {
  const { id, to, json } = asked;
  const asks = asked.action === "resolve" && asked.as === "resend" && !asked.yes && terminal.interactive;
  if (asks && !(await terminal.ask(`Send ${id} again? Whoever has it already gets it twice. [y/N] `))) {
    terminal.err("Nothing was done.\n");
    return EXIT.bug;
  }
  const asking = { actor: userAtHost(), deadline: Deadline.after(WAIT_MS) };
  const only = to === undefined ? {} : { to };
  let result: Result<MailView>;
  switch (asked.action) {
    case "show":
      result = await mails.view(id, asking.deadline);
      break;
    case "cancel":
      result = await mails.cancel(id, only, asking);
      break;
    case "resolve":
      result = await mails.resolve(id, { as: asked.as, ...only }, asking);
      break;
  }
  if (!result.ok) return failed(result.error, terminal);
  if (json) write(result.value, terminal);
  else terminal.out(asked.action === "show" ? wholeMail(result.value, terminal) : `${id} is ${result.value.state}\n`);
  return EXIT.drained;
}

function write(value: unknown, terminal: Terminal): void {
  terminal.out(`${JSON.stringify(value, undefined, terminal.columns === undefined ? undefined : 2)}\n`);
}

function failed(error: Failure, terminal: Terminal): number {
  terminal.err(`outbox: ${messageOf(error)}\n`);
  return EXIT.bug;
}

/** The command of the executable. */
export const outbox: Command<typeof fields> = {
  about: "list, show, resolve, cancel mails: mail outbox --help",
  takesArguments: true,
  run: (config, _log, args) => runOutbox(config, args, processTerminal()),
};
