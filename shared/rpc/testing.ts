/** For the tests of this folder: a server with simple methods, a peer that speaks bytes, a proxy that can go silent. */
import type { Socket, TCPSocketListener } from "bun";
import * as fc from "fast-check";
import { fail, ok, type Result } from "#shared/errors";
import { makeLog } from "#shared/log";
import { makeMetrics, type Metrics } from "#shared/telemetry";
import { decodeMessage, emptyMessage, type Message } from "./decode.ts";
import { encodeFrame } from "./encode.ts";
import { FrameReader } from "./frames.ts";
import { serveRpc } from "./server.ts";
import type { RpcMethod, RpcServer, RpcServerOptions } from "./types.ts";

/** Waits until `condition` holds. @throws after `ms`, with `what`. */
export async function until(condition: () => boolean, what: string, ms = 5_000): Promise<void> {
  for (const end = performance.now() + ms; !condition(); await Bun.sleep(2)) {
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
  }
}

const oddText = fc.oneof(
  fc.constantFrom("__proto__", "constructor", "prototype", "toJSON", "hasOwnProperty", "__key__id", ""),
  fc
    .tuple(fc.constantFrom("", "\uFEFF", "\uFEFF\uFEFF"), fc.constantFrom("x", "é"), fc.nat(300))
    .map(([mark, letter, length]) => mark + letter.repeat(length)),
);
const { value: oddValue } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: "medium" },
    oddText,
    fc.integer(),
    fc.maxSafeInteger(),
    fc.constant(null),
    fc.array(tie("value"), { maxLength: 6 }),
    fc.array(fc.tuple(oddText, tie("value")), { maxLength: 6 }).map((entries) => Object.fromEntries(entries)),
  ),
}));

/**
 * JSON texts (texts, since an object with the key `__proto__` is hard to compare) of values whose keys mean something
 * in JavaScript, and whose keys and texts begin with byte order marks.
 */
export const oddJson = oddValue.map((value) => JSON.stringify(value));

export interface Gate {
  readonly open: (result?: Result<unknown>) => void;
  readonly waiting: Promise<Result<unknown>>;
}

export function makeGate(): Gate {
  const { promise, resolve } = Promise.withResolvers<Result<unknown>>();
  return { waiting: promise, open: (result = ok("opened")) => resolve(result) };
}

/** What is written to a log, as text. */
export function makeTestLog() {
  const lines: string[] = [];
  return { lines, log: makeLog({ service: "test", level: "debug", write: (line) => lines.push(line) }) };
}

export const methods: Record<string, RpcMethod> = {
  echo: ([value]) => ok(value),
  "slow.echo": async ([value]) => {
    await Bun.sleep(5);
    return ok(value);
  },
  refuse: ([code]) => fail(code as "invalid", "refused on purpose"),
  throws: () => {
    throw new Error("a secret of the server");
  },
  rejects: async () => {
    throw new TypeError("a secret of the server");
  },
  unencodable: () => ok(new Map()),
};

export interface TestServer extends AsyncDisposable {
  readonly server: RpcServer;
  readonly metrics: Metrics;
  readonly lines: string[];
}

export function startServer(options: Partial<RpcServerOptions> = {}): TestServer {
  const metrics = makeMetrics("test", "1");
  const { log, lines } = makeTestLog();
  const server = serveRpc({
    host: "127.0.0.1",
    port: 0,
    server: "test",
    version: "1.2.3",
    methods,
    log,
    metrics,
    ...options,
  });
  return {
    server,
    metrics,
    lines,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      metrics[Symbol.dispose]();
    },
  };
}

export interface Peer extends Disposable {
  /** Messages that came, in order. */
  readonly received: Message[];
  readonly closed: boolean;
  /** Bytes that the kernel has taken so far. */
  readonly written: number;
  readonly socket: Socket;
  /** Writes all of `bytes`, as fast as the other side takes them; resolves when they are written or the peer closes. */
  write(bytes: Uint8Array): Promise<void>;
  send(...message: unknown[]): Promise<void>;
  /** The answer to `id`, once it is there. */
  answer(id: number): Promise<Message>;
  untilClosed(): Promise<void>;
}

export async function connectPeer(port: number): Promise<Peer> {
  const reader = new FrameReader();
  const received: Message[] = [];
  let closed = false;
  let written = 0;
  let drained: (() => void) | undefined;
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      data(_socket, chunk) {
        reader.push(chunk, 1);
        while (reader.next()) {
          const message = emptyMessage();
          decodeMessage(reader.bytes, reader.from, reader.to, message);
          received.push(message);
        }
      },
      drain: () => drained?.(),
      close() {
        closed = true;
        drained?.();
      },
      error: () => undefined,
    },
  });
  const find = (id: number): Message | undefined => received.find((message) => message.id === id);
  const isClosed = (): boolean => closed;
  const write = async (bytes: Uint8Array): Promise<void> => {
    for (let at = 0; !isClosed(); ) {
      const taken = Math.max(0, socket.write(bytes, at, bytes.length - at));
      at += taken;
      written += taken;
      if (at >= bytes.length) return;
      await new Promise<void>((resolve) => {
        drained = resolve;
      });
    }
  };
  return {
    received,
    socket,
    get closed() {
      return closed;
    },
    get written() {
      return written;
    },
    write,
    send: (...message) => write(encodeFrame(message)),
    async answer(id) {
      await until(() => find(id) !== undefined || closed, `answer to ${id}`);
      const message = find(id);
      if (message === undefined) throw new Error(`closed before the answer to ${id}`);
      return message;
    },
    untilClosed: () => until(() => closed, "the connection to be closed"),
    [Symbol.dispose]: () => socket.terminate(),
  };
}

export interface Proxy extends Disposable {
  readonly port: number;
  /** From now on bytes are swallowed in both directions, and nothing is closed: the peer's machine is gone. */
  swallow(): void;
  /** Cuts every connection. */
  cut(): void;
}

/** Passes bytes on to `target` until told otherwise. */
export function startProxy(target: number): Proxy {
  let swallowing = false;
  const pairs = new Set<Socket<{ other?: Socket }>>();
  const listener: TCPSocketListener<{ other?: Socket }> = Bun.listen<{ other?: Socket }>({
    hostname: "127.0.0.1",
    port: 0,
    data: {},
    socket: {
      async open(socket) {
        socket.data = {};
        pairs.add(socket);
        socket.pause();
        try {
          socket.data.other = await Bun.connect({
            hostname: "127.0.0.1",
            port: target,
            socket: {
              data: (_other, chunk) => void (swallowing || socket.write(chunk)),
              close: () => void (swallowing || socket.end()),
            },
          });
        } catch {
          // The target is not there: for whoever asked it is a connection that is closed.
          socket.end();
          return;
        }
        socket.resume();
      },
      data: ({ data }, chunk) => void (swallowing || data.other?.write(chunk)),
      close(socket) {
        pairs.delete(socket);
        socket.data.other?.end();
      },
    },
  });
  const cut = (): void => {
    for (const socket of pairs) socket.terminate();
  };
  return {
    port: listener.port,
    swallow() {
      swallowing = true;
    },
    cut,
    [Symbol.dispose]() {
      cut();
      listener.stop(true);
    },
  };
}
