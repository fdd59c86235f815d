/** One socket as both sides use it: frames in, frames out, as few writes as turns of the event loop. */
import type { Socket } from "bun";
import type { Failure } from "#shared/errors";
import { Output } from "./encode.ts";
import { FrameReader } from "./frames.ts";

/** Longest silence before TCP asks whether the peer's machine is there; then each second, ten times. */
const KEEPALIVE_MS = 15_000;

/**
 * Frames that are sent while a chunk is being handled, or else within one turn of the event loop, go out with one write
 * (measured: 2 to 3 times the calls). What the socket does not take waits for `onDrain`; who sends keeps an eye on
 * `waitingBytes`.
 */
export class Channel {
  readonly reader = new FrameReader();
  /** When bytes last came in, and when waiting bytes last moved (`performance.now()`). */
  receivedAt = performance.now();
  progressAt = 0;

  readonly #socket: Socket<unknown>;
  readonly #output = new Output();
  #corked = false;
  #scheduled = false;
  #blocked = false;
  #ending = false;
  #ended = false;
  #closed = false;

  readonly #flush = (): void => {
    this.#scheduled = false;
    this.flush();
  };
  readonly #write = (bytes: Buffer, offset: number, length: number): number =>
    this.#socket.write(bytes, offset, length);

  constructor(socket: Socket<unknown>) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEPALIVE_MS);
  }

  /** Bytes of frames that the socket has not taken yet. */
  get waitingBytes(): number {
    return this.#output.length;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Whether this side has said that it sends no more. */
  get ending(): boolean {
    return this.#ending;
  }

  /** @returns why `message` cannot be sent; then nothing of it is. To a closed channel everything is lost silently. */
  send(message: readonly unknown[]): Failure | undefined {
    if (this.#closed || this.#ending) return undefined;
    const failure = this.#output.append(message);
    if (!(this.#corked || this.#scheduled || this.#blocked)) {
      this.#scheduled = true;
      setImmediate(this.#flush);
    }
    return failure;
  }

  /** Runs `handle`, for a chunk that came in, and writes what it sent. */
  corked(handle: () => void): void {
    this.#corked = true;
    try {
      handle();
    } finally {
      this.#corked = false;
      this.flush();
    }
  }

  flush(): void {
    if (this.#blocked || this.#closed) return;
    if (this.#output.length > 0) {
      this.#output.drainTo(this.#write);
      this.progressAt = performance.now();
      this.#blocked = this.#output.length > 0;
    }
    if (this.#ending && !this.#blocked && !this.#ended) {
      this.#ended = true;
      this.#socket.end();
    }
  }

  /** The socket takes more. */
  onDrain(): void {
    this.#blocked = false;
    this.flush();
  }

  /** Whether bytes have waited since before `time` without one of them being taken. */
  stuckSince(time: number): boolean {
    return this.#blocked && this.progressAt < time;
  }

  /** Writes what waits, then ends the stream; the peer's bytes are still to be read (and dropped) until it ends too. */
  end(): void {
    if (this.#ending || this.#closed) return;
    this.#ending = true;
    this.#socket.resume();
    this.flush();
  }

  /** Closes at once; what waits is lost. */
  terminate(): void {
    if (!this.#closed) this.#socket.terminate();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    if (!this.#closed) this.#socket.resume();
  }

  /** The socket is gone. */
  onClose(): void {
    this.#closed = true;
  }
}
