/**
 * A guard before the door of a service that the world can reach. The runtime's HTTP server bounds neither how many
 * connections there are nor how slowly a request's head comes once a connection has had one; the guard listens in its
 * place, and pipes the bytes to it over the loopback without reading them: TLS passes through.
 */
import type { Socket, TCPSocketListener } from "bun";
import type { Log } from "#shared/log";
import { messageOf } from "#shared/errors";
import type { Metrics } from "#shared/telemetry";
import { addressGroup, plainAddress } from "./address.ts";
import { Way } from "./way.ts";

export interface GuardOptions {
  /**
   * Connections at once. At the bound a new one takes the place of the one without a request in hand that has been quiet
   * for longest, if for a second; else it is closed as it comes. What streams an answer counts as quiet between two chunks.
   */
  readonly connections: number;
  /** Connections at once from one address (IPv6: from one /64). More are closed as they come. */
  readonly connectionsPerAddress: number;
  /** How long a connection may take to bring a whole request head, from its opening or from the first byte after an answer (ms). */
  readonly headMs: number;
  /** Addresses that `connectionsPerAddress` is not for: proxies, behind which many are. Default: none. */
  readonly isProxy?: (address: string) => boolean;
}

export interface Guard {
  readonly port: number;
  /** Whose bytes come from this port of the loopback; undefined where they are not of the guard. */
  addressAt(port: number): string | undefined;
  /** A whole head came from this port: the connection has a request in hand. */
  dispatched(port: number): void;
  /** All that was in hand there is answered. */
  answered(port: number): void;
  /** Takes no new connection, and waits a moment for requests that are on their way to the server. Idempotent. */
  stop(): Promise<void>;
  /** Once the server has stopped: gives clients what it still answered, then closes all. */
  close(): Promise<void>;
}

/** How long a connection without a request in hand has been quiet before it gives up its place to a new one (ms). */
const FRESH_MS = 1_000;
/** How long bytes may be on their way to the server when the guard stops (ms). */
const SETTLE_MS = 250;
/** How long a client that reads nothing keeps what is left for it when the server has gone (ms): as the runtime's own patience. */
const LINGER_MS = 60_000;
/** How long `close` waits for clients to take what the guard still holds for them (ms): a server may have needed 4 s to close before. */
const CLOSE_MS = 4_000;
/** How often `stop` and `close` look (ms). */
const LOOK_MS = 10;

type ClientSocket = Socket<Connection | undefined>;
type ServerSocket = Socket<Connection>;

/** One client and, from its first byte on, its connection to the server. */
class Connection {
  readonly address: string;
  readonly network: string;
  readonly client: ClientSocket;
  readonly toServer: Way;
  server: ServerSocket | undefined;
  toClient: Way | undefined;
  /** Port of the loopback that the server sees; 0 until it is connected. */
  port = 0;
  isConnecting = false;
  /** Whether it has asked something that is not answered. */
  inHand = false;
  /** Of what is in hand: whether the service says that it is answered, and whether the server has said a word. */
  isTold = false;
  isSpoken = false;
  /** Since when it owes a whole head, or undefined where it is idle after an answer (ms, monotonic). */
  owesSince: number | undefined;
  /** When it last began or ended to have a request in hand, or was sent something (ms, monotonic). */
  quietSince: number;
  /** When the server went, or since then the client last took something (ms, monotonic). */
  endingSince: number | undefined;
  isClosed = false;

  constructor(client: ClientSocket, address: string, now: number) {
    this.client = client;
    this.address = address;
    this.network = addressGroup(address);
    this.toServer = new Way(client);
    this.owesSince = now;
    this.quietSince = now;
  }

  /** The service may say so early (of a stream, or a handler that gives a promise), and the server's words travel: both count. */
  settle(): void {
    this.quietSince = performance.now();
    if (this.isTold && this.isSpoken) this.inHand = false;
  }

  close(): void {
    this.client.terminate();
    this.server?.terminate();
  }
}

/**
 * Listens at `host` and `port` for the server at `serverPort` of 127.0.0.1.
 * @throws what `Bun.listen` throws where the address is taken or not of this machine.
 */
export function makeGuard(
  at: { readonly host: string; readonly port: number; readonly serverPort: number },
  { connections: most, connectionsPerAddress, headMs, isProxy = () => false }: GuardOptions,
  { log, metrics }: { readonly log: Log; readonly metrics: Metrics },
): Guard {
  const connections = new Set<Connection>();
  const byPort = new Map<number, Connection>();
  const perNetwork = new Map<string, number>();
  metrics.gauge("http_connections", "Connections at the door.", [], (gauge) => gauge.set(connections.size));
  const refused = metrics.counter("http_connections_refused_total", "Connections closed as they came.", ["reason"]);
  const cut = metrics.counter("http_connections_cut_total", "Connections closed by the guard.", ["reason"]);

  const serverHandlers = {
    open(socket: ServerSocket) {
      const connection = socket.data;
      connection.isConnecting = false;
      if (connection.isClosed) return socket.terminate();
      connection.server = socket;
      connection.port = socket.localPort;
      byPort.set(connection.port, connection);
      connection.toClient = new Way(socket, connection.client);
      connection.toServer.open(socket);
    },
    data({ data: connection }: ServerSocket, bytes: Uint8Array) {
      // What it answers by itself (400, a preflight) is no request that it tells of.
      connection.owesSince = undefined;
      connection.isSpoken = true;
      connection.settle();
      connection.toClient?.push(bytes);
    },
    drain: ({ data: connection }: ServerSocket) => connection.toServer.drain(),
    end: ({ data: connection }: ServerSocket) => connection.toClient?.end(),
    close({ data: connection }: ServerSocket) {
      if (byPort.get(connection.port) === connection) byPort.delete(connection.port);
      connection.endingSince ??= performance.now();
      connection.inHand = false;
      // What the server wrote before it went is still given.
      connection.toClient?.end();
      if (connection.toClient?.isBusy !== true) connection.client.end();
    },
    error: (socket: ServerSocket) => socket.terminate(),
  };

  function connect(connection: Connection): void {
    connection.isConnecting = true;
    Bun.connect<Connection>({
      hostname: "127.0.0.1",
      port: at.serverPort,
      allowHalfOpen: true,
      data: connection,
      socket: serverHandlers,
    }).catch((error: unknown) => {
      connection.isConnecting = false;
      log.warn("the guard cannot reach its server", { reason: messageOf(error) });
      cut.inc({ reason: "server" });
      connection.close();
    });
  }

  /** Whether there is room for one more, if need be that of another. */
  function makeRoom(now: number): boolean {
    if (connections.size < most) return true;
    let quietest: Connection | undefined;
    for (const connection of connections) {
      if (!connection.inHand && connection.quietSince < (quietest?.quietSince ?? now - FRESH_MS)) quietest = connection;
    }
    if (quietest === undefined) return false;
    cut.inc({ reason: "room" });
    forget(quietest);
    quietest.close();
    return true;
  }

  function forget(connection: Connection): void {
    if (!connections.delete(connection)) return;
    connection.isClosed = true;
    const left = (perNetwork.get(connection.network) ?? 1) - 1;
    if (left === 0) perNetwork.delete(connection.network);
    else perNetwork.set(connection.network, left);
  }

  const listener: TCPSocketListener<Connection | undefined> = Bun.listen<Connection | undefined>({
    hostname: at.host,
    port: at.port,
    allowHalfOpen: true,
    data: undefined,
    socket: {
      open(socket) {
        const now = performance.now();
        const connection = new Connection(socket, plainAddress(socket.remoteAddress) ?? socket.remoteAddress, now);
        const already = perNetwork.get(connection.network) ?? 0;
        const isTooMany = already >= connectionsPerAddress && !isProxy(connection.address);
        if (isTooMany || !makeRoom(now)) {
          refused.inc({ reason: isTooMany ? "address" : "total" });
          socket.terminate();
          return;
        }
        socket.data = connection;
        connections.add(connection);
        perNetwork.set(connection.network, already + 1);
      },
      data({ data: connection }, bytes) {
        if (connection === undefined) return;
        if (!connection.inHand) connection.owesSince ??= performance.now();
        if (connection.server === undefined && !connection.isConnecting) connect(connection);
        connection.toServer.push(bytes);
      },
      drain({ data: connection }) {
        if (connection === undefined) return;
        connection.toClient?.drain();
        if (connection.endingSince === undefined) return;
        connection.endingSince = performance.now();
        if (connection.toClient?.isBusy !== true) connection.client.end();
      },
      end({ data: connection }) {
        if (connection === undefined) return;
        connection.toServer.end();
        // It never asked anything.
        if (connection.server === undefined && !connection.isConnecting) connection.close();
      },
      close({ data: connection }) {
        if (connection === undefined) return;
        forget(connection);
        connection.server?.terminate();
      },
      error: (socket) => socket.terminate(),
    },
  });

  let isClosed = false;
  const sweeping = setInterval(
    () => {
      if (isClosed && connections.size === 0) return clearInterval(sweeping);
      const now = performance.now();
      for (const connection of connections) {
        const isLate = !connection.inHand && now - (connection.owesSince ?? now) > headMs;
        const isLeft = now - (connection.endingSince ?? now) > LINGER_MS;
        if (!isLate && !isLeft) continue;
        cut.inc({ reason: isLate ? "head" : "unread" });
        connection.close();
      }
    },
    Math.min(1_000, headMs / 10),
  );
  sweeping.unref();

  async function until(isDone: (connection: Connection) => boolean, ms: number): Promise<void> {
    const endsAt = performance.now() + ms;
    while (performance.now() < endsAt && ![...connections].every(isDone)) await Bun.sleep(LOOK_MS);
  }

  let stopped: Promise<void> | undefined;
  return {
    port: listener.port,
    addressAt: (port) => byPort.get(port)?.address,
    dispatched(port) {
      const connection = byPort.get(port);
      if (connection === undefined) return;
      connection.inHand = true;
      connection.isTold = false;
      connection.isSpoken = false;
      connection.owesSince = undefined;
    },
    answered(port) {
      const connection = byPort.get(port);
      if (connection === undefined) return;
      connection.isTold = true;
      connection.settle();
    },
    stop() {
      listener.stop();
      const now = performance.now();
      // Older ones are slow: the server does not wait for those either.
      return (stopped ??= until(
        ({ inHand, owesSince = 0, isConnecting }) => inHand || (!isConnecting && now - owesSince > SETTLE_MS),
        SETTLE_MS,
      ));
    },
    async close() {
      await until(({ toClient }) => toClient?.isShut !== false, CLOSE_MS);
      for (const connection of connections) {
        // What the kernel holds for a client still reaches it, which a reset would prevent.
        if (connection.toClient?.isShut === true) connection.client.end();
        else connection.close();
        connection.endingSince ??= performance.now();
      }
      isClosed = true;
    },
  };
}
