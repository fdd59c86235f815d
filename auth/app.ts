/** Puts auth together: the only file that knows all its parts. */
import { availableParallelism } from "node:os";
import { IDENTITY_EXCHANGE } from "#contracts/identity";
import { makePublisher, topologyOf } from "#shared/amqp";
import { makeJsonClient } from "#shared/client";
import { corsOriginsOf, type Secret } from "#shared/config";
import { advertised, announce, openDiscovery } from "#shared/discovery";
import { exposureOf, httpApp, listen } from "#shared/http";
import type { App, Runtime } from "#shared/lifecycle";
import { ok } from "#shared/errors";
import { makeDelays } from "#shared/limits";
import { makeRedis } from "#shared/redis";
import { makeDatabase } from "#shared/postgres";
import { type EdgeState, makeEdge } from "#shared/resilience";
import { runSagas } from "#shared/saga";
import { makeCallers } from "#shared/service-keys";
import { makeApiKeys } from "./api-keys/api-keys.ts";
import { keepLastUsed } from "./api-keys/last-used.ts";
import { apiKeyRoutes } from "./api-keys/routes.ts";
import { makeApiKeyStore } from "./api-keys/store.ts";
import { deliveryOf, makeClients } from "./clients.ts";
import { type Config, isThrottled, keyMaxAgeOf, secretOf } from "./config.ts";
import { isDevelopmentUser } from "./development-user.ts";
import { makeHashers } from "./hashers.ts";
import { makeAccountName, makeSealer, makeSuccession } from "./keys.ts";
import { makeKnown } from "./known.ts";
import { MIGRATIONS } from "./migrations.ts";
import { startRelay } from "./outbox/relay.ts";
import { checkNewPassword } from "./passwords-policy/policy.ts";
import { makeAdmit, makePrincipals } from "./principal.ts";
import { makeOutbox } from "./outbox/outbox.ts";
import { makePasswords } from "./passwords.ts";
import { makeRegister, registrationViewOf } from "./registration/register.ts";
import { makeRegistrationStore } from "./registration/registration-store.ts";
import { makeRegistrationSaga } from "./registration/welcome.ts";
import { makeAccountMails } from "./flows/account-mails.ts";
import { makeConfirm } from "./flows/confirm.ts";
import { makeLinks } from "./flows/links.ts";
import { runMailRequests } from "./flows/requests.ts";
import { flowRoutes } from "./flows/routes.ts";
import { makeSignInMails } from "./flows/sign-in.ts";
import { CALLERS, type Operations, routes } from "./routes.ts";
import { makeEnding } from "./sessions/end.ts";
import { KEYS_CHANNEL, makeKeyStore } from "./sessions/key-store.ts";
import { makeKeyring } from "./sessions/keyring.ts";
import { makeLogin } from "./sessions/login.ts";
import { makeRefresh } from "./sessions/refresh.ts";
import { type Refusal, startRefusals } from "./sessions/refusals.ts";
import { makeRevocations } from "./sessions/revocations.ts";
import { sessionRoutes } from "./sessions/routes.ts";
import { makeSessionStore } from "./sessions/session-store.ts";
import { makeSessions } from "./sessions/sessions.ts";
import { startSweep } from "./sessions/sweep.ts";
import { makeThrottle, throttled, unthrottled } from "./sessions/throttle.ts";
import { makeTokens } from "./sessions/tokens.ts";
import { makeStore, type Store } from "./store.ts";
import { makeUsers } from "./users/manage.ts";
import { userRoutes } from "./users/routes.ts";
import { makeUserStore } from "./users/user-store.ts";

/** Connections to PostgreSQL at most. */
const MAX_CONNECTIONS = 25;
const DAY_MS = 86_400_000;

/**
 * Starts auth. It answers `/ping` at once; logins are answered 503 until the database is there and migrated.
 * @throws StartError where the address cannot be listened on.
 */
export async function start(config: Config, runtime: Runtime): Promise<App> {
  const { log, metrics, health } = runtime;
  await using stack = new AsyncDisposableStack();
  const secret = secretOf(config);
  if (config.AUTH_SECRET === undefined) log.warn("AUTH_SECRET is not set: everybody knows the one of development");

  const database = stack.use(
    makeDatabase({
      url: config.DATABASE_URL,
      name: "auth",
      log,
      metrics,
      dependency: health.dependency("postgres"),
      migrations: MIGRATIONS,
      // One more listens.
      maxConnections: MAX_CONNECTIONS - 1,
    }),
  );
  // Neither is needed to be ready: registrations go on once they are back.
  const optional = { required: false };
  const openRedis = (url: Secret) =>
    makeRedis({ url, name: "auth", metrics, dependency: health.dependency("redis", optional) });
  const mailUp = health.dependency("mail", optional);
  const discovery = stack.use(openDiscovery({ config, rabbitmqUrl: config.RABBITMQ_URL, name: "auth", log, metrics }));
  const mailPool = discovery.http("mail", config.MAIL_URL, mailUp);
  const mailClient = makeJsonClient("the mail service", mailPool, { key: config.SERVICE_KEY, metrics });
  const circuit = metrics.gauge("circuitbreaker_state", "0 closed, 1 half-open, 2 open.", ["name"]);
  const onState = (state: EdgeState): void => {
    circuit.set({ name: "mail" }, { closed: 0, "half-open": 1, open: 2 }[state]);
    mailUp.circuit(state);
  };
  onState("closed");
  // A mail waits up to 2 s for its first attempt. No retry: the workflow tries again.
  const mailEdge = makeEdge({ name: "auth→mail", attemptMs: 3_000, totalMs: 5_000, concurrent: 16, onState });
  const topology = topologyOf({ logsQueue: config.LISTENER_QUEUE, logsBindings: config.LISTENER_BINDINGS });
  const publisher = stack.use(
    makePublisher({
      url: config.RABBITMQ_URL,
      name: "auth publish",
      log,
      metrics,
      dependency: health.dependency("rabbitmq", optional),
      topology: { ...topology, exchanges: [...topology.exchanges, { name: IDENTITY_EXCHANGE, type: "topic" }] },
    }),
  );
  const clients = makeClients({ mail: { client: mailClient, edge: mailEdge }, publisher });
  const outboxSealer = makeSealer(secret, "outbox");
  const relay = stack.use(
    startRelay({ database, sealer: outboxSealer, publisher, sendMail: deliveryOf(clients.sendMail), log, metrics }),
  );
  health.backlog("outbox", () => relay.waiting);
  const store = makeStore(database);
  const redis = config.REDIS_URL === undefined ? undefined : stack.use(openRedis(config.REDIS_URL));
  const known = makeKnown({
    store,
    database,
    ttlMs: config.USER_CACHE_MS,
    shared: redis === undefined ? undefined : { redis, sealer: makeSealer(secret, "cache") },
    metrics,
  });
  const outbox = known.telling(makeOutbox(outboxSealer, () => relay.ring()));
  const ending = makeEnding(outbox);
  const letterhead = { from: config.WELCOME_FROM, publicUrl: config.PUBLIC_URL };
  const links = makeLinks({ database, outbox, letterhead });
  const tellOwner = makeAccountMails(outbox, letterhead);

  const sessionStore = makeSessionStore(database);
  const sealer = makeSealer(secret);
  const tokens = stack.use(
    makeTokens({
      keyring: makeKeyring({ store: makeKeyStore(database), sealer, outbox, maxAgeMs: keyMaxAgeOf(config) }),
      sealer,
      ready: (deadline) => database.ready(deadline),
      onChange: (heard) => database.listen(KEYS_CHANNEL, heard),
      dependency: health.dependency("signing_keys"),
      log,
    }),
  );
  const hashers = stack.use(
    makeHashers({ threads: config.HASH_WORKERS ?? availableParallelism(), line: config.HASH_QUEUE, log, metrics }),
  );
  const passwords = makePasswords({ hashers, secret, cost: config.BCRYPT_COST, log });
  const life = { idleMs: config.SESSION_IDLE_DAYS * DAY_MS, maxMs: config.SESSION_MAX_DAYS * DAY_MS };
  const nameOf = makeAccountName(secret);
  const refusals = stack.use(startRefusals({ database, outbox, nameOf, log }));
  const onRefused = (refusal: Refusal): void => refusals.note(refusal);
  const addressesOf: Store["findAddresses"] = (account, context) => store.findAddresses(account, context);
  const throttle = isThrottled(config)
    ? makeThrottle({ delays: makeDelays({ name: "login", redis }), nameOf, addressesOf, metrics })
    : unthrottled;
  const login = stack.use(
    throttled(
      throttle,
      makeLogin({
        store,
        sessions: sessionStore,
        passwords,
        tokens,
        ending,
        outbox,
        idleMs: Math.min(life.idleMs, life.maxMs),
        onNewPlace: makeSignInMails(outbox, letterhead),
        onRefused,
        isRefused: (credentials) => config.ENVIRONMENT === "production" && isDevelopmentUser(credentials),
        log,
        metrics,
      }),
    ),
  );
  const successorOf = makeSuccession(secret);
  const refresh = makeRefresh({ sessions: sessionStore, tokens, ending, outbox, successorOf, life, metrics });
  const sessions = makeSessions({
    store: sessionStore,
    passwords,
    checkNewPassword,
    throttle,
    onRefused,
    ending,
    outbox,
    tellOwner,
  });
  const apiKeyStore = makeApiKeyStore(database);
  const lastUsed = stack.use(keepLastUsed({ store: apiKeyStore, log }));
  const apiKeys = makeApiKeys({ store: apiKeyStore, outbox, ending, lastUsed });
  const admit = makeAdmit(
    makePrincipals({ store: known, tokens, holderOf: (key, context) => apiKeys.holderOf(key, context) }),
  );
  stack.use(startSweep({ database, log }));
  const requests = stack.use(runMailRequests({ database, links, outbox, log, metrics }));
  const confirm = makeConfirm({ database, links, passwords, ending, outbox, tellOwner });
  const users = makeUsers({ store: makeUserStore(database), outbox, ending, links, tellOwner });

  const registrations = makeRegistrationStore(database);
  const saga = makeRegistrationSaga({ ...clients, store: registrations });
  const sagas = stack.use(runSagas({ database, sagas: [saga], log, metrics }));
  const register = makeRegister({
    store: registrations,
    passwords,
    throttle,
    saga,
    sagas,
    links,
    outbox,
    from: config.WELCOME_FROM,
    metrics,
  });
  const registrationOf: Operations["registrationOf"] = async (userId, context) => {
    const found = await registrations.findByUser(userId, context);
    return found.ok ? ok(found.value === undefined ? undefined : registrationViewOf(found.value)) : found;
  };

  const revocations = makeRevocations(database);
  const callers = makeCallers(config.SERVICE_CALLERS, CALLERS);
  const http = httpApp(runtime, corsOriginsOf(config), { callers, exposure: exposureOf(config) })
    .use(routes({ register, registrationOf, admit }))
    .use(userRoutes({ admit, users }))
    .use(apiKeyRoutes(apiKeys, admit))
    .use(flowRoutes({ requests, confirm }))
    .use(sessionRoutes({ login, refresh, sessions, revocations, admit, tokens }));
  const server = stack.use(listen(http, config));
  // Before the door closes it says so.
  stack.use(
    announce({
      service: "auth",
      rabbitmqUrl: config.RABBITMQ_URL,
      url: advertised(config, server.url),
      version: runtime.version,
      key: config.ANNOUNCE_KEY,
      log,
    }),
  );

  const opened = stack.move();
  return { url: server.url, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}
