/** What was typed behind `auth admin`. */
import { isScope, ROLES, type Role, SCOPES, type Scope } from "#contracts/scopes";
import { ADDRESS_PATTERN } from "#contracts/mail";
import { readAction, UsageError } from "#shared/terminal";

const ROLE_NAMES = Object.keys(ROLES) as Role[];

export const USAGE = `auth admin: the first administrator, and who may what, without a service that runs

Usage: auth admin <create|grant|list> [options]

  create ADDRESS   add an active user with the role admin, his address verified;
                   his password is read from standard input (one line) or a file, never from the command line
    --password-file PATH
    --first-name NAME
    --last-name NAME
  grant ADDRESS    change what a user may; his access tokens are worth nothing then
    --role ROLE    ${ROLE_NAMES.join(", ")}
    --scope SCOPE  besides those of the role; several times for several.
                   ${Object.keys(SCOPES).slice(0, 6).join(", ")},
                   ${Object.keys(SCOPES).slice(6).join(", ")}
    --no-scopes    none besides those of the role
  list             who has a role
    --role ROLE    default admin

  --json           for programs

Environment: DATABASE_URL, AUTH_SECRET (as the service has it) and BCRYPT_COST; auth --help
Exit codes: 0 done, 1 failed or refused, 2 wrong usage or configuration
`;

const OPTIONS = {
  "password-file": { type: "string" },
  "first-name": { type: "string" },
  "last-name": { type: "string" },
  role: { type: "string" },
  scope: { type: "string", multiple: true },
  "no-scopes": { type: "boolean" },
  json: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

/** Options that each action takes besides `--json`. */
const ACTIONS = {
  create: ["password-file", "first-name", "last-name"],
  grant: ["role", "scope", "no-scopes"],
  list: ["role"],
} as const;

const ADDRESS = new RegExp(ADDRESS_PATTERN);

export type Asked = { readonly json: boolean } & (
  | {
      readonly action: "create";
      readonly email: string;
      /** Undefined: standard input. */
      readonly passwordFile: string | undefined;
      readonly firstName: string;
      readonly lastName: string;
    }
  | {
      readonly action: "grant";
      readonly email: string;
      readonly role: Role | undefined;
      /** In place of those that he has; undefined: these stay. */
      readonly scopes: readonly Scope[] | undefined;
    }
  | { readonly action: "list"; readonly role: Role }
);

/** @throws UsageError */
export function readArguments(args: readonly string[]): Asked | "help" {
  const typed = readAction(args, OPTIONS, ACTIONS);
  if (typed === "help") return "help";
  const { action, values } = typed;
  const [address, extra] = typed.words;
  const unexpected = action === "list" ? address : extra;
  if (unexpected !== undefined) throw new UsageError(`${action} takes no "${unexpected}"`);
  const json = values.json === true;
  const role = roleOf(values.role);
  if (action === "list") return { action, json, role: role ?? "admin" };
  if (address === undefined || !ADDRESS.test(address)) throw new UsageError(`${action} needs one plain e-mail address`);
  const email = address;
  if (action === "create") {
    const { "password-file": passwordFile, "first-name": firstName = "", "last-name": lastName = "" } = values;
    return { action, json, email, passwordFile, firstName, lastName };
  }
  const scopes = values["no-scopes"] === true ? [] : values.scope?.map(scopeOf);
  if (values["no-scopes"] === true && values.scope !== undefined) throw new UsageError("--scope or --no-scopes");
  if (role === undefined && scopes === undefined) throw new UsageError("grant needs --role, --scope or --no-scopes");
  return { action, json, email, role, scopes };
}

function roleOf(text: string | undefined): Role | undefined {
  const found = ROLE_NAMES.find((name) => name === text);
  if (text !== undefined && found === undefined) throw new UsageError(`--role is ${ROLE_NAMES.join(", ")}`);
  return found;
}

function scopeOf(text: string): Scope {
  if (isScope(text)) return text;
  throw new UsageError(`--scope is one of ${Object.keys(SCOPES).join(", ")}`);
}
