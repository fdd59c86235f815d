/** Following log entries as they are stored (`GET /logs/tail`): what is told, and how a place in the stream is written down. */
import { type Static, Type } from "@sinclair/typebox";
import { LogItem } from "./log-queries.ts";

/** Of a client that comes back (WHATWG HTML §9.2.3): the last `id` it was told. `?after=` says the same. */
export const LAST_EVENT_ID_HEADER = "last-event-id";

/** `data` of the event `entry`. */
export const TailItem = Type.Object({
  ...LogItem.properties,
  /** Size of `data` as JSON (characters) where that is too large for a stream: `data` is then the beginning of that JSON, as text. */
  data_cut: Type.Optional(Type.Integer()),
});
export type TailItem = Static<typeof TailItem>;

/** `data` of the event `gap`: between these times entries may have been stored that are not given here. `GET /logs` has them. */
export const TailGap = Type.Object({ from: Type.String(), to: Type.String(), reason: Type.String() });
export type TailGap = Static<typeof TailGap>;

/** How far one logger has come: each orders its entries by the time of their storing, and counts them. */
export interface TailPosition {
  /** The logger, as the `_id` of its documents tells it: 10 hexadecimal digits. */
  readonly writer: string;
  /** ms since 1970. */
  readonly storedAt: number;
  /** Below 2^24; it begins anew after that. */
  readonly count: number;
}

/** What a client has been given: of each logger all up to its position, or of all of them what was stored before a time. */
export type TailPlace = { readonly positions: readonly TailPosition[] } | { readonly since: number };

const POSITION = /^([0-9a-f]{10})-([0-9a-f]{1,6})-([0-9a-z]{1,9})$/;
/** Loggers in one place. */
const POSITIONS_MAX = 64;
/** Longest that is read (characters). */
export const PLACE_MAX = 4_096;

export function positionText({ writer, count, storedAt }: TailPosition): string {
  return `${writer}-${count.toString(16)}-${storedAt.toString(36)}`;
}

/**
 * The `id` of an event: the entry's event_id (none where it is only about the place), percent-encoded as it goes into a header,
 * and the place of whoever has been given it.
 * @param place `positionText`s with dots between.
 */
export function tailId(eventId: string, place: string): string {
  return `${encodeURIComponent(eventId)}~${place}`;
}

/** The text of a place by time alone. */
export function sinceText(ms: number): string {
  return `@${Math.max(0, Math.round(ms)).toString(36)}`;
}

/** The place that an `id` tells, or an RFC 3339 time; undefined where it is neither. */
export function tailPlaceOf(text: string): TailPlace | undefined {
  if (text.length > PLACE_MAX) return undefined;
  if (/^\d{4}-\d\d-\d\d[Tt]/.test(text)) {
    const since = Date.parse(text);
    return Number.isNaN(since) ? undefined : { since };
  }
  const at = text.lastIndexOf("~");
  if (at === -1) return undefined;
  const place = text.slice(at + 1);
  const since = /^@([0-9a-z]{1,9})$/.exec(place)?.[1];
  if (since !== undefined) return { since: Number.parseInt(since, 36) };
  const positions = place.split(".").map(positionOf);
  if (positions.length > POSITIONS_MAX) return undefined;
  const known = positions.filter((position) => position !== undefined);
  return known.length === positions.length ? { positions: known } : undefined;
}

function positionOf(text: string): TailPosition | undefined {
  const [, writer, count, storedAt] = POSITION.exec(text) ?? [];
  if (writer === undefined || count === undefined || storedAt === undefined) return undefined;
  return { writer, count: Number.parseInt(count, 16), storedAt: Number.parseInt(storedAt, 36) };
}
