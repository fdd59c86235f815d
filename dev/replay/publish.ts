/** Publishing entries again as the events that they were: in order, confirmed, no faster than was asked for. */
import {
  routingKeyOf,
  HEADER_CREATED_AT,
  HEADER_PRODUCER,
  HEADER_REPLAY,
  HEADER_REPLAYED_AT,
  HEADER_SEQUENCE,
} from "#contracts/events";
import type { LogItem } from "#contracts/log-queries";
import { type Severity, SEVERITIES } from "#contracts/logs";
import { isUnroutable, type OutgoingMessage, type Publisher } from "#shared/amqp";
import type { Failure } from "#shared/errors";
import { Deadline, pause, reconnectBackoff } from "#shared/resilience";
import { untraced } from "#shared/telemetry";

export interface ReplayOptions {
  /** Of this replay: the header `x-replay` of all of its messages. */
  readonly id: string;
  readonly exchange: string;
  /** Messages a second. */
  readonly rate: number;
  readonly entries: AsyncIterable<LogItem>;
  readonly publisher: Pick<Publisher, "publish">;
  /** Ends it after what is on its way. */
  readonly signal: AbortSignal;
  readonly onProgress?: (published: number, last: LogItem) => void;
  /** How long RabbitMQ may be away (ms, default 60 s). */
  readonly patienceMs?: number;
}

export interface Replayed {
  /** Messages that RabbitMQ has confirmed. */
  published: number;
  /** It ended before all were published. */
  isCut?: true;
  /** Where to go on: the first entry that is not known to have arrived, or the last that has; absent where none has. */
  next?: LogItem;
  /** Why it ended early; absent where it was stopped by whoever asked for it. */
  failure?: Failure;
  /** No queue wants the message. */
  unroutable?: true;
}

/** Messages on their way at a time: less than what the publisher takes. */
const WINDOW = 200;
const PATIENCE_MS = 60_000;
const CONFIRM_MS = 2_000;

const severityOf = (text: string): Severity => SEVERITIES.find((one) => one === text) ?? "INFO";

/** An entry as the event that it was, with the same id. */
export function messageOf(item: LogItem, { id, exchange }: Pick<ReplayOptions, "id" | "exchange">): OutgoingMessage {
  const { producer } = item;
  return {
    exchange,
    routingKey: item.origin?.routing_key ?? routingKeyOf(severityOf(item.severity)),
    messageId: item.event_id,
    body: new TextEncoder().encode(JSON.stringify({ name: item.name, data: item.data })),
    timestamp: new Date(item.created_at),
    headers: {
      [HEADER_REPLAY]: id,
      [HEADER_REPLAYED_AT]: new Date().toISOString(),
      [HEADER_CREATED_AT]: item.created_at,
      ...(producer === undefined ? {} : { [HEADER_PRODUCER]: producer.id, [HEADER_SEQUENCE]: producer.sequence }),
    },
  };
}

/**
 * Within the trace that the entry was made in, so that whoever handles the message again names it. Nothing of it is recorded: this
 * process has no span that could be the parent.
 */
function contextOf(item: LogItem) {
  const trace = untraced();
  const traceId = /^(?!0{32})[0-9a-f]{32}$/.test(item.trace_id ?? "") ? item.trace_id : undefined;
  return {
    requestId: Bun.randomUUIDv7(),
    trace: { ...trace, ...(traceId === undefined ? {} : { traceId }) },
    deadline: Deadline.after(CONFIRM_MS),
  };
}

/**
 * Publishes the entries. Where RabbitMQ goes away what was not confirmed is sent once more, in order, when it is back: so a
 * message may come twice, under one id.
 */
export async function replay(options: ReplayOptions): Promise<Replayed> {
  const { entries, publisher, signal, rate, onProgress, patienceMs = PATIENCE_MS } = options;
  const told: Replayed = { published: 0 };
  let startedAt = performance.now();
  let sent = 0;
  let last: LogItem | undefined;

  /** Sends them all; gives the place of the first one that did not arrive. */
  const attempt = async (window: readonly LogItem[]): Promise<{ at: number; failure: Failure } | undefined> => {
    const results = [];
    for (const item of window) {
      const aheadMs = startedAt + (sent / rate) * 1_000 - performance.now();
      // A timer is no finer than some milliseconds: what is due by then goes together.
      if (aheadMs > 4) await pause(aheadMs, signal);
      // What was missed (RabbitMQ was away) is not made up for.
      else if (aheadMs < -1_000) startedAt -= aheadMs;
      if (signal.aborted) break;
      sent += 1;
      results.push(publisher.publish(messageOf(item, options), contextOf(item)));
    }
    for (const [at, result] of (await Promise.all(results)).entries())
      if (!result.ok) return { at, failure: result.error };
    return undefined;
  };

  /** @returns whether to go on. */
  const send = async (window: LogItem[]): Promise<boolean> => {
    let awaySince: number | undefined;
    for (let tries = 0; window.length > 0; tries += 1) {
      const size = window.length;
      const sentBefore = sent;
      const failed = await attempt(window);
      const arrived = failed?.at ?? Math.min(size, sent - sentBefore);
      if (arrived > 0) {
        told.published += arrived;
        last = window[arrived - 1] as LogItem;
        onProgress?.(told.published, last);
        window.splice(0, arrived);
        awaySince = undefined;
        tries = 0;
      }
      if (failed !== undefined && isUnroutable(failed.failure)) {
        Object.assign(told, { failure: failed.failure, unroutable: true });
        break;
      }
      if (signal.aborted) break;
      if (failed === undefined) continue;
      awaySince ??= performance.now();
      if (performance.now() - awaySince > patienceMs || failed.failure.code === "invalid") {
        told.failure = failed.failure;
        break;
      }
      await pause(reconnectBackoff(tries), signal);
    }
    const [next] = window;
    if (next === undefined) return true;
    told.next = next;
    return false;
  };

  let window: LogItem[] = [];
  // The first one goes alone: where nobody wants it, nothing else is sent.
  let size = 1;
  let isWhole = false;
  try {
    for await (const item of entries) {
      window.push(item);
      if (window.length < size && !signal.aborted) continue;
      if (!(await send(window))) break;
      window = [];
      size = Math.max(1, Math.min(WINDOW, Math.ceil(rate / 4)));
    }
    isWhole = !signal.aborted && told.failure === undefined && (await send(window));
  } catch (error) {
    // What is read ends with the signal, too.
    if (!signal.aborted) throw error;
  }
  if (!isWhole && told.published > 0) {
    const next = told.next ?? window[0] ?? last;
    if (next !== undefined) told.next = next;
  }
  if (!isWhole) told.isCut = true;
  return told;
}
