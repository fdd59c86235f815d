/** Numbers of a producer, block by block: which are there, which are not, which came more than once. */

/**
 * Numbers in a block, which is read at one go: 2 KiB of bits, and some 10 ms of a covered index scan in MongoDB. A
 * document names its block, since equality is all that FerretDB hands on to its PostgreSQL.
 */
export const BLOCK_NUMBERS = 16_384;
/** Repeated numbers that are kept of a block. */
const REPEATED_MAX = 100;

export function blockOf(sequence: number): number {
  return Math.floor((sequence - 1) / BLOCK_NUMBERS);
}

/** The first number of a block. */
export function firstOf(block: number): number {
  return block * BLOCK_NUMBERS + 1;
}

/** The numbers of one block. What belongs to another is ignored. */
export class BlockNumbers {
  readonly #first: number;
  readonly #stored = new Uint8Array(BLOCK_NUMBERS / 8);
  readonly #voided = new Uint8Array(BLOCK_NUMBERS / 8);
  readonly #removed = new Uint8Array(BLOCK_NUMBERS / 8);
  readonly #repeated = new Set<number>();
  /** Entries, those with a repeated number too. */
  entries = 0;
  /** Highest number that is stored; 0 for none. */
  last = 0;
  /** Whether more numbers were repeated than are kept. */
  repeatedCut = false;

  constructor(block: number) {
    this.#first = firstOf(block);
  }

  /** Something is stored under this number. */
  add(sequence: number): void {
    const index = sequence - this.#first;
    if (!(index >= 0 && index < BLOCK_NUMBERS)) return;
    const bit = 1 << (index & 7);
    const byte = this.#stored[index >> 3] ?? 0;
    this.entries += 1;
    if ((byte & bit) === 0) {
      this.#stored[index >> 3] = byte | bit;
      if (sequence > this.last) this.last = sequence;
    } else if (this.#repeated.size < REPEATED_MAX) this.#repeated.add(sequence);
    else this.repeatedCut ||= !this.#repeated.has(sequence);
  }

  /** Its producer says that nothing is to be stored under this number. */
  void(sequence: number): void {
    const index = sequence - this.#first;
    if (!(index >= 0 && index < BLOCK_NUMBERS)) return;
    this.#voided[index >> 3] = (this.#voided[index >> 3] ?? 0) | (1 << (index & 7));
  }

  /** Entries were removed on purpose: a bit a number, from `offset` (bytes of the block) on. */
  remove(offset: number, bits: Uint8Array): void {
    for (const [at, byte] of bits.entries()) {
      const place = offset + at;
      if (place < this.#removed.length) this.#removed[place] = (this.#removed[place] ?? 0) | byte;
    }
  }

  /** Numbers whose entries were removed, and did not come again. */
  get removed(): number {
    let count = 0;
    for (const [at, byte] of this.#removed.entries()) {
      for (let rest = byte & ~(this.#stored[at] ?? 0); rest > 0; rest &= rest - 1) count += 1;
    }
    return count;
  }

  /** Highest number whose entry was removed; 0 for none. */
  get lastRemoved(): number {
    const at = this.#removed.findLastIndex((byte) => byte !== 0);
    return at < 0 ? 0 : this.#first + at * 8 + 31 - Math.clz32(this.#removed[at] ?? 0);
  }

  /** Numbers that more than one entry has, ascending. */
  get repeated(): number[] {
    return [...this.#repeated].sort((a, b) => a - b);
  }

  /** Tells `missing` each run of numbers from `from` to `to` (both included) that is neither stored, nor voided, nor removed. */
  gaps(from: number, to: number, missing: (first: number, last: number) => void): void {
    let start = -1;
    const end = Math.min(to - this.#first, BLOCK_NUMBERS - 1);
    for (let index = Math.max(0, from - this.#first); index <= end; index += 1) {
      const byte = (this.#stored[index >> 3] ?? 0) | (this.#voided[index >> 3] ?? 0) | (this.#removed[index >> 3] ?? 0);
      if ((byte & (1 << (index & 7))) === 0) {
        if (start < 0) start = index;
      } else if (start >= 0) {
        missing(this.#first + start, this.#first + index - 1);
        start = -1;
      }
    }
    if (start >= 0) missing(this.#first + start, this.#first + end);
  }
}

/** Ranges in ascending order, joined where they touch; counts all numbers, and keeps the first `max` ranges. */
export class Ranges {
  readonly #max: number;
  readonly list: [number, number][] = [];
  count = 0;
  /** Whether there are more ranges than are kept. */
  cut = false;
  #end = -1;

  constructor(max: number) {
    this.#max = max;
  }

  add(first: number, last: number): void {
    this.count += last - first + 1;
    const touches = first === this.#end + 1;
    this.#end = last;
    const newest = this.list.at(-1);
    // One that touches a range which was not kept is part of that.
    if (touches && newest !== undefined && newest[1] === first - 1) newest[1] = last;
    else if (this.list.length < this.#max) this.list.push([first, last]);
    else this.cut = true;
  }
}
