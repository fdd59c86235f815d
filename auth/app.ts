/** Puts auth together: the only file that knows all its parts. */
import { availableParallelism } from "node:os";
import { corsOriginsOf } from "#shared/config";
import { httpApp, listen } from "#shared/http";
import type { App, Runtime } from "#shared/lifecycle";
import { makeDatabase } from "#shared/postgres";
import { type Config, secretOf } from "./config.ts";
import { makeHashers } from "./hashers.ts";
import { makeSealer } from "./keys.ts";
import { makeLogin } from "./login.ts";
import { MIGRATIONS } from "./migrations.ts";
import { makePasswords } from "./passwords.ts";
import { routes } from "./routes.ts";
import { makeStore } from "./store.ts";
import { makeTokens } from "./tokens.ts";

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
  const login = stack.use(makeLogin({ store, passwords, tokens, log, metrics }));
  const server = stack.use(listen(httpApp(runtime, corsOriginsOf(config)).use(routes(login, tokens)), config));

  const opened = stack.move();
  return { url: server.url, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}
