/** Composition root of the broker: opens what it needs, wires it, and closes it in reverse. */
import { join } from "node:path";
import { makePublisher, topologyOf } from "#shared/amqp";
import { corsOriginsOf } from "#shared/config";
import { makeJsonClient } from "#shared/client";
import { httpApp, listen } from "#shared/http";
import { type App, type Runtime, StartError } from "#shared/lifecycle";
import { type EdgeOptions, makeEdge } from "#shared/resilience";
import { makeRpcClient } from "#shared/rpc";
import { openSpool, type Spool } from "#shared/spool";
import { makePorts } from "./clients.ts";
import type { Config } from "./config.ts";
import { makeOperations } from "./handle.ts";
import { watch } from "./neighbours.ts";
import { routes } from "./routes.ts";

/** Limits of each way out; what each of them means is in shared/resilience. A batch of 100 actions of one kind fits. */
const EDGES = {
  // No retry: a login that was slow is not made faster by hashing the password twice.
  auth: { attemptMs: 2_500, totalMs: 3_000, concurrent: 64, queue: 64 },
  // Twice is safe, since the entry has its id.
  logger: { attemptMs: 1_000, totalMs: 2_000, retries: 1, concurrent: 2_048 },
  // A mail waits up to 2 s for its first attempt; twice is safe, since the key makes it once.
  mail: { attemptMs: 3_000, totalMs: 5_000, retries: 1, concurrent: 64, queue: 64 },
} as const satisfies Record<string, Partial<EdgeOptions>>;

export async function start(config: Config, runtime: Runtime): Promise<App> {
  const { log, metrics, health } = runtime;
  await using stack = new AsyncDisposableStack();
  stack.use(metrics);

  const edgeState = metrics.gauge("circuitbreaker_state", "0 closed, 1 half-open, 2 open.", ["name"]);
  const edge = (to: keyof typeof EDGES) => {
    edgeState.set({ name: to }, 0);
    return makeEdge({
      name: `broker→${to}`,
      ...EDGES[to],
      onState: (state) => {
        edgeState.set({ name: to }, { closed: 0, "half-open": 1, open: 2 }[state]);
        log.warn("circuit changed", { to, state });
      },
    });
  };

  // None is needed to be ready: without any of them the broker still accepts, and says how.
  const optional = { required: false };
  let ports: ReturnType<typeof makePorts> | undefined;
  const loggerUp = health.dependency("logger", optional);
  const rpc = stack.use(
    makeRpcClient({
      url: config.LOGGER_RPC_URL,
      client: "broker",
      log,
      metrics,
      ...(config.LOGGER_RPC_TOKEN === undefined ? {} : { token: config.LOGGER_RPC_TOKEN.reveal() }),
      onState: (connected, error) => {
        if (!connected) return loggerUp.down(error);
        loggerUp.up();
        ports?.loggerBack();
      },
    }),
  );
  const publisher = stack.use(
    makePublisher({
      url: config.RABBITMQ_URL,
      name: "broker publish",
      log,
      metrics,
      dependency: health.dependency("rabbitmq", optional),
      topology: topologyOf({ logsQueue: config.LISTENER_QUEUE, logsBindings: config.LISTENER_BINDINGS }),
    }),
  );
  const spoolUp = health.dependency("spool");
  const open = async (name: string): Promise<Spool> => {
    try {
      return stack.use(await openSpool({ dir: join(config.SPOOL_DIR, name), log, metrics }));
    } catch (cause) {
      throw new StartError(
        `the spool in ${config.SPOOL_DIR} cannot be opened (${cause instanceof Error ? cause.message : String(cause)}): set SPOOL_DIR to a directory that only this broker writes`,
        { cause },
      );
    }
  };
  const entries = await open("entries");
  const events = await open("events");
  spoolUp.up();

  const lost = metrics.counter("broker_events_lost_total", "Events of the broker's own that could be kept nowhere.");
  const auth = makeJsonClient("the auth service", config.AUTH_URL);
  const mail = makeJsonClient("the mail service", config.MAIL_URL);
  stack.use(watch(auth, health.dependency("auth", optional)));
  stack.use(watch(mail, health.dependency("mail", optional)));
  ports = makePorts({
    auth: { client: auth, edge: edge("auth") },
    mail: { client: mail, edge: edge("mail") },
    logger: { client: rpc, edge: edge("logger") },
    publisher,
    entries,
    events,
    onLost: (name, error) => {
      lost.inc();
      log.error("event lost", { event: name, reason: error });
    },
  });
  const operations = makeOperations(ports);

  const app = httpApp(runtime, corsOriginsOf(config), { bodiless: ["/"] }).use(
    routes(operations, { inboxUrl: config.INBOX_URL, version: runtime.version }),
  );
  const listening = stack.use(listen(app, config));
  const opened = stack.move();
  return { url: listening.url, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}
