/** `auth admin …`: users from a terminal. Works on the database, with the operations of the routes, also while no auth runs. */
import { readFile } from "node:fs/promises";
import { Registration, type ManagedUser } from "#contracts/auth";
import { SCOPES, isScope } from "#contracts/scopes";
import { Failure, fail, messageOf, ok, type Result } from "#shared/errors";
import { type Command, EXIT } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { openForCommand } from "#shared/postgres";
import { Deadline } from "#shared/resilience";
import { newContext } from "#shared/telemetry";
import { askedOrExit, processTerminal, table, type Terminal, userAtHost } from "#shared/terminal";
import { makeValidator } from "#shared/validation";
import { type Config, type fields, secretOf } from "../config.ts";
import { makeAccountMails } from "../flows/account-mails.ts";
import { makeLinks } from "../flows/links.ts";
import { makeHashers } from "../hashers.ts";
import { makeSealer } from "../keys.ts";
import { MIGRATIONS } from "../migrations.ts";
import { makeOutbox } from "../outbox/outbox.ts";
import { makePasswords } from "../passwords.ts";
import { makeEnding } from "../sessions/end.ts";
import { makeUsers } from "../users/manage.ts";
import { makeUserStore } from "../users/user-store.ts";
import { type Admins, makeAdmins } from "./admins.ts";
import { type Asked, readArguments, USAGE } from "./arguments.ts";

/** For the database to be there, and for each thing that is asked of it (ms). */
const WAIT_MS = 10_000;
/** Longest password, and the end of its line. */
const PASSWORD_MAX_BYTES = 4_100;

const validated = makeValidator(Registration, { name: "the user" });

/** Where the password comes from; a test gives another one. */
export interface Input {
  /** A person sits there: he would be seen typing. */
  readonly isTTY: boolean;
  read(): Promise<string>;
}

/** @returns the exit code: 0 done, 1 failed or refused, 2 for a command that is none. */
export async function runAdmin(
  config: Config,
  args: readonly string[],
  terminal: Terminal,
  input: Input,
): Promise<number> {
  const asked = askedOrExit("auth admin", USAGE, () => readArguments(args), terminal);
  if (typeof asked === "number") return asked;
  const done = await withAdmins(config, (admins) => act(admins, asked, terminal, input));
  if (done.ok) return EXIT.drained;
  terminal.err(`admin: ${messageOf(done.error)}\n`);
  return EXIT.bug;
}

/** The same parts as the service's, without those that wait for requests. */
async function withAdmins(config: Config, work: (admins: Admins) => Promise<Result<void>>): Promise<Result<void>> {
  const log = silentLog;
  await using opened = openForCommand({ name: "auth admin", url: config.DATABASE_URL, migrations: MIGRATIONS });
  const { database, metrics } = opened;
  const ready = await database.ready(Deadline.after(WAIT_MS));
  if (!ready.ok) return ready;
  const secret = secretOf(config);
  await using hashers = makeHashers({ threads: 1, line: 1, log, metrics });
  // What it puts there is brought out by the service.
  const outbox = makeOutbox(makeSealer(secret, "outbox"));
  const letterhead = { from: config.WELCOME_FROM, publicUrl: config.PUBLIC_URL };
  const store = makeUserStore(database);
  const links = makeLinks({ database, outbox, letterhead });
  const ports = { outbox, ending: makeEnding(outbox), links, tellOwner: makeAccountMails(outbox, letterhead) };
  const passwords = makePasswords({ hashers, secret, cost: config.BCRYPT_COST, log });
  return await work(makeAdmins({ store, users: makeUsers({ store, ...ports }), passwords, outbox }));
}

async function act(admins: Admins, asked: Asked, terminal: Terminal, input: Input): Promise<Result<void>> {
  const editor = { by: `command:${userAtHost()}`, scopes: Object.keys(SCOPES).filter(isScope) };
  if (asked.action === "list") {
    const users = await admins.list(asked.role, newContext(WAIT_MS));
    if (!users.ok) return users;
    if (asked.json) terminal.out(`${JSON.stringify(users.value)}\n`);
    else terminal.out(users.value.length === 0 ? "Nobody has that role.\n" : userTable(users.value, terminal));
    return ok();
  }
  if (asked.action === "grant") {
    return told(await admins.grant(asked.email, asked, editor, newContext(WAIT_MS)), asked.json, terminal);
  }
  const password = await passwordFrom(asked.passwordFile, input);
  if (!password.ok) return password;
  const { email, firstName: first_name, lastName: last_name } = asked;
  const user = validated({ email, password: password.value, first_name, last_name });
  if (!user.ok) return user;
  return told(await admins.create(user.value, editor, newContext(WAIT_MS)), asked.json, terminal);
}

/** @returns failure `invalid` where there is none, or somebody would have to type it in the open. */
async function passwordFrom(path: string | undefined, input: Input): Promise<Result<string>> {
  if (path === undefined && input.isTTY) {
    return fail("invalid", "give the password on standard input (auth admin create … < file) or with --password-file");
  }
  let text: string;
  try {
    text = path === undefined ? await input.read() : await readFile(path, "utf8");
  } catch (cause) {
    return fail("invalid", `the password cannot be read: ${messageOf(cause)}`);
  }
  if (Buffer.byteLength(text) > PASSWORD_MAX_BYTES)
    return fail("invalid", "password must be text of 8 to 1024 characters");
  const password = text.replace(/\r?\n$/, "");
  // A second line is no part of a password: it is the wrong file.
  return /[\r\n]/.test(password) ? fail("invalid", "the password must be one line") : ok(password);
}

function told(user: Result<ManagedUser>, json: boolean, terminal: Terminal): Result<void> {
  if (!user.ok) return user;
  terminal.out(json ? `${JSON.stringify(user.value)}\n` : userTable([user.value], terminal));
  return ok();
}

function userTable(users: readonly ManagedUser[], terminal: Terminal): string {
  const rows = users.map(({ id, email, role, active, extra_scopes, last_login_at }) => [
    String(id),
    email,
    role,
    active === 1 ? "yes" : "no",
    last_login_at ?? "never",
    extra_scopes.join(" "),
  ]);
  return table(["ID", "ADDRESS", "ROLE", "ACTIVE", "LAST LOGIN", "BESIDES"], rows, terminal);
}

/** Reads no more than a password can be. */
async function readAll(): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of process.stdin as AsyncIterable<Uint8Array>) {
    chunks.push(chunk);
    size += chunk.byteLength;
    if (size > PASSWORD_MAX_BYTES) throw new Failure("invalid", "too long");
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** The command of the executable. */
export const admin: Command<typeof fields> = {
  about: "create, grant, list: the first administrator; auth admin --help",
  takesArguments: true,
  run: (config, _log, args) => runAdmin(config, args, processTerminal(), { isTTY: process.stdin.isTTY, read: readAll }),
};
