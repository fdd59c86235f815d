/** Who holds a port: the process that a person has to end, by name. */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { basename } from "node:path";

interface Holder {
  readonly pid: number;
  /** Its command line, shortened. */
  readonly program: string;
}

/** TCP state LISTEN in /proc/net/tcp. */
const LISTEN = "0A";
const PROGRAM_LENGTH = 80;

/** The process that listens on this local port; undefined where it can't be seen (another user's, for instance). */
export function holderOf(port: number): Holder | undefined {
  if (process.platform === "linux") return holderOnLinux(port);
  if (process.platform === "win32") return holderOnWindows(port);
  const pid = Number(spawnSync("lsof", ["-nP", `-iTCP:${port}`, "-sTCP:LISTEN", "-t"], { encoding: "utf8" }).stdout);
  if (!Number.isInteger(pid) || pid <= 0) return undefined;
  const program = spawnSync("ps", ["-o", "command=", "-p", String(pid)], { encoding: "utf8" }).stdout;
  return { pid, program: short(program) };
}

/** For a message: `node server.js (process 123)`. */
export function describeHolder(port: number): string {
  const holder = holderOf(port);
  return holder === undefined ? "a process of another user" : `${holder.program} (process ${holder.pid})`;
}

function holderOnLinux(port: number): Holder | undefined {
  const inodes = new Set(["/proc/net/tcp", "/proc/net/tcp6"].flatMap((table) => listeningInodes(table, port)));
  if (inodes.size === 0) return undefined;
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    if (holdsSocket(pid, inodes)) return { pid: Number(pid), program: programOf(pid) };
  }
  return undefined;
}

/** Columns of proc_net_tcp(5): 1 is the local address in hexadecimal, 3 the state, 9 the socket's inode. */
function listeningInodes(table: string, port: number): string[] {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return readOr(table, "")
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter((columns) => columns[1]?.endsWith(suffix) === true && columns[3] === LISTEN)
    .map((columns) => columns[9] ?? "");
}

function holdsSocket(pid: string, inodes: ReadonlySet<string>): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => {
      const target = linkOr(`/proc/${pid}/fd/${fd}`, "");
      return target.startsWith("socket:[") && inodes.has(target.slice("socket:[".length, -1));
    });
  } catch {
    // Another user's process: it does not let us look.
    return false;
  }
}

function programOf(pid: string): string {
  const [program = "", ...args] = readOr(`/proc/${pid}/cmdline`, "").split("\0");
  return short([basename(program), ...args].join(" ")) || short(readOr(`/proc/${pid}/comm`, "an unknown program"));
}

function holderOnWindows(port: number): Holder | undefined {
  const lines = spawnSync("netstat", ["-ano", "-p", "TCP"], { encoding: "utf8" }).stdout.split("\n");
  const columns = lines.map((line) => line.trim().split(/\s+/));
  const found = columns.find((column) => column[1]?.endsWith(`:${port}`) === true && column[3] === "LISTENING");
  const pid = Number(found?.[4]);
  if (!Number.isInteger(pid) || pid <= 0) return undefined;
  const task = spawnSync("tasklist", ["/FI", `PID eq ${pid}`, "/FO", "CSV", "/NH"], { encoding: "utf8" }).stdout;
  return { pid, program: task.split(",")[0]?.replaceAll('"', "").trim() || "an unknown program" };
}

function short(command: string): string {
  const text = command.trim();
  return text.length > PROGRAM_LENGTH ? `${text.slice(0, PROGRAM_LENGTH)}…` : text;
}

function readOr(file: string, otherwise: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return otherwise;
  }
}

function linkOr(file: string, otherwise: string): string {
  try {
    return readlinkSync(file);
  } catch {
    return otherwise;
  }
}
