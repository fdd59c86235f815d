/**
 * Numbers whose entries were removed on purpose, so that they are not reported as missing. They are written before the
 * entries go: a number that nobody wrote down here, and that nothing is stored under, was lost.
 */
import { Binary } from "mongodb";
import type { Deadline } from "#shared/resilience";
import type { Logs } from "../mongo.ts";
import { BLOCK_NUMBERS, blockOf, firstOf } from "../numbers.ts";
import { type RemovedDocument, retentionOf } from "./documents.ts";

/** What is to be removed, as far as its number is concerned. */
export interface Numbered {
  readonly producer_id?: string;
  readonly sequence?: number;
}

export interface Removed {
  /** Writes their numbers down. @throws what the driver throws, and Failure `deadline`. */
  note(logs: Logs, entries: readonly Numbered[], deadline: Deadline): Promise<void>;
}

/** Documents of one block, before they are made one. */
const PARTS_MAX = 16;
/** Blocks whose documents are counted. */
const COUNTED_MAX = 1_000;

function bitsOf(sequences: readonly number[], block: number): Uint8Array {
  const bits = new Uint8Array(BLOCK_NUMBERS / 8);
  for (const sequence of sequences) {
    const index = sequence - firstOf(block);
    bits[index >> 3] = (bits[index >> 3] ?? 0) | (1 << (index & 7));
  }
  return bits;
}

/** Without the bytes at both ends that say nothing. */
function documentOf(producerId: string, block: number, bits: Uint8Array): RemovedDocument {
  const from = Math.max(
    0,
    bits.findIndex((byte) => byte !== 0),
  );
  const to = bits.findLastIndex((byte) => byte !== 0) + 1;
  const numbers = new Binary(bits.slice(from, to));
  return { _id: Bun.randomUUIDv7(), producer_id: producerId, block, offset: from, numbers };
}

/** Bytes of what is stored. */
export const bytesOf = ({ numbers }: Pick<RemovedDocument, "numbers">): Uint8Array => numbers.value();

export function makeRemoved(): Removed {
  const parts = new Map<string, number>();

  /** One document in place of many. Whoever else does the same writes the same, and removes only what he has read. */
  async function join(logs: Logs, producerId: string, block: number, deadline: Deadline): Promise<void> {
    const { removed } = retentionOf(logs);
    const which = { producer_id: producerId, block };
    const found = await deadline.bound(removed.find(which).toArray(), "MongoDB");
    const bits = new Uint8Array(BLOCK_NUMBERS / 8);
    for (const part of found) {
      const bytes = bytesOf(part);
      for (const [at, byte] of bytes.entries()) bits[part.offset + at] = (bits[part.offset + at] ?? 0) | byte;
    }
    await deadline.bound(removed.insertOne(documentOf(producerId, block, bits)), "MongoDB");
    await deadline.bound(removed.deleteMany({ ...which, _id: { $in: found.map(({ _id }) => _id) } }), "MongoDB");
  }

  return {
    async note(logs, entries, deadline) {
      const blocks = new Map<string, { producerId: string; block: number; sequences: number[] }>();
      for (const { producer_id: producerId, sequence } of entries) {
        if (producerId === undefined || sequence === undefined) continue;
        const block = blockOf(sequence);
        const key = `${block}/${producerId}`;
        const known = blocks.get(key);
        if (known === undefined) blocks.set(key, { producerId, block, sequences: [sequence] });
        else known.sequences.push(sequence);
      }
      if (blocks.size === 0) return;
      const documents = [...blocks.values()].map(({ producerId, block, sequences }) =>
        documentOf(producerId, block, bitsOf(sequences, block)),
      );
      await deadline.bound(retentionOf(logs).removed.insertMany(documents), "MongoDB");
      for (const [key, { producerId, block }] of blocks) {
        const count = (parts.get(key) ?? 0) + 1;
        parts.delete(key);
        if (count < PARTS_MAX) parts.set(key, count);
        else await join(logs, producerId, block, deadline);
      }
      for (const key of parts.keys()) {
        if (parts.size <= COUNTED_MAX) break;
        parts.delete(key);
      }
    },
  };
}
