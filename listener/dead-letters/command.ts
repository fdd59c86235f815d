/** `listener dlq …`: dead letters from a terminal. Works against RabbitMQ and the logger, also while no listener runs. */
import { type DeadLetterOutcome, DropRequest, ReplayRequest } from "#contracts/dead-letters";
import type { TopologyOptions } from "#shared/amqp";
import { type Failure, messageOf, type Result } from "#shared/errors";
import type { Command } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { askedOrExit, processTerminal, type Terminal, userAtHost } from "#shared/terminal";
import { type CallContext, makeMetrics, newContext } from "#shared/telemetry";
import { makeValidator } from "#shared/validation";
import type { Config, fields } from "../config.ts";
import { type Asked, DEFAULT_LIMIT, DEFAULT_RATE, type DeadLetters } from "./dead-letters.ts";
import { type Action, type Asking, DEFAULT_ITEMS, readArguments, USAGE } from "./arguments.ts";
import { openDeadLetters } from "./open.ts";
import { bodyOf, letterTable, makeProgress, queueTable, wholeText } from "./terminal.ts";

const EXIT = { ok: 0, failed: 1, usage: 2 } as const;
/** A command ends by itself some time (ms): it has the patience that a request has not. */
const PATIENCE_MS = 24 * 3_600_000;
const PAGE = 500;

const replayOf = makeValidator(ReplayRequest, { name: "the options" });
const dropOf = makeValidator(DropRequest, { name: "the options" });

export interface RunOptions {
  readonly terminal: Terminal;
  readonly topology?: Pick<TopologyOptions, "prefix">;
  /** Ends what is under way, in order. */
  readonly signal: AbortSignal;
}

/** @returns the exit code. */
export async function runDlq(config: Config, args: readonly string[], options: RunOptions): Promise<number> {
  const { terminal, signal } = options;
  const asking = askedOrExit("listener dlq", USAGE, () => readArguments(args), terminal);
  if (typeof asking === "number") return asking;
  const metrics = makeMetrics("listener", "dlq");
  try {
    await using open = openDeadLetters({
      config,
      log: silentLog,
      metrics,
      name: "listener dlq",
      ...(options.topology === undefined ? {} : { topology: options.topology }),
    });
    return await ACTS[asking.action](open.deadLetters, asking, newContext(PATIENCE_MS, signal), terminal);
  } finally {
    metrics[Symbol.dispose]();
  }
}

type Act = (letters: DeadLetters, asking: Asking, context: CallContext, terminal: Terminal) => Promise<number>;

const ACTS: Readonly<Record<Action, Act>> = { list, peek, replay, drop, queues };

async function list(letters: DeadLetters, asking: Asking, context: CallContext, terminal: Terminal): Promise<number> {
  const { filter, limit = DEFAULT_ITEMS } = asking;
  const items = [];
  let scanned = 0;
  let cursor: string | undefined;
  do {
    const read = await letters.list(filter, { limit: Math.min(PAGE, limit - items.length), cursor }, context);
    if (!read.ok) return failed(read.error, terminal);
    items.push(...read.value.items);
    scanned += read.value.scanned;
    cursor = read.value.next_cursor;
  } while (cursor !== undefined && items.length < limit && !context.deadline.passed);
  const complete = cursor === undefined;
  if (asking.json) {
    json({ items, scanned, complete }, terminal);
  } else {
    terminal.out(items.length === 0 ? "Nothing is there.\n" : letterTable(items, terminal));
    if (!complete) terminal.err(`There may be more than these ${items.length}: --limit\n`);
  }
  return EXIT.ok;
}

async function peek(letters: DeadLetters, asking: Asking, context: CallContext, terminal: Terminal): Promise<number> {
  const found = await letters.peek(asking.filter, context);
  if (!found.ok) return failed(found.error, terminal);
  if (found.value === undefined) {
    terminal.err("There is no such message.\n");
    return EXIT.failed;
  }
  const { letter, headers, body } = found.value;
  if (asking.json) json({ ...letter, headers, ...bodyOf(body) }, terminal);
  else terminal.out(wholeText(found.value, terminal));
  return EXIT.ok;
}

async function queues(letters: DeadLetters, asking: Asking, _: CallContext, terminal: Terminal): Promise<number> {
  const counted = await letters.queues();
  if (!counted.ok) return failed(counted.error, terminal);
  // What workers have in hand is theirs to tell: GET /events/queues.
  const items = counted.value.items.map(({ name, role, messages, consumers }) => ({ name, role, messages, consumers }));
  if (asking.json) json({ items }, terminal);
  else terminal.out(queueTable(counted.value, terminal));
  return EXIT.ok;
}

async function replay(letters: DeadLetters, asking: Asking, context: CallContext, terminal: Terminal): Promise<number> {
  const { filter, limit = DEFAULT_LIMIT, rate = DEFAULT_RATE, dryRun } = asking;
  const request = replayOf({ ...filter, limit, rate, dry_run: dryRun });
  if (!request.ok) return misused(request.error, terminal);
  const progress = makeProgress("replayed", terminal);
  const ended = await letters.replay(
    request.value,
    askedBy(context, (done, of) => progress.tell(done, of)),
  );
  progress.end();
  return outcome("replayed", ended, asking, limit, terminal);
}

async function drop(letters: DeadLetters, asking: Asking, context: CallContext, terminal: Terminal): Promise<number> {
  const { filter, limit = DEFAULT_LIMIT, dryRun, all, yes } = asking;
  const request = dropOf({ ...filter, limit, dry_run: dryRun, ...(all ? { all } : {}) });
  if (!request.ok) return misused(request.error, terminal);
  if (!dryRun && !yes) {
    if (!terminal.interactive) return misused("drop needs --yes where nobody can be asked", terminal);
    const counted = await letters.drop({ ...request.value, dry_run: true }, askedBy(context));
    if (!counted.ok)
      return counted.error.code === "invalid" ? misused(counted.error, terminal) : failed(counted.error, terminal);
    const count = Math.min(counted.value.matched, limit);
    if (count > 0 && !(await terminal.ask(`Drop ${count} messages for good? [y/N] `))) {
      terminal.err("Nothing was dropped.\n");
      return EXIT.failed;
    }
  }
  const progress = makeProgress("dropped", terminal);
  const ended = await letters.drop(
    request.value,
    askedBy(context, (done, of) => progress.tell(done, of)),
  );
  progress.end();
  if (!ended.ok && ended.error.code === "invalid") return misused(ended.error, terminal);
  return outcome("dropped", ended, asking, limit, terminal);
}

function outcome(
  what: string,
  ended: Result<DeadLetterOutcome>,
  { json: asJson, dryRun }: Asking,
  limit: number,
  terminal: Terminal,
): number {
  if (!ended.ok) return failed(ended.error, terminal);
  const { matched, done, left, scanned, complete, audit_id } = ended.value;
  if (asJson) {
    json(ended.value, terminal);
  } else {
    const looked = `${scanned} looked at${complete ? "" : ", and there are more"}`;
    const did = dryRun ? `${Math.min(matched, limit)} would be ${what}` : `${done} ${what}, ${left} left`;
    terminal.out(`${did} (${matched} meant, ${looked})${audit_id === undefined ? "" : `; audit ${audit_id}`}\n`);
  }
  return dryRun || done >= Math.min(matched, limit) ? EXIT.ok : EXIT.failed;
}

function askedBy(context: CallContext, onProgress?: Asked["onProgress"]): Asked {
  return { by: userAtHost(), context, ...(onProgress === undefined ? {} : { onProgress }) };
}

function json(value: unknown, terminal: Terminal): void {
  terminal.out(`${JSON.stringify(value, undefined, terminal.columns === undefined ? undefined : 2)}\n`);
}

function failed(error: Failure, terminal: Terminal): number {
  terminal.err(`dlq: ${messageOf(error)}\n`);
  return EXIT.failed;
}

function misused(error: Failure | string, terminal: Terminal): number {
  terminal.err(`dlq: ${typeof error === "string" ? error : error.message}; see listener dlq --help\n`);
  return EXIT.usage;
}

/** The command of the executable. The first signal ends it in order, and it says what is left. */
export const dlq: Command<typeof fields> = {
  about: "list, peek, replay, drop dead letters: listener dlq --help",
  takesArguments: true,
  run(config, _log, args) {
    const stop = new AbortController();
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
      process.on(signal, () => stop.abort(new Error("stopped by a signal")));
    }
    return runDlq(config, args, { terminal: processTerminal(), signal: stop.signal });
  },
};
