/** The logger put together. */
import { corsOriginsOf } from "#shared/config";
import { advertised, announce } from "#shared/discovery";
import { Failure } from "#shared/errors";
import { exposureOf, httpApp, listen } from "#shared/http";
import { type App, EXIT, type Runtime, StartError } from "#shared/lifecycle";
import { OTLP_ROUTE } from "#shared/otlp";
import { makeAuditChain } from "./audit/chain.ts";
import { makeAuditDesk } from "./audit/desk.ts";
import { intakeRoutes } from "./intake/routes.ts";
import type { Deadline } from "#shared/resilience";
import { type RpcServer, serveRpc } from "#shared/rpc";
import { makeCallers } from "#shared/service-keys";
import { auditKeysOf, type Config } from "./config.ts";
import { type LogRecord, makeEntries } from "./entries.ts";
import { makeFinder } from "./find.ts";
import { makeGaps } from "./gaps.ts";
import { makeGapsStore } from "./gaps-store.ts";
import { connectMongo, type Logs } from "./mongo.ts";
import { makeCatalog } from "./query/catalog.ts";
import { makeQueries } from "./query/query.ts";
import { queryRoutes } from "./query/routes.ts";
import { makeRegistry } from "./registry.ts";
import { makePolicy } from "./retention/policy.ts";
import { type RetentionOptions, startRetention } from "./retention/retention.ts";
import { makeSlots } from "./retention/slots.ts";
import type { Gone } from "./retention/sweep.ts";
import { CALLERS, routes } from "./routes.ts";
import { methodsOf } from "./rpc.ts";
import { makeCounters } from "./sizes/counters.ts";
import { startSizes } from "./sizes/sizes.ts";
import { makeStore } from "./store.ts";
import { makeTailHub } from "./tail/hub.ts";
import { tailRoutes } from "./tail/routes.ts";
import { takeRequest, TRACES_ROUTE, traceRoutes } from "./traces/routes.ts";
import { makeTraceStore } from "./traces/store.ts";
import { makeTraces } from "./traces/traces.ts";

/** Longest that a logger that stops waits for its own spans to be taken (ms). */
const OWN_SPANS_MS = 500;

export interface LoggerApp extends App {
  readonly rpcPort: number;
}

/** For tests: time that passes faster. */
export interface StartOptions {
  readonly retention?: Pick<RetentionOptions, "now" | "everyMs">;
}

/**
 * Serves at once; MongoDB is connected to in the background.
 * @throws StartError where an address is taken or MONGODB_URL is of no use to the driver.
 */
export async function start(config: Config, runtime: Runtime, { retention }: StartOptions = {}): Promise<LoggerApp> {
  const { log, metrics } = runtime;
  await using opened = new AsyncDisposableStack();
  const connection = opened.use(
    connectMongo({
      url: config.MONGODB_URL.reveal(),
      dependency: runtime.health.dependency("mongodb"),
      log,
      metrics,
      onRefused: (message) => {
        log.error(message);
        runtime.stop(EXIT.configuration, message);
      },
    }),
  );
  const registry = opened.use(makeRegistry(connection, log));
  const catalog = opened.use(makeCatalog(connection, log, config.INDEX_MEMORY_MIB * 1_048_576));
  const policy = makePolicy(config.RETENTION);
  const slots = opened.use(makeSlots(connection, policy, log));
  const counters = opened.use(makeCounters(connection, log));
  const sizes = opened.use(startSizes({ connection, policy, log, metrics }));
  const onStored = ({ name, severity }: LogRecord, bytes: number): void =>
    counters.added({ name, severity, storedAt: new Date(), bytes });
  const tail = makeTailHub(connection, metrics);
  const auditKeys = auditKeysOf(config);
  const chain = opened.use(makeAuditChain({ connection, key: auditKeys[0], log }));
  const audit = opened.use(makeAuditDesk(connection, auditKeys, { log }));
  const places = { slots, segments: catalog };
  const entries = opened.use(
    makeEntries(makeStore(connection, registry, places, log, { followed: tail }), {
      log,
      metrics,
      onStored,
      audit: makeStore(connection, registry, places, log, { followed: tail, chain }),
    }),
  );
  const onDue = (due: readonly Gone[], logs: Logs, deadline: Deadline): Promise<void> =>
    catalog.removed(logs, due, deadline);
  const onGone = (gone: readonly Gone[]): void => {
    for (const entry of gone) {
      const counted = sizes.countedOf(entry);
      if (counted !== undefined) counters.removed(counted);
    }
  };
  const waiting = (): number => entries.waiting;
  opened.use(startRetention({ connection, policy, log, metrics, waiting, onDue, onGone, ...retention }));
  const traces = opened.use(
    makeTraces({
      store: makeTraceStore(connection),
      log,
      metrics,
      max: config.TRACES_MAX,
      maxAgeS: config.TRACES_MAX_AGE_S,
      maxSpans: config.TRACE_MAX_SPANS,
    }),
  );
  // Its own spans need no way round by HTTP.
  if (config.TRACES_MAX > 0) runtime.tracing?.deliverTo((request) => Promise.resolve(takeRequest(traces, request)));
  const rpc = opened.use(openRpc(config, runtime, methodsOf(entries, makeFinder(connection))));
  const callers = makeCallers(config.SERVICE_CALLERS, CALLERS);
  const app = httpApp(runtime, corsOriginsOf(config), {
    callers,
    exposure: exposureOf(config),
    foreign: { "/otlp/v1/logs": OTLP_ROUTE, ...TRACES_ROUTE },
  });
  app.use(intakeRoutes(entries));
  app.use(traceRoutes(traces));
  tailRoutes(app, tail);
  routes(app, entries, makeGaps(makeGapsStore(connection)), sizes, audit);
  const stopping = new AbortController();
  queryRoutes(app, { queries: makeQueries(connection, catalog), stopping: stopping.signal, log, metrics });
  const http = opened.use(listen(app, config));
  log.info("RPC listening", { host: config.HOST, port: rpc.port });
  const announcing = opened.use(announceBoth(config, runtime, http.url, rpc.port));
  const open = opened.move();
  return {
    url: http.url,
    rpcPort: rpc.port,
    async [Symbol.asyncDispose]() {
      // An export goes on as long as there are entries.
      stopping.abort(new Failure("unavailable", "the logger is stopping: export again"));
      // Those who follow would hold a door open for as long as they like.
      tail.stop();
      // Nobody is to come any more.
      await announcing[Symbol.asyncDispose]();
      // The doors first, both at once: they wait for the calls in hand. Then what these took is stored, then MongoDB left.
      await Promise.all([http[Symbol.asyncDispose](), rpc[Symbol.asyncDispose]()]);
      await runtime.tracing?.flush(OWN_SPANS_MS);
      await open.disposeAsync();
    },
  };
}

function openRpc(config: Config, runtime: Runtime, methods: ReturnType<typeof methodsOf>): RpcServer {
  const { HOST, RPC_PORT, LOGGER_RPC_TOKEN } = config;
  try {
    return serveRpc({
      host: HOST,
      port: RPC_PORT,
      server: "logger",
      version: runtime.version,
      methods,
      log: runtime.log,
      metrics: runtime.metrics,
      ...(LOGGER_RPC_TOKEN === undefined ? {} : { token: LOGGER_RPC_TOKEN.reveal() }),
    });
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
    const why = code === "EADDRINUSE" ? "is taken by another process" : `cannot be listened on (${code})`;
    throw new StartError(`${HOST}:${RPC_PORT} ${why}: stop what holds it, or set RPC_PORT`, { cause });
  }
}

/** Both doors of this instance, to its callers; where there is no RabbitMQ for it, nothing is said. */
function announceBoth(
  config: Config,
  { health, log, version }: Runtime,
  local: string,
  rpcPort: number,
): AsyncDisposable {
  const { RABBITMQ_URL: rabbitmqUrl, ANNOUNCE_KEY: key } = config;
  if (rabbitmqUrl === undefined) return new AsyncDisposableStack();
  const url = advertised(config, local);
  const { hostname, protocol } = new URL(url);
  return announce({
    service: "logger",
    rabbitmqUrl,
    url,
    rpcUrl: `${protocol === "https:" ? "tls" : "tcp"}://${hostname}:${rpcPort}`,
    version,
    key,
    // It stores without it as well.
    dependency: health.dependency("rabbitmq", { required: false }),
    log,
  });
}
