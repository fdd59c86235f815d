/** For tests only: a whole logger on a database of its own, and a way to take MongoDB away from it. */
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { MongoClient } from "mongodb";
import { loadConfig } from "#shared/config";
import { makeRuntime } from "#shared/lifecycle";
import { makeLog } from "#shared/log";
import { makeRpcClient } from "#shared/rpc";
import { newContext } from "#shared/telemetry";
import { metricOf } from "#shared/telemetry-testing";
import { start, type StartOptions } from "./app.ts";
import { fields } from "./config.ts";

export const TEST_MONGODB_URL = process.env["TEST_MONGODB_URL"];
/** For titles of tests that are skipped without one. */
export const NEEDS_MONGODB = "(needs TEST_MONGODB_URL)";

/** Looks until `done` holds; rejects when it does not within `ms`. */
export async function until(done: () => boolean | Promise<boolean>, what: string, ms = 8_000): Promise<void> {
  const end = performance.now() + ms;
  while (!(await done())) {
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await Bun.sleep(10);
  }
}

/** The test server with another database, and other hosts where `host` is given. */
export function mongoUrl(database: string, host?: string): string {
  const url = new URL(TEST_MONGODB_URL ?? "mongodb://127.0.0.1:1");
  url.pathname = `/${database}`;
  if (host !== undefined) url.host = host;
  return url.href;
}

export interface Database extends AsyncDisposable {
  readonly name: string;
  readonly client: MongoClient;
  readonly logs: ReturnType<typeof logsOf>;
}

function logsOf(client: MongoClient, name: string) {
  return client.db(name).collection("logs");
}

/** A database of its own for a test, dropped afterwards. */
export async function makeDatabase(): Promise<Database> {
  const name = `logger_test_${Bun.randomUUIDv7().replaceAll("-", "").slice(0, 24)}`;
  const client = await new MongoClient(mongoUrl(name), { serverSelectionTimeoutMS: 5_000 }).connect();
  return {
    name,
    client,
    logs: logsOf(client, name),
    async [Symbol.asyncDispose]() {
      await client.db(name).dropDatabase();
      await client.close();
    },
  };
}

/** The logger on free ports, with its log lines kept. */
export async function startLogger(url: string, environment: Record<string, string> = {}, options: StartOptions = {}) {
  const lines: Record<string, unknown>[] = [];
  const stops: { code: number; reason: string }[] = [];
  const write = (line: string): void => void lines.push(JSON.parse(line) as Record<string, unknown>);
  const runtime = makeRuntime("logger", makeLog({ service: "logger", write }), (code, reason) =>
    stops.push({ code, reason }),
  );
  const config = loadConfig("logger", fields, { PORT: "0", RPC_PORT: "0", MONGODB_URL: url, ...environment });
  const app = await start(config, runtime, options);
  const rpcUrl = `tcp://127.0.0.1:${app.rpcPort}`;
  return {
    app,
    runtime,
    lines,
    stops,
    rpcUrl,
    ready: async (ms?: number) => {
      const { dependencies } = runtime.health.report();
      await until(() => runtime.health.ready, `ready, was ${JSON.stringify(dependencies)}`, ms);
    },
    post: (body: unknown, path = "/log", headers: Record<string, string> = {}) =>
      fetch(`${app.url}${path}`, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body),
      }),
    /** The value of a metric's line that begins with `name`. */
    metric: (name: string) => metricOf(runtime.metrics, name),
    async [Symbol.asyncDispose]() {
      await app[Symbol.asyncDispose]();
      runtime.metrics[Symbol.dispose]();
    },
  };
}

export type Logger = Awaited<ReturnType<typeof startLogger>>;

/** A client of its RPC, connected. */
export async function connectRpc(logger: Logger, token?: string) {
  const client = makeRpcClient({
    url: logger.rpcUrl,
    client: "test",
    log: makeLog({ service: "test", level: "silent" }),
    metrics: makeRuntime("test", makeLog({ service: "test", level: "silent" }), () => undefined).metrics,
    ...(token === undefined ? {} : { token }),
  });
  await until(() => client.connected, "connected");
  return {
    call: (method: string, params: readonly unknown[], ms = 5_000) => client.call(method, params, newContext(ms)),
    [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
  };
}

/**
 * A way to the test server that can be cut (refused, and connections reset), held (accepted, and nothing passes, for
 * good) or stalled (nothing passes until it goes on, and then all of it). `sent` is what clients have sent.
 */
export async function makeProxy() {
  const sent: Buffer[] = [];
  const target = new URL(TEST_MONGODB_URL ?? "mongodb://127.0.0.1:1");
  const sockets = new Set<Socket>();
  let holding = false;
  const keep = (socket: Socket, other: Socket): void => {
    sockets.add(socket);
    // A reset is what this is for; "close" follows it.
    socket.on("error", () => undefined);
    socket.on("close", () => {
      sockets.delete(socket);
      other.destroy();
    });
    if (!holding) socket.pipe(other);
  };
  const server = createServer((inner) => {
    const outer = connect({ host: target.hostname, port: Number(target.port || 27_017) });
    inner.on("data", (chunk: Buffer) => sent.push(chunk));
    keep(inner, outer);
    keep(outer, inner);
  });
  const listen = (port: number): Promise<void> =>
    new Promise((resolve) => {
      server.listen(port, "127.0.0.1", resolve);
    });
  await listen(0);
  const { port } = server.address() as AddressInfo;
  const reset = (): void => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  return {
    host: `127.0.0.1:${port}`,
    cut() {
      server.close();
      reset();
    },
    hold() {
      holding = true;
      for (const socket of sockets) socket.unpipe();
    },
    stall() {
      for (const socket of sockets) socket.pause();
    },
    goOn() {
      for (const socket of sockets) socket.resume();
    },
    sent: () => Buffer.concat(sent),
    async heal() {
      // What was swallowed leaves holes in the streams: those connections are of no more use.
      if (holding) reset();
      holding = false;
      if (!server.listening) await listen(port);
    },
    [Symbol.dispose]() {
      server.close();
      reset();
    },
  };
}
