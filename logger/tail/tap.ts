/**
 * What the store hands to the tail: documents that it has stored, in the order in which it was given them. While nobody
 * listens a batch costs an entry of a list, whatever its size.
 */
import type { TailPosition } from "#contracts/log-tail";
import type { LogDocument } from "../documents.ts";
import type { Writer } from "./writer.ts";

/** A batch on its way to the store. */
export interface TappedBatch {
  /** It is over: these are stored by it. Called once, whatever became of it. */
  over(stored: readonly LogDocument[]): void;
}

export interface Tap {
  /** Before documents are made for the batch. */
  begin(): TappedBatch;
  /** Whether `over` needs to be told of documents. */
  readonly isHeard: boolean;
  /** All that this store has stored up to here was handed on. */
  readonly position: TailPosition;
}

export interface TapOptions {
  readonly writer: Writer;
  /** Told in a turn of its own, after those were answered who wait for their entries. */
  readonly onStored: (documents: readonly LogDocument[]) => void;
  readonly isHeard: () => boolean;
}

interface Batch {
  readonly before: TailPosition;
  stored: readonly LogDocument[] | undefined;
}

export function makeTap({ writer, onStored, isHeard }: TapOptions): Tap {
  const batches: Batch[] = [];
  let isScheduled = false;

  const here = (): TailPosition => ({ writer: writer.name, storedAt: Date.now(), count: writer.count });

  function handOn(): void {
    isScheduled = false;
    // A batch waits for those before it, which the store sends within 4 s or not at all: what of one logger comes later was given to it later.
    while (batches[0]?.stored !== undefined) {
      const { stored } = batches[0];
      batches.shift();
      if (stored.length > 0) onStored(stored);
    }
  }

  return {
    begin() {
      const batch: Batch = { before: here(), stored: undefined };
      batches.push(batch);
      return {
        over(stored) {
          batch.stored = stored;
          if (isScheduled) return;
          isScheduled = true;
          setImmediate(handOn);
        },
      };
    },
    get isHeard() {
      return isHeard();
    },
    get position() {
      return batches[0]?.before ?? here();
    },
  };
}
