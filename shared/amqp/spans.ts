/**
 * What spans say of a message (https://opentelemetry.io/docs/specs/semconv/messaging/rabbitmq/). A message's span is the one
 * that its header `traceparent` names; never its body or its headers.
 */
import type { Secret } from "#shared/config";
import type { SpanAttributes, SpanOptions } from "#shared/telemetry";

/** Where RabbitMQ is, of its URL without user and password. */
export function serverOf(url: Secret): SpanAttributes {
  const { hostname, port, protocol } = new URL(url.reveal());
  const usual = protocol === "amqps:" ? 5_671 : 5_672;
  return { "server.address": hostname, "server.port": port === "" ? usual : Number(port) };
}

export interface SentMessage {
  readonly exchange: string;
  readonly routingKey: string;
  readonly messageId: string;
  readonly body: Uint8Array;
}

/** Of a span `send <exchange>`: from publishing to the server's confirm. @param server as `serverOf` has it. */
export function sending({ exchange, routingKey, messageId, body }: SentMessage, server: SpanAttributes) {
  return {
    kind: "producer",
    attributes: {
      "messaging.system": "rabbitmq",
      "messaging.operation.name": "send",
      "messaging.operation.type": "send",
      "messaging.destination.name": exchange,
      "messaging.rabbitmq.destination.routing_key": routingKey,
      "messaging.message.id": messageId,
      "messaging.message.body.size": body.byteLength,
      ...server,
    },
  } satisfies SpanOptions;
}

export interface TakenMessage {
  readonly routingKey: string;
  readonly messageId: string | undefined;
  readonly body: Uint8Array;
}

/** Of a span `process <queue>`: from the delivery until it is settled. */
export function processing(queue: string, { routingKey, messageId, body }: TakenMessage) {
  return {
    kind: "consumer",
    attributes: {
      "messaging.system": "rabbitmq",
      "messaging.operation.name": "process",
      "messaging.operation.type": "process",
      "messaging.destination.name": queue,
      "messaging.rabbitmq.destination.routing_key": routingKey,
      "messaging.message.id": messageId,
      "messaging.message.body.size": body.byteLength,
    },
  } satisfies SpanOptions;
}
