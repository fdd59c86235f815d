/** The connection to MongoDB: opened in the background, watched, and opened again; whoever uses it asks whether it is there. */
import { type Collection, MongoClient, MongoServerError } from "mongodb";
import { messageOf } from "#shared/errors";
import { type Dependency, StartError } from "#shared/lifecycle";
import { type Log, withoutCredentials } from "#shared/log";
import { Deadline, databaseBackoff, keepTrying, sleep } from "#shared/resilience";
import type { Metrics } from "#shared/telemetry";
import { currentTls } from "#shared/tls";
import type { LogDocument } from "./documents.ts";
import { isPrepared, prepare, prepareQueries } from "./prepare.ts";

export type Logs = Collection<LogDocument>;

export interface MongoConnection extends AsyncDisposable {
  /** The collection, ready for use; undefined while MongoDB is away. */
  readonly logs: Logs | undefined;
  /** The server in use is FerretDB, whose indexes are for equality only. */
  readonly isFerretdb: boolean;
  /** Counts how often the collection was made ready: what was known of its content before no longer holds. */
  readonly epoch: number;
  /** Something failed: look now rather than at the next time. */
  suspect(): void;
}

export interface MongoOptions {
  url: string;
  dependency: Dependency;
  log: Log;
  metrics: Metrics;
  /** The user or password was refused at the first connection: no retry mends that. */
  onRefused: (message: string) => void;
}

/** One client, from its connect to its end. */
interface Session {
  readonly client: MongoClient;
  readonly logs: Logs;
  /** Aborted when there is no server to write to any more; a new one when it was found again. */
  lost: AbortController;
}

const DATABASE = "logs";
const COLLECTION = "logs";
const SELECTION_MS = 2_000;
/** Between two looks; with the time a look may take, a server that hangs is known to within 3 s. */
const LOOK_EVERY_MS = 1_000;
const LOOK_MS = 2_000;
/** Indexes over a large collection of older entries take their time. */
const PREPARE_MS = 30 * 60_000;
const CONNECT_MS = 3_000;
const CLOSE_MS = 500;
const AUTHENTICATION_FAILED = 18;
const POOL_SIZE = 10;

function clientOf(url: string): MongoClient {
  return new MongoClient(url, {
    appName: "logger",
    writeConcern: { w: "majority", journal: true, wtimeoutMS: 3_500 },
    serverSelectionTimeoutMS: SELECTION_MS,
    connectTimeoutMS: SELECTION_MS,
    heartbeatFrequencyMS: 1_000,
    waitQueueTimeoutMS: 1_000,
    maxPoolSize: POOL_SIZE,
    // For a URL with `tls=true` (or mongodb+srv); what the URL itself says of files comes first.
    ...(/[?&]tls(CA|CertificateKey)File=/.test(url) ? {} : currentTls().client),
  });
}

/** The database that the URL names, else `logs`; the driver's own default would be `test`. */
function databaseOf(url: string): string {
  const named = /^[^:]+:\/\/[^/]+\/([^?]+)/.exec(url)?.[1];
  return named === undefined ? DATABASE : decodeURIComponent(named);
}

function logsOf(client: MongoClient, url: string): Logs {
  return client.db(databaseOf(url)).collection<LogDocument>(COLLECTION);
}

/** For a command: the collection as it is, with nothing prepared. @throws what the driver throws, within seconds where nobody answers. */
export async function withLogs<T>(url: string, work: (logs: Logs) => Promise<T>): Promise<T> {
  await using client = clientOf(url);
  await Deadline.after(CONNECT_MS).bound(client.connect(), "connecting to MongoDB");
  return await work(logsOf(client, url));
}

/** @throws StartError where the URL has a form or an option that the driver does not take. */
export function connectMongo({ url, dependency, log, metrics, onRefused }: MongoOptions): MongoConnection {
  try {
    clientOf(url);
  } catch (cause) {
    throw new StartError(`MONGODB_URL cannot be used: ${withoutCredentials(messageOf(cause))}`, { cause });
  }
  const watchPool = poolMetrics(metrics);
  const stopping = new AbortController();
  let current: Logs | undefined;
  let everUp = false;
  let epoch = 0;
  let isFerretdb = false;
  /** What only queries need is made behind their backs who store. It never fails. */
  let indexing: Promise<unknown> = Promise.resolve();
  let wake = new AbortController();
  const suspect = (): void => wake.abort();

  const away = (error: unknown): void => {
    current = undefined;
    dependency.down(error);
  };

  const up = (logs: Logs): void => {
    everUp = true;
    current = logs;
    dependency.up();
  };

  const close = async (client: MongoClient): Promise<void> => {
    try {
      await Deadline.after(CLOSE_MS).bound(client.close(), "closing MongoDB");
    } catch (error) {
      log.debug("MongoDB connection not closed in order", { error });
    }
  };

  const ready = async ({ logs, lost }: Session): Promise<void> => {
    const info = await Deadline.after(LOOK_MS).bound(logs.db.admin().buildInfo(), "MongoDB");
    isFerretdb = "ferretdbVersion" in info;
    const ends = AbortSignal.any([stopping.signal, lost.signal]);
    await Deadline.after(PREPARE_MS, ends).bound(prepare(logs, { isFerretdb, log }), "preparing the collection");
    epoch += 1;
    if (!everUp) log.info("MongoDB in use", { server: isFerretdb ? "FerretDB" : "MongoDB", version: info["version"] });
    up(logs);
    indexing = Promise.all([indexing, prepareQueries(logs, { isFerretdb, log, signal: ends })]);
  };

  /** A client whose first connect failed answers nothing ever after (driver 7.9), so each try has its own. */
  const open = async (): Promise<Session> => {
    const client = clientOf(url);
    watchPool(client);
    const logs = logsOf(client, url);
    const session = { client, logs, lost: new AbortController() };
    let writable = false;
    // The driver hears of a lost server first: nobody has to wait for it then.
    client.on("topologyDescriptionChanged", ({ newDescription: { servers } }) => {
      if (writable && !hasWritable(servers)) {
        session.lost.abort(errorOf(servers));
        if (current === logs) away(errorOf(servers));
        suspect();
      }
      writable = hasWritable(servers);
    });
    try {
      await Deadline.after(CONNECT_MS).bound(client.connect(), "connecting to MongoDB");
      await ready(session);
      return session;
    } catch (error) {
      await close(client);
      throw error;
    }
  };

  const pause = async (): Promise<void> => {
    const woken = AbortSignal.any([wake.signal, stopping.signal]);
    // Woken early or not, the next look follows.
    await sleep(LOOK_EVERY_MS, woken).catch(() => undefined);
    wake = new AbortController();
  };

  /**
   * Looks again and again, until the client is of no more use: it has lost its server and did not find it again at once
   * (its own search sometimes stands still for ever after a server was killed: driver 7.9 on Bun 1.4), or nothing
   * answered three times. One slow answer is no reason to break what else is on its way.
   */
  const watch = async (session: Session): Promise<void> => {
    const { logs } = session;
    for (let failures = 0; failures < 3; ) {
      await pause();
      if (stopping.signal.aborted) return;
      try {
        if (await Deadline.after(LOOK_MS, stopping.signal).bound(isPrepared(logs, isFerretdb), "MongoDB")) {
          up(logs);
        } else {
          // A database that came back empty, or another one in its place.
          current = undefined;
          await ready(session);
        }
        failures = 0;
        if (session.lost.signal.aborted) session.lost = new AbortController();
      } catch (error) {
        if (stopping.signal.aborted) return;
        away(error);
        if (session.lost.signal.aborted) return;
        failures += 1;
      }
    }
  };

  const live = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const session = await keepTrying(open, {
        backoff: databaseBackoff,
        signal: stopping.signal,
        onFailure: (error, attempt, waitMs) => {
          away(error);
          log.warn("MongoDB cannot be reached", { attempt, wait_ms: Math.round(waitMs), error });
          if (!everUp && error instanceof MongoServerError && error.code === AUTHENTICATION_FAILED) {
            onRefused("MongoDB refuses the user or password in MONGODB_URL: correct it");
          }
        },
      });
      await watch(session);
      current = undefined;
      await close(session.client);
    }
  };

  const life = live().catch((error: unknown) => {
    if (!stopping.signal.aborted) throw error;
  });

  return {
    get logs() {
      return current;
    },
    get isFerretdb() {
      return isFerretdb;
    },
    get epoch() {
      return epoch;
    },
    suspect,
    async [Symbol.asyncDispose]() {
      stopping.abort(new Error("the logger is stopping"));
      await life;
      await indexing;
    },
  };
}

/** Counts the connections of the client that it was given last. */
function poolMetrics(metrics: Metrics): (client: MongoClient) => void {
  let current = { open: 0, busy: 0 };
  metrics.gauge("mongodb_connections", "Connections to MongoDB.", [], (gauge) => gauge.set(current.open));
  metrics.gauge("mongodb_connections_in_use", "Connections to MongoDB that are at work.", [], (gauge) =>
    gauge.set(current.busy),
  );
  metrics.gauge("mongodb_connections_max", "Connections to MongoDB at most.").set(POOL_SIZE);
  const waits = metrics.histogram("mongodb_connection_wait_seconds", "Time that work waited for a connection.");
  return (client) => {
    const counts = { open: 0, busy: 0 };
    current = counts;
    client.on("connectionCreated", () => {
      counts.open += 1;
    });
    client.on("connectionClosed", () => {
      counts.open -= 1;
    });
    client.on("connectionCheckedOut", ({ durationMS }) => {
      counts.busy += 1;
      waits.observe(durationMS / 1_000);
    });
    client.on("connectionCheckedIn", () => {
      counts.busy -= 1;
    });
  };
}

type Servers = ReadonlyMap<string, { readonly isWritable: boolean; readonly error: Error | null }>;

function hasWritable(servers: Servers): boolean {
  return [...servers.values()].some((server) => server.isWritable);
}

function errorOf(servers: Servers): Error {
  return [...servers.values()].find(({ error }) => error !== null)?.error ?? new Error("no server to write to");
}
