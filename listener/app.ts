/** Composition root: the supervised workers, and the three routes that operators ask. */
import { corsOriginsOf } from "#shared/config";
import { httpApp, listen } from "#shared/http";
import { type App, EXIT, type Runtime } from "#shared/lifecycle";
import type { Config } from "./config.ts";
import { makeStatus } from "./status.ts";
import { superviseWorkers } from "./supervisor.ts";

export interface StartOptions {
  /** Put before the names of all queues and exchanges, so that several can share a virtual host (default none). */
  prefix?: string;
  /** Opens a worker thread (default: worker.ts). */
  openWorker?: () => Worker;
}

export async function start(
  config: Config,
  runtime: Runtime,
  { prefix = "", openWorker }: StartOptions = {},
): Promise<App> {
  const { log, metrics, health, version } = runtime;
  await using stack = new AsyncDisposableStack();
  const listening = stack.use(listen(httpApp(runtime, corsOriginsOf(config)), config));
  const status = makeStatus(health, metrics, () => supervisor.running);
  let mismatched = false;
  const supervisor = stack.use(
    superviseWorkers({
      workers: config.WORKERS,
      settings: {
        version,
        prefix,
        logLevel: config.LOG_LEVEL,
        rabbitmqUrl: config.RABBITMQ_URL.reveal(),
        logsQueue: config.QUEUE,
        logsBindings: config.BINDINGS,
        prefetch: config.PREFETCH,
        loggerUrl: config.LOGGER_RPC_URL,
        loggerToken: config.LOGGER_RPC_TOKEN?.reveal(),
        mailUrl: config.MAIL_URL,
      },
      log,
      ...(openWorker === undefined ? {} : { open: openWorker }),
      onReport: (index, report) => status.onReport(index, report),
      onRestart: () => status.onRestart(),
      onMismatch(reason) {
        if (mismatched) return;
        mismatched = true;
        log.error("RabbitMQ: something of our name has another shape", { reason });
        runtime.stop(EXIT.topology, reason);
      },
    }),
  );
  const resources = stack.move();
  return { url: listening.url, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}
