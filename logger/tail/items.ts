/** An entry as it is told in the tail. */
import type { LogItem } from "#contracts/log-queries";
import { positionText, tailId, type TailItem } from "#contracts/log-tail";
import { eventBytes } from "#shared/sse";
import type { LogDocument } from "../documents.ts";
import type { StoredEntry } from "../query/item.ts";
import { positionOf } from "./writer.ts";

/** Most of `data` that is told (characters of its JSON). */
const DATA_CHARS = 16_384;

export type Known = StoredEntry & Pick<LogDocument, "_id">;

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
