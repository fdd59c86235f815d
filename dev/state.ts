/** What is known of the running platform, written down for `status`, `down`, `demo`, tests and the next `up`. */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { TlsFiles } from "#shared/tls";
import type { BackingName } from "./backing/types.ts";
import { type Identity, isAlive } from "./backing/processes.ts";
import { stateFile } from "./paths.ts";
import type { ServiceName } from "./services.ts";

/** What our supervisor thinks of a part: whether a service is ready is its own to say (`/ready`). */
export type PartState = "starting" | "running" | "restarting" | "stopped" | "given up";

export interface ServiceRecord {
  readonly url: string;
  /** The logger's RPC. */
  readonly rpc?: string;
  /** Absent while it is not running. */
  readonly pid?: number;
  /** The kernel's time stamp of the process's start: a pid alone may long be somebody else's. */
  readonly started?: string;
  readonly state: PartState;
  /** How often it was started again. */
  readonly restarts: number;
  /** Why it is not running, or how it ended the last time. */
  readonly reason?: string;
  /** From its start until it was ready (ms). */
  readonly took_ms?: number;
}

export interface BackingRecord {
  readonly url: string;
  readonly web?: string;
  readonly source: string;
  readonly lacks?: string;
  readonly pid?: number;
  readonly state: PartState;
  readonly restarts: number;
  readonly took_ms: number;
}

/** Where the controller of experiments listens, and what it has to be shown. */
export interface ChaosAddress {
  readonly url: string;
  readonly token: string;
}

export interface State {
  /** Who supervises, since when (RFC 3339). */
  readonly up: Identity & { readonly since: string; readonly bun: string };
  readonly services: Partial<Record<ServiceName, ServiceRecord>>;
  readonly backing: Partial<Record<BackingName, BackingRecord>>;
  /** Files of who calls the services by TLS, as a developer; absent where they speak plainly. */
  readonly tls?: TlsFiles;
  /** Absent where the platform can't be broken: production, and `up --direct`. */
  readonly chaos?: ChaosAddress;
  /** Backing services that could not be had, and the command that helps. */
  readonly missing: Partial<Record<BackingName, string>>;
}

/** Replaces the state as a whole; readable by its owner only, because configured URLs may hold passwords. */
export function writeState(dataDir: string, state: State): void {
  const file = stateFile(dataDir);
  mkdirSync(dirname(file), { recursive: true });
  const partial = `${file}.${process.pid}`;
  writeFileSync(partial, `${JSON.stringify(state, null, 2)}\n`, { mode: 0o600 });
  renameSync(partial, file);
}

export function removeState(dataDir: string): void {
  rmSync(stateFile(dataDir), { force: true });
}

/** The state as the last run wrote it, whether that still lives or not; undefined where there is none. */
export function readState(dataDir: string): State | undefined {
  try {
    return JSON.parse(readFileSync(stateFile(dataDir), "utf8")) as State;
  } catch {
    return undefined;
  }
}

/** The state of a platform that somebody supervises now. */
export function liveState(dataDir: string): State | undefined {
  const state = readState(dataDir);
  return state !== undefined && isAlive(state.up) ? state : undefined;
}
