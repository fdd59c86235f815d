/**
 * A TCP proxy that misbehaves on request: between any two parts of the platform, in the process of the test.
 * Bounded: what one connection holds back is at most 1 MiB a direction, then its sender is no longer read.
 */
import { connect, createServer, type Server, type Socket } from "node:net";
import { sleep } from "#shared/resilience";
import { between } from "./random.ts";

export interface ProxyFaults {
  /** Each chunk is handed on so much later (ms), in either direction; the order stays. */
  latencyMs?: number;
  /** Taken and never handed on, in both directions, and nobody is told. What is connected then is reset by `heal`. */
  blackhole?: boolean;
  /** Nothing is read: senders find their buffers full, as behind a network that is gone. Nothing is lost by it. */
  pause?: boolean;
  /** Nothing listens: connecting is refused. What is connected stays. */
  refuse?: boolean;
  /** Bytes of one write, each a packet of its own. */
  sliceBytes?: number;
  /** Share of bytes, from 0 to 1, of which one bit is turned over. */
  flips?: { readonly up?: number; readonly down?: number };
}

export interface ProxyCounts {
  /** Connections that were taken, and of these still open. */
  connections: number;
  open: number;
  /** Bytes from clients to the target, and back; those swallowed count nowhere else. */
  bytesUp: number;
  bytesDown: number;
  bytesSwallowed: number;
  bitsFlipped: number;
}

export interface Proxy extends AsyncDisposable {
  readonly port: number;
  readonly counts: Readonly<ProxyCounts>;
  /** `url` with this proxy's address in place of its own, which becomes the target. Connections before wait for one. */
  through(url: string): string;
  /** Puts these in place of what was wrong before. */
  misbehave(faults: ProxyFaults): Promise<void>;
  /** As if nothing were wrong with it. Connections from which bytes were swallowed are reset: they are broken. */
  heal(): Promise<void>;
  /** Ends all connections now: `reset` (RST), or `end` (FIN) after what is in hand. */
  cut(how?: "reset" | "end"): void;
  /** Ends one direction of all connections: `up`, from the clients, or `down`. The other one stays open. */
  halfClose(direction: "up" | "down"): void;
}

/** Held back of one direction of one connection, at most (bytes). */
const HELD_MAX = 1_048_576;
/** Longest that a connection waits for the proxy to have a target (ms). */
const TARGET_MS = 60_000;
const LOOK_EVERY_MS = 5;

interface Piece {
  readonly bytes: Buffer;
  readonly dueAt: number;
}

/** @param random decides which bits are turned over. */
export async function startProxy(random: () => number = Math.random): Promise<Proxy> {
  const counts: ProxyCounts = {
    connections: 0,
    open: 0,
    bytesUp: 0,
    bytesDown: 0,
    bytesSwallowed: 0,
    bitsFlipped: 0,
  };
  let faults: ProxyFaults = {};
  let target: { host: string; port: number } | undefined;
  const links = new Set<Link>();
  let listening: Server | undefined;
  const aimed = (): boolean => target !== undefined;

  class Link {
    readonly #client: Socket;
    #server: Socket | undefined;
    readonly #pipes: Pipe[] = [];
    swallowed = false;

    constructor(client: Socket) {
      this.#client = client;
      client.on("error", () => this.destroy());
      client.on("close", () => this.destroy());
    }

    get ended(): boolean {
      return this.#client.destroyed;
    }

    async open(): Promise<void> {
      const endsAt = performance.now() + TARGET_MS;
      while (!aimed()) {
        if (this.ended) return;
        if (performance.now() > endsAt) return this.reset();
        await sleep(LOOK_EVERY_MS);
      }
      // A network that is gone takes no new connections either; they wait as they would for an answer to their SYN.
      while (faults.blackhole === true || faults.pause === true) {
        if (this.ended) return;
        if (faults.blackhole === true) this.swallowed = true;
        await sleep(LOOK_EVERY_MS);
      }
      if (this.ended) return;
      const server = connect({ ...target!, allowHalfOpen: true, noDelay: true });
      this.#server = server;
      server.on("error", () => this.reset());
      server.on("close", () => this.destroy());
      await new Promise<void>((resolve) => {
        server.once("connect", () => resolve());
        server.once("close", () => resolve());
      });
      this.#pipes.push(new Pipe(this, "up", this.#client, server), new Pipe(this, "down", server, this.#client));
    }

    halfClose(direction: "up" | "down"): void {
      this.#pipes[direction === "up" ? 0 : 1]?.end();
    }

    reset(): void {
      if (!this.#client.destroyed) this.#client.resetAndDestroy();
      if (this.#server !== undefined && !this.#server.destroyed) this.#server.resetAndDestroy();
      this.destroy();
    }

    destroy(): void {
      if (!links.delete(this)) return;
      counts.open -= 1;
      this.#client.destroy();
      this.#server?.destroy();
    }
  }

  class Pipe {
    readonly #link: Link;
    readonly #direction: "up" | "down";
    readonly #from: Socket;
    readonly #to: Socket;
    readonly #pieces: Piece[] = [];
    #held = 0;
    #ending = false;
    #running = false;

    constructor(link: Link, direction: "up" | "down", from: Socket, to: Socket) {
      this.#link = link;
      this.#direction = direction;
      this.#from = from;
      this.#to = to;
      from.on("data", (bytes: Buffer) => this.#take(bytes));
      from.on("end", () => this.end());
      from.resume();
    }

    /** Hands the end of this direction on, after what is in hand. */
    end(): void {
      this.#ending = true;
      this.#run();
    }

    #take(bytes: Buffer): void {
      if (this.#ending) return;
      if (faults.blackhole === true) {
        this.#link.swallowed = true;
        counts.bytesSwallowed += bytes.length;
        return;
      }
      this.#pieces.push({ bytes, dueAt: performance.now() + (faults.latencyMs ?? 0) });
      this.#held += bytes.length;
      if (this.#held > HELD_MAX) this.#from.pause();
      this.#run();
    }

    #run(): void {
      if (this.#running) return;
      this.#running = true;
      // Bounded by the connection: ends with it. `pump` never rejects.
      void this.#pump().finally(() => {
        this.#running = false;
      });
    }

    async #pump(): Promise<void> {
      for (;;) {
        if (this.#link.ended || this.#to.destroyed) return;
        if (faults.pause === true) {
          this.#from.pause();
          await sleep(LOOK_EVERY_MS);
          continue;
        }
        const piece = this.#pieces[0];
        if (piece === undefined) {
          if (this.#ending) {
            if (faults.blackhole === true) this.#link.swallowed = true;
            else this.#to.end();
          }
          return;
        }
        const waitMs = piece.dueAt - performance.now();
        if (waitMs > 0) {
          await sleep(waitMs);
          continue;
        }
        this.#pieces.shift();
        this.#held -= piece.bytes.length;
        await this.#write(flip(piece.bytes, this.#direction));
        if (this.#held <= HELD_MAX) this.#from.resume();
      }
    }

    async #write(bytes: Buffer): Promise<void> {
      const size = faults.sliceBytes ?? bytes.length;
      for (let at = 0; at < bytes.length; at += size) {
        if (this.#to.destroyed) return;
        const full = !this.#to.write(bytes.subarray(at, at + size));
        if (full) await drained(this.#to);
        // A turn of the event loop for each, so that they leave one by one.
        else if (faults.sliceBytes !== undefined) await new Promise((resolve) => setImmediate(resolve));
      }
      if (this.#direction === "up") counts.bytesUp += bytes.length;
      else counts.bytesDown += bytes.length;
    }
  }

  function flip(bytes: Buffer, direction: "up" | "down"): Buffer {
    const share = faults.flips?.[direction] ?? 0;
    if (share === 0) return bytes;
    const flipped = Buffer.from(bytes);
    for (let at = 0; at < flipped.length; at += 1) {
      if (random() >= share) continue;
      flipped.writeUInt8(flipped.readUInt8(at) ^ (1 << between(random, 0, 7)), at);
      counts.bitsFlipped += 1;
    }
    return flipped;
  }

  function onConnection(client: Socket): void {
    const link = new Link(client);
    links.add(link);
    counts.connections += 1;
    counts.open += 1;
    client.pause();
    void link.open();
  }

  async function listen(port: number): Promise<Server> {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, onConnection);
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, "127.0.0.1", () => resolve());
    });
    listening = server;
    return server;
  }

  function unlisten(): void {
    // Calls back when the last connection has ended, which is not waited for.
    listening?.close();
    listening = undefined;
  }

  const address = (await listen(0)).address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const { port } = address;

  const misbehave = async (next: ProxyFaults): Promise<void> => {
    const swallowedBefore = faults.blackhole === true && next.blackhole !== true;
    faults = { ...next };
    if (swallowedBefore) for (const link of links) if (link.swallowed) link.reset();
    if (next.refuse === true) unlisten();
    else if (listening === undefined) await listen(port);
  };

  return {
    port,
    counts,
    through(url) {
      const parsed = new URL(url);
      const usual: Readonly<Record<string, number>> = { "http:": 80, "amqp:": 5672, "postgres:": 5432, "smtp:": 25 };
      target = {
        host: parsed.hostname.replaceAll(/^\[|\]$/g, ""),
        port: Number(parsed.port) || (usual[parsed.protocol] ?? 0),
      };
      parsed.hostname = "127.0.0.1";
      parsed.port = String(port);
      // What had no path gets none.
      return url.endsWith("/") ? parsed.href : parsed.href.replace(/\/$/, "");
    },
    misbehave,
    heal: () => misbehave({}),
    cut(how = "reset") {
      for (const link of links) {
        if (how === "reset") link.reset();
        else {
          link.halfClose("up");
          link.halfClose("down");
        }
      }
    },
    halfClose(direction) {
      for (const link of links) link.halfClose(direction);
    },
    [Symbol.asyncDispose]() {
      unlisten();
      for (const link of links) link.reset();
      return Promise.resolve();
    },
  };
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      socket.off("drain", done);
      socket.off("close", done);
      resolve();
    };
    socket.once("drain", done);
    socket.once("close", done);
  });
}
