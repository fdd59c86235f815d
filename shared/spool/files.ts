/** The few file operations that the spool needs, as a port, and the durable ways of using them. */
import { link, mkdir, open, readdir, rename, unlink } from "node:fs/promises";
import { join } from "node:path";
import { Failure } from "#shared/errors";

/** An open file; `node:fs/promises` FileHandle has this shape. */
export interface SpoolFile {
  readonly fd: number;
  /** May write less than asked. */
  write(bytes: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesWritten: number }>;
  read(bytes: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesRead: number }>;
  datasync(): Promise<void>;
  sync(): Promise<void>;
  truncate(bytes: number): Promise<void>;
  stat(): Promise<{ size: number }>;
  close(): Promise<void>;
}

export interface SpoolFiles {
  open(path: string, flags: string, mode?: number): Promise<SpoolFile>;
  link(from: string, to: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  readdir(path: string): Promise<string[]>;
  mkdir(path: string, options: { recursive: true; mode: number }): Promise<unknown>;
}

export const realFiles: SpoolFiles = { open, link, rename, unlink, readdir, mkdir };

/** Readable and writable by the service alone: records hold what users sent. */
export const FILE_MODE = 0o600;
export const DIRECTORY_MODE = 0o700;

/** The code of a failed system call (`ENOSPC`, `EIO`, …), if it is one. */
export function errnoOf(thrown: unknown): string | undefined {
  return thrown instanceof Error && "code" in thrown && typeof thrown.code === "string" ? thrown.code : undefined;
}

/** Tries to read a segment before it is given up for what is behind it. */
export const READ_TRIES = 4;

/** Whether a failed read speaks of the segment (a bad medium, an impossible content), not of a passing lack. */
export function isUnreadable(thrown: unknown): boolean {
  return !(thrown instanceof Failure) && ["EIO", undefined].includes(errnoOf(thrown));
}

/** Writes all of `bytes` at `position`, however little each call takes. */
export async function writeAll(file: SpoolFile, bytes: Uint8Array, position: number): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    if (bytesWritten === 0) throw new Error("the file takes no more bytes");
    done += bytesWritten;
  }
}

/** Up to `length` bytes from `position`; fewer where the file ends. */
export async function readAt(file: SpoolFile, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await file.read(bytes, done, length - done, position + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return bytes.subarray(0, done);
}

/** All of a file, or undefined where there is none. */
export async function readWhole(files: SpoolFiles, path: string): Promise<Buffer | undefined> {
  let file: SpoolFile;
  try {
    file = await files.open(path, "r");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
  try {
    return await readAt(file, 0, (await file.stat()).size);
  } finally {
    await file.close();
  }
}

/** Makes names created, renamed or removed in `dir` survive a power cut. */
export async function syncDirectory(files: SpoolFiles, dir: string): Promise<void> {
  if (process.platform === "win32") return; // a directory cannot be opened there; NTFS journals names
  const handle = await files.open(dir, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Puts `bytes` in place of a file, as a whole or not at all, durably. */
export async function replaceFile(files: SpoolFiles, dir: string, name: string, bytes: Uint8Array): Promise<void> {
  const next = join(dir, `${name}.tmp`);
  const file = await files.open(next, "w", FILE_MODE);
  try {
    await writeAll(file, bytes, 0);
    await file.sync();
  } finally {
    await file.close();
  }
  await files.rename(next, join(dir, name));
  await syncDirectory(files, dir);
}
