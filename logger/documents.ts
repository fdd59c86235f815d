/** Documents of the collection `logs`. */
import type { ObjectId } from "mongodb";
import type { Producer } from "#contracts/logs";
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
  /** In place of its event_id where that was another document's too, before there was a unique index. */
  duplicate_of?: string;
}

function numbersOf({ id, sequence, voided = [] }: Producer): Partial<LogDocument> {
  return { producer_id: id, sequence, sequence_block: blockOf(sequence), ...(voided.length === 0 ? {} : { voided }) };
}

export function documentOf(record: LogRecord): Omit<LogDocument, "_id"> {
  return {
    event_id: record.eventId,
    name: record.name,
    ...record.content,
    severity: record.severity,
    created_at: record.createdAt,
    stored_at: new Date(),
    content_hash: record.contentHash,
    source: record.source,
    request_id: record.requestId,
    trace_id: record.traceId,
    ...(record.producer === undefined ? {} : numbersOf(record.producer)),
  };
}
