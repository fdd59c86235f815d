/** One `up` at a time for a data directory, also when two are typed at the same moment. */
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { type Identity, isAlive, thisProcess } from "./backing/processes.ts";
import { lockFile } from "./paths.ts";

/** Attempts to replace a lock of a process that is gone, while others may try the same. */
const ATTEMPTS = 10;

/** Gives the lock's release, or the living process that holds it. A lock whose process is gone is taken over. */
export function lock(dataDir: string): { release: () => void } | { holder: Identity } {
  const file = lockFile(dataDir);
  mkdirSync(dirname(file), { recursive: true });
  const own = `${file}.${process.pid}`;
  writeFileSync(own, JSON.stringify(thisProcess()));
  try {
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      try {
        // A link appears with its content or not at all, and never replaces another.
        linkSync(own, file);
        return { release: () => rmSync(file, { force: true }) };
      } catch (error) {
        if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
      }
      const holder = holderOf(file);
      if (holder !== undefined && isAlive(holder)) return { holder };
      setAside(file, `${own}.stale`);
    }
    throw new Error(`the lock ${file} can't be taken: remove it if no platform is running`);
  } finally {
    rmSync(own, { force: true });
  }
}

/** Who holds the lock of this data directory, if that process lives. */
export function lockHolder(dataDir: string): Identity | undefined {
  const holder = holderOf(lockFile(dataDir));
  return holder !== undefined && isAlive(holder) ? holder : undefined;
}

/** Removes a dead process's lock; one that somebody has taken in between is put back. */
function setAside(file: string, aside: string): void {
  try {
    renameSync(file, aside);
    const moved = holderOf(aside);
    if (moved !== undefined && isAlive(moved)) linkSync(aside, file);
  } catch {
    // Another one was quicker: the next attempt sees what it made of it.
  } finally {
    rmSync(aside, { force: true });
  }
}

function holderOf(file: string): Identity | undefined {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as Identity;
  } catch {
    return undefined;
  }
}
