import { existsSync } from "node:fs";
import { chmod, chown, mkdir, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { withoutDatabase } from "./addresses.ts";
import { docker } from "./docker.ts";
import {
  closedDirectory,
  copyPrograms,
  embeddedPrograms,
  giveTo,
  installedPrograms,
  makeOpenDirectory,
  openDirectory,
  type Programs,
  runningOn,
  unprivilegedUser,
} from "./postgres-files.ts";
import { run } from "./commands.ts";
import { plainEnvironment, type User } from "./processes.ts";
import { probePostgres } from "./probes.ts";
import { answers } from "./ports.ts";
import { claim, portFor } from "./records.ts";
import { serve } from "./servers.ts";
import type { Backing, Missing, StartOptions } from "./types.ts";
import { Blocked, firstThatWorks, installCommand, type Kind, type Opened } from "./ways.ts";

/** A private PostgreSQL: its own data, its own port, nobody's database touched. */

const USUAL_PORT = 5432;
/** initdb takes half a second; a slow disk or a busy machine some more (ms). */
const INITDB_MS = 60_000;
/** Starting takes 40 ms; recovery after a kill may take seconds (ms). */
const START_MS = 30_000;
/** Enough for five services with pools of 25 each and for FerretDB's. */
const MAX_CONNECTIONS = 250;

const POSTGRES: Kind = {
  name: "postgres",
  title: "PostgreSQL",
  variable: "DATABASE_URL",
  probe: probePostgres,
  tidy: withoutDatabase,
  usual: ["postgres://postgres@127.0.0.1:5432", "postgres://postgres:postgres@127.0.0.1:5432"],
  remedy: () => installCommand({ apt: "postgresql", brew: "postgresql@17", other: "set DATABASE_URL=postgres://…" }),
};

export function startPostgres(options: StartOptions): Promise<Backing | Missing> {
  return firstThatWorks(POSTGRES, options, [
    { what: "embedded PostgreSQL", open: async () => startPrivate(await embeddedPrograms(), options) },
    { what: "installed PostgreSQL", open: () => startInstalled(options) },
    docker(POSTGRES, options, {
      image: "postgres:18.1-alpine",
      port: USUAL_PORT,
      environment: ["POSTGRES_HOST_AUTH_METHOD=trust"],
      // From version 18 on the image keeps its data one directory higher than before.
      dataAt: "/var/lib/postgresql",
      url: (port) => `postgres://postgres@127.0.0.1:${port}`,
    }),
  ]);
}

async function startInstalled(options: StartOptions): Promise<Opened> {
  const all = installedPrograms();
  if (all.length === 0) throw new Error("there is none");
  let last: unknown;
  for (const programs of all) {
    try {
      return await startPrivate(programs, options);
    } catch (error) {
      last = error;
    }
  }
  throw last instanceof Error ? last : new Error(String(last));
}

async function startPrivate(found: Programs, options: StartOptions): Promise<Opened> {
  await claim(options.dataDir, "postgres");
  const user = process.getuid?.() === 0 ? unprivilegedUser() : undefined;
  const programs = user === undefined || !(await closedDirectory(found.bin, user)) ? found : await copyPrograms(found);
  const context = { options, programs, user };
  const version = await versionOf(context);
  const data = await dataDirectory(options.dataDir, user);
  await checkData(data, version);
  if (!existsSync(join(data, "PG_VERSION"))) await initialise(data, version, context);
  if (user !== undefined) await giveTo(user, data);

  const port = await portFor(options, "postgres", "main", USUAL_PORT);
  const url = `postgres://postgres@127.0.0.1:${port}`;
  const server = await serve(options, "postgres", {
    launch: {
      command: join(programs.bin, "postgres"),
      args: ["-D", data, "-p", String(port), ...settings()],
      env: plainEnvironment(),
      log: join(options.dataDir, "logs", "postgres.log"),
      cwd: "/",
      ...(user === undefined ? {} : { user }),
    },
    // SIGINT is its fast shutdown: clients are sent away; SIGTERM would wait for the last of them.
    endBy: "SIGINT",
    deadlineMs: START_MS,
    probe: async () => {
      if (!(await answers(port))) throw new Error("not listening yet");
      await probePostgres(url);
    },
  });
  const elsewhere = data.startsWith(options.dataDir) ? "" : `, data in ${data}`;
  return { url, source: `${programs.what.replace("PostgreSQL", `PostgreSQL ${version}`)}${elsewhere}`, ...server };
}

function settings(): string[] {
  const values = {
    listen_addresses: "127.0.0.1",
    // No socket file: it would lie in a directory that all instances share.
    unix_socket_directories: "",
    max_connections: String(MAX_CONNECTIONS),
    timezone: "UTC",
    log_timezone: "UTC",
  };
  return Object.entries(values).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
}

interface Context {
  readonly options: StartOptions;
  readonly programs: Programs;
  readonly user: User | undefined;
}

function runProgram({ options, programs, user }: Context, name: string, args: readonly string[]): Promise<string> {
  return run(join(programs.bin, name), args, {
    timeoutMs: INITDB_MS,
    signal: options.signal,
    cwd: "/",
    ...(user === undefined ? {} : { user }),
  });
}

async function versionOf(context: Context): Promise<string> {
  const text = await runProgram(context, "postgres", ["--version"]);
  const version = /(\d+(?:\.\d+)*)/.exec(text)?.[1];
  if (version === undefined) throw new Error(`no version in ${JSON.stringify(text)}`);
  return version;
}

/**
 * Where the data is: below `dataDir`, unless that is hidden from the user that serves it (root's home often is closed
 * to others). Then a directory below /var/tmp has it. Data that lies where it can't be reached is not left behind silently.
 */
async function dataDirectory(dataDir: string, user: User | undefined): Promise<string> {
  const inside = join(dataDir, "pg");
  await mkdir(dataDir, { recursive: true });
  const closed = user === undefined ? undefined : await closedDirectory(inside, user);
  const open = openDirectory(inside);
  const isInside = existsSync(join(inside, "PG_VERSION"));
  if (user === undefined || closed === undefined) {
    return !isInside && existsSync(join(open, "pg", "PG_VERSION")) ? join(open, "pg") : inside;
  }
  if (isInside) throw new Blocked(`user ${user.name} can't reach the data in ${inside}`, `chmod o+x ${closed}`);
  await makeOpenDirectory(open);
  return join(open, "pg");
}

/** Refuses, in words, what PostgreSQL would refuse; nothing is ever removed or upgraded here. */
async function checkData(data: string, version: string): Promise<void> {
  if (!existsSync(data)) return;
  const away = `mv ${data} ${data}.old   # then it starts empty`;
  const entries = await readdir(data).catch(() => undefined);
  if (entries === undefined) throw new Blocked(`${data} can't be read: another user made it (root?)`, `sudo ${away}`);
  const file = join(data, "PG_VERSION");
  if (!existsSync(file)) {
    if (entries.length > 0) throw new Blocked(`${data} holds files but no database`, away);
    return;
  }
  const major = (await readFile(file, "utf8")).trim();
  if (major !== version.split(".")[0]) {
    const said = `${data} was made by PostgreSQL ${major}, this one is ${version}`;
    throw new Blocked(said, `install PostgreSQL ${major}, or ${away}`);
  }
  const pid = await runningOn(data);
  if (pid !== undefined) throw new Blocked(`process ${pid} serves ${data} already`, `kill -INT ${pid}`);
}

/** Made beside its place and moved there when it is whole: half a database can't be told from a broken one. */
async function initialise(data: string, version: string, context: Context): Promise<void> {
  const { options, user } = context;
  options.onProgress("postgres", "creating its database directory");
  const partial = `${data}.new`;
  await rm(partial, { recursive: true, force: true });
  await mkdir(partial, { recursive: true, mode: 0o700 });
  await chmod(partial, 0o700);
  if (user !== undefined) await chown(partial, user.uid, user.gid);
  // The same order of text on every machine; upper and lower case of all letters where the version knows how.
  const locale = Number(version.split(".")[0]) >= 17 ? ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] : [];
  await runProgram(context, "initdb", [
    `--pgdata=${partial}`,
    "--username=postgres",
    "--auth=trust",
    "--encoding=UTF8",
    "--locale=C",
    "--no-sync",
    ...locale,
  ]);
  await rm(data, { recursive: true, force: true });
  await rename(partial, data);
}

/** Directories outside `dataDir` that hold its data (see dataDirectory): whoever removes `dataDir` to start afresh removes these too. */
export function outsideData(dataDir: string): string[] {
  const open = openDirectory(join(dataDir, "pg"));
  return existsSync(open) ? [open] : [];
}
