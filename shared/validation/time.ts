/** Times as text (RFC 3339 §5.6). */
import { fail, ok, type Result } from "#shared/errors";

const RFC_3339 = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))$/;

/**
 * The time that an RFC 3339 text means, to the millisecond; undefined for any other text and for days that do not exist.
 * A leap second (§5.6) is read as the second after it.
 */
function parseRfc3339(text: string): Date | undefined {
  const match = RFC_3339.exec(text);
  if (match === null) return undefined;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const [offsetHours, offsetMinutes] = [Number(match[9] ?? 0), Number(match[10] ?? 0)];
  if (month < 1 || month > 12 || hour > 23 || minute > 59 || second > 60 || offsetHours > 23 || offsetMinutes > 59) {
    return undefined;
  }
  const date = new Date(0);
  // Not Date.UTC, which takes the years 0 to 99 for 1900 to 1999.
  date.setUTCFullYear(year, month - 1, day);
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return undefined;
  const milliseconds = Number((match[7] ?? "").padEnd(3, "0").slice(0, 3));
  const offset = (match[8] === "-" ? -1 : 1) * (offsetHours * 60 + offsetMinutes);
  date.setUTCHours(hour, minute - offset, second, milliseconds);
  const isLeapSecond = second === 60;
  if (isLeapSecond && !(date.getUTCHours() === 0 && date.getUTCMinutes() === 0)) return undefined;
  return date;
}

/**
 * The moment that a text names, as `parseRfc3339` reads it.
 * @param field how the text is called in the message.
 * @returns failure `invalid` for what is no date-time with its offset, no day of the calendar, or not of the years 1 to 9999 in UTC.
 */
export function timeOf(field: string, text: string): Result<Date> {
  const time = parseRfc3339(text);
  const year = time?.getUTCFullYear() ?? 0;
  if (time !== undefined && year >= 1 && year <= 9_999) return ok(time);
  return fail("invalid", `${field} must be a time as 2026-01-31T12:00:00Z (RFC 3339)`);
}

const UNIT_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A number with its unit (`30s`, `1.5m`, `2h`, `7d`) in ms; undefined for anything else. */
export function durationMs(text: string): number | undefined {
  const [, count, unit = ""] = /^(\d{1,9}(?:\.\d{1,6})?)([smhd])$/.exec(text) ?? [];
  const ms = UNIT_MS[unit];
  return count === undefined || ms === undefined ? undefined : Number(count) * ms;
}
