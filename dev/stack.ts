/**
 * The platform as one thing: backing services and services, started in the right order, watched, and ended in the
 * right order. `up` shows it to a person; tests start their own beside it (`ports: "free"`, another `dataDir`).
 */
import { mkdirSync } from "node:fs";
import { silentLog } from "#shared/log";
import { type TlsFiles, useTls } from "#shared/tls";
import { reasonOf, shown } from "./backing/addresses.ts";
import { createDatabase } from "./backing/index.ts";
import { thisProcess } from "./backing/processes.ts";
import { BACKING_NAMES, type Backing, type BackingName, type Missing, type StartOptions } from "./backing/types.ts";
import { type BackingPart, makeBackingPart } from "./backing-part.ts";
import { configuredFrom, explainMissing, NOWHERE, startOne } from "./backings.ts";
import { describe } from "./describe.ts";
import type { Listener } from "./events.ts";
import { boundLogs } from "./log-files.ts";
import type { Part } from "./part.ts";
import { logFile } from "./paths.ts";
import { SEED_MS, seedDevelopmentUser } from "./seed.ts";
import { makeService, type ServicePart } from "./service.ts";
import {
  type BackingUrls,
  choosePorts,
  type Environment,
  environmentOf,
  programOf,
  rpcUrlOf,
  SERVICE_NAMES,
  SERVICES,
  type ServiceName,
  urlOf,
} from "./services.ts";
import { type ChaosAddress, removeState, type State, writeState } from "./state.ts";
import { stopInOrder } from "./teardown.ts";

/** Between two looks whether all are ready, and whether a log has grown too large (ms). */
const LOOK_EVERY_MS = 50;
const LOGS_EVERY_MS = 5_000;

export interface StackOptions {
  /** Absolute path; everything that the run leaves behind lies below it. */
  readonly dataDir: string;
  /** `usual`: the ports of the contract. `free`: any, so that a second platform can run beside the first. */
  readonly ports: "usual" | "free";
  /** Default: all five. */
  readonly services?: readonly ServiceName[];
  /** Default: all four. */
  readonly backing?: readonly BackingName[];
  /** Directory of compiled services to run instead of the sources. */
  readonly executables?: string;
  /** What the services get besides their addresses, and where configured backing services are found. Default: ours. */
  readonly env?: Environment;
  /** Files of who calls the services by TLS, as a developer, where `env` gives these certificates; this process uses them. */
  readonly tls?: TlsFiles;
  /** Where this platform can be broken, for the state. */
  readonly chaos?: ChaosAddress;
  readonly onEvent?: Listener;
  /** Told of the environment of a service at each of its starts; what it gives back is used. Tests put proxies between. */
  readonly rewire?: (service: ServiceName, environment: Record<string, string>) => Record<string, string>;
  /** Fires when the person gives up while it starts: what was started is stopped, and `startStack` rejects. */
  readonly signal?: AbortSignal;
}

export interface Stack extends AsyncDisposable {
  readonly dataDir: string;
  readonly services: ReadonlyMap<ServiceName, ServicePart>;
  readonly backing: ReadonlyMap<BackingName, BackingPart>;
  readonly missing: ReadonlyMap<BackingName, Missing>;
  /** The logger's RPC, `tcp://…`. */
  readonly rpcUrl: string;
  /** Any part by its name. Throws for one that is not there. */
  part(name: ServiceName | BackingName): ServicePart | BackingPart;
  /** As it is written to `state.json`. */
  state(): State;
  /** Waits until every service is ready and the development user is there; gives those that are not by then. */
  untilReady(timeoutMs: number): Promise<readonly ServiceName[]>;
  /** Ends what was started, in order, and nothing else; bounded, idempotent. */
  stop(): Promise<void>;
}

/** Why the platform can't be started, in words for the person who can mend it. */
export class StackError extends Error {
  override readonly name = "StackError";
}

/** Starts backing services side by side and each service as soon as what it needs has an address. */
export async function startStack(options: StackOptions): Promise<Stack> {
  const { dataDir, env = process.env, onEvent = () => {} } = options;
  mkdirSync(dataDir, { recursive: true });
  const giveUp = new AbortController();
  const signal = options.signal === undefined ? giveUp.signal : AbortSignal.any([options.signal, giveUp.signal]);
  const ports = await choosePorts(options.ports, env);
  const rpcUrl = rpcUrlOf(ports, env);
  const serviceNames = SERVICE_NAMES.filter((name) => options.services?.includes(name) ?? true);
  const backingNames = BACKING_NAMES.filter((name) => options.backing?.includes(name) ?? true);

  const services = new Map<ServiceName, ServicePart>();
  const backing = new Map<BackingName, BackingPart>();
  const missing = new Map<BackingName, Missing>();
  const up = { ...thisProcess(), since: new Date().toISOString(), bun: Bun.version };
  let stopped = false;
  const state = (): State => ({
    up,
    ...(options.tls === undefined ? {} : { tls: options.tls }),
    ...(options.chaos === undefined ? {} : { chaos: options.chaos }),
    ...describe({ services, backing, missing, rpcUrl }),
  });
  const record = (): void => {
    if (!stopped) writeState(dataDir, state());
  };
  const tell: Listener = (event) => {
    record();
    onEvent(event);
  };

  const startOptions: StartOptions = {
    dataDir,
    ports: options.ports,
    configured: configuredFrom(env),
    onProgress: (part, doing) => tell({ what: "doing", part, doing }),
    signal,
  };
  const opening = new Map<BackingName, Promise<Backing | Missing>>();
  const openBacking = async (name: BackingName): Promise<void> => {
    const opened = await opening.get(name)!;
    if ("tried" in opened) {
      missing.set(name, opened);
      tell({ what: "missing", part: name, missing: opened });
      if (opened.configured) throw new StackError(explainMissing(opened));
      return;
    }
    backing.set(
      name,
      makeBackingPart({
        first: opened,
        open: (again) => startOne(name, { ...startOptions, signal: again }, currentPostgres()),
        onEvent: (event) => {
          tell({ what: "part", part: name, event });
          if (event.what === "moved") void restartUsersOf(name);
        },
      }),
    );
    tell({ what: "part", part: name, event: { what: "ready", tookMs: opened.tookMs } });
  };
  const currentPostgres = (): Promise<Backing | Missing> => {
    const part = backing.get("postgres");
    return part === undefined ? opening.get("postgres")! : Promise.resolve(part.current);
  };
  const restartUsersOf = async (name: BackingName): Promise<void> => {
    for (const [service, part] of services) if (SERVICES[service].needs.includes(name)) await part.restart();
  };

  // Without an address a service would look at the usual port: right where that may be started later, wrong for tests.
  const nowhere: BackingUrls = options.ports === "free" ? NOWHERE : {};
  const urls = (): BackingUrls => ({
    ...nowhere,
    ...Object.fromEntries([...backing].map(([name, part]) => [name, { ...part.current, url: part.url }])),
  });
  const environment = (name: ServiceName) => {
    const usual = environmentOf(name, { ports, backing: urls(), dataDir, env });
    return options.rewire?.(name, usual) ?? usual;
  };
  const openService = async (name: ServiceName, needed: ReadonlyMap<BackingName, Promise<void>>): Promise<void> => {
    const { needs, database } = SERVICES[name];
    tell({ what: "doing", part: name, doing: `waiting for ${needs.join(" and ")}` });
    await Promise.all(needs.map((need) => needed.get(need) ?? Promise.resolve()));
    const postgres = backing.get("postgres");
    if (database !== undefined && postgres !== undefined) await ensureDatabase(postgres.url, database);
    signal.throwIfAborted();
    const part = makeService({
      name,
      url: urlOf(name, ports, env),
      launch: () => ({ ...programOf(name, options.executables), env: environment(name), log: logFile(dataDir, name) }),
      onEvent: (event) => tell({ what: "part", part: name, event }),
    });
    services.set(name, part);
    await part.start();
  };

  let seeding: Promise<void> = Promise.resolve();
  const untilAllReady = async (names: readonly ServiceName[], timeoutMs: number): Promise<readonly ServiceName[]> => {
    const deadline = performance.now() + timeoutMs;
    const waiting = new Set(names);
    while (waiting.size > 0 && performance.now() < deadline && !signal.aborted) {
      for (const name of waiting) if (services.get(name)?.state === "running") waiting.delete(name);
      if ([...waiting].every((name) => services.get(name)?.state === "given up")) break;
      await Bun.sleep(LOOK_EVERY_MS);
    }
    return [...waiting];
  };
  const seed = async (): Promise<void> => {
    if (env["ENVIRONMENT"] === "production") return;
    if ((await untilAllReady(["auth"], SEED_MS)).length > 0) return;
    tell({ what: "doing", part: "seed", doing: "the development user" });
    const began = performance.now();
    try {
      await seedDevelopmentUser(environment("auth"), options.executables, signal);
      tell({ what: "seeded", tookMs: Math.round(performance.now() - began) });
    } catch (error) {
      tell({ what: "not seeded", why: error instanceof Error ? error.message : String(error) });
    }
  };

  const logs = setInterval(() => boundLogs(dataDir), LOGS_EVERY_MS);
  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> =>
    (stopping ??= (async () => {
      giveUp.abort(new Error("stopped"));
      await seeding;
      await stopInOrder(new Map<ServiceName | BackingName, Part>([...services, ...backing]));
      clearInterval(logs);
      trust?.[Symbol.dispose]();
      stopped = true;
      removeState(dataDir);
    })());

  const trust = options.tls === undefined ? undefined : useTls(options.tls, silentLog);
  record();
  for (const name of backingNames) opening.set(name, startOne(name, startOptions, opening.get("postgres")));
  const needed = new Map(backingNames.map((name) => [name, openBacking(name)]));
  const all = [...needed.values(), ...serviceNames.map((name) => openService(name, needed))];
  try {
    if (serviceNames.includes("auth") && backingNames.includes("postgres")) {
      // Why there is no PostgreSQL is told by the promise itself.
      seeding = needed.get("postgres")!.then(seed, () => {});
    }
    await Promise.all(all);
  } catch (error) {
    giveUp.abort(error);
    await Promise.allSettled([...all, seeding]);
    await stop();
    throw error;
  }

  return {
    dataDir,
    services,
    backing,
    missing,
    rpcUrl,
    part(name) {
      const part = services.get(name as ServiceName) ?? backing.get(name as BackingName);
      if (part === undefined) throw new StackError(`${name} is not part of this platform`);
      return part;
    },
    state,
    async untilReady(timeoutMs) {
      const late = await untilAllReady(serviceNames, timeoutMs);
      await seeding;
      return late;
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

async function ensureDatabase(postgresUrl: string, database: string): Promise<void> {
  try {
    await createDatabase(postgresUrl, database);
  } catch (error) {
    throw new StackError(
      `The database "${database}" can't be created at ${shown(postgresUrl)}: ${reasonOf(error)}
To mend it: create it there, or let that user create databases, or unset DATABASE_URL to get a private PostgreSQL`,
    );
  }
}
