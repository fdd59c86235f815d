/** The connection to MongoDB: opened in the background, watched, and opened again; whoever uses it asks whether it is there. */
import {
  type Collection,
  MongoClient,
  MongoNotConnectedError,
  MongoServerError,
  MongoTopologyClosedError,
} from "mongodb";
import { messageOf } from "#shared/errors";
import { type Dependency, StartError } from "#shared/lifecycle";
import { type Log, withoutCredentials } from "#shared/log";
import { Deadline, databaseBackoff, keepTrying, sleep } from "#shared/resilience";
import type { LogDocument } from "./documents.ts";
import { isPrepared, prepare } from "./prepare.ts";

export interface MongoConnection extends AsyncDisposable {
  /** The collection, ready for use; undefined while MongoDB is away. */
  readonly logs: Collection<LogDocument> | undefined;
  /** Something failed: look now rather than at the next time. */
  suspect(): void;
}

export interface MongoOptions {
  url: string;
  dependency: Dependency;
  log: Log;
  /** The user or password was refused at the first connection: no retry mends that. */
  onRefused: (message: string) => void;
}

const DATABASE = "logs";
const COLLECTION = "logs";
const SELECTION_MS = 2_000;
/** Between two looks; with the time a look may take, an outage is known within 3 s and its end within 2 s. */
const LOOK_EVERY_MS = 1_000;
const LOOK_MS = 2_000;
/** Indexes over a large collection of older entries take their time. */
const PREPARE_MS = 30 * 60_000;
const CLOSE_MS = 1_000;
const AUTHENTICATION_FAILED = 18;

function clientOf(url: string): MongoClient {
  return new MongoClient(url, {
    appName: "logger",
    writeConcern: { w: "majority", journal: true, wtimeoutMS: 3_500 },
    serverSelectionTimeoutMS: SELECTION_MS,
    connectTimeoutMS: SELECTION_MS,
    heartbeatFrequencyMS: 1_000,
    waitQueueTimeoutMS: 1_000,
    maxPoolSize: 10,
  });
}

/** The database that the URL names, else `logs`; the driver's own default would be `test`. */
function databaseOf(url: string): string {
  const named = /^[^:]+:\/\/[^/]+\/([^?]+)/.exec(url)?.[1];
  return named === undefined ? DATABASE : decodeURIComponent(named);
}

/** @throws StartError where the URL has a form or an option that the driver does not take. */
export function connectMongo({ url, dependency, log, onRefused }: MongoOptions): MongoConnection {
  try {
    clientOf(url);
  } catch (cause) {
    throw new StartError(`MONGODB_URL cannot be used: ${withoutCredentials(messageOf(cause))}`, { cause });
  }
  const stopping = new AbortController();
  let current: Collection<LogDocument> | undefined;
  let everUp = false;
  let wake = new AbortController();
  const suspect = (): void => wake.abort();

  const away = (error: unknown): void => {
    current = undefined;
    dependency.down(error);
  };

  const close = async (client: MongoClient): Promise<void> => {
    try {
      await Deadline.after(CLOSE_MS).bound(client.close(), "closing MongoDB");
    } catch (error) {
      log.debug("MongoDB connection not closed in order", { error });
    }
  };

  const ready = async (logs: Collection<LogDocument>): Promise<void> => {
    const info = await logs.db.admin().buildInfo();
    const isFerretdb = "ferretdbVersion" in info;
    const preparing = prepare(logs, { isFerretdb, log });
    await Deadline.after(PREPARE_MS, stopping.signal).bound(preparing, "preparing the collection");
    if (!everUp) log.info("MongoDB in use", { server: isFerretdb ? "FerretDB" : "MongoDB", version: info["version"] });
    everUp = true;
    current = logs;
    dependency.up();
  };

  /** A client whose first connect failed answers nothing ever after (driver 7.9), so each try has its own. */
  const open = async (): Promise<{ client: MongoClient; logs: Collection<LogDocument> }> => {
    const client = clientOf(url);
    try {
      await client.connect();
      const logs = client.db(databaseOf(url)).collection<LogDocument>(COLLECTION);
      await ready(logs);
      return { client, logs };
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

  /** Looks again and again, until the client is of no more use. */
  const watch = async (client: MongoClient, logs: Collection<LogDocument>): Promise<void> => {
    // The driver hears of a lost server first: nothing has to wait for it then.
    client.on("topologyDescriptionChanged", ({ newDescription }) => {
      if (stopping.signal.aborted) return;
      const errors = [...newDescription.servers.values()].map(({ error }) => error);
      if (!hasWritable(newDescription.servers)) away(errors.find((error) => error !== null) ?? "no server to write to");
      suspect();
    });
    while (!stopping.signal.aborted) {
      await pause();
      if (stopping.signal.aborted) return;
      try {
        if (await Deadline.after(LOOK_MS, stopping.signal).bound(isPrepared(logs), "MongoDB")) {
          current = logs;
          dependency.up();
        } else {
          // A database that came back empty, or another one in its place: without its unique index nothing is stored.
          current = undefined;
          await ready(logs);
        }
      } catch (error) {
        if (stopping.signal.aborted) return;
        away(error);
        if (error instanceof MongoTopologyClosedError || error instanceof MongoNotConnectedError) return;
      }
    }
  };

  const live = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const { client, logs } = await keepTrying(open, {
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
      await watch(client, logs);
      current = undefined;
      await close(client);
    }
  };

  const life = live().catch((error: unknown) => {
    if (!stopping.signal.aborted) throw error;
  });

  return {
    get logs() {
      return current;
    },
    suspect,
    async [Symbol.asyncDispose]() {
      stopping.abort(new Error("the logger is stopping"));
      await life;
    },
  };
}

function hasWritable(servers: ReadonlyMap<string, { readonly isWritable: boolean }>): boolean {
  return [...servers.values()].some((server) => server.isWritable);
}
