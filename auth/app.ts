/** Puts auth together: the only file that knows all its parts. */
import { availableParallelism } from "node:os";
import { makePublisher, topologyOf } from "#shared/amqp";
import { makeJsonClient, watchService } from "#shared/client";
import { corsOriginsOf } from "#shared/config";
import { exposureOf, httpApp, listen } from "#shared/http";
import type { App, Runtime } from "#shared/lifecycle";
import { ok } from "#shared/errors";
import { makeDatabase } from "#shared/postgres";
import { type EdgeState, makeEdge } from "#shared/resilience";
import { runSagas } from "#shared/saga";
import { makeClients } from "./clients.ts";
import { type Config, secretOf } from "./config.ts";
import { isDevelopmentUser } from "./development-user.ts";
import { makeHashers } from "./hashers.ts";
import { makeSealer } from "./keys.ts";
import { makeLogin } from "./sessions/login.ts";
import { makeMe } from "./sessions/me.ts";
import { MIGRATIONS } from "./migrations.ts";
import { makePasswords } from "./passwords.ts";
import { makeRegister, registrationViewOf } from "./registration/register.ts";
import { makeRegistrationStore } from "./registration/registration-store.ts";
import { type Operations, routes } from "./routes.ts";
import { makeStore } from "./store.ts";
import { makeTokens } from "./sessions/tokens.ts";
import { makeRegistrationSaga } from "./registration/welcome.ts";

/** Contract: the pool has at most 25 connections. */
const MAX_CONNECTIONS = 25;

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
      maxConnections: MAX_CONNECTIONS,
    }),
  );
  const store = makeStore(database);
  const tokens = stack.use(
    makeTokens({
      store,
      sealer: makeSealer(secret),
      ready: (deadline) => database.ready(deadline),
      dependency: health.dependency("signing_keys"),
      log,
    }),
  );
  const hashers = stack.use(
    makeHashers({ threads: config.HASH_WORKERS ?? availableParallelism(), line: config.HASH_QUEUE, log, metrics }),
  );
  const passwords = makePasswords({ hashers, secret, cost: config.BCRYPT_COST, log });
  const login = stack.use(
    makeLogin({
      store,
      passwords,
      tokens,
      isRefused: (credentials) => config.ENVIRONMENT === "production" && isDevelopmentUser(credentials),
      log,
      metrics,
    }),
  );
  const me = makeMe({ store, tokens });

  // Neither is needed to be ready: registrations go on once they are back.
  const optional = { required: false };
  const mailUp = health.dependency("mail", optional);
  const mailClient = makeJsonClient("the mail service", config.MAIL_URL);
  stack.use(watchService(mailClient, mailUp));
  const circuit = metrics.gauge("circuitbreaker_state", "0 closed, 1 half-open, 2 open.", ["name"]);
  const onState = (state: EdgeState): void => {
    circuit.set({ name: "mail" }, { closed: 0, "half-open": 1, open: 2 }[state]);
    mailUp.circuit(state);
  };
  onState("closed");
  // A mail waits up to 2 s for its first attempt. No retry: the workflow tries again.
  const mailEdge = makeEdge({ name: "auth→mail", attemptMs: 3_000, totalMs: 5_000, concurrent: 16, onState });
  const publisher = stack.use(
    makePublisher({
      url: config.RABBITMQ_URL,
      name: "auth publish",
      log,
      metrics,
      dependency: health.dependency("rabbitmq", optional),
      topology: topologyOf({ logsQueue: config.LISTENER_QUEUE, logsBindings: config.LISTENER_BINDINGS }),
    }),
  );
  const registrations = makeRegistrationStore(database);
  const clients = makeClients({ mail: { client: mailClient, edge: mailEdge }, publisher });
  const saga = makeRegistrationSaga({ ...clients, store: registrations });
  const sagas = stack.use(runSagas({ database, sagas: [saga], log, metrics }));
  const register = makeRegister({
    store: registrations,
    passwords,
    saga,
    sagas,
    from: config.WELCOME_FROM,
    metrics,
  });
  const registrationOf: Operations["registrationOf"] = async (userId, deadline) => {
    const found = await registrations.findByUser(userId, deadline);
    return found.ok ? ok(found.value === undefined ? undefined : registrationViewOf(found.value)) : found;
  };

  const operations = { login, me, register, registrationOf, tokens };
  const server = stack.use(
    listen(httpApp(runtime, corsOriginsOf(config), { exposure: exposureOf(config) }).use(routes(operations)), config),
  );

  const opened = stack.move();
  return { url: server.url, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}
