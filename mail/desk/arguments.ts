/** What was typed behind `mail outbox`. */
import { ADDRESS_PATTERN, MAIL_STATES, type MailQuery, type ResolveRequest } from "#contracts/mail";
import { isUuid } from "#shared/ids";
import { readAction, UsageError } from "#shared/terminal";
import { timeOf } from "#shared/validation";

export const DEFAULT_ITEMS = 50;

export const USAGE = `mail outbox: where mails stand, and deciding on them by hand

Usage: mail outbox <list|show|resolve|cancel> [options]

  list          one line a mail, the newest first
  show ID       one mail whole: its recipients, and what happened to each
  resolve ID    what is to become of it:
    --as sent     it arrived (an ambiguous one)
    --as failed   it did not, and is not to be sent again (an ambiguous one)
    --as resend   send it again (ambiguous, failed, expired, bounced or cancelled)
  cancel ID     take back what still waits

Which mails (list; all that is given has to hold, of one recipient at least):
  --state STATE   ${MAIL_STATES.slice(0, 5).join(", ")},
                  ${MAIL_STATES.slice(5).join(", ")}
  --to ADDRESS
  --from ADDRESS
  --list NAME     of a mailing list
  --since TIME    accepted at or after, as 2026-01-31T12:00:00Z
  --until TIME    accepted before

  --limit N     list: at most so many (default ${DEFAULT_ITEMS})
  --to ADDRESS  resolve and cancel: only for this recipient
  --yes         resolve --as resend: do not ask
  --json        for programs

Exit codes: 0 done, 1 failed or nothing to do, 2 wrong usage or configuration. Environment: mail --help
`;

const OPTIONS = {
  state: { type: "string" },
  to: { type: "string" },
  from: { type: "string" },
  list: { type: "string" },
  since: { type: "string" },
  until: { type: "string" },
  limit: { type: "string" },
  as: { type: "string" },
  yes: { type: "boolean" },
  json: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

/** Options that each action takes besides `--json`. */
const ACTIONS = {
  list: ["state", "to", "from", "list", "since", "until", "limit"],
  show: [],
  resolve: ["as", "to", "yes"],
  cancel: ["to"],
} as const;

const DECISIONS = ["sent", "failed", "resend"] as const satisfies readonly ResolveRequest["as"][];
const ADDRESS = new RegExp(ADDRESS_PATTERN);

interface Output {
  readonly json: boolean;
}
interface OfMail extends Output {
  readonly id: string;
  readonly to: string | undefined;
}

export type Asked =
  | (Output & { readonly action: "list"; readonly query: MailQuery; readonly limit: number })
  | (OfMail & { readonly action: "show" | "cancel" })
  | (OfMail & { readonly action: "resolve"; readonly as: ResolveRequest["as"]; readonly yes: boolean });

/** @throws UsageError */
export function readArguments(args: readonly string[]): Asked | "help" {
  const typed = readAction(args, OPTIONS, ACTIONS);
  if (typed === "help") return "help";
  const { action, values } = typed;
  const [id, extra] = typed.words;
  const unexpected = action === "list" ? id : extra;
  if (unexpected !== undefined) throw new UsageError(`unexpected "${unexpected}"`);
  const json = values.json === true;
  const to = addressOf("to", values.to);
  if (action === "list") {
    for (const name of ["since", "until"] as const) {
      const time = values[name] === undefined ? undefined : timeOf(`--${name}`, values[name]);
      if (time?.ok === false) throw new UsageError(time.error.message);
    }
    const given = {
      state: oneOf("state", values.state, MAIL_STATES),
      to,
      from: addressOf("from", values.from),
      list: values.list,
      since: values.since,
      until: values.until,
    };
    const query = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as MailQuery;
    return { action, json, query, limit: limitOf(values.limit) };
  }
  if (id === undefined || !isUuid(id.toLowerCase())) {
    throw new UsageError(`${action} needs the id of a mail${id === undefined ? "" : `, not "${id}"`}`);
  }
  if (action !== "resolve") return { action, id, to, json };
  const as = oneOf("as", values.as, DECISIONS);
  if (as === undefined) throw new UsageError(`resolve needs --as ${DECISIONS.join(", ")}`);
  return { action, id, to, json, as, yes: values.yes === true };
}

function oneOf<T extends string>(name: string, text: string | undefined, allowed: readonly T[]): T | undefined {
  const found = allowed.find((one) => one === text);
  if (text !== undefined && found === undefined) throw new UsageError(`--${name} is ${allowed.join(", ")}`);
  return found;
}

function addressOf(name: string, text: string | undefined): string | undefined {
  if (text !== undefined && !ADDRESS.test(text)) throw new UsageError(`--${name} is one plain e-mail address`);
  return text;
}

function limitOf(text: string | undefined): number {
  if (text === undefined) return DEFAULT_ITEMS;
  if (!/^[1-9]\d{0,6}$/.test(text)) throw new UsageError(`--limit is a whole number from 1, not "${text}"`);
  return Number(text);
}
