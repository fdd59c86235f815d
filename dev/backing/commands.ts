import { spawn } from "node:child_process";
import { plainEnvironment, send, tail, type User } from "./processes.ts";

/** Commands that are run to their end: `initdb`, `go build`, `docker run`. */

export interface RunOptions {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly user?: User;
}

/**
 * Runs a command to its end and gives its standard output. Throws with its last words where it fails, and kills it
 * (with what it started) at the deadline or when the signal fires.
 */
export function run(command: string, args: readonly string[], options: RunOptions): Promise<string> {
  options.signal.throwIfAborted();
  return new Promise<string>((resolve, reject) => {
    const child = spawn(command, [...args], {
      detached: true,
      windowsHide: true,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...(options.env ?? plainEnvironment()) },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.user === undefined ? {} : { uid: options.user.uid, gid: options.user.gid }),
    });
    let out = "";
    let err = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text));
    let stopped: Error | undefined;
    const stop = (why: Error) => {
      stopped = why;
      if (child.pid !== undefined) send(-child.pid, "SIGKILL");
    };
    const timer = setTimeout(
      () => stop(new Error(`it took more than ${options.timeoutMs / 1000} s`)),
      options.timeoutMs,
    );
    const aborted = () => stop(new Error("given up"));
    options.signal.addEventListener("abort", aborted, { once: true });
    const finish = (error: Error | undefined) => {
      clearTimeout(timer);
      options.signal.removeEventListener("abort", aborted);
      if (error === undefined) resolve(out);
      else reject(error);
    };
    child.once("error", finish);
    child.once("close", (code) => {
      if (code === 0) finish(undefined);
      else finish(stopped ?? new Error(`exit code ${code}: ${tail(err) || tail(out)}`));
    });
  });
}
