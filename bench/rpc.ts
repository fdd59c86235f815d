/**
 * How many RPC calls a second does one connection carry? Server and client in processes of their own, a log entry of
 * {name: 20 characters, data: 100 characters} answered by an asynchronous method that asks for its deadline and stores
 * nothing; 1 s of warm-up, then 2 s, with 1 and with 64 callers.
 *
 * Run: bun bench/rpc.ts
 */
import { ok } from "#shared/errors";
import { makeLog } from "#shared/log";
import { makeRpcClient, serveRpc } from "#shared/rpc";
import { makeMetrics, newContext } from "#shared/telemetry";

const METHOD = "RPCServer.LogInfo";
const WARM_UP_MS = 1_000;
const MEASURED_MS = 2_000;
const CALLERS = [1, 64];

const log = makeLog({ service: "bench", level: "warn" });
const metrics = makeMetrics("bench", "0");

/** User and system CPU time of this process so far (µs). */
function cpuUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

function serve(): void {
  const server = serveRpc({
    host: "127.0.0.1",
    port: 0,
    server: "bench",
    version: "0",
    log,
    metrics,
    methods: {
      [METHOD]: async (_params, { deadline }) => (deadline.passed ? ok("too late") : ok("Processing succeeded")),
      cpu: () => ok(cpuUs()),
    },
  });
  process.send?.(server.port);
}

interface Point {
  calls: number;
  failed: number;
  latenciesMs: Float64Array;
  clientUs: number;
}

async function load(
  client: ReturnType<typeof makeRpcClient>,
  callers: number,
  ms: number,
  context = newContext(60_000),
): Promise<Point> {
  const latenciesMs = new Float64Array(2_000_000);
  const params = [{ name: "a name of 20 letters", data: "x".repeat(100) }];
  const until = performance.now() + ms;
  const cpuBefore = cpuUs();
  let calls = 0;
  let failed = 0;
  const caller = async (): Promise<void> => {
    for (let start = performance.now(); start < until; ) {
      const result = await client.call(METHOD, params, context);
      const now = performance.now();
      if (!result.ok) failed += 1;
      latenciesMs[calls++ % latenciesMs.length] = now - start;
      start = now;
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  return {
    calls,
    failed,
    latenciesMs: latenciesMs.subarray(0, Math.min(calls, latenciesMs.length)).sort(),
    clientUs: cpuUs() - cpuBefore,
  };
}

async function measure(port: number): Promise<void> {
  await using client = makeRpcClient({ url: `tcp://127.0.0.1:${port}`, client: "bench", log, metrics });
  const serverUs = async (): Promise<number> => {
    const used = await client.call("cpu", [], newContext(5_000));
    if (!used.ok) throw used.error;
    return used.value as number;
  };
  const rows: Record<string, string | number>[] = [];
  for (const callers of CALLERS) {
    await load(client, callers, WARM_UP_MS);
    const before = await serverUs();
    const { calls, failed, latenciesMs, clientUs } = await load(client, callers, MEASURED_MS);
    const server = (await serverUs()) - before;
    const at = (share: number): string => (latenciesMs[Math.floor(latenciesMs.length * share)] ?? 0).toFixed(3);
    rows.push({
      callers,
      "calls/s": Math.round(calls / (MEASURED_MS / 1_000)),
      failed,
      "p50 ms": at(0.5),
      "p99 ms": at(0.99),
      "server CPU us/call": (server / calls).toFixed(2),
      "client CPU us/call": (clientUs / calls).toFixed(2),
    });
  }
  console.table(rows);
}

if (process.argv[2] === "serve") serve();
else {
  const { promise: listening, resolve } = Promise.withResolvers<number>();
  const server = Bun.spawn([process.execPath, import.meta.path, "serve"], {
    ipc: (port) => resolve(port as number),
    stdout: "inherit",
    stderr: "inherit",
  });
  try {
    await measure(await listening);
  } finally {
    server.kill();
    await server.exited;
    metrics[Symbol.dispose]();
  }
}
