/** Where a list of entries goes on, as opaque text. */
import { fail, ok, type Result } from "#shared/errors";
import type { Place } from "./reader.ts";

/** `kind` is the reader's: an order of its own goes on there only. */
export function encodePlace({ at, id }: Place, kind: string): string {
  return Buffer.from(JSON.stringify([kind, at, id])).toString("base64url");
}

/** The inverse; failure `invalid` for anything that is no such text. */
export function decodePlace(text: string, kind: string): Result<Place> {
  try {
    const value: unknown = JSON.parse(Buffer.from(text, "base64url").toString("utf8"));
    if (Array.isArray(value) && value.length === 3 && value[0] === kind) {
      const [, at, id] = value as unknown[];
      const isTime = typeof at === "number" && Number.isInteger(at) && Math.abs(at) <= 8.64e15;
      const isId = typeof id === "string" && id.length <= 128 && (kind !== "m" || /^[0-9a-f]{24}$/.test(id));
      if (isTime && isId) return ok({ at, id });
    }
  } catch {
    // Not JSON: the same answer.
  }
  return fail("invalid", "cursor must be the next_cursor of an earlier answer");
}
