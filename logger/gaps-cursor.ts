/** Where a report of gaps goes on, as opaque text. */
import { fail, ok, type Result } from "#shared/errors";

/** After the producer `id`, or, with `after` above 0, with its numbers above that. */
export interface GapsCursor {
  readonly firstStoredAt: Date;
  readonly id: string;
  readonly after: number;
}

export function encodeCursor({ firstStoredAt, id, after }: GapsCursor): string {
  return Buffer.from(JSON.stringify([firstStoredAt.getTime(), id, after])).toString("base64url");
}

/** The inverse; failure `invalid` for anything that is no such text. */
export function decodeCursor(text: string): Result<GapsCursor> {
  try {
    const value: unknown = JSON.parse(Buffer.from(text, "base64url").toString("utf8"));
    if (Array.isArray(value) && value.length === 3) {
      const [time, id, after] = value as unknown[];
      const isTime = typeof time === "number" && Number.isInteger(time) && Math.abs(time) <= 8.64e15;
      if (isTime && typeof id === "string" && typeof after === "number" && Number.isSafeInteger(after) && after >= 0) {
        return ok({ firstStoredAt: new Date(time), id, after });
      }
    }
  } catch {
    // Not JSON: the same answer.
  }
  return fail("invalid", "cursor must be the next_cursor of an earlier answer");
}
