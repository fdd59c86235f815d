/** The faces of messaging: what a publisher takes and promises. Names and topology are in #contracts/events. */
import type { Options } from "amqplib";
import type { Secret } from "#shared/config";
import type { Result } from "#shared/errors";
import type { Dependency } from "#shared/lifecycle";
import type { Log } from "#shared/log";
import type { CallContext, Metrics } from "#shared/telemetry";
import type { Topology } from "./topology.ts";

export interface OutgoingMessage {
  exchange: string;
  routingKey: string;
  /** Identity of what is sent: the same id again is the same message. */
  messageId: string;
  /** At most `maxBytes` of the publisher; not to be changed until the outcome is known. */
  body: Uint8Array;
  /** Default `application/json`. */
  contentType?: string;
  /** Values that AMQP can carry: text, numbers, booleans, lists and tables of these. */
  headers?: Readonly<Record<string, unknown>>;
  /** When it was accepted (default now); also as the header `x-created-at`, unless `headers` has one. */
  timestamp?: Date;
  /** Default true: that no queue takes it is a failure. False: whoever wants it has bound a queue, and nobody is no failure. */
  mandatory?: boolean;
  /** Further properties, for a message that is passed on as it came. */
  properties?: Readonly<Pick<Options.Publish, "appId" | "contentEncoding" | "correlationId" | "replyTo" | "type">>;
}

export type PublisherState = "connected" | "blocked" | "away";

export interface PublisherOptions {
  url: Secret;
  /** Name of the connection, as RabbitMQ's tools show it, e.g. `broker publish`. */
  name: string;
  log: Log;
  metrics: Metrics;
  /** Up while messages are taken; down, with the reason, also where the server refuses a part of the topology. */
  dependency: Dependency;
  /** Declared on every connection (default: the platform's, `topologyOf()`). */
  topology?: Pick<Topology, "exchanges" | "queues">;
  /** Longest body (default MESSAGE_LIMITS.bytes). */
  maxBytes?: number;
}

export interface Publisher extends AsyncDisposable {
  readonly state: PublisherState;
  /**
   * Persistent, mandatory, with a confirm: success means that a queue has it on disk (or, not mandatory, that all queues
   * which want it have it). `traceparent` goes along from the context.
   * Decided within 2.1 s, or sooner by the context's deadline. Never throws.
   * @returns failure `unavailable`: not connected, blocked by an alarm, refused, returned as unroutable, or not
   * confirmed in time (it may have arrived: send it again under the same id); `too_large`; `exhausted` when
   * 1,000 (or 64 MiB) are unconfirmed; `invalid` for a property that AMQP cannot carry.
   */
  publish(message: OutgoingMessage, context: CallContext): Promise<Result<void>>;
}
