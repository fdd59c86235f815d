/** Moves a message on, as it came and with the reason: to the dead letters, or into a delay queue that it comes back from. */
import { HEADER_ATTEMPT, HEADER_ERROR, HEADER_EXCHANGE, HEADER_FAILED_AT, HEADER_ROUTING_KEY } from "#contracts/events";
import type { IncomingMessage, Publisher, Topology } from "#shared/amqp";
import { type Failure, messageOf, ok, type Result } from "#shared/errors";
import { Deadline, RPC_CEILING_MS } from "#shared/resilience";
import type { Identity, Moving } from "./consume.ts";

/** Headers that RabbitMQ adds on its way: of no meaning, and confusing to it, on a message that is sent anew. */
const TRANSIT_HEADERS = /^x-(death|first-death-.*|last-death-.*|delivery-count|acquired-count)$/;
/** A reason is for people to read (characters). */
const ERROR_LENGTH = 1_000;

/**
 * The message under the exchange and the routing key that it came under first, where it has waited in a delay queue or
 * among the dead letters since. Messages that were moved before the exchange was kept came by `logs_topic`.
 */
export function unwrapped(message: IncomingMessage, { retry, logs }: Topology): IncomingMessage {
  const { [HEADER_ROUTING_KEY]: routingKey, [HEADER_EXCHANGE]: exchange = logs.exchange } = message.headers;
  if (message.exchange !== retry.back || typeof routingKey !== "string") return message;
  return { ...message, routingKey, exchange: typeof exchange === "string" ? exchange : logs.exchange };
}

/** How often its handling has failed for a reason of its own. */
export function attemptsOf({ headers }: Pick<IncomingMessage, "headers">): number {
  const attempts = headers[HEADER_ATTEMPT];
  return typeof attempts === "number" && Number.isSafeInteger(attempts) && attempts > 0 ? attempts : 0;
}

/** @param queue where the message came from, and comes back to. */
export function makeMoving(
  publisher: Publisher,
  { retry }: Topology,
  { queue, deadLetters }: { readonly queue: string; readonly deadLetters: string },
): Moving<IncomingMessage> {
  async function move(
    exchange: string,
    routingKey: string,
    message: IncomingMessage,
    { id, trace }: Identity,
    reason: Failure,
  ): Promise<Result<void>> {
    const kept = Object.entries(message.headers).filter(([name]) => !TRANSIT_HEADERS.test(name));
    const ours = {
      [HEADER_ERROR]: textOf(reason),
      [HEADER_FAILED_AT]: new Date().toISOString(),
      [HEADER_ROUTING_KEY]: message.routingKey,
      [HEADER_EXCHANGE]: message.exchange,
      [HEADER_ATTEMPT]: attemptsOf(message) + 1,
    };
    const send = (headers: Record<string, unknown>): Promise<Result<void>> =>
      publisher.publish(
        {
          exchange,
          routingKey,
          messageId: message.messageId ?? id,
          body: message.body,
          ...(message.contentType === undefined ? {} : { contentType: message.contentType }),
          ...(message.timestamp === undefined ? {} : { timestamp: message.timestamp }),
          headers,
          properties: message.properties,
        },
        { requestId: Bun.randomUUIDv7(), trace, deadline: Deadline.after(RPC_CEILING_MS) },
      );
    const sent = await send({ ...Object.fromEntries(kept), ...ours });
    // A table of its sender's that we can read and not write: the message matters more.
    return !sent.ok && sent.error.code === "invalid" ? send(ours) : sent;
  }

  const bury: Moving<IncomingMessage>["bury"] = (message, identity, reason) =>
    move(deadLetters, message.routingKey, message, identity, reason);

  return {
    bury,
    async putOff(message, identity, reason) {
      const tiers = retry.tiers.slice(attemptsOf(message));
      // As long as was asked for, or as can be: tried before, it would only fail again.
      const tier = tiers.find(({ ms }) => ms >= (reason.retryAfterS ?? 0) * 1_000) ?? tiers.at(-1);
      const moved = await (tier === undefined
        ? bury(message, identity, reason)
        : move(retry.exchange, retry.keyOf(tier, queue), message, identity, reason));
      return moved.ok ? ok(tier === undefined ? "dead" : "retried") : moved;
    },
  };
}

/** What an operator needs; the queue is ours, so that a bug may be told by its cause. */
function textOf(reason: Failure): string {
  return messageOf(reason).toWellFormed().slice(0, ERROR_LENGTH);
}
