import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { choosePort } from "./ports.ts";
import { end, type Identity, isAlive, thisProcess } from "./processes.ts";
import { Blocked } from "./ways.ts";
import { BACKING_NAMES, type BackingName, type StartOptions } from "./types.ts";

/**
 * What is remembered of each service between runs, below `<dataDir>/run/`: its ports, so that a restart comes back
 * where clients look for it, and its processes, so that a run that was killed does not leave servers behind for ever.
 */

export interface Started extends Identity {
  /** The signal that it takes as "finish and go". */
  readonly endBy: NodeJS.Signals;
}

interface Record_ {
  readonly ports: Readonly<Record<string, number>>;
  /** In the order in which they are to be ended. */
  readonly processes: readonly Started[];
  /** The process that started them. */
  readonly owner: Identity | null;
}

const EMPTY: Record_ = { ports: {}, processes: [], owner: null };

/** Short text that is the same for the same directory: names what must not clash between two checkouts. */
export function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 10);
}

function fileOf(dataDir: string, name: BackingName): string {
  return join(dataDir, "run", `backing-${name}.json`);
}

function read(dataDir: string, name: BackingName): Record_ {
  try {
    const value: unknown = JSON.parse(readFileSync(fileOf(dataDir, name), "utf8"));
    // Only this module writes the file, whole or not at all (see write).
    return { ...EMPTY, ...(value as Partial<Record_>) };
  } catch {
    return EMPTY;
  }
}

function write(dataDir: string, name: BackingName, record: Record_): void {
  const file = fileOf(dataDir, name);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(`${file}.${process.pid}`, `${JSON.stringify(record, null, 2)}\n`);
  renameSync(`${file}.${process.pid}`, file);
}

/**
 * Makes sure that nobody else serves this data: ends what a run left that was killed, refuses where the run that
 * started it is still there.
 */
export async function claim(dataDir: string, name: BackingName): Promise<void> {
  const record = read(dataDir, name);
  const living = record.processes.filter(isAlive);
  const { owner } = record;
  if (living.length > 0 && owner !== null && owner.pid !== process.pid && isAlive(owner)) {
    throw new Blocked(`process ${owner.pid} runs it already on ${dataDir}`, "stop that run first");
  }
  for (const process_ of living) await end(process_, process_.endBy);
  if (record.processes.length > 0) write(dataDir, name, { ...record, processes: [], owner: null });
}

/** Ends the servers that killed runs have left below this directory; gives their names. */
export async function reclaim(dataDir: string): Promise<BackingName[]> {
  const ended: BackingName[] = [];
  for (const name of BACKING_NAMES) {
    const { owner, processes } = read(dataDir, name);
    if (!processes.some(isAlive) || (owner !== null && isAlive(owner))) continue;
    await claim(dataDir, name);
    ended.push(name);
  }
  return ended;
}

/** Writes down what was started, at once: a kill in the next millisecond must leave a trace. */
export function remember(dataDir: string, name: BackingName, processes: readonly Started[]): void {
  write(dataDir, name, { ...read(dataDir, name), processes, owner: thisProcess() });
}

/** Forgets the processes that were ended, unless others have taken their place in between. */
export function forget(dataDir: string, name: BackingName, ended: readonly Identity[]): void {
  // The directory may have been removed since, with everything in it.
  if (!existsSync(dataDir)) return;
  const record = read(dataDir, name);
  const processes = record.processes.filter((known) => !ended.some((gone) => gone.pid === known.pid));
  if (processes.length < record.processes.length) write(dataDir, name, { ...record, processes });
}

/** The port for one purpose of a service (`main`, `web`), remembered over restarts. */
export async function portFor(
  options: Pick<StartOptions, "dataDir" | "ports">,
  name: BackingName,
  purpose: string,
  usual: number,
): Promise<number> {
  const before = read(options.dataDir, name).ports[purpose];
  const port = await choosePort({ remembered: before, usual: options.ports === "usual" ? usual : undefined });
  if (port !== before) {
    const record = read(options.dataDir, name);
    write(options.dataDir, name, { ...record, ports: { ...record.ports, [purpose]: port } });
  }
  return port;
}
