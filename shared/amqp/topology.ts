/** What stands in RabbitMQ, from the names of the contract, and how it is declared. */
import type { Channel, ChannelModel } from "amqplib";
import {
  JOBS_DEAD_LETTER_EXCHANGE,
  JOBS_DEAD_LETTER_QUEUE,
  JOBS_EXCHANGE,
  LOGS_DEAD_LETTER_EXCHANGE,
  LOGS_DEAD_LETTER_QUEUE,
  LOGS_EXCHANGE,
  LOGS_QUEUE,
  MAIL_JOBS_KEY,
  MAIL_JOBS_QUEUE,
  routingKeyOf,
} from "#contracts/events";
import { SEVERITIES } from "#contracts/logs";
import { mismatchOf } from "./mismatch.ts";

/** More would be a sign that nobody reads the queue: publishers are refused then, and nothing is dropped. */
const MAX_MESSAGES = 10_000_000;
/** Deliveries of one message that may end in a crash or a lost connection before it is dead-lettered. */
const DELIVERY_LIMIT = 50;

export interface ExchangeSpec {
  readonly name: string;
  readonly type: "topic" | "direct";
}

export interface QueueSpec {
  readonly name: string;
  readonly arguments: Readonly<Record<string, string | number>>;
  readonly bindings: readonly { readonly exchange: string; readonly key: string }[];
}

/** All that is declared, and the names in it that a consumer needs. Everything is durable. */
export interface Topology {
  readonly exchanges: readonly ExchangeSpec[];
  readonly queues: readonly QueueSpec[];
  readonly logs: { readonly exchange: string; readonly queue: string; readonly deadLetters: string };
  readonly jobs: { readonly exchange: string; readonly mailQueue: string; readonly deadLetters: string };
}

export interface TopologyOptions {
  /** Queue of events (default `logs.main.v1`). */
  logsQueue?: string;
  /** Routing keys of `logs_topic` that it gets (default the three severities). */
  logsBindings?: readonly string[];
  /** Put before every name, so that several platforms can share a virtual host (default none). */
  prefix?: string;
}

/** Not replicated is not durable enough: quorum queues, which refuse what they cannot take and drop nothing. */
const QUORUM = {
  "x-queue-type": "quorum",
  "x-max-length": MAX_MESSAGES,
  "x-overflow": "reject-publish",
} as const;

/** A queue that is worked on: a message whose deliveries keep failing moves on, with a confirm, under its own routing key. */
function workQueue(deadLetterExchange: string): QueueSpec["arguments"] {
  return {
    ...QUORUM,
    "x-delivery-limit": DELIVERY_LIMIT,
    "x-dead-letter-exchange": deadLetterExchange,
    "x-dead-letter-strategy": "at-least-once",
  };
}

/** The platform's topology; publisher and consumer declare the same, so that either may come first. */
export function topologyOf({
  logsQueue = LOGS_QUEUE,
  logsBindings = SEVERITIES.map(routingKeyOf),
  prefix = "",
}: TopologyOptions = {}): Topology {
  const name = (plain: string): string => `${prefix}${plain}`;
  const logs = {
    exchange: name(LOGS_EXCHANGE),
    queue: name(logsQueue),
    deadLetters: name(LOGS_DEAD_LETTER_EXCHANGE),
  };
  const jobs = {
    exchange: name(JOBS_EXCHANGE),
    mailQueue: name(MAIL_JOBS_QUEUE),
    deadLetters: name(JOBS_DEAD_LETTER_EXCHANGE),
  };
  return {
    logs,
    jobs,
    exchanges: [
      { name: logs.exchange, type: "topic" },
      { name: logs.deadLetters, type: "topic" },
      { name: jobs.exchange, type: "direct" },
      { name: jobs.deadLetters, type: "topic" },
    ],
    queues: [
      {
        name: name(LOGS_DEAD_LETTER_QUEUE),
        arguments: QUORUM,
        bindings: [{ exchange: logs.deadLetters, key: "#" }],
      },
      {
        name: logs.queue,
        arguments: workQueue(logs.deadLetters),
        bindings: logsBindings.map((key) => ({ exchange: logs.exchange, key })),
      },
      {
        name: name(JOBS_DEAD_LETTER_QUEUE),
        arguments: QUORUM,
        bindings: [{ exchange: jobs.deadLetters, key: "#" }],
      },
      {
        name: jobs.mailQueue,
        arguments: workQueue(jobs.deadLetters),
        bindings: [{ exchange: jobs.exchange, key: MAIL_JOBS_KEY }],
      },
    ],
  };
}

/**
 * Declares everything that can be declared; what the server refuses does not keep the rest from standing.
 * @returns the refusals: a `TopologyMismatch` where something of the name exists with another shape, else the
 * server's own words (no permission, locked).
 * @throws when the connection is lost.
 */
export async function declareTopology(model: ChannelModel, topology: Topology): Promise<Error[]> {
  const refusals: Error[] = [];
  const steps: ((channel: Channel) => Promise<unknown>)[] = [
    ...topology.exchanges.map(
      ({ name, type }) =>
        (channel: Channel) =>
          channel.assertExchange(name, type, { durable: true }),
    ),
    ...topology.queues.map((queue) => async (channel: Channel) => {
      await channel.assertQueue(queue.name, { durable: true, arguments: queue.arguments });
      for (const { exchange, key } of queue.bindings) await channel.bindQueue(queue.name, exchange, key);
    }),
  ];
  let channel: Channel | undefined;
  for (const step of steps) {
    channel ??= await openChannel(model);
    try {
      await step(channel);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      refusals.push(mismatchOf(error) ?? error);
      // The server has closed the channel together with its refusal.
      channel = undefined;
    }
  }
  await channel?.close();
  return refusals;
}

async function openChannel(model: ChannelModel): Promise<Channel> {
  const channel = await model.createChannel();
  // Without a listener an `error` event throws; what happened is told by the step that was refused.
  channel.on("error", () => undefined);
  return channel;
}

/** Whether the server refused one operation (a channel's error, AMQP 0-9-1 reply codes 403 to 406), and the connection lives on. */
function isRefusal(error: unknown): error is Error {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "number" && code >= 403 && code <= 406;
}
