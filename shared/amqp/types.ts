/** The faces of messaging: what a publisher takes and promises. Names and topology are in #contracts/events. */
import type { Secret } from "#shared/config";
import type { Result } from "#shared/errors";
import type { Dependency } from "#shared/lifecycle";
import type { Log } from "#shared/log";
import type { CallContext, Metrics } from "#shared/telemetry";

export interface OutgoingMessage {
  exchange: string;
  routingKey: string;
  /** Identity of what is sent: the same id again is the same message. */
  messageId: string;
  /** At most MESSAGE_LIMITS.bytes. */
  body: Uint8Array;
  /** Default `application/json`. */
  contentType?: string;
  headers?: Readonly<Record<string, string>>;
  /** When it was accepted (default now). */
  timestamp?: Date;
}

export type PublisherState = "connected" | "blocked" | "away";

export interface PublisherOptions {
  url: Secret;
  /** Name of the connection, as RabbitMQ's tools show it, e.g. `broker publish`. */
  name: string;
  log: Log;
  metrics: Metrics;
  dependency: Dependency;
}

export interface Publisher extends AsyncDisposable {
  readonly state: PublisherState;
  /**
   * Persistent, mandatory, with a confirm: success means that a queue has it on disk. `traceparent` goes along from the context.
   * Decided within 2.1 s, or sooner by the context's deadline. Never throws.
   * @returns failure `unavailable`: not connected, blocked by an alarm, refused, returned as unroutable, or not
   * confirmed in time (it may have arrived: send it again under the same id); `too_large`; `exhausted` when
   * 1,000 are unconfirmed.
   */
  publish(message: OutgoingMessage, context: CallContext): Promise<Result<void>>;
}
