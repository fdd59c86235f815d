/** Takes connections: plain ones, or those whose TLS handshake has come to a good end. */
import type { Socket, SocketHandler, TCPSocketListener } from "bun";
import { messageOf } from "#shared/errors";
import type { Log } from "#shared/log";
import { TLS_1_3 } from "#shared/tls";
import type { RpcTls } from "./types.ts";

/** Longest that a handshake may take (ms). */
const HANDSHAKE_MS = 5_000;

export interface AcceptOptions<Data> {
  readonly host: string;
  readonly port: number;
  /** Asked for each connection, so that new ones see a new certificate and others stay as they are; undefined: plain. */
  readonly tls: () => RpcTls | undefined;
  readonly log: Log;
  /** `open` comes once who calls may speak. */
  readonly handlers: SocketHandler<Data | undefined>;
  /** Whether one more connection is too many, besides those that are in their handshake. */
  readonly isFull: (inHandshake: number) => boolean;
}

export interface Accepting {
  readonly port: number;
  /** Takes no more. */
  stop(): void;
}

/** @throws the system's error where the address cannot be listened on. */
export function accepting<Data>({ host, port, tls, log, handlers, isFull }: AcceptOptions<Data>): Accepting {
  const shaking = new Set<Socket<unknown>>();
  const isSecure = tls() !== undefined;

  function greet(raw: Socket<Data | undefined>): void {
    const own = tls();
    if (own === undefined) {
      // Its certificate was taken away: better no answer than a plain one.
      raw.terminate();
      return;
    }
    const peer = `${raw.remoteAddress}:${raw.remotePort}`;
    let secured: Socket<Data | undefined> | undefined;
    const over = (): void => {
      clearTimeout(timer);
      shaking.delete(raw);
    };
    const refuse = (reason: string): void => {
      over();
      log.warn("RPC connection refused in its TLS handshake", { peer, reason });
      secured?.terminate();
      raw.terminate();
    };
    shaking.add(raw);
    const timer = setTimeout(() => refuse("it took too long"), HANDSHAKE_MS);
    const mutual = own.ca !== undefined;
    const [, socket] = raw.upgradeTLS<Data | undefined>({
      // `isServer` is in the runtime (1.4.5) and not in its types.
      ...({ isServer: true } as object),
      tls: { ...own, requestCert: mutual, rejectUnauthorized: mutual, ...({ minVersion: TLS_1_3 } as object) },
      socket: {
        ...handlers,
        open: () => undefined,
        handshake(shaken, authorized, error) {
          // Where no certificate was asked for, the error is that there is none.
          if (!authorized || (mutual && error !== null)) {
            refuse(messageOf(error));
            return;
          }
          over();
          void handlers.open?.(shaken);
        },
        close(closed, error) {
          over();
          return handlers.close?.(closed, error);
        },
        error(failing, error) {
          if (shaking.has(raw)) return refuse(messageOf(error));
          return handlers.error?.(failing, error);
        },
      },
    });
    secured = socket;
  }

  const listener: TCPSocketListener<Data | undefined> = Bun.listen<Data | undefined>({
    hostname: host,
    port,
    socket: {
      ...handlers,
      open(socket) {
        if (isFull(shaking.size)) socket.terminate();
        else if (isSecure) greet(socket);
        else return handlers.open?.(socket);
      },
    },
  });
  return {
    port: listener.port,
    stop() {
      listener.stop();
      for (const socket of shaking) socket.terminate();
    },
  };
}
