/** Sends messages again as they were, with confirms: for what was parked, and belongs elsewhere. */
import { type ChannelModel, IllegalOperationError, type Options } from "amqplib";
import type { Secret } from "#shared/config";
import { fail, ok, type Result } from "#shared/errors";
import { Deadline } from "#shared/resilience";
import { dial, hangUp } from "./connection.ts";
import {
  asSpan,
  type CallContext,
  childOf,
  isRecorded,
  type SpanAttributes,
  traceOf,
  traceparentOf,
} from "#shared/telemetry";
import type { ParkedMessage } from "./parked.ts";
import { sending, serverOf } from "./spans.ts";

/** RabbitMQ confirms in milliseconds, under load in some hundred. */
const CONFIRM_MS = 2_000;

export interface Destination {
  readonly exchange: string;
  readonly routingKey: string;
  readonly messageId: string;
  /** In place of the message's own. */
  readonly headers: Readonly<Record<string, unknown>>;
  /** Where `headers` cannot be written (RabbitMQ lets clients read tables that they cannot write): the message matters more. */
  readonly fewHeaders: Readonly<Record<string, unknown>>;
}

/** A connection of its own: RabbitMQ stops reading from whoever publishes when it is short of memory or disk. */
export interface Resender extends AsyncDisposable {
  /**
   * Its span belongs to the trace that the message came with (or, without one, to that of whoever asks for it), is
   * linked to the latter, and goes along in the header `traceparent`.
   * Persistent, mandatory, with a confirm; body and properties as they are, without `expiration` (it would be dropped in time) and
   * `user_id` (RabbitMQ refuses that of somebody else). Decided within 2 s. Never throws.
   * @returns failure `not_found`: no queue takes it; `unavailable`: not connected, blocked by an alarm, refused, not confirmed
   * in time (it may have arrived).
   */
  send(message: ParkedMessage, to: Destination, asked: Pick<CallContext, "trace">): Promise<Result<void>>;
}

/** @returns failure `unavailable` where RabbitMQ is away. */
export async function openResender(url: Secret, name: string): Promise<Result<Resender>> {
  let model: ChannelModel | undefined;
  try {
    model = await dial(url, name);
    return ok(await onConnection(model, serverOf(url)));
  } catch (cause) {
    if (model !== undefined) await hangUp(model);
    return fail("unavailable", "RabbitMQ is not reachable", { cause });
  }
}

interface Unconfirmed {
  readonly messageId: string;
  readonly routingKey: string;
  returned: boolean;
}

async function onConnection(model: ChannelModel, server: SpanAttributes): Promise<Resender> {
  let blocked = false;
  const unconfirmed = new Set<Unconfirmed>();
  const lost = Promise.withResolvers<Result<void>>();
  const lose = (cause: unknown): void =>
    lost.resolve(fail("unavailable", "the connection to RabbitMQ was lost", { cause }));
  model.on("error", lose);
  model.on("close", lose);
  model.on("blocked", () => {
    blocked = true;
  });
  model.on("unblocked", () => {
    blocked = false;
  });
  const channel = await Deadline.after(CONFIRM_MS).bound(model.createConfirmChannel(), "RabbitMQ");
  channel.on("error", lose);
  channel.on("close", lose);
  channel.on("return", ({ properties, fields }) => {
    // Of several under one id and key either all have a queue or none.
    for (const one of unconfirmed) {
      if (one.messageId === properties.messageId && one.routingKey === fields.routingKey) one.returned = true;
    }
  });

  async function send(message: ParkedMessage, to: Destination, headers: Destination["headers"]): Promise<Result<void>> {
    if (blocked) return fail("unavailable", "RabbitMQ takes no messages");
    const { messageId, routingKey } = to;
    const { promise, resolve } = Promise.withResolvers<Result<void>>();
    const one: Unconfirmed = { messageId, routingKey, returned: false };
    const { buffer, byteOffset, byteLength } = message.body;
    const content = Buffer.from(buffer, byteOffset, byteLength);
    try {
      channel.publish(to.exchange, routingKey, content, optionsOf(message, messageId, headers), (error: unknown) => {
        if (error !== null) resolve(fail("unavailable", "RabbitMQ refused the message", { cause: error }));
        else if (one.returned) resolve(fail("not_found", "RabbitMQ has no queue for the message"));
        else resolve(ok());
      });
    } catch (cause) {
      // Nothing was sent: the channel is closed, or a property cannot be written.
      const code = cause instanceof IllegalOperationError ? "unavailable" : "invalid";
      return fail(code, "the message could not be sent", { cause });
    }
    unconfirmed.add(one);
    const timer = setTimeout(() => resolve(fail("unavailable", "RabbitMQ did not confirm in time")), CONFIRM_MS);
    const result = await Promise.race([promise, lost.promise]);
    clearTimeout(timer);
    unconfirmed.delete(one);
    return result;
  }

  return {
    async send(message, to, asked) {
      const traceparent = message.headers["traceparent"];
      const trace = traceparent === undefined ? childOf(asked.trace) : traceOf(traceparent);
      // What is not recorded goes as it came.
      const ours = isRecorded(trace)
        ? { traceparent: traceparentOf(trace) }
        : typeof traceparent === "string"
          ? { traceparent }
          : {};
      const options = { ...sending({ ...to, body: message.body }, server), links: [asked.trace] };
      return asSpan({ trace }, `send ${to.exchange}`, options, async () => {
        const sent = await send(message, to, { ...to.headers, ...ours });
        const isUnwritable = !sent.ok && sent.error.code === "invalid";
        return isUnwritable ? await send(message, to, { ...to.fewHeaders, ...ours }) : sent;
      });
    },
    [Symbol.asyncDispose]: () => hangUp(model),
  };
}

function optionsOf({ raw }: ParkedMessage, messageId: string, headers: Destination["headers"]): Options.Publish {
  const { expiration: _expires, userId: _user, deliveryMode: _mode, clusterId: _cluster, ...kept } = raw;
  const known = Object.entries(kept).filter(([, value]) => value !== undefined);
  return { ...Object.fromEntries(known), messageId, headers, persistent: true, mandatory: true };
}
