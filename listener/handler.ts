/** One queue's way through a worker: its lane at RabbitMQ, its pipeline, and the caution that both are under. */
import { type Delivery, type IncomingMessage, type Lane, type LaneOptions, processing } from "#shared/amqp";
import { Failure, type Result } from "#shared/errors";
import type { Log } from "#shared/log";
import { asSpan, isRecorded, preciseNow, recordSpan, type SpanAttributes, traceOf } from "#shared/telemetry";
import { type Caution, fingerprintOf } from "./caution.ts";
import { bury, type Moving, type Reading, type Received, spend } from "./consume.ts";
import { attemptsOf } from "./moving.ts";
import { type Fate, makePipeline, type Pipeline, type Settled } from "./pipeline.ts";
import type { FromWorker, MessageResult, QueueReport } from "./protocol.ts";

/** RabbitMQ closes a channel that keeps a message for 30 min. */
const GIVE_BACK_MS = 20 * 60_000;

/** A message in hand. It is read when it is its turn: reading is where it could do harm first. */
export interface Item<T> extends Received<IncomingMessage, T> {
  readonly settle: (fate: Settled) => void;
  /** When it was taken, by `performance.now()`. */
  readonly takenAt: number;
}

export interface HandlerOptions<T> {
  readonly queue: string;
  readonly prefetch: number;
  readonly batchItems: number;
  readonly batchBytes: number;
  readonly concurrent: number;
  /** The message under the routing key that it came under first. */
  readonly unwrap: (message: IncomingMessage) => IncomingMessage;
  readonly read: (message: IncomingMessage) => Reading<T>;
  readonly work: (items: readonly Item<T>[]) => Promise<readonly Fate[]>;
  readonly moving: Moving<IncomingMessage>;
  readonly probe: () => Promise<Result<void>>;
  readonly log: Log;
  /** Of the worker; made after the handlers. */
  readonly caution: () => Caution;
  /** Why a message is to be dead-lettered without being handled, by its fingerprint. */
  readonly condemned: ReadonlyMap<string, string>;
  readonly tell: (message: FromWorker) => void;
  /** Told of each message that is dealt with, and how long after it was taken (s). */
  readonly onDone: (seconds: number) => void;
  /** Once the consumer is made. */
  readonly lane: () => Lane | undefined;
  /** Longest that messages are held (ms, default 20 min). */
  readonly giveBackMs?: number;
}

export interface Handler {
  readonly queue: string;
  readonly held: boolean;
  /** For how long messages have been held (ms); 0 where they are not. */
  readonly heldMs: number;
  readonly inHand: number;
  readonly lane: LaneOptions;
  setCautious(on: boolean): void;
  /** Its neighbour seems to be back: what is held is tried now. */
  wake(): void;
  /** What became of messages since the last call. */
  report(): QueueReport;
  /** Takes no more, and finishes what is in hand within `ms`; the rest stays unacknowledged. */
  drain(ms: number): Promise<void>;
}

export function makeHandler<T>(options: HandlerOptions<T>): Handler {
  const { queue, log, moving, condemned, tell, lane } = options;
  const results: Record<MessageResult, number> = { done: 0, dead: 0, retried: 0, returned: 0 };
  let stopping = false;
  let heldSince: number | undefined;

  const setFlow = async (on: boolean): Promise<void> => lane()?.setFlow(on);

  const pipeline: Pipeline<Item<T>> = makePipeline<Item<T>>({
    batchItems: options.batchItems,
    batchBytes: options.batchBytes,
    bytesOf: ({ message }) => message.body.byteLength,
    concurrent: options.concurrent,
    work: (items, isAlone) => {
      const [item] = items;
      return isAlone && item !== undefined ? alone(item) : options.caution().together(() => options.work(items));
    },
    onOwnFault: (item, failure) => spend(item, failure, moving),
    probe: options.probe,
    giveBackMs: options.giveBackMs ?? GIVE_BACK_MS,
    onFate({ settle, takenAt }, fate) {
      results[fate] += 1;
      options.onDone((performance.now() - takenAt) / 1_000);
      settle(fate);
    },
    onHeld: (reason: Failure) => {
      heldSince = performance.now();
      log.warn("messages are held", { queue, in_hand: pipeline.inHand, reason });
    },
    onResumed: () => {
      heldSince = undefined;
      log.info("messages are worked on", { queue, in_hand: pipeline.inHand });
      if (!stopping) void setFlow(true);
    },
    onGiveBack() {
      log.warn("messages are given back to the queue", { queue, in_hand: pipeline.inHand });
      // Given back before the queue knows that no more is wanted, they would come again at once.
      void setFlow(false).then(() => {
        if (pipeline.held) lane()?.requeue();
      });
    },
  });

  /** A suspect: the main thread knows of it before anything is done with it, so that it is known by what it does. */
  async function alone(item: Item<T>): Promise<readonly Fate[]> {
    const { message } = item;
    const fingerprint = fingerprintOf(message);
    return options.caution().alone(message.deliveries, async () => {
      const reason = condemned.get(fingerprint);
      tell({ type: "handling", fingerprint });
      let settled = false;
      try {
        const fates = reason === undefined ? await options.work([item]) : [await condemn(message, reason)];
        settled = typeof fates[0] === "string";
        return fates;
      } finally {
        tell({ type: "handled", fingerprint, settled });
      }
    });
  }

  async function condemn(message: IncomingMessage, reason: string): Promise<Fate> {
    const trace = traceOf(message.headers["traceparent"]);
    const id = message.messageId ?? Bun.randomUUIDv7();
    const ids = { id: message.messageId, trace_id: trace.traceId };
    log.error("a message is dead-lettered: it ends workers", { queue, ...ids, reason });
    return asSpan({ trace }, `process ${queue}`, spanOf(message), async (_, span) => {
      span.fail("internal");
      return bury({ message, reading: { id, trace } }, new Failure("internal", reason), moving);
    });
  }

  function spanOf(message: IncomingMessage): { kind: "consumer"; attributes: SpanAttributes } {
    const { kind, attributes } = processing(queue, message);
    const again = message.deliveries > 0 ? { "platform.redeliveries": message.deliveries } : {};
    return { kind, attributes: { ...attributes, "platform.attempt": attemptsOf(message) + 1, ...again } };
  }

  function itemOf(message: IncomingMessage, settle: () => void): Item<T> {
    const arrivedAt = preciseNow();
    let reading: Reading<T> | undefined;
    let failure: Failure | undefined;
    return {
      message,
      takenAt: performance.now(),
      onFailure(reason) {
        failure = reason;
      },
      settle(fate) {
        settle();
        // Not read, it was condemned.
        if (reading === undefined || !isRecorded(reading.trace)) return;
        const error = failure === undefined || fate === "done" ? {} : { error: failure.code };
        recordSpan(reading.trace, { name: `process ${queue}`, startedAt: arrivedAt, ...spanOf(message), ...error });
      },
      get reading() {
        reading ??= options.read(message);
        return reading;
      },
    };
  }

  return {
    queue,
    get held() {
      return pipeline.held;
    },
    get heldMs() {
      return heldSince === undefined ? 0 : performance.now() - heldSince;
    },
    get inHand() {
      return lane()?.inHand ?? 0;
    },
    lane: {
      queue,
      prefetch: options.prefetch,
      onDelivery({ message, settle }: Delivery) {
        const isSuspect = options.caution().arrived(queue, message);
        pipeline.push(itemOf(options.unwrap(message), settle), isSuspect);
      },
      onLost() {
        results.returned += pipeline.inHand;
        pipeline.clear();
        // Taken again now, they would only be held again, one delivery nearer to their limit.
        if (pipeline.held) void setFlow(false);
      },
    },
    setCautious: (on) => void lane()?.setPrefetch(on ? 1 : options.prefetch),
    wake: () => pipeline.wake(),
    report() {
      const since = { ...results };
      Object.assign(results, { done: 0, dead: 0, retried: 0, returned: 0 });
      return { queue, inHand: pipeline.inHand, held: pipeline.held ? pipeline.inHand : 0, results: since };
    },
    async drain(ms) {
      stopping = true;
      await setFlow(false);
      await pipeline.drain(ms);
      pipeline[Symbol.dispose]();
    },
  };
}
