/** What was typed behind `listener dlq`. */
import { type DeadLetterFilter, PARKED } from "#contracts/dead-letters";
import { readAction, UsageError } from "#shared/terminal";
import { durationMs } from "#shared/validation";
import { DEFAULT_LIMIT, DEFAULT_RATE } from "./dead-letters.ts";

export const DEFAULT_ITEMS = 50;

export const USAGE = `listener dlq: what nobody could use, and what no queue wanted

Usage: listener dlq <list|peek|replay|drop|queues> [options]

  list     one line a message, the oldest first
  peek     one message whole: the oldest that is meant
  replay   send them to where they belong, once more; a message is stored once, however often it is replayed
  drop     remove them for good
  queues   how many messages are where

Which messages (all that is given has to hold):
  --parked logs|jobs|unrouted   in which queue (default: logs and jobs)
  --id ID
  --routing-key PATTERN         words and wildcards as in a binding: log.*, #
  --error TEXT                  contained in the error
  --older-than 10m              since when it is there: s, m, h, d
  --younger-than 2h

  --limit N     at most so many (list: ${DEFAULT_ITEMS}; replay and drop: ${DEFAULT_LIMIT})
  --rate N      replay: messages a second (default ${DEFAULT_RATE})
  --dry-run     replay and drop: only count
  --all         drop: without a condition
  --yes         drop: do not ask
  --json        for programs

Exit codes: 0 done, 1 failed or not all done, 2 wrong usage or configuration. Environment: listener --help
`;

const OPTIONS = {
  parked: { type: "string" },
  id: { type: "string" },
  "routing-key": { type: "string" },
  error: { type: "string" },
  "older-than": { type: "string" },
  "younger-than": { type: "string" },
  limit: { type: "string" },
  rate: { type: "string" },
  "dry-run": { type: "boolean" },
  all: { type: "boolean" },
  yes: { type: "boolean" },
  json: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

/** Which messages are meant. */
const FILTERS = ["parked", "id", "routing-key", "error", "older-than", "younger-than"] as const;
/** Options that each action takes besides `--json`. */
const ACTIONS = {
  list: [...FILTERS, "limit"],
  peek: FILTERS,
  replay: [...FILTERS, "limit", "rate", "dry-run"],
  drop: [...FILTERS, "limit", "dry-run", "all", "yes"],
  queues: [],
} as const;
export type Action = keyof typeof ACTIONS;

export interface Asking {
  readonly action: Action;
  readonly filter: DeadLetterFilter;
  readonly limit: number | undefined;
  readonly rate: number | undefined;
  readonly dryRun: boolean;
  readonly all: boolean;
  readonly yes: boolean;
  readonly json: boolean;
}

/** @throws UsageError */
export function readArguments(args: readonly string[]): Asking | "help" {
  const typed = readAction(args, OPTIONS, ACTIONS);
  if (typed === "help") return "help";
  const { action, values, words } = typed;
  if (words.length > 0) throw new UsageError(`unexpected "${words[0] ?? ""}"`);
  const parked = PARKED.find((name) => name === values.parked);
  if (values.parked !== undefined && parked === undefined) throw new UsageError(`--parked is ${PARKED.join(", ")}`);
  const given = {
    parked,
    id: values.id,
    routing_key: values["routing-key"],
    error: values.error,
    older_than_s: secondsOf("older-than", values["older-than"]),
    younger_than_s: secondsOf("younger-than", values["younger-than"]),
  };
  return {
    action,
    filter: Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
    limit: numberOf("limit", values.limit, /^[1-9]\d{0,6}$/, "a whole number from 1"),
    rate: numberOf("rate", values.rate, /^(?!0+(\.0+)?$)\d{1,5}(\.\d{1,6})?$/, "a number above 0"),
    dryRun: values["dry-run"] === true,
    all: values.all === true,
    yes: values.yes === true,
    json: values.json === true,
  };
}

function numberOf(name: string, text: string | undefined, form: RegExp, allowed: string): number | undefined {
  if (text === undefined) return undefined;
  if (!form.test(text)) throw new UsageError(`--${name} is ${allowed}, not "${text}"`);
  return Number(text);
}

function secondsOf(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const ms = durationMs(text);
  if (ms === undefined) {
    throw new UsageError(`--${name} is a number with its unit, as 30s, 10m, 2h or 1d, not "${text}"`);
  }
  return ms / 1_000;
}
