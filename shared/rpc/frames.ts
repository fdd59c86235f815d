/** Cuts frames out of the chunks in which a stream arrives. */
import { RPC_LIMITS } from "#contracts/limits";
import { WireError } from "./check.ts";
import { PREFIX_BYTES } from "./encode.ts";

const EMPTY = Buffer.alloc(0);
const FIRST_TAIL_BYTES = 4_096;

/**
 * `push` a chunk, then read while `next()`. A frame that lies whole in a chunk is read in place; only an incomplete one
 * is copied, into room that grows with what has arrived, not with what its prefix announces.
 */
export class FrameReader {
  /** Where the frame that `next()` found lies, valid until the next call of anything here. */
  bytes: Buffer = EMPTY;
  from = 0;
  to = 0;
  /** When the incomplete frame at the end of the stream began (by the clock of `push`); 0: there is none. */
  incompleteSince = 0;

  #chunk: Buffer = EMPTY;
  #at = 0;
  #tail: Buffer = EMPTY;
  #tailBytes = 0;
  #now = 0;

  /** @param now ms, any steady clock. */
  push(chunk: Buffer, now: number): void {
    this.#now = now;
    // Frames are left unread only where reading was stopped, so this copy is rare.
    this.#chunk = this.#at < this.#chunk.length ? Buffer.concat([this.#chunk.subarray(this.#at), chunk]) : chunk;
    this.#at = 0;
  }

  /** Room taken by what has arrived and is not read yet (bytes). */
  get heldBytes(): number {
    return this.#chunk.length + this.#tail.length;
  }

  /** The incomplete frame's time starts anew: the reader itself was stopped. */
  restartClock(now: number): void {
    if (this.incompleteSince !== 0) this.incompleteSince = now;
  }

  /**
   * Finds the next whole frame.
   * @throws WireError at a frame whose prefix is above the limit, before anything of it is kept.
   */
  next(): boolean {
    if (this.#tailBytes > 0) return this.#completeTail();
    const left = this.#chunk.length - this.#at;
    if (left >= PREFIX_BYTES) {
      const length = checked(this.#chunk.readUInt32BE(this.#at));
      if (left >= PREFIX_BYTES + length) {
        this.bytes = this.#chunk;
        this.from = this.#at + PREFIX_BYTES;
        this.to = this.from + length;
        this.#at = this.to;
        return true;
      }
    }
    if (left > 0) {
      this.#tail = Buffer.allocUnsafe(Math.max(FIRST_TAIL_BYTES, left));
      this.#take(left);
      this.incompleteSince = this.#now;
    }
    this.#chunk = EMPTY;
    this.#at = 0;
    return false;
  }

  #completeTail(): boolean {
    if (!this.#fillTo(PREFIX_BYTES)) return false;
    const length = checked(this.#tail.readUInt32BE(0));
    if (!this.#fillTo(PREFIX_BYTES + length)) return false;
    this.bytes = this.#tail;
    this.from = PREFIX_BYTES;
    this.to = PREFIX_BYTES + length;
    this.#tail = EMPTY;
    this.#tailBytes = 0;
    this.incompleteSince = 0;
    return true;
  }

  /** Moves bytes of the chunk to the tail until that has `bytes`, or until there are no more. */
  #fillTo(bytes: number): boolean {
    const missing = bytes - this.#tailBytes;
    if (missing <= 0) return true;
    const available = Math.min(missing, this.#chunk.length - this.#at);
    const needed = this.#tailBytes + available;
    if (needed > this.#tail.length) {
      const grown = Buffer.allocUnsafe(Math.min(bytes, needed * 2));
      this.#tail.copy(grown, 0, 0, this.#tailBytes);
      this.#tail = grown;
    }
    this.#take(available);
    return available === missing;
  }

  #take(bytes: number): void {
    this.#chunk.copy(this.#tail, this.#tailBytes, this.#at, this.#at + bytes);
    this.#tailBytes += bytes;
    this.#at += bytes;
  }
}

function checked(length: number): number {
  if (length > RPC_LIMITS.bytes) throw new WireError(`a frame of more than ${RPC_LIMITS.bytes} bytes`, true);
  return length;
}
