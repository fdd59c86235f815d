/**
 * A disk for tests that forgets what was not synced, as real ones do: bytes by fdatasync, names by fsync of their
 * directory. A failed fsync drops what was dirty and the next one reports success (Linux). One directory; the file
 * `lock` is a real one, because flock(2) needs a descriptor.
 */
import { basename, join } from "node:path";
import { realFiles, type SpoolFile, type SpoolFiles } from "./files.ts";

export type Operation = "open" | "write" | "read" | "datasync" | "sync" | "truncate" | "link" | "rename" | "unlink";

/** What shall happen instead of an operation; `short` writes half, `crash` writes half and stops the machine. */
export type Fault = "ENOSPC" | "EIO" | "short" | "crash" | Promise<void> | undefined;

interface Inode {
  data: Buffer;
  durable: Buffer;
  dirty: { from: number; to: number }[];
}

export class CrashedError extends Error {
  constructor() {
    super("crashed");
  }
}

export class Disk {
  names = new Map<string, Inode>();
  /** Names as they are after a power cut. */
  #durableNames = new Map<string, Inode>();
  #generation = 0;
  readonly #lockDir: string;
  /** Asked before each operation. */
  fault: (operation: Operation, name: string) => Fault = () => undefined;
  readonly counts: Partial<Record<Operation, number>> = {};

  constructor(lockDir: string) {
    this.#lockDir = lockDir;
  }

  bytes(name: string): Buffer {
    return this.names.get(name)?.data ?? Buffer.alloc(0);
  }

  put(name: string, bytes: Uint8Array): void {
    const data = Buffer.from(bytes);
    const inode = { data, durable: Buffer.from(data), dirty: [] };
    this.names.set(name, inode);
    this.#durableNames.set(name, inode);
  }

  remove(name: string): void {
    this.names.delete(name);
    this.#durableNames.delete(name);
  }

  copy(): Disk {
    const disk = new Disk(this.#lockDir);
    for (const [name, { data }] of this.names) disk.put(name, data);
    return disk;
  }

  /** The process dies: all its open files are gone, what it wrote is there. */
  kill(): void {
    this.#generation += 1;
    this.fault = () => undefined;
  }

  /** The power goes: of what was not synced, any part may be there. @param chance a number in [0, 1) each time. */
  cutPower(chance: () => number): void {
    this.kill();
    for (const name of new Set([...this.names.keys(), ...this.#durableNames.keys()])) {
      const inode = (chance() < 0.5 ? this.names : this.#durableNames).get(name);
      if (inode === undefined) this.names.delete(name);
      else this.names.set(name, inode);
    }
    for (const inode of new Set(this.names.values())) {
      const size = inode.dirty.length > 0 && chance() < 0.5 ? inode.data.length : inode.durable.length;
      const data = Buffer.alloc(size); // a block that was never written reads as zeros
      inode.durable.copy(data);
      for (const { from, to } of inode.dirty) {
        for (let at = from; at < to; at += 64) {
          if (chance() < 0.5) inode.data.copy(data, at, at, Math.min(to, at + 64));
        }
      }
      Object.assign(inode, { data, durable: Buffer.from(data), dirty: [] });
    }
    this.#durableNames = new Map(this.names);
  }

  get files(): SpoolFiles {
    const generation = this.#generation;
    const before = async (operation: Operation, name: string): Promise<Fault> => {
      if (generation !== this.#generation) throw new CrashedError();
      this.counts[operation] = (this.counts[operation] ?? 0) + 1;
      const fault = this.fault(operation, name);
      if (fault === "ENOSPC" || fault === "EIO") throw Object.assign(new Error(fault), { code: fault });
      if (fault === "crash" && operation !== "write") {
        this.#generation += 1;
        throw new CrashedError();
      }
      if (fault instanceof Promise) await fault;
      return fault;
    };
    const found = (path: string): Inode => {
      const inode = this.names.get(basename(path));
      if (inode === undefined) throw Object.assign(new Error("ENOENT"), { code: "ENOENT" });
      return inode;
    };
    const openFile = async (path: string, flags: string, mode?: number): Promise<SpoolFile> => {
      const name = basename(path);
      if (name === "lock") return realFiles.open(join(this.#lockDir, "lock"), flags, mode);
      await before("open", name);
      if (!name.includes(".") && name !== "cursor") return this.#directory(before);
      if (flags === "wx" && this.names.has(name)) throw Object.assign(new Error("EEXIST"), { code: "EEXIST" });
      if (flags === "wx" || flags === "w" || (flags === "a+" && !this.names.has(name))) {
        this.names.set(name, { data: Buffer.alloc(0), durable: Buffer.alloc(0), dirty: [] });
      }
      return this.#file(name, found(path), before);
    };
    return {
      open: openFile,
      link: async (from, to) => {
        await before("link", basename(to));
        if (this.names.has(basename(to))) throw Object.assign(new Error("EEXIST"), { code: "EEXIST" });
        this.names.set(basename(to), found(from));
      },
      rename: async (from, to) => {
        await before("rename", basename(to));
        this.names.set(basename(to), found(from));
        this.names.delete(basename(from));
      },
      unlink: async (path) => {
        await before("unlink", basename(path));
        found(path);
        this.names.delete(basename(path));
      },
      readdir: () => Promise.resolve([...this.names.keys()]),
      mkdir: () => Promise.resolve(undefined),
    };
  }

  #file(name: string, inode: Inode, before: (operation: Operation, name: string) => Promise<Fault>): SpoolFile {
    const flush = (): void => {
      const durable = Buffer.alloc(inode.data.length);
      inode.durable.copy(durable);
      for (const { from, to } of inode.dirty) inode.data.copy(durable, from, from, to);
      inode.durable = durable;
      inode.dirty = [];
    };
    const sync = async (operation: "sync" | "datasync"): Promise<void> => {
      try {
        await before(operation, name);
      } catch (error) {
        if (!(error instanceof CrashedError)) inode.dirty = []; // never to be written, and never reported again
        throw error;
      }
      flush();
    };
    return {
      fd: -1,
      write: async (bytes, offset, length, position) => {
        const fault = await before("write", name);
        const wrote = fault === "short" || fault === "crash" ? Math.ceil(length / 2) : length;
        const data = Buffer.alloc(Math.max(inode.data.length, position + wrote));
        inode.data.copy(data);
        data.set(bytes.subarray(offset, offset + wrote), position);
        inode.data = data;
        inode.dirty.push({ from: position, to: position + wrote });
        if (fault === "crash") {
          this.#generation += 1;
          throw new CrashedError();
        }
        return { bytesWritten: wrote };
      },
      read: async (bytes, offset, length, position) => {
        await before("read", name);
        const part = inode.data.subarray(position, position + length);
        bytes.set(part, offset);
        return { bytesRead: part.length };
      },
      datasync: () => sync("datasync"),
      sync: () => sync("sync"),
      truncate: async (size) => {
        await before("truncate", name);
        inode.data = Buffer.from(inode.data.subarray(0, size));
        inode.dirty = inode.dirty
          .filter(({ from }) => from < size)
          .map(({ from, to }) => ({ from, to: Math.min(to, size) }));
      },
      stat: () => Promise.resolve({ size: inode.data.length }),
      close: () => Promise.resolve(),
    };
  }

  #directory(before: (operation: Operation, name: string) => Promise<Fault>): SpoolFile {
    const unused = (): Promise<never> => Promise.reject(new Error("a directory"));
    return {
      fd: -1,
      write: unused,
      read: unused,
      datasync: unused,
      truncate: unused,
      stat: unused,
      sync: async () => {
        await before("sync", "directory");
        this.#durableNames = new Map(this.names);
      },
      close: () => Promise.resolve(),
    };
  }
}
