/** Tells everybody who listens, now: nothing is kept, confirmed or said later, since a moment later it is said anew. */
import type { Channel, ChannelModel } from "amqplib";
import type { Secret } from "#shared/config";
import type { Log } from "#shared/log";
import { keepConnected } from "./connection.ts";

export interface TellerOptions {
  readonly url: Secret;
  /** As RabbitMQ's tools show the connection. */
  readonly name: string;
  readonly log: Log;
  /** A durable topic exchange; declared where it is missing. */
  readonly exchange: string;
  readonly onUp: () => void;
  /** Nobody hears anything from now on, until `onUp`. */
  readonly onDown: (reason: unknown) => void;
}

export interface Teller extends AsyncDisposable {
  /** @returns whether it went out; not while RabbitMQ is away, or takes nothing. */
  tell(routingKey: string, body: Uint8Array): boolean;
}

/** Over one connection of its own, which it opens again for ever. Disposing it sends what was told before. */
export function makeTeller({ url, name, log, exchange, onUp, onDown }: TellerOptions): Teller {
  let channel: Channel | undefined;
  let isBlocked = false;

  const connection = keepConnected({
    url,
    name,
    log,
    async open(model: ChannelModel, drop) {
      // Blocked by an alarm it would keep in memory what is told.
      model.on("blocked", () => {
        isBlocked = true;
      });
      model.on("unblocked", () => {
        isBlocked = false;
      });
      const opened = await model.createChannel();
      opened.on("error", drop);
      opened.on("close", () => drop(new Error("the channel was closed")));
      opened.on("drain", () => {
        isBlocked = false;
      });
      await opened.assertExchange(exchange, "topic", { durable: true });
      channel = opened;
      isBlocked = false;
      onUp();
    },
    onLost(reason) {
      channel = undefined;
      onDown(reason);
    },
  });

  return {
    tell(routingKey, body) {
      if (channel === undefined || isBlocked) return false;
      const properties = { contentType: "application/json", persistent: false };
      try {
        isBlocked = !channel.publish(exchange, routingKey, Buffer.from(body), properties);
        return true;
      } catch {
        // It was closed a moment ago, and the connection is about to say so.
        return false;
      }
    },
    [Symbol.asyncDispose]: () => connection[Symbol.asyncDispose](),
  };
}
