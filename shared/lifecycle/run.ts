/**
 * The life of a service's process: its command line, its signals, its end.
 * Exit codes: 0 drained, 1 a bug, 2 configuration, 3 existing queues of another shape.
 */
import manifest from "#manifest" with { type: "json" };
import { ConfigError, commonFields, describeConfig, type Fields, loadConfig, type Values } from "#shared/config";
import { messageOf } from "#shared/errors";
import { type Log, makeLog } from "#shared/log";
import { type Metrics, makeMetrics } from "#shared/telemetry";
import {
  makeSpanCounters,
  startTracing,
  type Tracing,
  tracingOf,
  tracingProblemsOf,
  type TracingValues,
} from "#shared/tracing";
import { currentTls, filesOf, type TlsFiles, tlsProblemsOf, useTls } from "#shared/tls";
import { type Health, makeHealth } from "./health.ts";

/** Set by the build; absent when run from source. */
declare const BUILD_COMMIT: string | undefined;

export const EXIT = { drained: 0, bug: 1, configuration: 2, topology: 3 } as const;
const VERSION: string = manifest.version;
const COMMIT = typeof BUILD_COMMIT === "string" ? BUILD_COMMIT : "source";

/** Longest drain (ms): an accepted request is given this time before it is cut. The process ends within 10 s of the signal. */
const DRAIN_MS = 9_000;
const HEALTHCHECK_MS = 2_000;

/** What a service is given besides its configuration. */
export interface Runtime {
  readonly log: Log;
  readonly metrics: Metrics;
  readonly health: Health;
  readonly version: string;
  /** Absent where no spans are made. */
  readonly tracing?: Tracing;
  /** Ends the process with `code` after a drain: for what no retry mends (a queue of another shape). */
  readonly stop: (code: number, reason: string) => void;
}

/** A running service. Disposing drains it: nothing accepted is cut, nothing new is taken. Idempotent. */
export interface App extends AsyncDisposable {
  /** Where it answers, e.g. `http://127.0.0.1:8080`. */
  readonly url: string;
}

type CommonFields = ReturnType<typeof commonFields>;

/** What an executable does besides serving, by the name that is its first argument. */
export interface Command<F extends Fields> {
  /** For `--help`. */
  readonly about: string;
  /** Whether words may follow its name (default: none). */
  readonly takesArguments?: boolean;
  /** @param args the words after its name. @returns the exit code. */
  readonly run: (config: Values<F>, log: Log, args: readonly string[]) => Promise<number>;
}

export interface Service<F extends CommonFields & Fields> {
  readonly name: string;
  /** One sentence for `--help`. */
  readonly summary: string;
  readonly fields: F;
  /** What is wrong with values that are right each by itself, one line each; it begins with the variable's name, and never shows a secret. */
  readonly problemsOf?: (config: Values<F>) => readonly string[];
  readonly commands?: Readonly<Record<string, Command<F>>>;
  readonly start: (config: Values<F>, runtime: Runtime) => Promise<App>;
}

/** A reason not to start that the person at the terminal can mend: told without a stack, exit code 2. */
export class StartError extends Error {
  override readonly name = "StartError";
}

function usage<F extends CommonFields & Fields>({ name, summary, fields, commands = {} }: Service<F>): string {
  const more = Object.entries(commands).map(([command, { about }]) => `  ${command.padEnd(14)}  ${about}\n`);
  return `${name} ${VERSION} (${COMMIT}): ${summary}

Usage: ${name} [command]

  (none)          serve until SIGTERM or SIGINT, then drain
  healthcheck     ask the running service's /ping; exit code 0 or 1
${more.join("")}  --check-config  check the environment and exit; exit code 0 or 2
  --version       print the version
  --help          print this

Environment (each also as ${name.toUpperCase()}_X, which comes first):
${describeConfig(fields)}

Exit codes: 0 drained, 1 a bug, 2 configuration, 3 existing queues of another shape.
`;
}

/** Where a service that listens on `host` answers on this machine, e.g. `http://127.0.0.1:8080`. */
export function localUrl(host: string, port: number, secure = false): string {
  const local = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
  return `${secure ? "https" : "http"}://${local.includes(":") ? `[${local}]` : local}:${port}`;
}

async function healthcheck(host: string, port: number, files: TlsFiles): Promise<number> {
  const { TLS_CERT_FILE, TLS_KEY_FILE } = files;
  const url = `${localUrl(host, port, TLS_CERT_FILE !== undefined)}/ping`;
  // It shows its own certificate to itself, in case it asks for one. By which name others call it is not looked at:
  // this is its own machine, and nothing is told.
  const tls =
    TLS_CERT_FILE === undefined || TLS_KEY_FILE === undefined
      ? {}
      : { tls: { cert: Bun.file(TLS_CERT_FILE), key: Bun.file(TLS_KEY_FILE), rejectUnauthorized: false } };
  try {
    const answer = await fetch(url, { ...tls, signal: AbortSignal.timeout(HEALTHCHECK_MS) });
    return answer.status === 200 ? 0 : 1;
  } catch (error) {
    process.stderr.write(`no answer from ${url}: ${messageOf(error)}\n`);
    return 1;
  }
}

/** The runtime of a service without a process around it: for tests that start services inside their own. */
export function makeRuntime(name: string, log: Log, stop: Runtime["stop"]): Runtime {
  return { log, metrics: makeMetrics(name, VERSION), health: makeHealth(log), version: VERSION, stop };
}

/** Runs `service` as this process, by its command line and environment. Never returns. */
export async function run<F extends CommonFields & Fields>(service: Service<F>): Promise<never> {
  const [command, ...extra] = process.argv.slice(2);
  if (command === "--version") return exit(EXIT.drained, `${service.name} ${VERSION} (${COMMIT})`);
  if (command === "--help" || command === "-h") return exit(EXIT.drained, usage(service));
  const own =
    command !== undefined && Object.hasOwn(service.commands ?? {}, command) ? service.commands?.[command] : undefined;
  const isExtra = extra.length > 0 && own?.takesArguments !== true;
  if (isExtra || (own === undefined && ![undefined, "--check-config", "healthcheck"].includes(command))) {
    return exit(
      EXIT.configuration,
      `${service.name}: unknown argument ${isExtra ? extra[0] : command}; see ${service.name} --help`,
    );
  }
  let config: Values<F>;
  try {
    config = loadConfig(service.name, service.fields, process.env, (values) => [
      // While its files are being replaced, a service is as well as before.
      ...(command === "healthcheck" ? [] : tlsProblemsOf(values as TlsFiles)),
      ...tracingProblemsOf(values as Partial<TracingValues>),
      ...(service.problemsOf?.(values) ?? []),
    ]);
  } catch (error) {
    // A health check has two answers only: Docker reserves 2.
    if (error instanceof ConfigError)
      return exit(command === "healthcheck" ? 1 : EXIT.configuration, error.message.trimEnd());
    throw error;
  }
  const { HOST, PORT, LOG_LEVEL } = config as unknown as Values<CommonFields>;
  if (command === "--check-config") return exit(EXIT.drained, `${service.name}: the configuration is right`);
  if (command === "healthcheck") return process.exit(await healthcheck(HOST, PORT, config as TlsFiles));
  const log = makeLog({ service: service.name, level: LOG_LEVEL });
  // For as long as the process lives.
  useTls(filesOf(config as TlsFiles), log);
  if (own !== undefined) return process.exit(await own.run(config, log, extra));
  return serve(service, config, log);
}

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|::1)$/i;

function tellOfTls({ ENVIRONMENT, HOST }: Values<CommonFields>, { log, metrics }: Runtime): void {
  if (currentTls().server !== undefined) {
    const about = "When the own TLS certificate ends (seconds since 1970).";
    metrics.gauge("tls_certificate_not_after_seconds", about, [], (gauge) => {
      gauge.set((currentTls().notAfter?.getTime() ?? 0) / 1_000);
    });
  } else if (ENVIRONMENT === "production" && !LOOPBACK.test(HOST)) {
    log.warn("plain HTTP on a network: set TLS_CERT_FILE and TLS_KEY_FILE, or have TLS end in front of it", {
      host: HOST,
    });
  }
}

function tracingFor(name: string, config: Partial<TracingValues>, { log, metrics }: Runtime): Tracing | undefined {
  const settings = tracingOf(name, VERSION, config);
  return settings === undefined ? undefined : startTracing(settings, { log, onCount: makeSpanCounters(metrics) });
}

async function serve<F extends CommonFields & Fields>(
  service: Service<F>,
  config: Values<F>,
  log: Log,
): Promise<never> {
  const ending = Promise.withResolvers<{ code: number; reason: string }>();
  let cut: ReturnType<typeof setTimeout> | undefined;
  /** From here on the process has `DRAIN_MS`, also where it was told to end before it had started. */
  const end = (code: number, reason: string): void => {
    cut ??= setTimeout(() => {
      log.error("drain took too long, what is left is cut", { drain_ms: DRAIN_MS });
      process.exit(EXIT.bug);
    }, DRAIN_MS);
    ending.resolve({ code, reason });
  };
  const bug = (error: unknown): void => {
    log.error("unhandled error: this is a bug", { error });
    process.exit(EXIT.bug);
  };
  process.on("uncaughtException", bug);
  process.on("unhandledRejection", bug);
  // npx delivers SIGINT twice: a second signal is no reason to cut what is draining.
  process.on("SIGTERM", () => end(EXIT.drained, "SIGTERM"));
  process.on("SIGINT", () => end(EXIT.drained, "SIGINT"));

  const plain = makeRuntime(service.name, log, end);
  const tracing = tracingFor(service.name, config as Partial<TracingValues>, plain);
  const runtime: Runtime = { ...plain, ...(tracing === undefined ? {} : { tracing }) };
  tellOfTls(config, runtime);
  let app: App;
  try {
    app = await service.start(config, runtime);
  } catch (error) {
    if (error instanceof StartError) return exit(EXIT.configuration, `${service.name}: ${error.message}`);
    log.error("could not start: this is a bug", { error });
    return process.exit(EXIT.bug);
  }
  log.info("listening", { url: app.url, version: VERSION, commit: COMMIT, pid: process.pid });

  const { code, reason } = await ending.promise;
  log.info("draining", { reason });
  runtime.health.stopping();
  await app[Symbol.asyncDispose]();
  await tracing?.[Symbol.asyncDispose]();
  clearTimeout(cut);
  log.info("drained", { exit_code: code });
  return process.exit(code);
}

function exit(code: number, message: string): never {
  (code === 0 ? process.stdout : process.stderr).write(`${message}\n`);
  return process.exit(code);
}
