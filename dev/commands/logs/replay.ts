import { LOGS_EXCHANGE, REPLAY_EXCHANGE } from "#contracts/events";
import type { LogExportEnd, LogHistogram, LogItem } from "#contracts/log-queries";
import { makePublisher } from "#shared/amqp";
import { Secret } from "#shared/config";
import { messageOf } from "#shared/errors";
import { makeHealth } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { Deadline, pause } from "#shared/resilience";
import { makeMetrics } from "#shared/telemetry";
import { timeOf as timeOfText } from "#shared/validation";
import { type Arguments, CommandError, UsageError } from "../../command.ts";
import { dataDirectory } from "../../paths.ts";
import { type Replayed, replay as publishAgain } from "../../replay/publish.ts";
import { type Export, oldestFirst } from "../../replay/slices.ts";
import { liveState } from "../../state.ts";
import { duration } from "../../terminal.ts";
import { askBroker, EXIT_FAILED, FILTER_OPTIONS, filterQuery, linesOf, type LogsWord, timeOf } from "./word.ts";

const DEFAULT_RATE = 500;
const RATE_MAX = 10_000;
/** Longest until RabbitMQ takes messages (ms). */
const CONNECT_MS = 10_000;
const TELL_EVERY_MS = 200;

function rateOf(text: string | undefined): number {
  const rate = text === undefined ? DEFAULT_RATE : /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (rate < 1 || rate > RATE_MAX) throw new UsageError(`--rate is messages a second, 1 to ${RATE_MAX}, not "${text}"`);
  return rate;
}

function exchangeOf(args: Arguments): string {
  const exchange = args.text("exchange") ?? REPLAY_EXCHANGE;
  if (!/^[A-Za-z0-9._-]{1,127}$/.test(exchange) || exchange.startsWith("amq.")) {
    throw new UsageError(`--exchange is a name of letters, digits, dots, dashes and underscores, not "${exchange}"`);
  }
  if (exchange === LOGS_EXCHANGE && !args.flag("to-all-consumers")) {
    throw new UsageError(
      `--exchange ${LOGS_EXCHANGE} reaches all who handle events now, as if all of it happened again: it needs --to-all-consumers too`,
    );
  }
  return exchange;
}

/** What `--from` and `--to` say (ms since 1970). */
function rangeOf(args: Arguments, now: number): { from: number; to: number } {
  const read = (name: "from" | "to"): number | undefined => {
    const text = args.text(name);
    if (text === undefined) return undefined;
    const time = timeOfText(`--${name}`, timeOf(text, now));
    if (!time.ok) throw new UsageError(time.error.message);
    return time.value.getTime();
  };
  const from = read("from");
  if (from === undefined) throw new UsageError("--from is needed: since when to replay");
  const to = read("to") ?? now;
  if (from >= to) throw new UsageError("--from must be before --to");
  return { from, to };
}

/** The export of a slice of time, by the other conditions that were typed. */
function exportOf(args: Arguments): Export {
  return async function* (from, to, signal) {
    const query = filterQuery(args);
    query.set("from", new Date(from).toISOString());
    query.set("to", new Date(to).toISOString());
    const answer = await askBroker(args, "/v1/logs/export", { query, signal });
    for await (const line of linesOf(answer)) {
      if (!line.startsWith('{"$export":')) {
        yield JSON.parse(line) as LogItem;
        continue;
      }
      const { $export: end } = JSON.parse(line) as LogExportEnd;
      if (end.complete) return;
      throw new CommandError(`The export broke off: ${end.error ?? "for a reason that was not told"}`);
    }
    throw new CommandError("The export broke off: the connection ended");
  };
}

/** How many there are, for the time that is left; undefined where it cannot be found out. */
async function totalOf(args: Arguments, { from, to }: { from: number; to: number }): Promise<number | undefined> {
  const query = filterQuery(args);
  query.set("from", new Date(from).toISOString());
  query.set("to", new Date(to).toISOString());
  try {
    const answer = await askBroker(args, "/v1/logs/histogram", { query });
    return ((await answer.json()) as { data: LogHistogram }).data.total;
  } catch (error) {
    if (error instanceof CommandError) return undefined;
    throw error;
  }
}

/** A line that is written over on a terminal; nothing elsewhere. */
function makeProgress(total: number | undefined) {
  const { stderr } = process;
  const startedAt = performance.now();
  let toldAt = 0;
  return {
    tell(published: number, at: LogItem): void {
      const now = performance.now();
      if (!stderr.isTTY || now - toldAt < TELL_EVERY_MS) return;
      toldAt = now;
      const rate = published / ((now - startedAt) / 1_000);
      const left =
        total === undefined || rate === 0 ? "" : `, ${duration((Math.max(0, total - published) / rate) * 1_000)} left`;
      const of = total === undefined ? "" : ` of ${total}`;
      stderr.write(`\r\u001b[K${published}${of} published, ${Math.round(rate)}/s, at ${at.created_at}${left}`);
    },
    end(): void {
      if (stderr.isTTY) stderr.write("\r\u001b[K");
    },
  };
}

/** The publisher, once RabbitMQ takes messages and has the exchange. */
async function connect(url: string, exchange: string, signal: AbortSignal) {
  const metrics = makeMetrics("replay", "0");
  const dependency = makeHealth(silentLog).dependency("rabbitmq");
  let refusal: unknown;
  const topology = { exchanges: [{ name: exchange, type: "topic" as const }], queues: [] };
  const publisher = makePublisher({
    url: new Secret(url),
    name: "logs replay",
    log: silentLog,
    metrics,
    dependency: {
      get state() {
        return dependency.state;
      },
      up: () => dependency.up(),
      down(error) {
        refusal = error;
        dependency.down(error);
      },
      circuit: () => undefined,
    },
    topology,
  });
  const close = async (): Promise<void> => {
    await publisher[Symbol.asyncDispose]();
    metrics[Symbol.dispose]();
  };
  const deadline = Deadline.after(CONNECT_MS, signal);
  while (dependency.state !== "up" && !deadline.passed) await pause(20, signal);
  if (dependency.state === "up") return { publisher, close };
  await close();
  throw new CommandError(`RabbitMQ does not take messages for the exchange ${exchange}: ${messageOf(refusal)}`);
}

/** How it ended, and how to go on. @returns the exit code. */
function tell({ published, isCut, next, failure, unroutable }: Replayed, exchange: string, id: string): number {
  const { stderr } = process;
  if (unroutable === true) {
    stderr.write(`No queue is bound to ${exchange} for ${next?.origin?.routing_key ?? `log.${next?.severity}`}: `);
    stderr.write("bind one first (log.# for everything), and replay again. ");
  }
  stderr.write(`${published} published to ${exchange} (x-replay: ${id}).\n`);
  if (isCut !== true) return 0;
  if (failure !== undefined && unroutable !== true) stderr.write(`It ended early: ${failure.message}.\n`);
  const on = next === undefined ? "" : ` with --from ${next.created_at}`;
  stderr.write(`To go on: the same command${on}\n`);
  return EXIT_FAILED;
}

export const replay: LogsWord = {
  name: "logs replay",
  summary: "publish log entries again as the events that they were, oldest first",
  details: `  bun run logs replay --from 7d --name authentication
  bun run logs replay --from 2026-01-01T00:00:00Z --dry-run
For a new consumer that rebuilds its state: bind its queue to the exchange ${REPLAY_EXCHANGE} first. The messages have the ids,
routing keys and times of the events, and the headers x-replay and x-replayed-at. Ctrl-C ends it after what is on its
way, and tells how to go on. Exit codes: 0 that was all, 1 it ended early.`,
  options: {
    ...FILTER_OPTIONS,
    exchange: { type: "string", value: "NAME", about: `topic exchange to publish to (default ${REPLAY_EXCHANGE})` },
    "to-all-consumers": {
      type: "boolean",
      about: `needed for --exchange ${LOGS_EXCHANGE}: who handles events now gets them again`,
    },
    rate: {
      type: "string",
      value: "N",
      about: `messages a second at most (default ${DEFAULT_RATE}, at most ${RATE_MAX})`,
    },
    "dry-run": { type: "boolean", about: "publish nothing, count what would be" },
  },
  async run(args) {
    const exchange = exchangeOf(args);
    const rate = rateOf(args.text("rate"));
    const range = rangeOf(args, Date.now());
    const stopping = new AbortController();
    const { signal } = stopping;
    for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
      process.on(name, () => stopping.abort(new Error(name)));
    const entries = oldestFirst(exportOf(args), range, signal);
    if (args.flag("dry-run")) {
      let count = 0;
      try {
        for await (const _ of entries) count += 1;
      } catch (error) {
        if (!signal.aborted) throw error;
        throw new CommandError(`Stopped after ${count} entries`);
      }
      process.stdout.write(`${count} entries would be published to ${exchange}.\n`);
      return 0;
    }
    const total = process.stderr.isTTY ? await totalOf(args, range) : undefined;
    const url = liveState(dataDirectory(args.text("platform")))?.backing.rabbitmq?.url;
    if (url === undefined) throw new CommandError("RabbitMQ is not there yet; see bun run status.");
    const { publisher, close } = await connect(url, exchange, signal);
    const id = Bun.randomUUIDv7();
    const progress = makeProgress(total);
    try {
      const onProgress = (count: number, at: LogItem): void => progress.tell(count, at);
      const replayed = await publishAgain({ id, exchange, rate, entries, publisher, signal, onProgress });
      progress.end();
      return tell(replayed, exchange, id);
    } finally {
      await close();
    }
  },
};
