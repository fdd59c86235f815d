/** Opens and closes the door of an application. */
import type { AnyElysia } from "elysia";
import { localUrl, type Runtime, StartError } from "#shared/lifecycle";
import { currentTls } from "#shared/tls";
import { guardPort } from "./door.ts";
import { type Guard, type GuardOptions, makeGuard } from "./guard.ts";
import { listenSecurely, type Server } from "./secure.ts";

/** How often a door that closes looks whether all is answered (ms). */
const LOOK_MS = 50;

export interface Listening extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** Takes no new connection and waits for the requests in hand; what has sent no whole head is none. Idempotent. */
  [Symbol.asyncDispose](): Promise<void>;
}

export interface ListenOptions {
  readonly HOST: string;
  readonly PORT: number;
}

/** A guard before the door, and where it tells what it does. */
export interface GuardedBy extends GuardOptions {
  readonly runtime: Pick<Runtime, "log" | "metrics">;
}

/**
 * By HTTPS where this process has a certificate (`useTls`).
 * @param guardedBy the server listens on the loopback only, and a guard in its place. Default: none.
 * @throws StartError where the address is taken or not of this machine.
 */
export function listen(app: AnyElysia, { HOST, PORT }: ListenOptions, guardedBy?: GuardedBy): Listening {
  const secure = currentTls().server !== undefined;
  const own = guardedBy === undefined ? { hostname: HOST, port: PORT } : { hostname: "127.0.0.1", port: 0 };
  let successors: AsyncDisposable | undefined;
  let guard: Guard | undefined;
  let guarding: Disposable | undefined;
  try {
    if (secure) successors = listenSecurely(app, own.hostname, own.port, closed);
    else app.listen(own);
    if (guardedBy !== undefined && app.server !== null) {
      const serverPort = app.server.port ?? 0;
      guard = makeGuard({ host: HOST, port: PORT, serverPort }, guardedBy, guardedBy.runtime);
      guarding = guardPort(serverPort, guard);
    }
  } catch (cause) {
    void successors?.[Symbol.asyncDispose]();
    void app.server?.stop(true);
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
    const why =
      code === "EADDRINUSE"
        ? "is taken by another process: stop what holds it, or set PORT"
        : `cannot be listened on (${code}): set HOST to an address of this machine and PORT to one that this user may use`;
    throw new StartError(`${HOST}:${PORT} ${why}`, { cause });
  }
  const port = guard?.port ?? app.server?.port ?? PORT;
  let stopped: Promise<void> | undefined;

  async function stop(): Promise<void> {
    await guard?.stop();
    const { server } = app;
    try {
      await Promise.all([
        successors?.[Symbol.asyncDispose](),
        server === null ? undefined : closed(server, () => app.stop()),
      ]);
    } finally {
      await guard?.close();
      guarding?.[Symbol.dispose]();
    }
  }

  return {
    url: localUrl(HOST, port, secure),
    port,
    [Symbol.asyncDispose]: () => (stopped ??= stop()),
  };
}

/** Stops `server`: by `stop`, which waits for the requests in hand. */
async function closed(server: Server, stop: () => Promise<unknown> = () => server.stop()): Promise<void> {
  // The runtime waits for a connection with half a head on it as long as that one likes.
  const looking = setInterval(() => {
    if (server.pendingRequests === 0) void server.stop(true);
  }, LOOK_MS);
  try {
    await stop();
  } finally {
    clearInterval(looking);
  }
}
