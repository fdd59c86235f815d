/** Where a list of traces goes on, as opaque text. */
import { fail, ok, type Result } from "#shared/errors";
import type { TracePlace } from "./store.ts";

export function encodePlace({ start, id }: TracePlace): string {
  return Buffer.from(JSON.stringify([start, id])).toString("base64url");
}

/** The inverse; failure `invalid` for anything that is no such text. */
export function decodePlace(text: string): Result<TracePlace> {
  try {
    const value: unknown = JSON.parse(Buffer.from(text, "base64url").toString("utf8"));
    if (Array.isArray(value) && value.length === 2) {
      const [start, id] = value as unknown[];
      if (typeof start === "number" && Number.isFinite(start) && typeof id === "string" && /^[0-9a-f]{32}$/.test(id))
        return ok({ start, id });
    }
  } catch {
    // Not JSON: the same answer.
  }
  return fail("invalid", "cursor must be the next_cursor of an earlier answer");
}
