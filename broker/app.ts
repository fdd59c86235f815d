/** Composition root of the broker: opens what it needs, wires it, and closes it in reverse. */
import { join } from "node:path";
import { IDENTITY_EXCHANGE } from "#contracts/identity";
import { RPC_LOG_ONCE } from "#contracts/logs";
import { makePublisher, makeSubscriber, topologyOf } from "#shared/amqp";
import { corsOriginsOf, type Secret } from "#shared/config";
import { clientOfOne, makeJsonClient } from "#shared/client";
import { openDiscovery } from "#shared/discovery";
import { exposureOf, guardOf, httpApp, listen, makeClientAddress } from "#shared/http";
import { type App, type Runtime, StartError } from "#shared/lifecycle";
import { makeLimiter } from "#shared/limits";
import { makeRedis } from "#shared/redis";
import { OTLP_ROUTE } from "#shared/otlp";
import { openSpool, type Spool } from "#shared/spool";
import { makeWaysOut } from "./clients.ts";
import { makeAccess } from "./access/access.ts";
import { makeApiKeys } from "./access/api-keys.ts";
import { askKeyHolder, askRevocations } from "./access/ask-auth.ts";
import { makeRevocationFeed } from "./access/revocation-feed.ts";
import { makeRevocations } from "./access/revocations.ts";
import { checkRules } from "./access/rules.ts";
import { accessOf, type Config, receiptSecretOf } from "./config.ts";
import { makeEdges } from "./edges.ts";
import { makeFigures } from "./figures/figures.ts";
import { makeOperations } from "./handle.ts";
import { makePlatformHealth } from "./v1/health.ts";
import { makeFirstAnswers } from "./idempotency.ts";
import { makeIds } from "./ids.ts";
import { makeKeySet } from "./sessions/key-set.ts";
import { makeOwners } from "./owners.ts";
import { limitRulesOf, makeRequestLimits } from "./limits.ts";
import { makeNumbers } from "./producer.ts";
import { makeReceipts } from "./receipts.ts";
import { routes } from "./routes.ts";
import { makeSessions } from "./sessions/sessions.ts";
import { makeBrokerTail } from "./tail/hub.ts";
import { tailRoutes } from "./tail/routes.ts";
import { askMe, v1 } from "./v1/routes.ts";
import { makeDesk } from "./v1/desk.ts";
import { chaosRoutes, controllerAt } from "./v1/chaos.ts";
import { figureRoutes } from "./v1/figures.ts";
import { intakeRoutes } from "./v1/intake.ts";
import { identityRoutes } from "./v1/identity.ts";
import { logLevelRoutes } from "./v1/log-levels.ts";
import { logRoutes } from "./v1/logs.ts";
import { mailRoutes } from "./v1/mails.ts";
import { operatorRoutes } from "./v1/operators.ts";
import { traceRoutes } from "./v1/traces.ts";
import { unsubscribeRoutes } from "./v1/unsubscribe.ts";

/** How long a broker that stops waits for operators' questions and commands (ms): less than its drain has. */
const PATIENCE_MS = 5_000;

/** A running broker, with what it answers: pages and API. */
export interface Broker extends App {
  readonly routes: readonly { readonly method: string; readonly path: string }[];
}

export async function start(config: Config, runtime: Runtime): Promise<Broker> {
  const { log, metrics, health } = runtime;
  await using stack = new AsyncDisposableStack();
  stack.use(metrics);

  // None is needed to be ready: without any of them the broker still accepts, and says how.
  const optional = { required: false };
  const loggerUp = health.dependency("logger", optional);
  const dependencies = {
    logger: loggerUp,
    auth: health.dependency("auth", optional),
    mail: health.dependency("mail", optional),
    listener: health.dependency("listener", optional),
  };
  const openRedis = (url: Secret) =>
    makeRedis({ url, name: "broker", metrics, dependency: health.dependency("redis", optional) });
  const edge = makeEdges({ metrics, log, dependencies });
  let ways: ReturnType<typeof makeWaysOut> | undefined;
  const discovery = stack.use(
    openDiscovery({ config, rabbitmqUrl: config.RABBITMQ_URL, name: "broker", log, metrics }),
  );
  const rpc = discovery.rpc("logger", config.LOGGER_RPC_URL, {
    client: "broker",
    counted: [RPC_LOG_ONCE],
    ...(config.LOGGER_RPC_TOKEN === undefined ? {} : { token: config.LOGGER_RPC_TOKEN.reveal() }),
    onState: (connected, error) => {
      if (!connected) return loggerUp.down(error);
      loggerUp.up();
      ways?.loggerBack();
    },
  });
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
  health.backlog("spooled entries", () => entries.records);
  health.backlog("spooled events", () => events.records);

  const lost = metrics.counter("broker_events_lost_total", "Events of the broker's own that could be kept nowhere.");
  const key = config.SERVICE_KEY;
  const pools = {
    auth: discovery.http("auth", config.AUTH_URL, dependencies.auth),
    logger: discovery.http("logger", config.LOGGER_URL),
    mail: discovery.http("mail", config.MAIL_URL, dependencies.mail),
    listener: discovery.http("listener", config.LISTENER_URL, dependencies.listener),
  };
  const auth = makeJsonClient("the auth service", pools.auth, { key, metrics });
  const mail = makeJsonClient("the mail service", pools.mail, { key, metrics });
  const listener = makeJsonClient("the listener", pools.listener, { key, metrics });
  const logger = makeJsonClient("the logger", pools.logger, { key, metrics });
  const login = { client: auth, edge: edge("auth") };
  ways = makeWaysOut({
    auth: login,
    mail: { client: mail, edge: edge("mail") },
    logger: { client: rpc, edge: edge("logger") },
    publisher,
    entries,
    events,
    onLost: (name, error) => {
      lost.inc();
      log.error("event lost", { event: name, reason: error });
    },
    onLogin: (reply) => sessions.opened(reply),
  });
  const keys = stack.use(makeKeySet({ auth: pools.auth, dependency: health.dependency("auth_keys", optional), log }));
  const revocations = stack.use(
    makeRevocations({
      log,
      metrics,
      onRevoked: (revocation) => {
        sessions.forget(revocation);
        apiKeys.forget(revocation);
      },
    }),
  );
  const sessions = makeSessions({
    keys,
    revocations,
    ask: askMe({ client: auth, edge: edge("auth_sessions") }),
    maxAgeS: config.SESSION_CACHE_MAX_AGE_S,
    metrics,
  });
  const apiKeys = makeApiKeys({
    ask: askKeyHolder({ client: auth, edge: edge("auth_api_keys") }),
    revocations,
    maxAgeS: config.SESSION_CACHE_MAX_AGE_S,
    metrics,
  });
  stack.use(
    makeRevocationFeed({
      revocations,
      subscribe: (hearing) =>
        makeSubscriber({
          url: config.RABBITMQ_URL,
          name: "broker identity",
          log,
          exchange: IDENTITY_EXCHANGE,
          keys: ["#"],
          ...hearing,
        }),
      read: askRevocations(auth),
      onSigningKeys: () => keys.renew(),
      dependency: health.dependency("revocations", optional),
      metrics,
      log,
    }),
  );
  const access = makeAccess({
    access: accessOf(config),
    environment: config.ENVIRONMENT,
    operatorToken: config.OPERATOR_TOKEN,
    sessions,
    apiKeys,
    metrics,
  });
  const ids = makeIds(receiptSecretOf(config).reveal());
  const answers = makeFirstAnswers({ ids, metrics });
  const actions = metrics.counter("broker_actions_total", "Actions by what came of them.", ["action", "result"]);
  const operations = makeOperations({
    ...ways,
    ids,
    numbers: makeNumbers(metrics),
    answers,
    now: () => new Date(),
    onDone: (action, result) => actions.inc({ action, result }),
  });
  const receipts = makeReceipts(
    ids,
    makeOwners({
      spools: [entries, events],
      listener: { client: listener, edge: edge("listener_receipts") },
      logger: { client: rpc, edge: edge("logger_receipts") },
      mail: { client: mail, edge: edge("mail_receipts") },
    }),
  );

  const exposure = exposureOf(config, { isPublic: true });
  const app = httpApp(runtime, corsOriginsOf(config), {
    bodiless: ["/", "/v1/unsubscribe/*"],
    foreign: { "/otlp/v1/logs": OTLP_ROUTE },
    enforce: access.enforce,
    exposure,
    clientAddress: makeClientAddress(config),
  });
  const limits = limitRulesOf(config);
  if (limits.length > 0) {
    const redis = config.REDIS_URL === undefined ? undefined : stack.use(openRedis(config.REDIS_URL));
    app.onRequest(
      makeRequestLimits({ rules: limits, limiter: makeLimiter({ name: "broker", redis, metrics }), metrics }),
    );
  }
  app.use(
    routes(
      { operations, receipts, access, keys },
      {
        inboxUrl: config.INBOX_URL,
        version: runtime.version,
        isDescribed: config.OPENAPI === "on",
        isMeasured: exposure.metrics === "open",
        environment: config.ENVIRONMENT,
        isBreakable: config.CHAOS_URL !== undefined,
      },
    ),
  );
  app.use(intakeRoutes({ operations, access }));
  app.use(
    v1({
      sessions,
      access,
      auth: login,
      health: makePlatformHealth({
        version: runtime.version,
        own: health,
        pools,
        registry: () => discovery.registry(),
      }),
    }),
  );
  const stopping = new AbortController();
  let patience: ReturnType<typeof setTimeout> | undefined;
  const desk = makeDesk({ tells: "actor", answers, stopping: stopping.signal });
  const loggerReports = { client: logger, edge: edge("logger_reports") };
  app.use(
    operatorRoutes({
      desk,
      listener: { client: listener, edge: edge("listener") },
      listenerCommands: { client: listener, edge: edge("listener_commands") },
      logger: loggerReports,
    }),
  );
  app.use(
    chaosRoutes(desk, config.CHAOS_URL === undefined ? undefined : controllerAt(config.CHAOS_URL, config.CHAOS_TOKEN)),
  );
  app.use(traceRoutes(desk, loggerReports));
  app.use(
    logRoutes({
      desk,
      access,
      logger: { client: logger, edge: edge("logger_queries") },
      exports: { logger: pools.logger, key, edge: edge("logger_exports"), stopping: stopping.signal },
    }),
  );
  app.use(
    mailRoutes({
      operations,
      access,
      desk,
      mail: { client: mail, edge: edge("mail_reports") },
      mailCommands: { client: mail, edge: edge("mail_commands") },
    }),
  );
  app.use(
    identityRoutes({
      desk: makeDesk({ tells: "credential", answers, stopping: stopping.signal }),
      hashing: login,
      commands: { client: auth, edge: edge("auth_commands") },
      reads: { client: auth, edge: edge("auth_reads") },
      onLogin: (reply) => sessions.opened(reply),
    }),
  );
  app.use(
    logLevelRoutes({
      log,
      instances: () =>
        new Map(
          Object.entries(pools).map(([service, pool]) => [
            service,
            pool
              .distinct()
              .map(({ endpoint }) => ({ instance: endpoint.url, client: clientOfOne(service, endpoint, { key }) })),
          ]),
        ),
    }),
  );
  app.use(unsubscribeRoutes({ mail: pools.mail, key, edge: edge("mail_unsubscribe") }));
  const tail = makeBrokerTail({
    loggers: () => pools.logger.distinct().map(({ endpoint }) => endpoint),
    key,
    log,
    metrics,
  });
  stack.use(tail);
  app.use(tailRoutes({ tail, access }));
  app.use(figureRoutes(stack.use(makeFigures({ own: metrics, pools, key, log }))));
  checkRules(app.routes);
  stack.defer(() => clearTimeout(patience));
  const listening = stack.use(listen(app, config, guardOf(config, runtime)));
  // First of all, since the door waits for what is under way.
  stack.defer(() => {
    tail[Symbol.dispose]();
    patience = setTimeout(() => stopping.abort(new Error("the broker is stopping")), PATIENCE_MS);
  });
  const opened = stack.move();
  return { url: listening.url, routes: app.routes, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}
