/** Documents of the collection `logs`. */
import type { ObjectId } from "mongodb";
import type { LogOrigin, Producer } from "#contracts/logs";
import type { Place } from "./audit/seal.ts";
import type { StoredData } from "./data.ts";
import type { LogRecord } from "./entries.ts";
import { blockOf } from "./numbers.ts";

/** Documents of older writers have `name`, `data` and `created_at`; what else they need is given by `prepare`. */
export interface LogDocument extends StoredData, Partial<Place> {
  _id: ObjectId;
  event_id: string;
  name: string;
  severity: string;
  /** When it happened, by its producer. */
  created_at: Date;
  /** When the logger wrote it. */
  stored_at: Date;
  /** `slotOf` that, since equality is all that FerretDB hands on to its PostgreSQL; absent in documents of older writers. */
  stored_slot?: number;
  content_hash: string;
  source: string;
  request_id: string;
  trace_id: string;
  /** Who numbered the entry, and its number there; absent where nobody did. */
  producer_id?: string;
  sequence?: number;
  /** The block of numbers that it is in. */
  sequence_block?: number;
  /** Numbers of the same producer whose entries came to nothing. */
  voided?: number[];
  /** The event that it came from; absent for what came by HTTP or RPC. */
  origin?: LogOrigin;
  /** When it is to be removed, and with which others; absent for what is kept for ever. */
  expire_at?: Date;
  expire_slot?: string;
  /** The segment that it is in, where the server needs such an index: see query/catalog.ts. */
  segment?: number;
  /** In place of its event_id where that was another document's too, before there was a unique index. */
  duplicate_of?: string;
}

function numbersOf({ id, sequence, voided = [] }: Producer): Partial<LogDocument> {
  return { producer_id: id, sequence, sequence_block: blockOf(sequence), ...(voided.length === 0 ? {} : { voided }) };
}

/** Length of a slot (ms): what is stored in one is looked for by one question. */
export const SLOT_MS = 5_000;

export function slotOf(ms: number): number {
  return Math.floor(ms / SLOT_MS);
}

/** Where a document is put, and when. */
export type Placed = Pick<LogDocument, "stored_at"> &
  Partial<Pick<LogDocument, "expire_at" | "expire_slot" | "segment">>;

export function documentOf(record: LogRecord, placed: Placed = { stored_at: new Date() }): Omit<LogDocument, "_id"> {
  return {
    event_id: record.eventId,
    name: record.name,
    ...record.content,
    severity: record.severity,
    created_at: record.createdAt,
    stored_slot: slotOf(placed.stored_at.getTime()),
    content_hash: record.contentHash,
    source: record.source,
    request_id: record.requestId,
    trace_id: record.traceId,
    ...(record.producer === undefined ? {} : numbersOf(record.producer)),
    ...(record.origin === undefined ? {} : { origin: record.origin }),
    ...placed,
  };
}
