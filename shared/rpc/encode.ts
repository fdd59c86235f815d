/**
 * Messages out: msgpackr writes them, with standard types alone, straight into the buffer that goes to the socket. What
 * no peer could read is a failure of that one call, and leaves the frames of others that share the buffer whole.
 */
import { addExtension, Packr, RESERVE_START_SPACE, REUSE_BUFFER_MODE } from "msgpackr/pack";
import { RPC_LIMITS } from "#contracts/limits";
import { Failure } from "#shared/errors";
import { NegativeZero, sendable } from "./sendable.ts";

/** Bytes before a frame: its length, unsigned, big-endian. */
export const PREFIX_BYTES = 4;
const INITIAL_BYTES = 16_384;
/** A buffer that grew beyond this is given back once it is empty. */
const KEEP_BYTES = 1_048_576;
/** What msgpackr wants free at the start and the end of its buffer, without which it takes another. */
const SPARE_BYTES = 2_048 + 64;
/** msgpackr begins at a multiple of this; the bytes before the frame are reserved, together with its prefix. */
const WORD_BYTES = 8;

const packr = new Packr({ useRecords: false, variableMapSize: true, useToJSON: false, encodeUndefinedAsNil: true });

interface Writing {
  target: Buffer;
  position: number;
}

/** As msgpackr's own types do it: writes into the room that `allocate` gives and returns nothing, so no extension. */
function packNegativeZero({ value }: NegativeZero, allocate: (bytes: number) => Writing): void {
  const { target, position } = allocate(9);
  target[position] = 0xcb;
  target.writeDoubleBE(value, position + 1);
}
addExtension({ Class: NegativeZero, type: 1, pack: packNegativeZero as unknown as (value: NegativeZero) => Buffer });

let busy = false;

/** Bytes on their way to a socket: frames are appended at the end, what was written is taken off the front. */
export class Output {
  #bytes: Buffer = Buffer.allocUnsafeSlow(INITIAL_BYTES);
  #start = 0;
  #end = 0;

  /** Bytes that wait. */
  get length(): number {
    return this.#end - this.#start;
  }

  /**
   * Adds a frame with `message`.
   * @returns a failure where it cannot be sent (`invalid`: holds a value without a form on the wire; `too_large`);
   * nothing is added then.
   */
  append(message: readonly unknown[]): Failure | undefined {
    if (busy) return new Failure("invalid", "a value makes a call while it is encoded");
    busy = true;
    try {
      const { value, roomBytes } = sendable(message);
      const bytes = this.#room(roomBytes);
      const frame = this.#end;
      const aligned = frame - (frame % WORD_BYTES);
      packr.useBuffer(bytes);
      packr.position = aligned;
      const packed = packr.pack(value, RESERVE_START_SPACE | REUSE_BUFFER_MODE | (frame - aligned + PREFIX_BYTES));
      const after = packr.position;
      const length = after - frame - PREFIX_BYTES;
      if (length > RPC_LIMITS.bytes) return new Failure("too_large", `more than ${RPC_LIMITS.bytes} bytes`);
      // Only where a getter gave more than when it was measured.
      if (packed !== bytes) return new Failure("invalid", "a value changed while it was encoded");
      bytes[frame] = length >>> 24;
      bytes[frame + 1] = length >>> 16;
      bytes[frame + 2] = length >>> 8;
      bytes[frame + 3] = length;
      this.#end = after;
      return undefined;
    } catch (error) {
      if (error instanceof Failure) return error;
      return new Failure("invalid", "a value failed to be encoded", { cause: error });
    } finally {
      busy = false;
    }
  }

  /** The buffer, grown where less than `bytes` would fit behind a prefix. */
  #room(bytes: number): Buffer {
    const needed = this.#end + PREFIX_BYTES + bytes + SPARE_BYTES;
    if (needed > this.#bytes.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, needed));
      this.#bytes.copy(grown, 0, this.#start, this.#end);
      this.#bytes = grown;
      this.#end -= this.#start;
      this.#start = 0;
    }
    return this.#bytes;
  }

  /** Hands what waits to `write`, which says how much it took. */
  drainTo(write: (bytes: Buffer, offset: number, length: number) => number): void {
    this.#start += Math.max(0, write(this.#bytes, this.#start, this.#end - this.#start));
    if (this.#start < this.#end) {
      // What is left moves to the front once more than half of the buffer is spent: no byte is moved twice as often.
      if (this.#start > this.#bytes.length / 2) {
        this.#bytes.copyWithin(0, this.#start, this.#end);
        this.#end -= this.#start;
        this.#start = 0;
      }
      return;
    }
    this.#start = this.#end = 0;
    if (this.#bytes.length > KEEP_BYTES) this.#bytes = Buffer.allocUnsafeSlow(INITIAL_BYTES);
  }
}

/** One frame, prefix included, for tests and tools. @throws Failure as `Output.append` returns. */
export function encodeFrame(message: readonly unknown[]): Buffer {
  const output = new Output();
  const failure = output.append(message);
  if (failure !== undefined) throw failure;
  let frame = Buffer.alloc(0);
  output.drainTo((bytes, offset, length) => {
    frame = Buffer.from(bytes.subarray(offset, offset + length));
    return length;
  });
  return frame;
}
