/** A worker thread: connections of its own, one lane for events and one for mail jobs. In: translates, never decides. */
import { type Delivery, type IncomingMessage, makeConsumer, makePublisher, topologyOf } from "#shared/amqp";
import { Secret } from "#shared/config";
import { type Failure, messageOf, type Result } from "#shared/errors";
import { makeJsonClient } from "#shared/client";
import { type DependencyReport, makeHealth } from "#shared/lifecycle";
import { makeLog, silentLog } from "#shared/log";
import { makeRpcClient } from "#shared/rpc";
import { makeMetrics } from "#shared/telemetry";
import { makeBurying, makeMailer, makeStore, probeLogger, probeMail } from "./clients.ts";
import { makeMailing, makeStoring, type Reading, readEvent, readMailJob } from "./consume.ts";
import { type Fate, makePipeline, type Pipeline } from "./pipeline.ts";
import type { FromWorker, MessageResult, ToWorker, WorkerReport, WorkerSettings } from "./protocol.ts";

const BEAT_MS = 500;
/** Time to finish what is in hand (ms); the process has 10 s in all. */
const DRAIN_MS = 6_000;
/** RabbitMQ closes a channel that keeps a message for 30 min. */
const GIVE_BACK_MS = 20 * 60_000;
const MAIL_CHECK_MS = 5_000;
/** Jobs take long and are few. */
const MAIL_PREFETCH = 20;
const MAIL_CONCURRENT = 4;
const EVENT_BATCH = 300;
const EVENT_BATCH_BYTES = 1_048_576;
const EVENT_BATCHES_UNDER_WAY = 2;
/** RabbitMQ's own default limit of a message: whatever came must be able to go to the dead letters. */
const MAX_DEAD_LETTER_BYTES = 128 * 1_048_576;

/** The thread's own end of its wire to the main thread. */
declare const self: Worker;

interface Item<T> {
  readonly message: IncomingMessage;
  readonly reading: Reading<T>;
  readonly settle: () => void;
}

function tell(message: FromWorker): void {
  self.postMessage(message, []);
}

function startWorker(settings: WorkerSettings) {
  const { index, prefix, logsQueue, logsBindings } = settings;
  const log = makeLog({ service: "listener", level: settings.logLevel, fields: { worker: index } });
  const metrics = makeMetrics("listener", settings.version);
  // The main thread tells of changes, once for all workers.
  const health = makeHealth(silentLog);
  const dependencies = {
    consuming: health.dependency("consuming"),
    burying: health.dependency("burying"),
    logger: health.dependency("logger"),
    mail: health.dependency("mail"),
  };
  const topology = topologyOf({ logsQueue, logsBindings, prefix });
  const url = new Secret(settings.rabbitmqUrl);

  const rpc = makeRpcClient({
    url: settings.loggerUrl,
    client: `listener ${index}`,
    log,
    metrics,
    ...(settings.loggerToken === undefined ? {} : { token: settings.loggerToken }),
    onState: (connected, error) => (connected ? dependencies.logger.up() : dependencies.logger.down(error)),
  });
  const mail = makeJsonClient("mail", settings.mailUrl);
  const publisher = makePublisher({
    url,
    name: `listener bury ${index}`,
    log,
    metrics,
    dependency: dependencies.burying,
    topology,
    maxBytes: MAX_DEAD_LETTER_BYTES,
  });

  /** Tells `dependency` what a call to it said of its health; a refusal comes from a healthy one. */
  function noting<T>(dependency: { up(): void; down(error: unknown): void }, result: Result<T>): Result<T> {
    if (result.ok || ["invalid", "too_large", "malformed"].includes(result.error.code)) dependency.up();
    else dependency.down(result.error);
    return result;
  }

  let stopping = false;
  const store = makeStore(rpc);
  const deliver = makeMailer(mail);
  const askMail = probeMail(mail);
  const checkMail = async (): Promise<Result<void>> => noting(dependencies.mail, await askMail());

  function makeHandler<T>(options: {
    queue: string;
    prefetch: number;
    batchItems: number;
    concurrent: number;
    read: (message: IncomingMessage) => Reading<T>;
    work: (items: readonly Item<T>[]) => Promise<readonly Fate[]>;
    probe: () => Promise<Result<void>>;
  }) {
    const { queue } = options;
    const results: Record<MessageResult, number> = { done: 0, dead: 0, returned: 0 };
    const lane = () => consumer.lanes.find((candidate) => candidate.queue === queue);
    const setFlow = async (on: boolean): Promise<void> => lane()?.setFlow(on);
    const pipeline: Pipeline<Item<T>> = makePipeline<Item<T>>({
      batchItems: options.batchItems,
      batchBytes: EVENT_BATCH_BYTES,
      bytesOf: ({ message }) => message.body.byteLength,
      concurrent: options.concurrent,
      work: options.work,
      probe: options.probe,
      giveBackMs: GIVE_BACK_MS,
      onFate({ settle }, fate) {
        results[fate] += 1;
        settle();
      },
      onHeld: (reason: Failure) => log.warn("messages are held", { queue, in_hand: pipeline.inHand, reason }),
      onResumed: () => {
        log.info("messages are worked on", { queue, in_hand: pipeline.inHand });
        if (!stopping) void setFlow(true);
      },
      onGiveBack() {
        log.warn("messages are given back to the queue", { queue, in_hand: pipeline.inHand });
        void setFlow(false);
        lane()?.requeue();
      },
    });
    return {
      queue,
      pipeline,
      setFlow,
      results,
      lane: {
        queue,
        prefetch: options.prefetch,
        onDelivery: ({ message, settle }: Delivery) =>
          pipeline.push({ message, settle, reading: options.read(message) }),
        onLost() {
          results.returned += pipeline.inHand;
          pipeline.clear();
          // Taken again now, they would only be held again, one delivery nearer to their limit.
          if (pipeline.held) void setFlow(false);
        },
      },
    };
  }

  const events = makeHandler({
    queue: topology.logs.queue,
    prefetch: settings.prefetch,
    batchItems: EVENT_BATCH,
    concurrent: EVENT_BATCHES_UNDER_WAY,
    read: readEvent,
    work: makeStoring(
      async (entries, trace) => noting(dependencies.logger, await store(entries, trace)),
      makeBurying(publisher, topology.logs.deadLetters),
    ),
    probe: probeLogger(rpc),
  });
  const mails = makeHandler({
    queue: topology.jobs.mailQueue,
    prefetch: MAIL_PREFETCH,
    batchItems: 1,
    concurrent: MAIL_CONCURRENT,
    read: readMailJob,
    work: makeMailing(
      async (request, id, trace) => noting(dependencies.mail, await deliver(request, id, trace)),
      makeBurying(publisher, topology.jobs.deadLetters),
    ),
    probe: checkMail,
  });
  const handlers = [events, mails];

  const consumer = makeConsumer({
    url,
    name: `listener consume ${index}`,
    log,
    topology,
    lanes: handlers.map(({ lane }) => lane),
    onUp: () => dependencies.consuming.up(),
    onDown: (reason) => dependencies.consuming.down(reason),
    onMismatch: (mismatch) => tell({ type: "mismatch", reason: messageOf(mismatch) }),
  });

  function states(): WorkerReport["dependencies"] {
    const reports = new Map(health.report().dependencies.map((dependency) => [dependency.name, dependency]));
    const rabbitmq = reports.get("consuming")?.state === "up" ? reports.get("burying") : reports.get("consuming");
    return {
      rabbitmq: stateOf(rabbitmq),
      logger: stateOf(reports.get("logger")),
      mail: stateOf(reports.get("mail")),
    };
  }

  function queues(): WorkerReport["queues"] {
    return handlers.map(({ queue, pipeline, results }) => {
      const since = { ...results };
      Object.assign(results, { done: 0, dead: 0, returned: 0 });
      return { queue, inHand: pipeline.inHand, held: pipeline.held ? pipeline.inHand : 0, results: since };
    });
  }

  const beat = setInterval(() => tell({ type: "beat", report: { dependencies: states(), queues: queues() } }), BEAT_MS);
  const mailCheck = setInterval(() => {
    // Held, it asks by itself.
    if (!mails.pipeline.held) void checkMail();
  }, MAIL_CHECK_MS);
  log.debug("worker started");

  return {
    /** Finishes what is in hand within its time; the rest goes back to its queue. */
    async stop(): Promise<void> {
      stopping = true;
      clearInterval(beat);
      clearInterval(mailCheck);
      // As it was: that the connections are closed now says nothing about who is at their other end.
      const dependencies = states();
      await Promise.all(
        handlers.map(async ({ pipeline, setFlow }) => {
          await setFlow(false);
          await pipeline.drain(DRAIN_MS);
          pipeline[Symbol.dispose]();
        }),
      );
      await consumer[Symbol.asyncDispose]();
      await Promise.all([publisher[Symbol.asyncDispose](), rpc[Symbol.asyncDispose]()]);
      metrics[Symbol.dispose]();
      tell({ type: "stopped", report: { dependencies, queues: queues() } });
    },
  };
}

function stateOf(report: DependencyReport | undefined): WorkerReport["dependencies"]["rabbitmq"] {
  if (report === undefined) return { state: "starting" };
  const { state, last_error } = report;
  return last_error === undefined ? { state } : { state, reason: last_error };
}

let worker: ReturnType<typeof startWorker> | undefined;

self.addEventListener("message", ({ data }: MessageEvent<ToWorker>) => {
  if (data.type === "start") worker ??= startWorker(data.settings);
  else worker?.stop().catch((error: unknown) => reportError(error));
});
