/** The logger put together. */
import { corsOriginsOf } from "#shared/config";
import { exposureOf, httpApp, listen } from "#shared/http";
import { type App, EXIT, type Runtime, StartError } from "#shared/lifecycle";
import { type RpcServer, serveRpc } from "#shared/rpc";
import { makeCallers } from "#shared/service-keys";
import type { Config } from "./config.ts";
import { makeEntries } from "./entries.ts";
import { makeFinder } from "./find.ts";
import { makeGaps } from "./gaps.ts";
import { makeGapsStore } from "./gaps-store.ts";
import { connectMongo } from "./mongo.ts";
import { makeRegistry } from "./registry.ts";
import { CALLERS, routes } from "./routes.ts";
import { methodsOf } from "./rpc.ts";
import { makeStore } from "./store.ts";

export interface LoggerApp extends App {
  readonly rpcPort: number;
}

/**
 * Serves at once; MongoDB is connected to in the background.
 * @throws StartError where an address is taken or MONGODB_URL is of no use to the driver.
 */
export async function start(config: Config, runtime: Runtime): Promise<LoggerApp> {
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
  const entries = opened.use(makeEntries(makeStore(connection, registry, log), { log, metrics }));
  const rpc = opened.use(openRpc(config, runtime, methodsOf(entries, makeFinder(connection))));
  const callers = makeCallers(config.SERVICE_CALLERS, CALLERS);
  const app = httpApp(runtime, corsOriginsOf(config), { callers, exposure: exposureOf(config) });
  const http = opened.use(listen(routes(app, entries, makeGaps(makeGapsStore(connection))), config));
  log.info("RPC listening", { host: config.HOST, port: rpc.port });
  const open = opened.move();
  return {
    url: http.url,
    rpcPort: rpc.port,
    async [Symbol.asyncDispose]() {
      // The doors first, both at once: they wait for the calls in hand. Then what these took is stored, then MongoDB left.
      await Promise.all([http[Symbol.asyncDispose](), rpc[Symbol.asyncDispose]()]);
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
