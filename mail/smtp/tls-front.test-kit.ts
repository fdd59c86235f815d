/** TLS in front of the mail server for tests, with a certificate that nobody has a reason to trust. */
import { connect, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, TLSSocket } from "node:tls";
import type { SmtpDouble } from "./smtp-double.test-kit.ts";

/** Of `localhost` and 127.0.0.1, signed by itself, for a hundred years. The key is known to everybody: for tests only. */
export const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBmzCCAUGgAwIBAgIUDEvCndumHy2wSR/p0ZHa93n/7kAwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyOTE3NDk0N1oYDzIxMjYxMTA1
MTc0OTQ3WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAATFlCl4U4Zw2LvhfG7kziHu2+9f7YnYtD8VJg5EUpgl8TMgqgODcW9w
8eo3ykpVRUnWgQ0hL1DhL6KGVebQJ9PMo28wbTAdBgNVHQ4EFgQU7NWfY+4X1HY3
L6GNcJ+7npgZb+cwHwYDVR0jBBgwFoAU7NWfY+4X1HY3L6GNcJ+7npgZb+cwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDSAAwRQIhAIG3KMm9ftuXh0kevOLjHKVcOJRA/0nDuB7A2SAvP2kIAiBY
RxWSMUrQ/CP97/Fk00lBbD+kF+gIPjm+JoIN0mwqkw==
-----END CERTIFICATE-----
`;
const KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgyaDgaRgYuBG1ul5e
0rknwoY1gKvJtDFBUiQSSTAOyWqhRANCAATFlCl4U4Zw2LvhfG7kziHu2+9f7YnY
tD8VJg5EUpgl8TMgqgODcW9w8eo3ykpVRUnWgQ0hL1DhL6KGVebQJ9PM
-----END PRIVATE KEY-----
`;

export interface TlsFront extends AsyncDisposable {
  readonly port: number;
  /** Everything that clients said before TLS, line by line. */
  readonly clear: string[];
  /** Sessions in which TLS came about. */
  readonly secured: number;
}

/**
 * @param kind `starttls`: offers STARTTLS, and knows no other command in clear but EHLO and QUIT. `tls`: TLS at once.
 * @param double what is spoken to within TLS
 */
export async function startTlsFront(double: SmtpDouble, kind: "starttls" | "tls"): Promise<TlsFront> {
  const clear: string[] = [];
  const sockets = new Set<Socket>();
  let secured = 0;

  const track = (socket: Socket): void => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    // Clients that do not trust us cut.
    socket.on("error", () => socket.destroy());
  };

  /** @param greeted whether the client has had a greeting: the double's is kept from it then */
  function within(tls: Socket, greeted: boolean): void {
    secured += 1;
    const inner = connect(double.port, "127.0.0.1");
    track(inner);
    tls.pipe(inner);
    if (greeted) inner.once("data", () => inner.pipe(tls));
    else inner.pipe(tls);
    tls.on("close", () => inner.destroy());
    inner.on("close", () => tls.destroy());
  }

  function inClear(socket: Socket): void {
    track(socket);
    socket.write("220 front\r\n");
    let buffer = "";
    const listen = (bytes: Buffer): void => {
      buffer += bytes.toString("latin1");
      for (let at = buffer.indexOf("\r\n"); at !== -1; at = buffer.indexOf("\r\n")) {
        const line = buffer.slice(0, at);
        buffer = buffer.slice(at + 2);
        clear.push(line);
        if (line.startsWith("EHLO")) {
          socket.write("250-front\r\n250-SIZE 1000000\r\n250 STARTTLS\r\n");
        } else if (line === "STARTTLS") {
          socket.removeListener("data", listen);
          socket.write("220 go ahead\r\n");
          const tls = new TLSSocket(socket, { isServer: true, key: KEY, cert: CERTIFICATE });
          track(tls);
          tls.once("secure", () => within(tls, true));
          return;
        } else {
          socket.write(line === "QUIT" ? "221 bye\r\n" : "530 5.7.0 STARTTLS first\r\n");
        }
      }
    };
    socket.on("data", listen);
  }

  const server: Server =
    kind === "starttls"
      ? createServer(inClear)
      : createTlsServer({ key: KEY, cert: CERTIFICATE }, (tls) => {
          track(tls);
          within(tls, false);
        });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    clear,
    get secured() {
      return secured;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
