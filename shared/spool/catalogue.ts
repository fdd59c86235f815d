/** What is on disk, as the process knows it: the segments, how far they are delivered, what they hold. */
import { join } from "node:path";
import type { SpoolState } from "./instruments.ts";

export interface Segment {
  readonly number: number;
  readonly path: string;
  readonly mark: Buffer;
  /** Sequence of its first record. */
  readonly first: number;
  /** Sequence of its last durable record. */
  last: number;
  /** Where its last durable record ends: nothing beyond is read. */
  bytes: number;
  /** Damage was seen and reported. */
  damaged: boolean;
  /** Sequence by the hash of the id. */
  readonly ids: Map<number, number>;
  /** When each was accepted (ms since 1970), by how far its sequence is from the first. */
  readonly times: number[];
}

/** Changed by the writer (adds what is durable) and the forwarder (delivers, removes), each between two awaits. */
export interface Catalogue extends SpoolState {
  /** In order of their sequences. */
  readonly segments: Segment[];
  /** All up to this sequence is delivered or refused. */
  delivered: number;
  /** Sequence of the next record that becomes durable. */
  next: number;
  /** Number of the next segment. */
  nextNumber: number;
  records: number;
  oldestAt: Date | undefined;
  readonly bytes: number;
}

export function makeCatalogue(): Catalogue {
  return {
    segments: [],
    delivered: 0,
    next: 1,
    nextNumber: 1,
    records: 0,
    oldestAt: undefined,
    get bytes() {
      return this.segments.reduce((sum, segment) => sum + segment.bytes, 0);
    },
  };
}

/** 53 bits, so that it is a number: of a million ids two share a hash in one case of ten thousand. */
export function hashOf(id: string): number {
  return Number(Bun.hash.wyhash(id) >> 11n);
}

const SEGMENT = /^(\d{8})\.seg$/;
const NUMBERED = /^(\d{8})\.seg/;

export function segmentPath(dir: string, number: number): string {
  return join(dir, `${String(number).padStart(8, "0")}.seg`);
}

/** The segments among the names of a directory, in order, and the first number that none has used. */
export function segmentNumbers(names: readonly string[]): { numbers: number[]; next: number } {
  const numberIn = (pattern: RegExp): number[] =>
    names.flatMap((name) => {
      const match = pattern.exec(name);
      return match === null ? [] : [Number(match[1])];
    });
  return { numbers: numberIn(SEGMENT).sort((a, b) => a - b), next: Math.max(0, ...numberIn(NUMBERED)) + 1 };
}
