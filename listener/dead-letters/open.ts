/** What operators do to dead letters, put together: for the routes and for the command. */
import { openParked, openResender, type Topology, type TopologyOptions, topologyOf } from "#shared/amqp";
import type { Log } from "#shared/log";
import { fixed, makeRpcPool } from "#shared/discovery";
import type { RpcClient } from "#shared/rpc";
import type { Metrics } from "#shared/telemetry";
import type { Config } from "../config.ts";
import { type DeadLetters, makeDeadLetters } from "./dead-letters.ts";
import { makeAudit } from "./audit.ts";
import { makeCounting } from "./counting.ts";
import { makeMessageIndex, type MessageIndex } from "./message-index.ts";
import { JOB_NAMES } from "../jobs.ts";

export interface OpenDeadLettersOptions {
  readonly config: Pick<Config, "RABBITMQ_URL" | "QUEUE" | "BINDINGS" | "LOGGER_RPC_URL" | "LOGGER_RPC_TOKEN">;
  readonly topology?: Pick<TopologyOptions, "prefix" | "retryTiers">;
  readonly log: Log;
  readonly metrics: Metrics;
  /** As RabbitMQ and the logger are told who calls. */
  readonly name: string;
  readonly inHand?: (queue: string) => { readonly in_hand: number; readonly held: number };
}

/** Connects when it is asked something, not before. */
export interface OpenDeadLetters extends AsyncDisposable {
  readonly deadLetters: DeadLetters;
  readonly index: MessageIndex;
}

const NOTHING = { in_hand: 0, held: 0 };

export function openDeadLetters(options: OpenDeadLettersOptions): OpenDeadLetters {
  const { config, log, metrics, name, inHand = () => NOTHING } = options;
  const topology: Topology = topologyOf({
    logsQueue: config.QUEUE,
    logsBindings: config.BINDINGS,
    jobs: JOB_NAMES,
    ...options.topology,
  });
  const url = config.RABBITMQ_URL;
  const token = config.LOGGER_RPC_TOKEN?.reveal();
  let rpc: RpcClient | undefined;
  const logger = (): RpcClient =>
    (rpc ??= makeRpcPool(fixed(config.LOGGER_RPC_URL), {
      service: "logger",
      client: name,
      log,
      metrics,
      ...(token === undefined ? {} : { token }),
    }));
  const open = () => openParked(url, name);
  const counting = makeCounting(open);
  const index = makeMessageIndex({ topology, open, inHand });
  return {
    deadLetters: makeDeadLetters({
      topology,
      open,
      counting,
      openResender: () => openResender(url, `${name} replay`),
      audit: makeAudit(logger),
      log,
      inHand,
    }),
    index,
    async [Symbol.asyncDispose]() {
      index[Symbol.dispose]();
      await counting[Symbol.asyncDispose]();
      await rpc?.[Symbol.asyncDispose]();
    },
  };
}
