import { rm } from "node:fs/promises";
import { join } from "node:path";
import { outsideData } from "../backing/index.ts";
import { CertificatesError, developerFiles, makeCertificates, tlsEnvironment } from "../certificates/files.ts";
import { type Chaos, openChaos } from "../chaos/open.ts";
import { type Command, type Arguments, DATA_OPTION, UsageError } from "../command.ts";
import { describeHolder } from "../holders.ts";
import { isFree } from "../backing/ports.ts";
import { lock } from "../lock.ts";
import { dataDirectory } from "../paths.ts";
import { choosePorts, SERVICE_NAMES } from "../services.ts";
import { type Stack, StackError, startStack } from "../stack.ts";
import { readState } from "../state.ts";
import { summary } from "../summary.ts";
import { takeDownLeftovers } from "../teardown.ts";
import { duration, listed, makeLive, paintFor } from "../terminal.ts";
import { narrate } from "../narrate.ts";

const EXIT_REFUSED = 2;
/** Every part of the platform starts in seconds; a machine that is busy with a build takes longer (ms). */
const READY_MS = 60_000;
/** Where a backing service is missing, some services never get ready: the others have long been by then (ms). */
const READY_WITHOUT_MS = 8_000;
/** What a run leaves below the data directory; anything else in there is not ours to remove. */
const OURS = ["pg", "mongo", "rmq", "mail", "logs", "spool", "chaos"];

export const up: Command = {
  name: "up",
  summary: "start everything: backing services that are missing, and the five services",
  details: `It stays in the foreground; Ctrl-C stops what it started, and nothing else. The data stays for the next time.
Configured backing services are used instead of own ones: DATABASE_URL, MONGODB_URL, RABBITMQ_URL, SMTP_URL.
Exit codes: 0 stopped as asked, 1 a failure, 2 it can't be started (running already, a busy port, a configured
server that can't be used).`,
  options: {
    fresh: { type: "boolean", about: "remove all data of earlier runs first" },
    ports: { type: "string", value: "usual|free", about: "free: any free ports, to run a second platform beside" },
    direct: {
      type: "boolean",
      about: "no proxies between the parts: then nothing can be broken from the console",
    },
    tls: {
      type: "boolean",
      about: "TLS between the services and to the broker, by certificates of bun run certificates",
    },
    json: { type: "boolean", about: "print the state as JSON once it is up, everything else on standard error" },
    data: DATA_OPTION,
  },
  async run(args) {
    const ports = args.text("ports") ?? "usual";
    if (ports !== "usual" && ports !== "free") throw new UsageError(`--ports is usual or free, not "${ports}"`);
    const dataDir = dataDirectory(args.text("data"));
    const locked = lock(dataDir);
    if ("holder" in locked) {
      process.stderr.write(`${alreadyRunning(dataDir, locked.holder.pid)}\n`);
      return EXIT_REFUSED;
    }
    try {
      return await bringUp(args, ports, dataDir);
    } finally {
      locked.release();
    }
  },
};

function alreadyRunning(dataDir: string, pid: number): string {
  const state = readState(dataDir);
  const since = state?.up.pid === pid ? ` since ${new Date(state.up.since).toLocaleTimeString()}` : "";
  const url = state?.services.broker?.url;
  return `The platform is running already (process ${pid}${since})${url === undefined ? "" : `: ${url}`}
  bun run status   shows it
  bun run down     stops it
A second one beside it: bun run up --data DIR --ports free`;
}

async function bringUp(args: Arguments, ports: "usual" | "free", dataDir: string): Promise<number> {
  const began = performance.now();
  const out = args.flag("json") ? process.stderr : process.stdout;
  const paint = paintFor(out);
  const stopping = stopSignal();

  const left = await takeDownLeftovers(dataDir);
  if (left.length > 0) out.write(`Ended what a run that was killed had left behind: ${listed(left)}.\n`);
  if (args.flag("fresh")) await removeData(dataDir);
  await refuseBusyPorts(ports);

  const live = makeLive(out);
  const narrator = narrate(live, paint);
  let stack: Stack | undefined;
  let chaos: Chaos | undefined;
  try {
    if (!args.flag("direct") && process.env["ENVIRONMENT"] !== "production") {
      const say = (line: string): void =>
        void out.write(`${paint.dim(new Date().toLocaleTimeString())} ${paint.yellow("!")} Break it: ${line}\n`);
      chaos = await openChaos({ onSay: say });
    }
    const secure = args.flag("tls") ? await secured(dataDir) : {};
    stack = await startStack({
      dataDir,
      ports,
      ...secure,
      ...(chaos === undefined ? {} : { chaos: chaos.address, rewire: chaos.rewire }),
      onEvent: narrator.onEvent,
      signal: stopping,
    });
    chaos?.attach(stack);
    await Promise.race([stack.untilReady(stack.missing.size > 0 ? READY_WITHOUT_MS : READY_MS), aborted(stopping)]);
    narrator.settled();
    live.close();
    if (!stopping.aborted) {
      out.write(`\n${await summary(stack.state(), paint, performance.now() - began, [...stack.missing.values()])}\n`);
      if (args.flag("json")) process.stdout.write(`${JSON.stringify(stack.state())}\n`);
    }
    await aborted(stopping);
  } catch (error) {
    if (!stopping.aborted) throw error;
  } finally {
    live.close();
    await chaos?.settle();
    if (stack !== undefined) await stopAll(stack, out, String(stopping.reason ?? ""));
    await chaos?.[Symbol.asyncDispose]();
  }
  return 0;
}

/** What a stack is given for TLS; what the person has set for a service stays. */
async function secured(dataDir: string) {
  try {
    await makeCertificates(dataDir);
  } catch (error) {
    if (error instanceof CertificatesError) throw new StackError(error.message);
    throw error;
  }
  return { env: { ...tlsEnvironment(dataDir), ...process.env }, tls: developerFiles(dataDir) };
}

async function stopAll(stack: Stack, out: NodeJS.WritableStream, why: string): Promise<void> {
  const began = performance.now();
  out.write(`\nStopping${why === "" ? "" : ` (${why})`}…\n`);
  await stack.stop();
  out.write(`Everything is stopped (${duration(performance.now() - began)}). The data stays in ${stack.dataDir}.\n`);
}

/**
 * Fires at the first signal to end. More of them change nothing: npx delivers Ctrl-C twice, and what is being drained
 * ends within seconds anyway. A terminal that was closed is no reason to fail while ending.
 */
function stopSignal(): AbortSignal {
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => stop.abort(signal));
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
  return stop.signal;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** Before anything is started: the five keep their ports, or nothing is. */
async function refuseBusyPorts(ports: "usual" | "free"): Promise<void> {
  const chosen = await choosePorts(ports, process.env);
  const wanted: (readonly [string, string, number])[] = SERVICE_NAMES.map((name) => [
    name,
    `${name.toUpperCase()}_PORT`,
    chosen.http[name],
  ]);
  wanted.push(["logger's RPC", "RPC_PORT", chosen.rpc]);
  const busy: string[] = [];
  for (const [what, variable, port] of wanted) {
    if (await isFree(port)) continue;
    busy.push(`Port ${port} (${what}) is held by ${describeHolder(port)}; another port: ${variable}=…`);
  }
  if (busy.length === 0) return;
  throw new StackError(`${busy.join("\n")}
Nothing was started. End what holds ${busy.length === 1 ? "it" : "them"}, or take free ports for all: bun run up --ports free`);
}

async function removeData(dataDir: string): Promise<void> {
  const below = OURS.map((name) => join(dataDir, name));
  for (const path of [...below, ...outsideData(dataDir)]) await rm(path, { recursive: true, force: true });
}
