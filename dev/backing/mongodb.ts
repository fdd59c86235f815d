import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { withDatabase, withoutDatabase } from "./addresses.ts";
import { createDatabase, inDatabase } from "./database.ts";
import { docker } from "./docker.ts";
import { cacheDirectory, ferretdbProgram } from "./ferretdb.ts";
import { answers } from "./ports.ts";
import { run } from "./commands.ts";
import { type LaunchOptions, plainEnvironment } from "./processes.ts";
import { probeMongodb, within } from "./probes.ts";
import { claim, portFor } from "./records.ts";
import { serve } from "./servers.ts";
import type { Backing, Missing, StartOptions } from "./types.ts";
import { firstThatWorks, installCommand, type Kind, type Opened } from "./ways.ts";
import indexes from "./ferretdb/indexes.sql" with { type: "text" };

/** A private MongoDB, or what comes next to it. */

const USUAL_PORT = 27_017;
/** A second or two; recovery after a kill some more (ms). */
const START_MS = 60_000;
/** Offline this look must cost nothing (ms). */
const DOWNLOAD_LOOK_MS = 2_000;
/** About 80 MB on a slow line (ms). */
const DOWNLOAD_MS = 600_000;
const DOWNLOADS = "https://fastdl.mongodb.org/";
/** The version that is fetched where none is installed. */
const VERSION = "8.2.6";
/** The PostgreSQL database that holds FerretDB's documents. */
const DOCUMENTS = "ferretdb";

const MONGODB: Kind = {
  name: "mongodb",
  title: "MongoDB",
  variable: "MONGODB_URL",
  probe: probeMongodb,
  tidy: withoutDatabase,
  usual: ["mongodb://127.0.0.1:27017"],
  remedy: () => installCommand({ apt: "golang-go", brew: "go", other: "docker compose up -d mongodb" }),
};

/** `postgres` is the PostgreSQL of the same start: the last private way keeps its documents there. */
export function startMongodb(options: StartOptions, postgres: Promise<Backing | Missing>): Promise<Backing | Missing> {
  return firstThatWorks(MONGODB, options, [
    { what: "installed mongod", open: () => startMongod(installedMongod(), "installed mongod", options) },
    { what: "fetched mongod", open: async () => startMongod(await fetchedMongod(options), "fetched mongod", options) },
    { what: "FerretDB", open: () => startFerretdb(options, postgres) },
    docker(MONGODB, options, {
      image: "mongo:8.0.15",
      port: USUAL_PORT,
      environment: [],
      dataAt: "/data/db",
      url: (port) => `mongodb://127.0.0.1:${port}`,
    }),
  ]);
}

function installedMongod(): string {
  const named = process.env["MONGOMS_SYSTEM_BINARY"];
  if (named !== undefined) {
    if (!existsSync(named)) throw new Error("MONGOMS_SYSTEM_BINARY names a file that does not exist");
    return named;
  }
  const found = Bun.which("mongod") ?? Bun.which("mongod", { PATH: "/usr/local/bin:/opt/homebrew/bin" });
  if (found === null) throw new Error("mongod is not installed");
  return found;
}

async function fetchedMongod(options: StartOptions): Promise<string> {
  const answer = fetch(DOWNLOADS, { method: "HEAD", signal: AbortSignal.timeout(DOWNLOAD_LOOK_MS) });
  await answer.catch((error: unknown) => {
    throw new Error("MongoDB's download server can't be reached", { cause: error });
  });
  options.onProgress("mongodb", `fetching mongod ${VERSION} (about 80 MB), once`);
  // Only here: it is large, and most starts do without it.
  const { MongoBinary } = await import("mongodb-memory-server-core");
  const downloadDir = join(await cacheDirectory(), "mongod");
  return within(DOWNLOAD_MS, MongoBinary.getPath({ version: VERSION, downloadDir }));
}

async function startMongod(program: string, what: string, options: StartOptions): Promise<Opened> {
  await claim(options.dataDir, "mongodb");
  const text = await run(program, ["--version"], { timeoutMs: 10_000, signal: options.signal });
  const version = /v(\d+\.\d+\.\d+)/.exec(text)?.[1] ?? "";
  const data = join(options.dataDir, "mongo");
  await mkdir(data, { recursive: true });
  return listen(options, {
    source: `${what} ${version}`.trim(),
    command: program,
    args: (port) => [
      `--dbpath=${data}`,
      `--port=${port}`,
      "--bind_ip=127.0.0.1",
      "--nounixsocket",
      // The default takes half of the machine's memory.
      "--wiredTigerCacheSizeGB=0.25",
    ],
    endBy: "SIGTERM",
  });
}

async function startFerretdb(options: StartOptions, postgres: Promise<Backing | Missing>): Promise<Opened> {
  const say = (doing: string) => options.onProgress("mongodb", doing);
  const program = await ferretdbProgram(say, options.signal);
  say("waiting for PostgreSQL, which holds its documents");
  const store = await postgres;
  if (!("url" in store)) throw new Error("it keeps its documents in PostgreSQL, and there is none");
  await claim(options.dataDir, "mongodb");
  await createDatabase(store.url, DOCUMENTS);
  await indexForEquality(store.url, say);
  say("FerretDB");
  const opened = await listen(options, {
    source: `FerretDB 1.24.1 on ${store.source}`,
    command: program,
    args: (port) => ["-listen", `127.0.0.1:${port}`],
    // It allocates much for each document: collecting less often saves three tenths of its CPU time, for some 150 MB.
    environment: { FERRETDB_POSTGRESQL_URL: withDatabase(store.url, DOCUMENTS), GOGC: "400" },
    endBy: "SIGTERM",
  });
  return { ...opened, lacks: "no TTL or text indexes, no transactions" };
}

/** Without it everything works, and takes longer the more there is: a PostgreSQL of somebody else's may refuse it. */
async function indexForEquality(postgresUrl: string, say: (doing: string) => void): Promise<void> {
  try {
    await inDatabase(postgresUrl, DOCUMENTS, indexes);
  } catch (error) {
    say(`FerretDB, without indexes for look-ups by id (${error instanceof Error ? error.message : String(error)})`);
  }
}

interface Server {
  readonly source: string;
  readonly command: string;
  readonly args: (port: number) => readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly endBy: NodeJS.Signals;
}

async function listen(options: StartOptions, server: Server): Promise<Opened> {
  const port = await portFor(options, "mongodb", "main", USUAL_PORT);
  const url = `mongodb://127.0.0.1:${port}`;
  const launch: LaunchOptions = {
    command: server.command,
    args: server.args(port),
    env: plainEnvironment(server.environment),
    log: join(options.dataDir, "logs", "mongodb.log"),
    cwd: options.dataDir,
  };
  const served = await serve(options, "mongodb", {
    launch,
    endBy: server.endBy,
    deadlineMs: START_MS,
    probe: async () => {
      if (!(await answers(port))) throw new Error("not listening yet");
      await probeMongodb(url);
    },
  });
  return { url, source: server.source, ...served };
}
