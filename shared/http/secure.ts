/**
 * HTTPS whose certificate changes without a request being lost. The runtime reads certificates once, when a server
 * begins (Bun 1.4.5, oven-sh/bun#43815): so a new server takes over the port, and the one before serves on what it has.
 */
import type { AnyElysia } from "elysia";
import { currentTls, onTlsChange, TLS_1_2, TLS_1_3 } from "#shared/tls";
import { directTo } from "./one-door.ts";

export type Server = NonNullable<AnyElysia["server"]>;

/** How long a server that was replaced goes on (ms): by then, its connections were used and closed, or closed for being idle (60 s). */
const RETIRE_MS = 65_000;

/** With certificates of clients it is a link inside the platform, where all speak TLS 1.3. */
function tlsOptions() {
  const { server } = currentTls();
  if (server === undefined) throw new Error("listenSecurely: no certificate");
  return server.ca === undefined
    ? { ...server, minVersion: TLS_1_2 }
    : { ...server, requestCert: true, rejectUnauthorized: true, minVersion: TLS_1_3 };
}

/** @throws the system's error where somebody listens there: with SO_REUSEPORT another process of this user could share the port. */
function checkFree(hostname: string, port: number): void {
  if (port !== 0) Bun.listen({ hostname, port, socket: { data: () => undefined } }).stop(true);
}

/** As `app.listen`, without the listener that each call leaves at the process. */
function open(app: AnyElysia, hostname: string, port: number): Server {
  const before = new Set(process.listeners("beforeExit"));
  app.listen({ hostname, port, reusePort: true, tls: tlsOptions() });
  for (const listener of process.listeners("beforeExit")) {
    if (!before.has(listener)) process.removeListener("beforeExit", listener);
  }
  if (app.server === null) throw new Error("listenSecurely: no server");
  return app.server;
}

/** From now on each of its connections is closed with its next answer, and its client connects anew, to the successor. */
function retire(app: AnyElysia, server: Server): void {
  server.reload({
    routes: {},
    fetch: async (request: Request) => {
      const answer = await app.fetch(request);
      const headers = new Headers(answer.headers);
      headers.set("connection", "close");
      return new Response(answer.body, { status: answer.status, headers });
    },
  });
}

/**
 * `app.listen` by HTTPS, again whenever the certificate changes: `app.server` is the newest.
 * @param close stops one server, in order.
 * @returns what closes those that were replaced, and makes no other.
 */
export function listenSecurely(
  app: AnyElysia,
  hostname: string,
  wanted: number,
  close: (server: Server) => Promise<void>,
  retireMs = RETIRE_MS,
): AsyncDisposable {
  checkFree(hostname, wanted);
  const first = open(app, hostname, wanted);
  const port = first.port ?? wanted;
  /** In the kernel's order; see `directTo`. */
  const group = [first];
  const retired = new Map<Server, ReturnType<typeof setTimeout>>();
  const closing = new Set<Promise<void>>();

  const direct = (): void => void directTo(port, group.indexOf(app.server as Server));

  function end(server: Server): void {
    clearTimeout(retired.get(server));
    retired.delete(server);
    const ended = close(server).finally(() => closing.delete(ended));
    closing.add(ended);
    const last = group.pop();
    const at = group.indexOf(server);
    if (last !== undefined && at !== -1) group[at] = last;
    direct();
  }

  function replace(): void {
    if (currentTls().server === undefined) return;
    const before = app.server;
    if (before === null) return;
    group.push(open(app, hostname, port));
    direct();
    retire(app, before);
    const timer = setTimeout(() => end(before), retireMs);
    timer.unref();
    retired.set(before, timer);
  }

  const watching = onTlsChange(replace);
  return {
    async [Symbol.asyncDispose]() {
      watching[Symbol.dispose]();
      for (const server of retired.keys()) end(server);
      await Promise.all(closing);
    },
  };
}
