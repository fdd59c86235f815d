/** Where a page of users ended, as opaque text: the id of its last one, so that who comes or goes meanwhile shifts nothing. */
import { fail, ok, type Result } from "#shared/errors";

const PLACE = /^before ([1-9]\d{0,9})$/;
const LAST_ID = 2_147_483_647;

export function writeCursor(id: number): string {
  return Buffer.from(`before ${id}`).toString("base64url");
}

/** @returns failure `invalid` for what `writeCursor` never wrote. */
export function readCursor(cursor: string): Result<number> {
  const id = Number(PLACE.exec(Buffer.from(cursor, "base64url").toString())?.[1] ?? Number.NaN);
  const isOurs = id <= LAST_ID && writeCursor(id) === cursor;
  return isOurs ? ok(id) : fail("invalid", "cursor is none of this list");
}
