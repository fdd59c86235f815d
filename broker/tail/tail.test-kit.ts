/** For tests and benchmarks of the tail: loggers as processes of their own, a broker's tail over them, and clients. */
import { join } from "node:path";
import { RPC_LOG_BATCH } from "#contracts/logs";
import type { TailItem } from "#contracts/log-tail";
import { httpApp, listen } from "#shared/http";
import { makeRuntime } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { makeRpcClient } from "#shared/rpc";
import type { ReceivedEvent } from "#shared/sse";
import { followEvents } from "#shared/sse-testing";
import { makeMetrics, newContext } from "#shared/telemetry";
import { metricOf } from "#shared/telemetry-testing";
import { remember } from "../access/principal.ts";
import { makeBrokerTail } from "./hub.ts";
import { tailRoutes } from "./routes.ts";

const ROOT = join(import.meta.dir, "../..");

/** A logger of its own process on free ports. @param mongodbUrl with its database. */
export async function startLoggerProcess(mongodbUrl: string, ports: { http?: number; rpc?: number } = {}) {
  const child = Bun.spawn([process.execPath, "logger/main.ts"], {
    cwd: ROOT,
    env: {
      ...process.env,
      PORT: String(ports.http ?? 0),
      RPC_PORT: String(ports.rpc ?? 0),
      MONGODB_URL: mongodbUrl,
      LOG_LEVEL: "info",
    },
    stdout: "pipe",
    stderr: "inherit",
  });
  const started = Promise.withResolvers<{ url: string; rpcPort: number }>();
  const read = async (): Promise<void> => {
    let rpcPort = 0;
    let rest = "";
    for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = `${rest}${chunk}`.split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const told = JSON.parse(line) as { msg?: string; message?: string; url?: string; port?: number };
        const text = told.message ?? told.msg;
        if (text === "RPC listening") rpcPort = told.port ?? 0;
        if (text === "listening") started.resolve({ url: told.url ?? "", rpcPort });
      }
    }
    started.reject(new Error("the logger ended"));
  };
  void read();
  const { url, rpcPort } = await started.promise;
  for (let tries = 0; (await fetch(`${url}/ready`)).status !== 200; tries += 1) {
    if (tries > 600) throw new Error("the logger is not ready");
    await Bun.sleep(50);
  }
  const metrics = makeMetrics("test", "0");
  metrics[Symbol.dispose]();
  const client = makeRpcClient({ url: `tcp://127.0.0.1:${rpcPort}`, client: "test", log: silentLog, metrics });
  return {
    url,
    rpcPort,
    client,
    async store(entries: readonly object[]): Promise<void> {
      for (let at = 0; at < entries.length; at += 200) {
        const stored = await client.call(RPC_LOG_BATCH, [entries.slice(at, at + 200)], newContext(5_000));
        if (!stored.ok) throw stored.error;
      }
    },
    async kill(): Promise<void> {
      child.kill("SIGKILL");
      await child.exited;
    },
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]();
      child.kill("SIGTERM");
      await child.exited;
    },
  };
}

/** The broker's route alone, for everybody, over the loggers that `urls` names. `may`: whether credentials still count. */
export function startTail(urls: () => readonly string[]) {
  const runtime = makeRuntime("broker", silentLog, () => undefined);
  const state = { may: true };
  const tail = makeBrokerTail({
    loggers: () => urls().map((url) => ({ url })),
    key: undefined,
    log: silentLog,
    metrics: runtime.metrics,
  });
  const app = httpApp(runtime, ["*"], {
    enforce: async ({ request }) => {
      remember(request, { kind: "anonymous", address: request.headers.get("x-test-caller") ?? "one" });
    },
  });
  app.use(tailRoutes({ tail, access: { stillMay: async () => state.may } }));
  const http = listen(app, { HOST: "127.0.0.1", PORT: 0 });
  return {
    url: http.url,
    state,
    metric: (name: string) => metricOf(runtime.metrics, name),
    async [Symbol.asyncDispose]() {
      tail[Symbol.dispose]();
      await http[Symbol.asyncDispose]();
      runtime.metrics[Symbol.dispose]();
    },
  };
}

/** Follows `GET /v1/logs/tail`. `at`: when each entry came (ms, monotonic). */
export async function follow(url: string, query: string, headers: Record<string, string> = {}) {
  const events: ReceivedEvent[] = [];
  const entries: TailItem[] = [];
  const at: number[] = [];
  const ask = (signal: AbortSignal) => fetch(`${url}/v1/logs/tail?${query}`, { headers, signal });
  const following = await followEvents(ask, (event) => {
    if (event.event === "entry") {
      entries.push(JSON.parse(event.data) as TailItem);
      at.push(performance.now());
    } else events.push(event);
  });
  // Not spread: `lastId` goes on.
  return Object.assign(following, { events, entries, at });
}
