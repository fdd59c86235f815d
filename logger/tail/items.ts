/** An entry as it is told in the tail. */
import type { LogItem } from "#contracts/log-queries";
import { positionText, tailId, type TailItem } from "#contracts/log-tail";
import { eventBytes } from "#shared/sse";
import { decodeData } from "../data.ts";
import type { LogDocument } from "../documents.ts";
import { positionOf } from "./writer.ts";

/** Most of `data` that is told (characters of its JSON). */
const DATA_CHARS = 16_384;

/** Of documents of older writers some fields are missing. */
export type Known = Pick<LogDocument, "_id" | "event_id" | "name" | "severity" | "created_at" | "data"> &
  Partial<LogDocument>;

/** As queries give it. */
export function itemOf(document: Known): LogItem {
  const { event_id, name, severity, created_at, stored_at, source, request_id, trace_id, producer_id, sequence } =
    document;
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
    ...(producer_id === undefined || sequence === undefined ? {} : { producer: { id: producer_id, sequence } }),
  };
}

/** @param place where a client is that has been given it; default: its own position at its writer. */
export function entryEvent(document: Known, item: LogItem, place?: string): Uint8Array {
  const position = positionOf(document);
  const at = place ?? (position === undefined ? "" : positionText(position));
  return eventBytes({ id: tailId(item.event_id, at), event: "entry", data: jsonOf(item) });
}

function jsonOf(item: LogItem): string {
  const whole = JSON.stringify(item);
  if (whole.length <= DATA_CHARS) return whole;
  const data = JSON.stringify(item.data);
  if (data.length <= DATA_CHARS) return whole;
  return JSON.stringify({ ...item, data: data.slice(0, DATA_CHARS), data_cut: data.length } satisfies TailItem);
}
