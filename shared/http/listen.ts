/** Opens and closes the door of an application. */
import type { AnyElysia } from "elysia";
import { localUrl, type Runtime, StartError } from "#shared/lifecycle";
import { guardPort } from "./door.ts";
import { type Guard, type GuardOptions, makeGuard } from "./guard.ts";

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
 * @param guardedBy the server listens on the loopback only, and a guard in its place. Default: none.
 * @throws StartError where the address is taken or not of this machine.
 */
export function listen(app: AnyElysia, { HOST, PORT }: ListenOptions, guardedBy?: GuardedBy): Listening {
  let guard: Guard | undefined;
  let guarding: Disposable | undefined;
  try {
    app.listen(guardedBy === undefined ? { hostname: HOST, port: PORT } : { hostname: "127.0.0.1", port: 0 });
    if (guardedBy !== undefined && app.server !== null) {
      const serverPort = app.server.port ?? 0;
      guard = makeGuard({ host: HOST, port: PORT, serverPort }, guardedBy, guardedBy.runtime);
      guarding = guardPort(serverPort, guard);
    }
  } catch (cause) {
    void app.server?.stop(true);
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
    const why =
      code === "EADDRINUSE"
        ? "is taken by another process: stop what holds it, or set PORT"
        : `cannot be listened on (${code}): set HOST to an address of this machine and PORT to one that this user may use`;
    throw new StartError(`${HOST}:${PORT} ${why}`, { cause });
  }
  const port = guard?.port ?? app.server?.port ?? PORT;
  const { server } = app;
  let stopped: Promise<void> | undefined;

  async function stop(): Promise<void> {
    await guard?.stop();
    // The runtime waits for a connection with half a head on it as long as that one likes.
    const looking = setInterval(() => {
      if (server?.pendingRequests === 0) void server.stop(true);
    }, LOOK_MS);
    try {
      await app.stop();
    } finally {
      clearInterval(looking);
      await guard?.close();
      guarding?.[Symbol.dispose]();
    }
  }

  return {
    url: localUrl(HOST, port),
    port,
    [Symbol.asyncDispose]: () => (stopped ??= stop()),
  };
}
