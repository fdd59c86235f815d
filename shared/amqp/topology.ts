/** What stands in RabbitMQ, from the names of the contract, and how it is declared. */
import type { Channel, ChannelModel } from "amqplib";
import {
  JOBS_DEAD_LETTER_EXCHANGE,
  JOBS_DEAD_LETTER_QUEUE,
  JOBS_EXCHANGE,
  jobQueueOf,
  LOGS_DEAD_LETTER_EXCHANGE,
  LOGS_DEAD_LETTER_QUEUE,
  LOGS_EXCHANGE,
  LOGS_QUEUE,
  MAIL_JOB,
  RETRY_EXCHANGE,
  RETRY_TIERS,
  RETURN_EXCHANGE,
  type RetryTier,
  retryQueueOf,
  routingKeyOf,
  UNROUTED_EXCHANGE,
  UNROUTED_QUEUE,
} from "#contracts/events";
import { SEVERITIES } from "#contracts/logs";
import { mismatchOf } from "./mismatch.ts";

/** More would be a sign that nobody reads the queue: publishers are refused then, and nothing is dropped. */
const MAX_MESSAGES = 10_000_000;
/** Deliveries of one message that may end in a crash or a lost connection before it is dead-lettered. */
const DELIVERY_LIMIT = 50;

/**
 * Parked messages are looked at by taking and returning them, which counts as a delivery each time: no limit that
 * anybody reaches. Said explicitly, since without it RabbitMQ 4 drops them after 20.
 */
const PARKED_DELIVERY_LIMIT = 1_000_000_000;

export interface ExchangeSpec {
  readonly name: string;
  readonly type: "topic" | "direct" | "fanout";
}

export interface QueueSpec {
  readonly name: string;
  readonly role: "work" | "retry" | "dead-letters" | "unrouted";
  readonly arguments: Readonly<Record<string, string | number>>;
  readonly bindings: readonly { readonly exchange: string; readonly key: string }[];
}

/** Events or jobs: where they are published to and where they end when nobody can use them. */
export interface Stream {
  readonly exchange: string;
  /** Exchange and queue of dead letters. */
  readonly deadLetters: string;
  readonly deadLetterQueue: string;
}

/** All that is declared, and the names in it. Everything is durable. */
export interface Topology {
  readonly exchanges: readonly ExchangeSpec[];
  readonly queues: readonly QueueSpec[];
  readonly logs: Stream & { readonly queue: string };
  /** `queues`: of each kind of job, by its name. */
  readonly jobs: Stream & { readonly queues: ReadonlyMap<string, string> };
  readonly unrouted: { readonly exchange: string; readonly queue: string };
  readonly retry: {
    readonly exchange: string;
    /** Exchange that a message comes back through, under the key that it waited with. */
    readonly back: string;
    readonly tiers: readonly RetryTier[];
    /** Routing key under which a message waits out `tier` and comes back to `queue`. */
    readonly keyOf: (tier: RetryTier, queue: string) => string;
  };
}

export interface TopologyOptions {
  /** Queue of events (default `logs.main.v1`). */
  logsQueue?: string;
  /** Routing keys of `logs_topic` that it gets (default the three severities). */
  logsBindings?: readonly string[];
  /** Kinds of jobs that get a queue (default `mail`). */
  jobs?: readonly string[];
  /** Delay queues (default RETRY_TIERS). */
  retryTiers?: readonly RetryTier[];
  /** Put before every name, so that several platforms can share a virtual host (default none). */
  prefix?: string;
}

/** Not replicated is not durable enough: quorum queues, which refuse what they cannot take and drop nothing. */
const QUORUM = {
  "x-queue-type": "quorum",
  "x-max-length": MAX_MESSAGES,
  "x-overflow": "reject-publish",
} as const;

const PARKED = { ...QUORUM, "x-delivery-limit": PARKED_DELIVERY_LIMIT } as const;

/** A queue that is worked on: a message whose deliveries keep failing moves on, with a confirm, under its own routing key. */
function workQueue(deadLetterExchange: string): QueueSpec["arguments"] {
  return {
    ...QUORUM,
    "x-delivery-limit": DELIVERY_LIMIT,
    "x-dead-letter-exchange": deadLetterExchange,
    "x-dead-letter-strategy": "at-least-once",
  };
}

/** A queue that nobody consumes: what is in it comes back, with a confirm, when its time is over. One a tier, since only a queue's head expires. */
function delayQueue(tier: RetryTier, returnExchange: string): QueueSpec["arguments"] {
  return {
    ...QUORUM,
    "x-message-ttl": tier.ms,
    "x-dead-letter-exchange": returnExchange,
    "x-dead-letter-strategy": "at-least-once",
  };
}

/** The platform's topology; publisher and consumer declare the same, so that either may come first. */
export function topologyOf({
  logsQueue = LOGS_QUEUE,
  logsBindings = SEVERITIES.map(routingKeyOf),
  jobs: jobNames = [MAIL_JOB],
  retryTiers = RETRY_TIERS,
  prefix = "",
}: TopologyOptions = {}): Topology {
  const name = (plain: string): string => `${prefix}${plain}`;
  const logs = {
    exchange: name(LOGS_EXCHANGE),
    queue: name(logsQueue),
    deadLetters: name(LOGS_DEAD_LETTER_EXCHANGE),
    deadLetterQueue: name(LOGS_DEAD_LETTER_QUEUE),
  };
  const jobs = {
    exchange: name(JOBS_EXCHANGE),
    queues: new Map(jobNames.map((job) => [job, name(jobQueueOf(job))])),
    deadLetters: name(JOBS_DEAD_LETTER_EXCHANGE),
    deadLetterQueue: name(JOBS_DEAD_LETTER_QUEUE),
  };
  const unrouted = { exchange: name(UNROUTED_EXCHANGE), queue: name(UNROUTED_QUEUE) };
  const retry = {
    exchange: name(RETRY_EXCHANGE),
    back: name(RETURN_EXCHANGE),
    tiers: retryTiers,
    keyOf: (tier: RetryTier, queue: string) => `${tier.name}.${queue}`,
  };
  const comesBack = (queue: string) => ({ exchange: retry.back, key: `*.${queue}` });
  return {
    logs,
    jobs,
    unrouted,
    retry,
    exchanges: [
      { name: logs.exchange, type: "topic" },
      { name: logs.deadLetters, type: "topic" },
      { name: jobs.exchange, type: "direct" },
      { name: jobs.deadLetters, type: "topic" },
      { name: unrouted.exchange, type: "fanout" },
      { name: retry.exchange, type: "topic" },
      { name: retry.back, type: "topic" },
    ],
    queues: [
      {
        name: logs.deadLetterQueue,
        role: "dead-letters",
        arguments: PARKED,
        bindings: [{ exchange: logs.deadLetters, key: "#" }],
      },
      {
        name: logs.queue,
        role: "work",
        arguments: workQueue(logs.deadLetters),
        bindings: [...logsBindings.map((key) => ({ exchange: logs.exchange, key })), comesBack(logs.queue)],
      },
      {
        name: jobs.deadLetterQueue,
        role: "dead-letters",
        arguments: PARKED,
        bindings: [{ exchange: jobs.deadLetters, key: "#" }],
      },
      ...[...jobs.queues].map(
        ([job, queue]): QueueSpec => ({
          name: queue,
          role: "work",
          arguments: workQueue(jobs.deadLetters),
          bindings: [{ exchange: jobs.exchange, key: job }, comesBack(queue)],
        }),
      ),
      {
        name: unrouted.queue,
        role: "unrouted",
        arguments: PARKED,
        bindings: [{ exchange: unrouted.exchange, key: "" }],
      },
      ...retryTiers.map(
        (tier): QueueSpec => ({
          name: name(retryQueueOf(tier)),
          role: "retry",
          arguments: delayQueue(tier, retry.back),
          bindings: [{ exchange: retry.exchange, key: `${tier.name}.#` }],
        }),
      ),
    ],
  };
}

/**
 * Declares everything that can be declared; what the server refuses does not keep the rest from standing.
 * @returns the refusals: a `TopologyMismatch` where something of the name exists with another shape, else the
 * server's own words (no permission, locked).
 * @throws when the connection is lost.
 */
export async function declareTopology(
  model: ChannelModel,
  topology: Pick<Topology, "exchanges" | "queues">,
): Promise<Error[]> {
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
