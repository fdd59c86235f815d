/** Where a page ended, as opaque text. */
import { fail, ok, type Result } from "#shared/errors";

/** The last entry of a page, in the order (created_at, key). */
export interface Place {
  /** Microseconds since 1970, as PostgreSQL keeps them: a JavaScript time would fall between two entries. */
  readonly at: string;
  /** What tells entries of one moment apart. */
  readonly key: string;
}

/** Until the year 2255: what a double still counts one by one. */
const PLACE = /^(\d{1,16}) ([\x20-\x7e]{1,400})$/;
const LAST_AT = Number.MAX_SAFE_INTEGER;

export function writeCursor({ at, key }: Place): string {
  return Buffer.from(`${at} ${key}`).toString("base64url");
}

/**
 * @param isKey whether a text can be the key of an entry of this list.
 * @returns failure `invalid` for what `writeCursor` never wrote for such a list.
 */
export function readCursor(cursor: string, isKey: (key: string) => boolean): Result<Place> {
  const text = Buffer.from(cursor, "base64url").toString();
  const [, at, key] = PLACE.exec(text) ?? [];
  const isOurs = at !== undefined && key !== undefined && Number(at) <= LAST_AT && isKey(key);
  if (!isOurs || writeCursor({ at, key }) !== cursor) return fail("invalid", "cursor is none of this list");
  return ok({ at, key });
}
