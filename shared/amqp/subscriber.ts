/** Hears what is told to everybody: each subscriber has a queue of its own, which is gone when it goes. */
import type { Channel, ChannelModel } from "amqplib";
import type { Secret } from "#shared/config";
import type { Log } from "#shared/log";
import { keepConnected } from "./connection.ts";

/** How often RabbitMQ is asked whether it is still there (ms): a half-open connection is given up after two of these. */
const WATCH_MS = 1_000;
/** Most that wait for a subscriber that does not keep up; then the oldest go, as in a gap. */
const MAX_WAITING = 100_000;
const PREFETCH = 1_000;

export interface SubscriberOptions {
  readonly url: Secret;
  /** As RabbitMQ's tools show the connection. */
  readonly name: string;
  readonly log: Log;
  /** A durable topic exchange; declared where it is missing. */
  readonly exchange: string;
  /** Routing keys, as topic exchanges match them. */
  readonly keys: readonly string[];
  /** It must not throw. */
  readonly onMessage: (routingKey: string, body: Uint8Array) => void;
  /** From now on everything is heard, and what was told before may not have been: ask for it elsewhere. */
  readonly onUp: () => void;
  /** Nothing is heard from now on, until `onUp`. */
  readonly onDown: (reason: unknown) => void;
  /** Default 1,000. */
  readonly watchMs?: number;
}

/**
 * Over one connection of its own, which it opens again for ever. A message is heard at most once: what matters is asked
 * for after each gap, and now and then besides. Disposing it is idempotent.
 */
export function makeSubscriber(options: SubscriberOptions): AsyncDisposable {
  const { url, name, log, exchange, keys, onMessage, onUp, onDown, watchMs = WATCH_MS } = options;
  let stopWatching = (): void => undefined;

  async function open(model: ChannelModel, drop: (reason: Error) => void): Promise<void> {
    model.on("close", () => stopWatching());
    const channel = await model.createChannel();
    channel.on("error", drop);
    channel.on("close", () => drop(new Error("the channel was closed")));
    await channel.assertExchange(exchange, "topic", { durable: true });
    const { queue } = await channel.assertQueue("", {
      exclusive: true,
      autoDelete: true,
      durable: false,
      maxLength: MAX_WAITING,
    });
    for (const key of keys) await channel.bindQueue(queue, exchange, key);
    await channel.prefetch(PREFETCH);
    await channel.consume(queue, (message) => {
      if (message === null) return drop(new Error("the server has ended the subscription"));
      onMessage(message.fields.routingKey, message.content);
      channel.ack(message);
    });
    stopWatching = watch(channel, queue, drop);
    onUp();
  }

  function watch(channel: Channel, queue: string, drop: (reason: Error) => void): () => void {
    let answered = true;
    const timer = setInterval(() => {
      if (!answered) return drop(new Error("RabbitMQ does not answer"));
      answered = false;
      channel.checkQueue(queue).then(() => {
        answered = true;
      }, drop);
    }, watchMs);
    return () => clearInterval(timer);
  }

  const connection = keepConnected({
    url,
    name,
    log,
    open,
    onLost(reason) {
      stopWatching();
      onDown(reason);
    },
  });

  return {
    async [Symbol.asyncDispose]() {
      stopWatching();
      await connection[Symbol.asyncDispose]();
    },
  };
}
