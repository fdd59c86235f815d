/** One direction of a piped connection: bytes in order, no more of them in memory than one side has already read. */

/** What a way needs of a socket. `write` gives how many bytes were taken; fewer than given means: wait for a drain. */
export interface Side {
  write(bytes: Uint8Array): number;
  pause(): void;
  resume(): void;
  /** No more will be written: the other end sees the end of the stream, and may still send. */
  shutdown(): void;
}

/** From one side to another, which may come later. */
export class Way {
  readonly #from: Side;
  #to: Side | undefined;
  #waiting: Uint8Array[] = [];
  #ended = false;
  #shut = false;

  constructor(from: Side, to?: Side) {
    this.#from = from;
    this.#to = to;
  }

  /** Whether something, or the end, has not been handed on yet. */
  get isBusy(): boolean {
    return this.#waiting.length > 0 || (this.#ended && !this.#shut);
  }

  /** Whether all that came in, and its end, has been handed on. */
  get isShut(): boolean {
    return this.#shut;
  }

  /** The side to write to is there. */
  open(to: Side): void {
    this.#to = to;
    this.drain();
  }

  /** Bytes came in: they go out at once as far as they can; else nothing more is read until they have. */
  push(bytes: Uint8Array): void {
    if (this.#waiting.length > 0 || this.#to === undefined) {
      this.#waiting.push(bytes);
      this.#from.pause();
      return;
    }
    const taken = Math.max(0, this.#to.write(bytes));
    if (taken === bytes.byteLength) return;
    this.#waiting.push(bytes.subarray(taken));
    this.#from.pause();
  }

  /** The side to write to takes more. */
  drain(): void {
    if (this.#to === undefined) return;
    const hadWaiting = this.#waiting.length > 0;
    for (let bytes = this.#waiting[0]; bytes !== undefined; bytes = this.#waiting[0]) {
      const taken = Math.max(0, this.#to.write(bytes));
      if (taken < bytes.byteLength) {
        this.#waiting[0] = bytes.subarray(taken);
        return;
      }
      this.#waiting.shift();
    }
    if (hadWaiting) this.#from.resume();
    this.#shutWhenEmpty();
  }

  /** Nothing more comes in: told to the other side once all has gone out. */
  end(): void {
    this.#ended = true;
    this.#shutWhenEmpty();
  }

  #shutWhenEmpty(): void {
    if (!this.#ended || this.#shut || this.#waiting.length > 0 || this.#to === undefined) return;
    this.#shut = true;
    this.#to.shutdown();
  }
}
