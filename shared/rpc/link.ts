/** The client's connection to its server: opened, greeted, watched, and opened again for ever. */
import type { Socket } from "bun";
import { Failure, messageOf } from "#shared/errors";
import type { Log } from "#shared/log";
import { pause, reconnectBackoff } from "#shared/resilience";
import { Channel } from "./channel.ts";
import { WireError } from "./check.ts";
import { decodeMessage, emptyMessage, type Message } from "./decode.ts";
import { currentTls, TLS_1_3 } from "#shared/tls";
import type { RpcClientOptions } from "./types.ts";

/** Longest that a connection and its greeting may take (ms). */
const OPEN_MS = 3_000;
/** A connection that lasted so long counts as good: after its loss the next try is made at once (ms). */
const GOOD_MS = 1_000;
const TICK_MS = 250;
/** Silence after which the peer is asked for a sign of life (ms). */
const PING_AFTER_MS = 2_000;
/** Ticks without a byte after which a peer that was asked is taken for dead: ticks, since a process that did not run has not waited. */
const DEAD_TICKS = 4_500 / TICK_MS;
/** Ids of our own calls, out of the range of `PendingCalls` (whose index never reaches the top). */
const HELLO_ID = 0xffff_ffff;
const PING_ID = 0xffff_fffe;

export interface LinkEvents {
  /** The server has answered the greeting: calls may be sent. */
  onUp(channel: Channel): void;
  /** Was up and is not any more. */
  onDown(error: Failure): void;
  /** A try has failed, without having been up. */
  onFailed(error: Failure): void;
  onResponse(message: Message): void;
  /** Some times a second while the connection is up. */
  onTick(): void;
}

export interface Link {
  /** Ends the connection, after what waits is written, and makes no other. */
  close(): Promise<void>;
}

interface Address {
  host: string;
  port: number;
  tls: boolean;
}

/** @throws TypeError where `url` is not `tcp://host:port` or `tls://host:port`. */
export function addressOf(url: string): Address {
  const { protocol, hostname, port } = new URL(url);
  if ((protocol !== "tcp:" && protocol !== "tls:") || hostname === "" || port === "") {
    throw new TypeError("an RPC address is tcp://host:port or tls://host:port");
  }
  return { host: hostname.replace(/^\[(.*)\]$/, "$1"), port: Number(port), tls: protocol === "tls:" };
}

/** Connects, and connects again, until closed. */
export function makeLink(options: RpcClientOptions, events: LinkEvents): Link {
  const { log } = options;
  const address = addressOf(options.url);
  const closing = new AbortController();
  const outage = makeOutageLog(log, options.url);
  let current: Channel | undefined;

  const run = async (): Promise<void> => {
    let attempt = 0;
    while (!closing.signal.aborted) {
      let upAt = 0;
      const error = await session(options, address, closing.signal, {
        ...events,
        onUp(channel) {
          upAt = performance.now();
          current = channel;
          outage.over();
          events.onUp(channel);
        },
      });
      current = undefined;
      if (closing.signal.aborted) break;
      if (upAt === 0) events.onFailed(error);
      else events.onDown(error);
      outage.goesOn(error);
      const good = upAt !== 0 && performance.now() - upAt > GOOD_MS;
      attempt = good ? 0 : attempt + 1;
      if (attempt > 0) await pause(reconnectBackoff(attempt - 1), closing.signal);
    }
    events.onDown(new Failure("unavailable", "the RPC client is closed"));
  };
  const running = run();

  return {
    async close() {
      current?.end();
      closing.abort();
      await running;
    },
  };
}

/** One line when the server is lost, one when it is back, however many tries lie between. */
function makeOutageLog(log: Log, server: string): { over(): void; goesOn(error: Failure): void } {
  let told = false;
  let since = 0;
  return {
    over() {
      log.info("RPC server connected", { server, ...(told ? { afterMs: Math.round(performance.now() - since) } : {}) });
      told = false;
    },
    goesOn(error) {
      if (told) return;
      told = true;
      since = performance.now();
      log.warn("RPC server not connected", { server, error });
    },
  };
}

/** The link is inside the platform: TLS 1.3. Asked anew for each connection, since certificates change. */
function clientTls({ tls, serverName }: RpcClientOptions, { host }: Address) {
  const own = tls ?? currentTls().client ?? {};
  return { ...own, serverName: serverName ?? host, rejectUnauthorized: true, minVersion: TLS_1_3 };
}

/** One connection from its opening to its end; resolves with why it ended. Never rejects. */
async function session(
  options: RpcClientOptions,
  address: Address,
  signal: AbortSignal,
  events: LinkEvents,
): Promise<Failure> {
  const { promise: ended, resolve: end } = Promise.withResolvers<Failure>();
  const lost = (message: string, cause?: unknown): void => end(new Failure("unavailable", message, { cause }));
  const message = emptyMessage();
  let channel: Channel | undefined;
  let up = false;
  let silentTicks = 0;
  let asked = false;

  const greeted = ({ error }: Message): void => {
    if (error !== null) {
      const { message: why } = (error ?? {}) as { message?: unknown };
      lost(`the RPC server refused us: ${String(why).slice(0, 200)}`);
      return;
    }
    up = true;
    if (channel !== undefined) events.onUp(channel);
  };
  const receive = (from: Channel, chunk: Buffer): void => {
    silentTicks = 0;
    asked = false;
    from.receivedAt = performance.now();
    from.reader.push(chunk, from.receivedAt);
    from.corked(() => {
      while (from.reader.next()) {
        try {
          decodeMessage(from.reader.bytes, from.reader.from, from.reader.to, message);
        } catch (error) {
          if (!(error instanceof WireError) || error.fatal || message.type !== 1) throw error;
          // The frame is sound, but not what our contract lets a server answer.
          message.error = { code: "bad_gateway", message: error.message };
        }
        if (message.type !== 1) throw new WireError("a request or notification, where only responses are read", true);
        if (message.id === HELLO_ID) greeted(message);
        else if (message.id !== PING_ID) events.onResponse(message);
      }
    });
  };
  const tick = (): void => {
    if (channel === undefined || !up) return;
    events.onTick();
    silentTicks += 1;
    if (asked && silentTicks >= DEAD_TICKS) lost("the RPC server is silent");
    else if (!asked && silentTicks * TICK_MS >= PING_AFTER_MS) {
      asked = true;
      channel.send([0, PING_ID, "RPCServer.Ping", []]);
    }
  };
  const stop = (): void => lost("the RPC client is closed");

  const opening = setTimeout(() => {
    if (!up) lost("connecting to the RPC server took too long");
  }, OPEN_MS);
  const ticker = setInterval(tick, TICK_MS);
  ticker.unref();
  signal.addEventListener("abort", stop, { once: true });

  const greet = (socket: Socket): void => {
    channel = new Channel(socket);
    channel.send([0, HELLO_ID, "RPCServer.Hello", [{ client: options.client, token: options.token }]]);
    channel.flush();
  };
  const connecting = Bun.connect({
    hostname: address.host,
    port: address.port,
    ...(address.tls ? { tls: clientTls(options, address) } : {}),
    socket: {
      open(socket) {
        if (!address.tls) greet(socket);
      },
      handshake(socket, authorized, error) {
        if (authorized && error === null) greet(socket);
        else lost(`the RPC server is not to be trusted: ${messageOf(error)}`, error);
      },
      data(_socket, chunk) {
        if (channel === undefined) return;
        try {
          receive(channel, chunk);
        } catch (error) {
          lost(`the RPC server sent what is no answer: ${messageOf(error)}`, error);
        }
      },
      drain: () => channel?.onDrain(),
      close: (_socket, error) => lost("the connection to the RPC server was lost", error),
      error: (_socket, error) => lost("the connection to the RPC server failed", error),
      connectError: (_socket, error) => lost("the RPC server cannot be reached", error),
    },
  });
  // Also told by connectError, which is the only word where the socket was never made.
  connecting.catch((error: unknown) => lost("the RPC server cannot be reached", error));

  const why = await ended;
  clearTimeout(opening);
  clearInterval(ticker);
  signal.removeEventListener("abort", stop);
  if (signal.aborted) channel?.end();
  else channel?.terminate();
  channel?.onClose();
  // A socket that is made after all is not kept.
  connecting.then((socket) => (channel === undefined ? socket.terminate() : undefined)).catch(() => undefined);
  return why;
}
