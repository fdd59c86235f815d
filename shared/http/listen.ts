/** Opens and closes the door of an application. */
import type { AnyElysia } from "elysia";
import { localUrl, StartError } from "#shared/lifecycle";
import { currentTls } from "#shared/tls";
import { listenSecurely, type Server } from "./secure.ts";

/** How often a door that closes looks whether all is answered (ms). */
const LOOK_MS = 50;

export interface Listening extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** Takes no new connection and waits for the requests in hand; what has sent no whole head is none. Idempotent. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** By HTTPS where this process has a certificate (`useTls`). @throws StartError where the address is taken or not of this machine. */
export function listen(app: AnyElysia, { HOST, PORT }: { readonly HOST: string; readonly PORT: number }): Listening {
  const secure = currentTls().server !== undefined;
  let successors: AsyncDisposable | undefined;
  try {
    if (secure) successors = listenSecurely(app, HOST, PORT, closed);
    else app.listen({ hostname: HOST, port: PORT });
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
    const why =
      code === "EADDRINUSE"
        ? "is taken by another process: stop what holds it, or set PORT"
        : `cannot be listened on (${code}): set HOST to an address of this machine and PORT to one that this user may use`;
    throw new StartError(`${HOST}:${PORT} ${why}`, { cause });
  }
  const port = app.server?.port ?? PORT;
  let stopped: Promise<void> | undefined;

  async function stop(): Promise<void> {
    const { server } = app;
    await Promise.all([
      successors?.[Symbol.asyncDispose](),
      server === null ? undefined : closed(server, () => app.stop()),
    ]);
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
