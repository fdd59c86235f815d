import { spawn, spawnSync } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, statSync } from "node:fs";
import { dirname } from "node:path";

/**
 * Processes that outlive a call: started in a group of their own (Ctrl-C reaches only the supervisor, which then ends
 * them in order) and known by pid and start time, because a pid alone may long belong to somebody else.
 */

/** How long a child may take to end by itself before SIGKILL (ms). */
const GRACE_MS = 10_000;
/** How long the kernel may take to end it after SIGKILL (ms). */
const KILL_MS = 2_000;
/** A log larger than this is set aside at the next start (bytes); one older log is kept. */
const LOG_BYTES = 8 * 1024 * 1024;

/** A process for sure: `started` is the kernel's own time stamp of its start, opaque text (empty where it can't be had). */
export interface Identity {
  readonly pid: number;
  readonly started: string;
}

/** The user a server runs as where it refuses to run as root. */
export interface User {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

export interface LaunchOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** File that gets its output, appended. */
  readonly log: string;
  readonly cwd?: string;
  readonly user?: User;
}

/** How a process ended: by its own exit code, or by a signal. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface Child extends Identity {
  /** How it ended, once it has: `exit code 1`, `signal SIGKILL`. */
  readonly ended: () => string | undefined;
  /** The same for who has to act on it. */
  readonly exited: Promise<Exit>;
  /** The last lines that it wrote since it was started, on one line. */
  readonly lastWords: () => string;
}

/** What a child inherits: enough to run, nothing that would steer it (`PGDATA`, `RABBITMQ_…`, `ERL_…`). */
export function plainEnvironment(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
  const kept: Record<string, string> = {};
  const names = ["PATH", "HOME", "USER", "LANG", "TMPDIR", "TEMP", "TMP", "SystemRoot", "APPDATA", "LOCALAPPDATA"];
  for (const name of names) {
    const value = process.env[name];
    if (value !== undefined) kept[name] = value;
  }
  return { ...kept, ...extra };
}

/** Starts a server; resolves as soon as it has a pid, long before it answers. */
export async function launch(options: LaunchOptions): Promise<Child> {
  mkdirSync(dirname(options.log), { recursive: true });
  if (existsSync(options.log) && statSync(options.log).size > LOG_BYTES) renameSync(options.log, `${options.log}.1`);
  const log = openSync(options.log, "a");
  const offset = statSync(options.log).size;
  try {
    const child = spawn(options.command, [...options.args], {
      detached: true,
      windowsHide: true,
      stdio: ["ignore", log, log],
      env: { ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.user === undefined ? {} : { uid: options.user.uid, gid: options.user.gid }),
    });
    let end: string | undefined;
    const exited = Promise.withResolvers<Exit>();
    child.on("exit", (code, signal) => {
      end = signal === null ? `exit code ${code}` : `signal ${signal}`;
      exited.resolve({ code, signal });
    });
    const pid = await new Promise<number>((resolve, reject) => {
      child.once("error", reject);
      child.once("spawn", () => resolve(child.pid ?? -1));
    });
    child.unref();
    return {
      pid,
      started: startOf(pid) ?? "",
      ended: () => end,
      exited: exited.promise,
      lastWords: () => tail(readFileSync(options.log).subarray(offset).toString("utf8")),
    };
  } finally {
    closeSync(log);
  }
}

/** The last lines of a log that say something, on one line of bounded length. */
export function tail(text: string, lines = 3, length = 400): string {
  const said = text.split("\n").map((line) => line.trim());
  return said
    .filter((line) => line !== "")
    .slice(-lines)
    .join(" | ")
    .slice(-length);
}

/** Tells whether this very process (not another with its pid) is still there; a zombie is not. */
export function isAlive(identity: Identity): boolean {
  const started = startOf(identity.pid);
  return started !== undefined && (identity.started === "" || started === identity.started);
}

export function thisProcess(): Identity {
  return { pid: process.pid, started: startOf(process.pid) ?? "" };
}

/**
 * Ends a process: the signal that it takes as "finish and go", 10 s, then SIGKILL to its group and to itself.
 * A stopped (SIGSTOP) process is continued first, so that it can obey.
 */
export async function end(identity: Identity, signal: NodeJS.Signals, graceMs = GRACE_MS): Promise<void> {
  if (!isAlive(identity)) return;
  send(identity.pid, signal);
  send(identity.pid, "SIGCONT");
  if (await goneWithin(identity, graceMs)) return;
  send(-identity.pid, "SIGKILL");
  send(identity.pid, "SIGKILL");
  await goneWithin(identity, KILL_MS);
}

async function goneWithin(identity: Identity, ms: number): Promise<boolean> {
  const deadline = performance.now() + ms;
  while (isAlive(identity)) {
    if (performance.now() > deadline) return false;
    await Bun.sleep(process.platform === "linux" ? 10 : 100);
  }
  return true;
}

/** Tells a process (or, by a negative number, its group) something; one that has ended in between hears nothing. */
export function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended in between, or it never led a group: either way there is nobody left to tell.
  }
}

/** The kernel's time stamp of a process's start; undefined where there is no such process (a zombie counts as none). */
function startOf(pid: number): string | undefined {
  if (process.platform === "linux") {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      // The program's name, in parentheses, may itself hold spaces and parentheses.
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return fields[0] === "Z" ? undefined : fields[19];
    } catch {
      return undefined;
    }
  }
  if (process.platform === "win32") {
    try {
      process.kill(pid, 0);
      return "";
    } catch {
      return undefined;
    }
  }
  const line = spawnSync("ps", ["-o", "stat=,lstart=", "-p", String(pid)], { encoding: "utf8" }).stdout.trim();
  const space = line.indexOf(" ");
  return line === "" || line.startsWith("Z") ? undefined : line.slice(space + 1).trim();
}

/**
 * Waits until `probe` is content with a child that was just started. Throws with the child's last words when it
 * ends instead, and ends it when the deadline passes or the person gives up: nothing half-started stays behind.
 */
export async function untilReady(
  child: Child,
  probe: () => Promise<void>,
  options: { readonly deadlineMs: number; readonly signal: AbortSignal; readonly endBy: NodeJS.Signals },
): Promise<void> {
  const deadline = performance.now() + options.deadlineMs;
  let last: unknown;
  while (performance.now() < deadline && !options.signal.aborted) {
    const ended = child.ended();
    if (ended !== undefined) throw new Error(`it ended while starting (${ended}): ${child.lastWords()}`);
    try {
      return await probe();
    } catch (error) {
      last = error;
    }
    await Bun.sleep(15);
  }
  await end(child, options.endBy, options.signal.aborted ? GRACE_MS : KILL_MS);
  options.signal.throwIfAborted();
  throw new Error(`it did not answer within ${options.deadlineMs / 1000} s: ${child.lastWords()}`, { cause: last });
}
