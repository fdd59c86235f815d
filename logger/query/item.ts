import { Binary } from "mongodb";
import type { LogItem } from "#contracts/log-queries";
import { decodeData } from "../data.ts";
import type { LogDocument } from "../documents.ts";

/** Documents of older writers lack some of it. */
export type StoredEntry = Pick<LogDocument, "event_id" | "name" | "severity" | "created_at" | "data"> &
  Partial<LogDocument>;

/** An entry as it is given back. */
export function itemOf(document: StoredEntry): LogItem {
  const { event_id, name, severity, created_at, stored_at, source, request_id, trace_id } = document;
  const { producer_id: id, sequence } = document;
  return {
    event_id,
    name,
    severity,
    data: decodeData(document),
    created_at: created_at.toISOString(),
    ...(stored_at === undefined ? {} : { stored_at: stored_at.toISOString() }),
    ...(source === undefined ? {} : { source }),
    ...(request_id === undefined ? {} : { request_id }),
    ...(trace_id === undefined ? {} : { trace_id }),
    ...(id === undefined || sequence === undefined ? {} : { producer: { id, sequence } }),
    ...(document.origin === undefined ? {} : { origin: document.origin }),
  };
}

/** What a value of JSON takes besides its texts. */
const VALUE_BYTES = 16;
const ITEM_BYTES = 512;

function sizeOf(value: unknown): number {
  if (typeof value === "string") return VALUE_BYTES + value.length;
  if (value instanceof Binary) return value.length();
  if (typeof value !== "object" || value === null) return VALUE_BYTES;
  let bytes = VALUE_BYTES;
  for (const [key, inner] of Object.entries(value)) bytes += key.length + sizeOf(inner);
  return bytes;
}

/** About what the entry takes (bytes). */
export function bytesOf({ data }: Pick<StoredEntry, "data">): number {
  return ITEM_BYTES + sizeOf(data);
}
