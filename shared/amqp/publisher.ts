/** Publishes with confirms: a success means that a queue has the message on disk. */
import { type ChannelModel, type ConfirmChannel, IllegalOperationError, type Options } from "amqplib";
import { HEADER_CREATED_AT } from "#contracts/events";
import { MESSAGE_LIMITS } from "#contracts/limits";
import { Failure, fail, ok, type Result } from "#shared/errors";
import { sleep } from "#shared/resilience";
import { type CallContext, inSpan, isRecorded, traceparentOf } from "#shared/telemetry";
import { keepConnected } from "./connection.ts";
import { sending, serverOf } from "./spans.ts";
import { declareTopology, topologyOf } from "./topology.ts";
import type { OutgoingMessage, Publisher, PublisherOptions, PublisherState } from "./types.ts";

/** RabbitMQ confirms in milliseconds, under load in some hundred. */
const CONFIRM_MS = 2_000;
const MAX_UNCONFIRMED = 1_000;
const MAX_UNCONFIRMED_BYTES = 64 * 1_048_576;
/** How often what the server refused to declare is tried again (ms): somebody may have mended it. */
const REDECLARE_MS = 30_000;

/** A message from its `publish` to the server's word on it, which may come long after the caller was answered. */
interface Outgoing {
  readonly message: OutgoingMessage;
  readonly options: Options.Publish;
  returned: boolean;
  /** Answers the caller; later calls are without effect. */
  readonly decide: (result: Result<void>) => void;
}

/** The confirm channel of one connection. */
interface Line {
  readonly model: ChannelModel;
  readonly channel: ConfirmChannel;
  readonly drop: (reason: Error) => void;
  /** Sent, and nothing heard of it. */
  readonly unconfirmed: Set<Outgoing>;
  /** Not sent yet: the connection takes no more for the moment. */
  readonly waiting: Outgoing[];
  bytes: number;
  full: boolean;
  probing: boolean;
}

/** No queue is bound for it. */
class Unroutable extends Failure {
  constructor() {
    super("unavailable", "RabbitMQ has no queue for the message");
  }
}

/** Whether a message was not taken because no queue wants it: to send it again is of no use until one is bound. */
export const isUnroutable = (failure: Failure): boolean => failure instanceof Unroutable;

/** One per process: its metrics can be registered once. */
export function makePublisher(options: PublisherOptions): Publisher {
  const { log, metrics, dependency, topology = topologyOf(), maxBytes = MESSAGE_LIMITS.bytes } = options;
  const published = metrics.counter("amqp_published_total", "Messages published, by outcome.", ["result"]);
  const confirmSeconds = metrics.histogram("amqp_confirm_seconds", "Time from publishing to the server's confirm.");
  metrics.gauge("amqp_unconfirmed", "Messages that RabbitMQ has not confirmed yet.", [], (gauge) =>
    gauge.set(line === undefined ? 0 : line.unconfirmed.size + line.waiting.length),
  );

  const server = serverOf(options.url);

  let line: Line | undefined;
  let blocked: string | undefined;
  let redeclaring: ReturnType<typeof setTimeout> | undefined;

  const connection = keepConnected({
    url: options.url,
    name: options.name,
    log,
    open,
    onLost(reason) {
      lose("the connection to RabbitMQ was lost");
      dependency.down(reason);
    },
  });

  async function open(model: ChannelModel, drop: (reason: Error) => void): Promise<void> {
    model.on("blocked", (reason) => {
      blocked = reason;
      dependency.down(new Error(`RabbitMQ takes no messages: ${reason}`));
      // It reads nothing more: who waits is told now, not in two seconds.
      for (const outgoing of line?.unconfirmed ?? [])
        outgoing.decide(fail("unavailable", "RabbitMQ takes no messages"));
    });
    model.on("unblocked", () => {
      blocked = undefined;
      dependency.up();
    });
    model.on("close", () => lose("the connection to RabbitMQ was lost"));
    const refusals = await declareTopology(model, topology);
    const channel = await model.createConfirmChannel();
    channel.on("error", drop);
    channel.on("close", () => drop(new Error("the channel was closed")));
    channel.on("return", ({ properties, fields }) => {
      for (const outgoing of line?.unconfirmed ?? []) {
        if (outgoing.returned || outgoing.message.messageId !== properties.messageId) continue;
        if (outgoing.message.routingKey === fields.routingKey) outgoing.returned = true;
      }
    });
    channel.on("drain", () => {
      if (line?.channel !== channel) return;
      line.full = false;
      while (!line.full) {
        const next = line.waiting.shift();
        if (next === undefined) break;
        send(line, next);
      }
    });
    line = { model, channel, drop, unconfirmed: new Set(), waiting: [], bytes: 0, full: false, probing: false };
    blocked = undefined;
    report(model, refusals);
  }

  /** What could be declared works; what could not is told until somebody mends it. */
  function report(model: ChannelModel, refusals: readonly Error[]): void {
    if (refusals.length === 0) {
      dependency.up();
      return;
    }
    for (const refusal of refusals) log.warn("RabbitMQ: not declared", { reason: refusal });
    dependency.down(refusals[0]);
    redeclaring = setTimeout(() => {
      declareTopology(model, topology).then(
        (left) => line?.model === model && report(model, left),
        (error: unknown) => log.debug("RabbitMQ: not declared again", { reason: error }),
      );
    }, REDECLARE_MS);
  }

  function lose(why: string): void {
    clearTimeout(redeclaring);
    const lost = line;
    line = undefined;
    blocked = undefined;
    if (lost === undefined) return;
    for (const outgoing of [...lost.unconfirmed, ...lost.waiting]) outgoing.decide(fail("unavailable", why));
    lost.unconfirmed.clear();
    lost.waiting.length = 0;
  }

  function send(on: Line, outgoing: Outgoing): void {
    const { message } = outgoing;
    const { buffer, byteOffset, byteLength } = message.body;
    const done = (error: unknown): void => {
      if (on.unconfirmed.delete(outgoing)) on.bytes -= byteLength;
      if (error !== null) outgoing.decide(fail("unavailable", "RabbitMQ refused the message", { cause: error }));
      else if (outgoing.returned) outgoing.decide({ ok: false, error: new Unroutable() });
      else outgoing.decide(ok());
    };
    try {
      const content = Buffer.from(buffer, byteOffset, byteLength);
      const more = on.channel.publish(message.exchange, message.routingKey, content, outgoing.options, done);
      on.unconfirmed.add(outgoing);
      on.full = !more;
    } catch (cause) {
      // Nothing was sent: the connection is going away, or a property cannot be encoded.
      on.bytes -= byteLength;
      const code = cause instanceof IllegalOperationError ? "unavailable" : "invalid";
      outgoing.decide(fail(code, "the message could not be sent", { cause }));
    }
  }

  /** Whether the server is there at all, after it confirmed nothing in time: a half-open connection is given up. */
  async function probe(on: Line): Promise<void> {
    if (on.probing) return;
    on.probing = true;
    const patience = new AbortController();
    const late = sleep(CONFIRM_MS, patience.signal).then(() => {
      on.drop(new Error("RabbitMQ does not answer"));
    });
    late.catch(() => undefined); // It answered.
    try {
      const channel = await on.model.createChannel();
      channel.on("error", () => undefined); // The connection's own events tell.
      await channel.close();
    } catch (error) {
      log.debug("RabbitMQ: probe failed", { reason: error });
    } finally {
      patience.abort(new Error("answered"));
      on.probing = false;
    }
  }

  return {
    get state(): PublisherState {
      if (line === undefined) return "away";
      return blocked === undefined ? "connected" : "blocked";
    },
    async publish(message, context) {
      const { exchange, routingKey, messageId, body } = message;
      const result = await (isRecorded(context.trace)
        ? inSpan(context, `send ${exchange}`, sending({ exchange, routingKey, messageId, body }, server), decide)
        : decide(context));
      published.inc({ result: result.ok ? "ok" : result.error.code });
      return result;

      async function decide({ deadline, trace }: Pick<CallContext, "deadline" | "trace">): Promise<Result<void>> {
        const { byteLength } = message.body;
        if (byteLength > maxBytes) return fail("too_large", `larger than ${maxBytes} bytes`);
        const on = line;
        if (on === undefined) return fail("unavailable", "RabbitMQ is not connected");
        if (blocked !== undefined) return fail("unavailable", "RabbitMQ takes no messages");
        const waitMs = Math.min(CONFIRM_MS, deadline.remainingMs());
        if (waitMs === 0) return fail("unavailable", "no time left to publish");
        if (
          on.unconfirmed.size + on.waiting.length >= MAX_UNCONFIRMED ||
          (on.bytes > 0 && on.bytes + byteLength > MAX_UNCONFIRMED_BYTES)
        ) {
          return fail("exhausted", "too many messages are unconfirmed", { retryAfterS: 1 });
        }
        const { promise, resolve } = Promise.withResolvers<Result<void>>();
        const startedAt = performance.now();
        const outgoing: Outgoing = {
          message,
          options: propertiesOf(message, traceparentOf(trace)),
          returned: false,
          decide: resolve,
        };
        const timer = setTimeout(() => {
          const at = on.waiting.indexOf(outgoing);
          if (at >= 0) {
            on.waiting.splice(at, 1);
            on.bytes -= byteLength;
          }
          resolve(fail("unavailable", "RabbitMQ did not confirm in time"));
          if (waitMs === CONFIRM_MS && line === on) void probe(on);
        }, waitMs);
        on.bytes += byteLength;
        if (on.full) on.waiting.push(outgoing);
        else send(on, outgoing);
        const result = await promise;
        clearTimeout(timer);
        if (result.ok) confirmSeconds.observe((performance.now() - startedAt) / 1_000);
        return result;
      }
    },
    async [Symbol.asyncDispose]() {
      await connection[Symbol.asyncDispose]();
      lose("the publisher is closed");
    },
  };
}

/** AMQP's timestamp has whole seconds: the header keeps the milliseconds. */
function propertiesOf(message: OutgoingMessage, traceparent: string): Options.Publish {
  const { timestamp = new Date(), mandatory = true } = message;
  return {
    ...message.properties,
    persistent: true,
    mandatory,
    messageId: message.messageId,
    contentType: message.contentType ?? "application/json",
    timestamp: Math.floor(timestamp.getTime() / 1_000),
    headers: { [HEADER_CREATED_AT]: timestamp.toISOString(), ...message.headers, traceparent },
  };
}
