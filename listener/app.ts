/** Composition root: the supervised workers, and the routes that operators ask. */
import { RETRY_TIERS, type RetryTier } from "#contracts/events";
import { topologyOf } from "#shared/amqp";
import { corsOriginsOf } from "#shared/config";
import { advertised, announce } from "#shared/discovery";
import { exposureOf, httpApp, listen } from "#shared/http";
import { filesOf } from "#shared/tls";
import { type App, EXIT, type Runtime } from "#shared/lifecycle";
import { makeCallers } from "#shared/service-keys";
import type { Config } from "./config.ts";
import { openDeadLetters } from "./dead-letters/open.ts";
import { loadJobs } from "./jobs.ts";
import { CALLERS, routes } from "./routes.ts";
import { makeStatus } from "./status.ts";
import { superviseWorkers } from "./supervisor.ts";
import { keepUnrouted } from "./unrouted.ts";

export interface StartOptions {
  /** Put before the names of all queues and exchanges, so that several can share a virtual host (default none). */
  prefix?: string;
  /** Opens a worker thread (default: worker.ts). */
  openWorker?: () => Worker;
  /** Delay queues of messages that failed by a fault of their own (default RETRY_TIERS). */
  retryTiers?: readonly RetryTier[];
  /** Time without a sign of life after which a worker is replaced (ms, default 10,000). */
  silentMs?: number;
}

export async function start(
  config: Config,
  runtime: Runtime,
  { prefix = "", openWorker, retryTiers = RETRY_TIERS, silentMs }: StartOptions = {},
): Promise<App> {
  const { log, metrics, health, version } = runtime;
  const jobs = await loadJobs();
  const neighbours = [...jobs].flatMap(([name, { probe }]) => (probe === undefined ? [] : [name]));
  await using stack = new AsyncDisposableStack();
  const operators = stack.use(
    openDeadLetters({
      config,
      topology: { prefix, retryTiers },
      log,
      metrics,
      name: "listener dead letters",
      inHand: (queue) => status.inHand(queue),
    }),
  );
  const stopping = new AbortController();
  const callers = makeCallers(config.SERVICE_CALLERS, CALLERS);
  const app = httpApp(runtime, corsOriginsOf(config), { callers, exposure: exposureOf(config) }).use(
    routes(operators.deadLetters, operators.index, stopping.signal),
  );
  const listening = stack.use(listen(app, config));
  const status = makeStatus(health, metrics, neighbours, () => supervisor.running);
  let mismatched = false;
  const supervisor = stack.use(
    superviseWorkers({
      workers: config.WORKERS,
      settings: {
        version,
        prefix,
        rabbitmqUrl: config.RABBITMQ_URL.reveal(),
        logsQueue: config.QUEUE,
        logsBindings: config.BINDINGS,
        retryTiers,
        prefetch: config.PREFETCH,
        loggerUrls: config.LOGGER_RPC_URL,
        loggerToken: config.LOGGER_RPC_TOKEN?.reveal(),
        mailUrls: config.MAIL_URL,
        discovery: {
          ENVIRONMENT: config.ENVIRONMENT,
          DISCOVERY: config.DISCOVERY,
          SERVICE_ANNOUNCERS: config.SERVICE_ANNOUNCERS,
        },
        serviceKey: config.SERVICE_KEY?.reveal(),
        tls: filesOf(config),
        tracing: runtime.tracing?.settings,
      },
      log,
      ...(openWorker === undefined ? {} : { open: openWorker }),
      ...(silentMs === undefined ? {} : { silentMs }),
      onReport(index, report) {
        for (const count of report?.spans ?? []) runtime.tracing?.count(count);
        status.onReport(index, report);
      },
      onRestart: () => status.onRestart(),
      onMismatch(reason) {
        if (mismatched) return;
        mismatched = true;
        log.error("RabbitMQ: something of our name has another shape", { reason });
        runtime.stop(EXIT.topology, reason);
      },
    }),
  );
  metrics.include(() => supervisor.metrics());
  const { RABBITMQ_URL: rabbitmqUrl, RABBITMQ_MANAGEMENT_URL: managementUrl } = config;
  if (managementUrl !== undefined) {
    const topology = topologyOf({ prefix });
    const kept = keepUnrouted({ managementUrl, rabbitmqUrl, topology, prefix, log }, stopping.signal);
    stack.defer(() => kept);
  }
  // Before anything else ends it says so.
  stack.use(
    announce({
      service: "listener",
      rabbitmqUrl: config.RABBITMQ_URL,
      url: advertised(config, listening.url),
      version,
      key: config.ANNOUNCE_KEY,
      log,
    }),
  );
  const resources = stack.move();
  return {
    url: listening.url,
    [Symbol.asyncDispose]() {
      stopping.abort(new Error("stopping"));
      return resources.disposeAsync();
    },
  };
}
