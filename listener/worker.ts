/** A worker thread: connections of its own, one lane for events and one for each kind of job. In: translates, never decides. */
import { type IncomingMessage, type Lane, makeConsumer, makePublisher, topologyOf } from "#shared/amqp";
import { Secret } from "#shared/config";
import { type FailureCode, fail, messageOf, type Result } from "#shared/errors";
import { makeJsonClient } from "#shared/client";
import { openDiscovery } from "#shared/discovery";
import { type Dependency, type DependencyReport, makeHealth } from "#shared/lifecycle";
import { type LogLevel, makeLog, silentLog } from "#shared/log";
import { Deadline } from "#shared/resilience";
import { useTls } from "#shared/tls";
import { makeSpanTally, startTracing } from "#shared/tracing";
import { inSpan, makeMetrics, type Trace } from "#shared/telemetry";
import { makeCaution } from "./caution.ts";
import { makeStore, probeLogger } from "./clients.ts";
import { makeDoing, makeStoring, readEvent, readMessage } from "./consume.ts";
import { type Handler, type HandlerOptions, makeHandler } from "./handler.ts";
import type { Job, JobPorts } from "./job.ts";
import { loadJobs } from "./jobs.ts";
import { attemptsOf, makeMoving, unwrapped } from "./moving.ts";
import type { FromWorker, ToWorker, WorkerReport, WorkerSettings } from "./protocol.ts";

const BEAT_MS = 500;
/** Time to finish what is in hand (ms); the process has 10 s in all. */
const DRAIN_MS = 6_000;
const PROBE_MS = 2_000;
/** How often the neighbours of jobs are asked how they are, while nothing is held for them. */
const JOB_CHECK_MS = 5_000;
/** Longest that a worker stays careful for what it holds (ms). */
const CAREFUL_MS = 5_000;
const EVENT_BATCH = 300;
const BATCH_BYTES = 1_048_576;
const EVENT_BATCHES_UNDER_WAY = 2;
/** RabbitMQ's own default limit of a message: whatever came must be able to go to the dead letters. */
const MAX_DEAD_LETTER_BYTES = 128 * 1_048_576;

/** The thread's own end of its wire to the main thread. */
declare const self: Worker;

function tell(message: FromWorker): void {
  self.postMessage(message, []);
}

function startWorker(settings: WorkerSettings, jobs: ReadonlyMap<string, Job>) {
  const { index, prefix, logsQueue, logsBindings, retryTiers } = settings;
  const log = makeLog({ service: "listener", level: settings.logLevel, fields: { worker: index } });
  // Of this thread, for as long as it lives. The main thread has told of what is wrong with them.
  useTls(settings.tls, log);
  const metrics = makeMetrics("listener", settings.version);
  // The main thread has the metrics that are looked at: it is told with each report.
  const spans = makeSpanTally();
  const tracing =
    settings.tracing === undefined ? undefined : startTracing(settings.tracing, { log, onCount: spans.add });
  // The main thread tells of changes, once for all workers.
  const health = makeHealth(silentLog);
  const consuming = health.dependency("consuming");
  const moves = health.dependency("moving");
  const logger = health.dependency("logger");
  const topology = topologyOf({ logsQueue, logsBindings, jobs: [...jobs.keys()], retryTiers, prefix });
  const url = new Secret(settings.rabbitmqUrl);
  const condemned = new Map(settings.condemned.map(({ fingerprint, reason }) => [fingerprint, reason]));

  const { discovery: config, loggerUrls, mailUrls } = settings;
  const discovery = openDiscovery({ config, rabbitmqUrl: url, name: `listener ${index}`, log, metrics });
  const rpc = discovery.rpc("logger", loggerUrls, {
    client: `listener ${index}`,
    ...(settings.loggerToken === undefined ? {} : { token: settings.loggerToken }),
    onState(connected, error) {
      if (!connected) return logger.down(error);
      logger.up();
      events.wake();
    },
  });
  const publisher = makePublisher({
    url,
    name: `listener publish ${index}`,
    log,
    metrics,
    dependency: moves,
    topology,
    maxBytes: MAX_DEAD_LETTER_BYTES,
  });
  const key = settings.serviceKey === undefined ? undefined : new Secret(settings.serviceKey);
  const ports: JobPorts = {
    mail: makeJsonClient("mail", discovery.http("mail", mailUrls), { key, metrics }),
    logger: rpc,
    publisher,
    log,
  };

  const laneOf = (queue: string): Lane | undefined => consumer.lanes.find((lane) => lane.queue === queue);
  const seconds = metrics.histogram(
    "listener_message_seconds",
    "Time from taking a message out of its queue until it is dealt with, what it waited for a neighbour included.",
    ["queue"],
  );
  const prefetches = metrics.gauge("listener_prefetch", "Messages that a worker takes out of a queue at most.", [
    "queue",
  ]);
  const common = (queue: string) => ({
    onDone: (took: number) => seconds.observe({ queue }, took),
    queue,
    batchBytes: BATCH_BYTES,
    unwrap: (message: IncomingMessage) => unwrapped(message, topology),
    log,
    caution: () => caution,
    condemned,
    tell,
    lane: () => laneOf(queue),
  });

  const moveEvents = makeMoving(publisher, topology, topology.logs);
  const store = makeStore(rpc);
  const events = makeHandler({
    ...common(topology.logs.queue),
    prefetch: settings.prefetch,
    batchItems: EVENT_BATCH,
    concurrent: EVENT_BATCHES_UNDER_WAY,
    read: readEvent,
    moving: moveEvents,
    work: makeStoring(async (entries) => noting(logger, await store(entries)), moveEvents),
    probe: probeLogger(rpc),
  });

  const checks: (() => void)[] = [];
  const jobHandler = ([name, queue]: [string, string]): Handler => {
    const job = jobs.get(name);
    if (job === undefined) throw new Error(`no job ${name}`);
    const dependency = job.probe === undefined ? undefined : health.dependency(name);
    const note = <T>(result: Result<T>): Result<T> => (dependency === undefined ? result : noting(dependency, result));
    const probe = async (): Promise<Result<void>> =>
      job.probe === undefined ? { ok: true, value: undefined } : note(await job.probe(ports, Deadline.after(PROBE_MS)));
    const run = async (message: IncomingMessage, content: unknown, id: string, trace: Trace): Promise<Result<void>> => {
      const deadline = Deadline.after(job.timeLimitMs);
      const attempts = attemptsOf(message);
      const attributes = { "messaging.message.id": id, "platform.attempt": attempts + 1 };
      return inSpan({ trace }, `run ${name}`, { attributes }, async (own) =>
        note(await bounded(job.run(content, { id, ...own, deadline, attempts, ports }), job.timeLimitMs)),
      );
    };
    const moving = makeMoving(publisher, topology, { queue, deadLetters: topology.jobs.deadLetters });
    const options: HandlerOptions<unknown> = {
      ...common(queue),
      prefetch: job.prefetch,
      batchItems: 1,
      concurrent: job.concurrent,
      read: (message) => readMessage(message, job.validate),
      moving,
      work: makeDoing(run, moving),
      probe,
    };
    const handler = makeHandler(options);
    // Held, it asks by itself.
    if (job.probe !== undefined) checks.push(() => void (handler.held || probe()));
    return handler;
  };
  const handlers = [events, ...[...topology.jobs.queues].map(jobHandler)];

  for (const { lane } of handlers) prefetches.set({ queue: lane.queue }, lane.prefetch);

  const consumer = makeConsumer({
    url,
    name: `listener consume ${index}`,
    log,
    topology,
    lanes: handlers.map(({ lane }) => lane),
    onUp: () => consuming.up(),
    onDown: (reason) => consuming.down(reason),
    onMismatch: (mismatch) => tell({ type: "mismatch", reason: messageOf(mismatch) }),
  });
  const setCautious = (on: boolean): void => {
    log.info(on ? "one message at a time: one of them may have ended a worker" : "messages in batches again", {});
    for (const handler of handlers) handler.setCautious(on);
  };
  const caution = makeCaution({
    on: settings.cautious,
    // What is held for so long has been handled, and ended nothing: care would keep others from showing whose fault it is.
    inHand: new Map(
      handlers.map((handler) => [handler.queue, () => (handler.heldMs > CAREFUL_MS ? 0 : handler.inHand)]),
    ),
    onChange: setCautious,
    flush: () => {
      for (const lane of consumer.lanes) lane.flush();
    },
  });
  if (settings.cautious) setCautious(true);

  function report(): WorkerReport {
    return {
      dependencies: states(),
      queues: handlers.map((handler) => handler.report()),
      cautious: caution.on,
      spans: spans.take(),
    };
  }

  /** RabbitMQ has two connections, and one name. */
  function states(): WorkerReport["dependencies"] {
    const {
      consuming: taking,
      moving: sending,
      ...rest
    } = Object.fromEntries(health.report().dependencies.map((dependency) => [dependency.name, dependency]));
    const rabbitmq = taking?.state === "up" ? sending : taking;
    return Object.fromEntries(Object.entries({ rabbitmq, ...rest }).map(([name, one]) => [name, stateOf(one)]));
  }

  const beat = setInterval(() => tell({ type: "beat", report: report() }), BEAT_MS);
  const check = setInterval(() => {
    for (const look of checks) look();
  }, JOB_CHECK_MS);
  log.debug("worker started");

  return {
    condemn({ fingerprint, reason }: { fingerprint: string; reason: string }): void {
      condemned.set(fingerprint, reason);
    },
    warn: () => caution.warn(),
    async tellMetrics(): Promise<void> {
      tell({ type: "metrics", metrics: await metrics.ofThread({ worker: String(index) }) });
    },
    setLevel: (level: LogLevel): void => log.level.set(level, 0),
    /** Finishes what is in hand within its time; the rest goes back to its queue. */
    async stop(): Promise<void> {
      clearInterval(beat);
      clearInterval(check);
      // As it was: that the connections are closed now says nothing about who is at their other end.
      const dependencies = states();
      await Promise.all(handlers.map((handler) => handler.drain(DRAIN_MS)));
      caution[Symbol.dispose]();
      await consumer[Symbol.asyncDispose]();
      await Promise.all([publisher[Symbol.asyncDispose](), discovery[Symbol.asyncDispose]()]);
      await tracing?.[Symbol.asyncDispose]();
      metrics[Symbol.dispose]();
      tell({ type: "stopped", report: { ...report(), dependencies } });
    },
  };
}

/** What these say is about one message: whoever says it is well. */
const WELL: ReadonlySet<FailureCode> = new Set<FailureCode>(["invalid", "too_large", "malformed", "conflict"]);

/** Tells `dependency` what a call to it said of its health. */
function noting<T>(dependency: Dependency, result: Result<T>): Result<T> {
  if (result.ok || WELL.has(result.error.code)) dependency.up();
  // A bug at one message says nothing about the others.
  else if (result.error.code !== "internal") dependency.down(result.error);
  return result;
}

/** A run that does not end by itself is a fault of its own, or of its handler; its neighbour's would have been told. */
async function bounded(run: Promise<Result<void>>, ms: number): Promise<Result<void>> {
  const late = Promise.withResolvers<Result<void>>();
  const timer = setTimeout(() => late.resolve(fail("internal", `it took longer than ${ms} ms`)), ms + GRACE_MS);
  try {
    return await Promise.race([run, late.promise]);
  } finally {
    clearTimeout(timer);
    // Late, its outcome is of no interest.
    run.catch(() => undefined);
  }
}

/** Its own answer that the time is up comes first (ms). */
const GRACE_MS = 500;

function stateOf(report: DependencyReport | undefined): { state: DependencyReport["state"]; reason?: string } {
  if (report === undefined) return { state: "starting" };
  const { state, last_error } = report;
  return last_error === undefined || state !== "down" ? { state } : { state, reason: last_error };
}

let worker: Promise<ReturnType<typeof startWorker>> | undefined;

self.addEventListener("message", ({ data }: MessageEvent<ToWorker>) => {
  if (data.type === "start") {
    worker ??= loadJobs().then((jobs) => startWorker(data.settings, jobs));
  } else {
    worker
      ?.then((started) => {
        if (data.type === "stop") return started.stop();
        if (data.type === "metrics") return started.tellMetrics();
        if (data.type === "level") return started.setLevel(data.level);
        return data.type === "crashed" ? started.warn() : started.condemn(data.verdict);
      })
      .catch((error: unknown) => reportError(error));
  }
});
