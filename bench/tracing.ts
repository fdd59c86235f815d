/**
 * What does tracing cost? Three brokers, each in a process of its own: without it, as it is by default (50 traces a second),
 * and with every trace recorded. Behind them one process that answers the logger's RPC at once and takes their spans. Clients hold 64
 * connections with one request at a time on each; rounds of the three alternate, so that all of them see the same machine. Each round of a kind is
 * compared with the round without that is beside it: the median of these ratios counts, and their spread is told.
 *
 * Run: bun bench/tracing.ts [rounds, default 7]
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "#shared/config";
import { makeRuntime } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { ok } from "#shared/errors";
import { serveRpc } from "#shared/rpc";
import { makeMetrics } from "#shared/telemetry";
import { startTracing, tracingOf } from "#shared/tracing";
import { start } from "../broker/app.ts";
import { fields } from "../broker/config.ts";
import { median, rate } from "./http-load.ts";

const ROUNDS = Number(process.argv[2]) || 7;
const WARM_UP_MS = 1_000;
const MEASURED_MS = 2_000;
const NOWHERE = "127.0.0.1:1";

const KINDS = {
  off: { OTEL_SDK_DISABLED: "true" },
  default: {},
  always_on: { OTEL_TRACES_SAMPLER: "parentbased_always_on" },
} as const;
type Kind = keyof typeof KINDS;

const BODY = JSON.stringify({ action: "log", log: { name: "bench", data: { text: "x".repeat(200) } } });
const REQUESTS: Readonly<Record<string, string>> = {
  "GET, no such route": "GET /v1/nothing HTTP/1.1\r\nHost: localhost\r\n\r\n",
  "POST /handle log": `POST /handle HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`,
};

/** Answers at once, and counts the bytes of spans that it takes. */
function behind(): void {
  const metrics = makeMetrics("behind", "0");
  const rpc = serveRpc({
    host: "127.0.0.1",
    port: 0,
    server: "logger",
    version: "0",
    log: silentLog,
    metrics,
    methods: { "RPCServer.LogInfo": () => Promise.resolve(ok("Processing succeeded")) },
  });
  const traces = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      await request.bytes();
      return Response.json({});
    },
  });
  process.send?.({ rpc: rpc.port, traces: traces.port });
}

async function broker(kind: Kind, rpc: string, traces: string, dir: string): Promise<void> {
  const config = loadConfig("broker", fields, {
    PORT: "0",
    LOGGER_RPC_URL: `tcp://127.0.0.1:${rpc}`,
    TRACES_URL: `http://127.0.0.1:${traces}`,
    AUTH_URL: `http://${NOWHERE}`,
    MAIL_URL: `http://${NOWHERE}`,
    LISTENER_URL: `http://${NOWHERE}`,
    LOGGER_URL: `http://${NOWHERE}`,
    RABBITMQ_URL: `amqp://${NOWHERE}`,
    RATE_LIMITS: "off",
    SPOOL_DIR: dir,
    ...KINDS[kind],
  });
  const runtime = makeRuntime("broker", silentLog, () => undefined);
  const settings = tracingOf("broker", "0", config);
  const counts: Record<string, number> = {};
  const onCount = ({ result, spans }: { result: string; spans: number }): void => {
    counts[result] = (counts[result] ?? 0) + spans;
  };
  if (settings !== undefined) startTracing(settings, { log: silentLog, onCount });
  const app = await start(config, runtime);
  process.on("message", () => {
    const { user, system } = process.cpuUsage();
    process.send?.({ cpu: user + system, counts });
  });
  process.send?.({ port: new URL(app.url).port });
}

interface Child {
  readonly child: Bun.Subprocess;
  readonly first: Record<string, number>;
  readonly ask: () => Promise<{ cpu: number; counts: Record<string, number> }>;
}

async function spawn(...args: string[]): Promise<Child> {
  const heard: ((message: never) => void)[] = [];
  const next = <T>(): Promise<T> =>
    new Promise((resolve) => {
      heard.push(resolve);
    });
  const first = next<Record<string, number>>();
  const child = Bun.spawn([process.execPath, import.meta.path, ...args], {
    stdio: ["ignore", "inherit", "inherit"],
    ipc: (message: unknown) => heard.shift()?.(message as never),
  });
  return {
    child,
    first: await first,
    ask() {
      const answer = next<{ cpu: number; counts: Record<string, number> }>();
      child.send("cpu");
      return answer;
    },
  };
}

interface Round {
  readonly perSecond: number;
  /** Of the broker, for one request (µs). */
  readonly cpuUs: number;
}

async function measure({ first, ask }: Child, request: string): Promise<Round> {
  const before = await ask();
  const startedAt = performance.now();
  const perSecond = await rate(Number(first["port"]), request, MEASURED_MS);
  const answered = (perSecond * (performance.now() - startedAt)) / 1_000;
  return { perSecond, cpuUs: ((await ask()).cpu - before.cpu) / answered };
}

const spread = (all: readonly number[]): string =>
  `${median(all).toFixed(3)} (${Math.min(...all).toFixed(2)}–${Math.max(...all).toFixed(2)})`;

async function main(): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), "bench-tracing-"));
  const back = await spawn("behind");
  const kinds = Object.keys(KINDS) as Kind[];
  const brokers = new Map<Kind, Child>();
  for (const kind of kinds) {
    brokers.set(
      kind,
      await spawn("broker", kind, String(back.first["rpc"]), String(back.first["traces"]), join(dir, kind)),
    );
  }
  const table: Record<string, unknown>[] = [];
  for (const [name, request] of Object.entries(REQUESTS)) {
    const rounds = new Map<Kind, Round[]>(kinds.map((kind) => [kind, []]));
    for (const child of brokers.values()) await rate(Number(child.first["port"]), request, WARM_UP_MS);
    for (let round = 0; round < ROUNDS; round += 1) {
      // Each has its turn at being first.
      for (let index = 0; index < kinds.length; index += 1) {
        const kind = kinds[(round + index) % kinds.length] as Kind;
        rounds.get(kind)?.push(await measure(brokers.get(kind) as Child, request));
      }
    }
    const off = rounds.get("off") as Round[];
    for (const [kind, own] of rounds) {
      table.push({
        request: name,
        tracing: kind,
        "1/s": Math.round(median(own.map(({ perSecond }) => perSecond))),
        "rate to off": spread(own.map(({ perSecond }, round) => perSecond / (off[round]?.perSecond ?? 1))),
        "CPU µs": Math.round(median(own.map(({ cpuUs }) => cpuUs))),
        "CPU to off": spread(own.map(({ cpuUs }, round) => cpuUs / (off[round]?.cpuUs ?? 1))),
      });
    }
  }
  console.table(table);
  for (const [kind, child] of brokers) console.log(`spans of ${kind}:`, (await child.ask()).counts);
  for (const { child } of [...brokers.values(), back]) child.kill();
  await rm(dir, { recursive: true, force: true });
}

const [, , role, ...args] = process.argv;
if (role === "behind") behind();
else if (role === "broker") await broker(args[0] as Kind, args[1] ?? "", args[2] ?? "", args[3] ?? "");
else await main();
