/** One `up` at a time for a data directory, also when several are typed at the same moment. */
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { type Identity, isAlive, thisProcess } from "./backing/processes.ts";
import { lockFile } from "./paths.ts";

/** Others may be taking and giving it back meanwhile. */
const ATTEMPTS = 20;

export type Lock = { readonly release: () => void } | { readonly holder: Identity };

/**
 * Gives the lock's release, or the living process that holds it. The lock of a process that is gone is taken over by
 * exactly one: whoever is first to put down a claim to succeed that very process, and keeps it there as long as it lives.
 */
export function lock(dataDir: string): Lock {
  const file = lockFile(dataDir);
  mkdirSync(dirname(file), { recursive: true });
  const own = `${file}.${process.pid}`;
  writeFileSync(own, JSON.stringify(thisProcess()));
  try {
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      if (links(own, file)) return { release: () => rmSync(file, { force: true }) };
      const holder = holderOf(file);
      if (holder === undefined) continue;
      if (isAlive(holder)) return { holder };
      const claim = `${file}.after-${holder.pid}-${holder.started.replaceAll(/\W/g, "")}`;
      if (!links(own, claim)) {
        const heir = holderOf(claim);
        if (heir !== undefined && isAlive(heir)) return { holder: heir };
        rmSync(claim, { force: true });
        continue;
      }
      const release = () => {
        rmSync(file, { force: true });
        rmSync(claim, { force: true });
      };
      // Whoever read the file long ago may claim to succeed somebody who has been succeeded already.
      if (holderOf(file)?.pid === holder.pid) {
        renameSync(own, file);
        return { release };
      }
      rmSync(claim, { force: true });
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

/** Gives a file a second name, which appears with its content or not at all and never replaces another. */
function links(file: string, name: string): boolean {
  try {
    linkSync(file, name);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
  }
}

function holderOf(file: string): Identity | undefined {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as Identity;
  } catch {
    return undefined;
  }
}
