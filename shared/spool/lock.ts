/**
 * One writer a directory. The lock is flock(2): the kernel gives it free when its process dies in whatever way, also
 * across containers on one host, so that no lock is ever stale. The file's text, the holder's process id, is for people.
 */
import { dlopen, FFIType } from "bun:ffi";
import { join } from "node:path";
import { Failure } from "#shared/errors";
import { FILE_MODE, readAt, type SpoolFiles, writeAll } from "./files.ts";

const LOCK_EX = 2;
const LOCK_NB = 4;
const LIBRARIES =
  process.platform === "darwin"
    ? ["libSystem.B.dylib"]
    : ["libc.so.6", process.arch === "arm64" ? "libc.musl-aarch64.so.1" : "libc.musl-x86_64.so.1"];

type Flock = (fd: number, operation: number) => number;

/** flock(2) of the C library, or undefined where there is none (Windows). */
function loadFlock(): Flock | undefined {
  if (process.platform === "win32") return undefined;
  for (const name of LIBRARIES) {
    try {
      return dlopen(name, { flock: { args: [FFIType.i32, FFIType.i32], returns: FFIType.i32 } }).symbols.flock;
    } catch {
      // This library is not on this system; the next name may be.
    }
  }
  return undefined;
}

let flock: Flock | undefined;

/** Whether another process of this id runs; only asked where there is no flock. */
function runs(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0 || pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false; // no such process
  }
}

/**
 * Takes the directory for this process until disposed.
 * @throws Failure `conflict` when a living process holds it.
 */
export async function lockDirectory(files: SpoolFiles, dir: string): Promise<AsyncDisposable> {
  flock ??= loadFlock();
  const file = await files.open(join(dir, "lock"), "a+", FILE_MODE);
  try {
    const holder = (await readAt(file, 0, 32)).toString().trim();
    const free = flock === undefined ? !runs(Number(holder)) : flock(file.fd, LOCK_EX | LOCK_NB) === 0;
    if (!free) throw new Failure("conflict", `the spool ${dir} is in use by process ${holder || "(starting)"}`);
    await file.truncate(0);
    await writeAll(file, Buffer.from(`${process.pid}\n`), 0);
  } catch (error) {
    await file.close();
    throw error;
  }
  return {
    // The file stays: removing it would let a third process lock another file of the same name.
    [Symbol.asyncDispose]: () => file.close(),
  };
}
