/** Ids of documents that tell who wrote them, and in which order. */
import { ObjectId } from "mongodb";
import type { TailPosition } from "#contracts/log-tail";
import type { LogDocument } from "../documents.ts";

export interface Writer {
  /** 10 hexadecimal digits, of this store in this process alone. */
  readonly name: string;
  /** How many ids it has given, modulo 2^24. */
  readonly count: number;
  /** The next id, in the order in which they are asked for. */
  nextId(): ObjectId;
}

const COUNTER = 2 ** 24;

/**
 * As the driver makes them: 4 bytes of seconds, 5 random ones of the process, 3 of a counter (BSON specification, ObjectId). Made
 * here so that they are in the order of `stored_at`, and two stores of one process are two writers.
 */
export function makeWriter(): Writer {
  const random = crypto.getRandomValues(new Uint8Array(5));
  let count = 0;
  return {
    name: Buffer.from(random).toString("hex"),
    get count() {
      return count;
    },
    nextId() {
      count = (count + 1) % COUNTER;
      const bytes = Buffer.alloc(12);
      bytes.writeUInt32BE(Math.floor(Date.now() / 1_000) % 2 ** 32, 0);
      bytes.set(random, 4);
      bytes.writeUIntBE(count, 9, 3);
      return new ObjectId(bytes);
    },
  };
}

/** Where a document is in the order of its writer; undefined for those of older writers, which do not say when they were stored. */
export function positionOf({
  _id,
  stored_at,
}: Pick<LogDocument, "_id"> & Partial<LogDocument>): TailPosition | undefined {
  if (!(_id instanceof ObjectId) || !(stored_at instanceof Date)) return undefined;
  const hex = _id.toHexString();
  return { writer: hex.slice(8, 18), storedAt: stored_at.getTime(), count: Number.parseInt(hex.slice(18), 16) };
}
