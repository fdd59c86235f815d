/** A delivery in plain values. */
import type { ConsumeMessage } from "amqplib";
import type { OutgoingMessage } from "./types.ts";

export interface IncomingMessage {
  readonly exchange: string;
  readonly routingKey: string;
  readonly messageId: string | undefined;
  readonly contentType: string | undefined;
  /** By its sender's clock. */
  readonly timestamp: Date | undefined;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: Uint8Array;
  /** Delivered before, and not acknowledged. */
  readonly redelivered: boolean;
  /** How often it was delivered before, as far as RabbitMQ tells (quorum queues do). */
  readonly deliveries: number;
  /** What is passed on where the message moves to another queue. */
  readonly properties: NonNullable<OutgoingMessage["properties"]>;
}

export function decode({ fields, properties, content }: ConsumeMessage): IncomingMessage {
  const { timestamp } = properties as { timestamp: unknown };
  return {
    exchange: fields.exchange,
    routingKey: fields.routingKey,
    messageId: textOf(properties.messageId),
    contentType: textOf(properties.contentType),
    timestamp: typeof timestamp === "number" ? dateOf(timestamp) : undefined,
    headers: properties.headers ?? {},
    body: content,
    redelivered: fields.redelivered,
    deliveries: countOf(properties.headers?.["x-delivery-count"]) ?? Number(fields.redelivered),
    properties: {
      ...optional("appId", textOf(properties.appId)),
      ...optional("contentEncoding", textOf(properties.contentEncoding)),
      ...optional("correlationId", textOf(properties.correlationId)),
      ...optional("replyTo", textOf(properties.replyTo)),
      ...optional("type", textOf(properties.type)),
    },
  };
}

function countOf(value: unknown): number | undefined {
  return typeof value === "number" && value >= 0 ? value : undefined;
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function optional<K extends string>(key: K, value: string | undefined): Partial<Record<K, string>> {
  return value === undefined ? {} : ({ [key]: value } as Record<K, string>);
}

/** AMQP's timestamp counts seconds; some clients send milliseconds, which would be after the year 5000. */
function dateOf(timestamp: number): Date | undefined {
  const date = new Date(timestamp > 1e11 ? timestamp : timestamp * 1_000);
  return timestamp <= 0 || Number.isNaN(date.getTime()) ? undefined : date;
}
