/** TLS in front of a server that speaks none: what is within goes to it as it is. */
import { type AddressInfo, connect, createServer as createTcpServer, type Server, type Socket } from "node:net";
import { createServer, type TlsOptions, TLSSocket } from "node:tls";

export interface Front extends AsyncDisposable {
  readonly port: number;
  /** Connections whose handshake came to a good end. */
  readonly secured: number;
  /** From now on new connections see this. */
  use(options: TlsOptions): void;
  /** Cuts all connections. */
  cut(): void;
}

/** PostgreSQL's `SSLRequest` (https://www.postgresql.org/docs/current/protocol-message-formats.html). */
const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);

/** @param target of a server on this machine. @param kind `postgres`: a client asks for TLS first, and is told yes. */
export async function startFront(
  target: number,
  options: TlsOptions,
  kind: "tls" | "postgres" = "tls",
): Promise<Front> {
  const sockets = new Set<Socket>();
  let secured = 0;
  let now = options;

  function track(socket: Socket): void {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
  }

  function within(tls: Socket): void {
    secured += 1;
    const inner = connect(target, "127.0.0.1");
    track(inner);
    tls.pipe(inner).pipe(tls);
    tls.on("close", () => inner.destroy());
    inner.on("close", () => tls.destroy());
  }

  function asked(socket: Socket): void {
    track(socket);
    socket.once("data", (bytes: Buffer) => {
      if (!bytes.equals(SSL_REQUEST)) {
        socket.destroy();
        return;
      }
      socket.write("S");
      const tls = new TLSSocket(socket, { isServer: true, ...now });
      track(tls);
      tls.once("secure", () => within(tls));
    });
  }

  const secure = createServer(now, (tls) => {
    track(tls);
    within(tls);
  });
  secure.on("tlsClientError", () => undefined);
  const server: Server = kind === "tls" ? secure : createTcpServer(asked);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    get secured() {
      return secured;
    },
    use(next) {
      now = next;
      if (kind === "tls") secure.setSecureContext(next);
    },
    cut() {
      for (const socket of sockets) socket.destroy();
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
