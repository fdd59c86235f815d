/**
 * A consumer that keeps a state of its own, made of events: how often each user has logged in. It does not matter to it
 * whether events happen now or are replayed, nor whether one comes twice.
 */
import type { Channel } from "amqplib";

export interface Projection {
  /** Ids of events that are in it. Where the state is in a database, this is a table in the same transaction. */
  readonly seen: Set<string>;
  readonly logins: Map<string, number>;
}

export const emptyProjection = (): Projection => ({ seen: new Set(), logins: new Map() });

/** Takes one event in, once. */
export function apply(projection: Projection, id: string, event: { name: string; data: unknown }): void {
  if (projection.seen.has(id)) return;
  projection.seen.add(id);
  if (event.name !== "authentication") return;
  const email = /^(\S+) logged in$/.exec(String(event.data))?.[1];
  if (email !== undefined) projection.logins.set(email, (projection.logins.get(email) ?? 0) + 1);
}

/** Reads a queue of its own that is bound to `exchange`, until the channel is closed. */
export async function project(
  channel: Channel,
  { exchange, queue }: { exchange: string; queue: string },
  projection: Projection,
): Promise<void> {
  await channel.assertExchange(exchange, "topic", { durable: true });
  await channel.assertQueue(queue, { durable: true });
  await channel.bindQueue(queue, exchange, "log.#");
  await channel.prefetch(100);
  await channel.consume(queue, (message) => {
    if (message === null) return;
    const event = JSON.parse(message.content.toString()) as { name: string; data: unknown };
    apply(projection, String(message.properties.messageId), event);
    channel.ack(message);
  });
}
