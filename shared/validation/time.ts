/** Times as text (RFC 3339 §5.6). */
import { fail, ok, type Result } from "#shared/errors";

const DATE_TIME = /^(\d{4}-\d\d-(\d\d)T(?:[01]\d|2[0-3]):\d\d):(\d\d)(\.\d{1,9})?(Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/i;

/**
 * The moment that a text names, to the millisecond; a leap second is the first one after it.
 * @param field how the text is called in the message.
 * @returns failure `invalid` for what is no date-time with its offset, no day of the calendar, or not of the years 1 to 9999 in UTC.
 */
export function timeOf(field: string, text: string): Result<Date> {
  const [, minute = "", day, second = "", fraction = "", offset = ""] = DATE_TIME.exec(text) ?? [];
  const isLeap = second === "60";
  // 30 February is a day of March to some readers.
  const isDay = new Date(`${minute.slice(0, 10)}T00:00:00Z`).getUTCDate() === Number(day);
  const ms = Date.parse(`${minute}:${isLeap ? "59" : second}${fraction.slice(0, 4)}${offset}`.toUpperCase());
  const time = new Date(isLeap ? Math.floor(ms / 1_000) * 1_000 + 1_000 : ms);
  const year = time.getUTCFullYear();
  if (isDay && year >= 1 && year <= 9_999) return ok(time);
  return fail("invalid", `${field} must be a time as 2026-01-31T12:00:00Z (RFC 3339)`);
}
