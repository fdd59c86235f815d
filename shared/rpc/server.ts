/** RPC server: MessagePack over TCP (docs/rpc.md). */
import type { SocketHandler } from "bun";
import { Channel } from "./channel.ts";
import { Connection, type MethodEntry, type Serving } from "./connection.ts";
import { currentTls } from "#shared/tls";
import { accepting } from "./accept.ts";
import { tallyOf } from "./tally.ts";
import { Turns } from "./turns.ts";
import type { RpcServer, RpcServerOptions } from "./types.ts";

const MAX_CONNECTIONS = 1_024;
const DRAIN_MS = 5_000;
const SWEEP_MS = 100;
/** How often, at most, a connection above the limit is logged (ms). */
const LOG_FULL_MS = 10_000;

/**
 * Listens at once.
 * @throws the system's error where the address cannot be listened on (`code`: `EADDRINUSE`, …).
 */
export function serveRpc(options: RpcServerOptions): RpcServer {
  const { log, metrics, maxConnections = MAX_CONNECTIONS, drainMs = DRAIN_MS, token } = options;
  const tally = tallyOf(metrics, "server");
  const connections = new Set<Connection>();
  const methods = new Map<string, MethodEntry>();
  for (const [name, run] of Object.entries(options.methods)) methods.set(name, { run, tally: tally.of(name) });

  let quiet: (() => void) | undefined;
  const inFlight = (): number => {
    let calls = 0;
    for (const connection of connections) calls += connection.inFlight;
    return calls;
  };
  const serving: Serving = {
    server: options.server,
    version: options.version,
    methods,
    unknown: tally.of("unknown"),
    tally,
    log,
    token,
    turns: new Turns(),
    draining: false,
    onIdle: () => quiet?.(),
  };
  const source = {
    get inFlight() {
      return inFlight();
    },
    get connections() {
      return connections.size;
    },
  };
  tally.sources.add(source);

  let loggedFullAt = -Infinity;
  const handlers: SocketHandler<Connection | undefined> = {
    open(socket) {
      socket.data = new Connection(new Channel(socket), `${socket.remoteAddress}:${socket.remotePort}`, serving);
      connections.add(socket.data);
    },
    data: (socket, chunk) => socket.data?.onData(chunk),
    drain: (socket) => socket.data?.onDrain(),
    close(socket) {
      if (socket.data === undefined) return;
      connections.delete(socket.data);
      socket.data.onClose();
      quiet?.();
    },
    error(socket, error) {
      log.warn("RPC connection failed", { peer: socket.data?.peer, error });
      socket.terminate();
    },
  };
  const door = accepting({
    host: options.host,
    port: options.port,
    tls: options.tls ?? (() => currentTls().server),
    log,
    handlers,
    isFull(inHandshake) {
      if (connections.size + inHandshake < maxConnections && !serving.draining) return false;
      const now = performance.now();
      if (!serving.draining && now - loggedFullAt > LOG_FULL_MS) {
        loggedFullAt = now;
        log.warn("RPC connection refused: too many", { maxConnections });
      }
      tally.refuse("full");
      return true;
    },
  });

  const sweeper = setInterval(() => {
    tally.refill();
    const now = performance.now();
    for (const connection of connections) connection.sweep(now);
  }, SWEEP_MS);
  sweeper.unref();

  /** Waits until `done` holds, looked at whenever a connection or a call ends, at most until `until`. */
  const settled = async (done: () => boolean, until: number): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>();
    quiet = () => {
      if (done()) resolve();
    };
    const timer = setTimeout(resolve, Math.max(0, until - performance.now()));
    quiet();
    await promise;
    clearTimeout(timer);
  };

  const drain = async (): Promise<void> => {
    serving.draining = true;
    door.stop();
    const until = performance.now() + drainMs;
    await settled(() => inFlight() === 0, until);
    const left = inFlight();
    if (left > 0) log.warn("RPC calls cut off at the end of the drain", { calls: left });
    for (const connection of connections) connection.end();
    await settled(() => connections.size === 0, until);
    for (const connection of connections) connection.channel.terminate();
    clearInterval(sweeper);
    tally.sources.delete(source);
  };
  let drained: Promise<void> | undefined;

  return {
    port: door.port,
    get connections() {
      return connections.size;
    },
    [Symbol.asyncDispose]: () => (drained ??= drain()),
  };
}
