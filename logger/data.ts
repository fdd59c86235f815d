/** How `data` lies in a document, so that it comes back as it was sent, whatever keys and values it has. */
import { Binary } from "mongodb";
import { fail, ok, type Result } from "#shared/errors";

/** As in the document: BSON of its own, or, where `data_encoding` says so, JSON text in UTF-8. */
export interface StoredData {
  data: unknown;
  data_encoding?: "json";
}

export interface EncodedData {
  stored: StoredData;
  /** The value as JSON. */
  text: string;
  /** About what it takes in memory and on the wire. */
  bytes: number;
}

/** A document may have 16 MiB (16,777,216 bytes); its other fields take a few KiB at most. */
const MAX_TEXT_BYTES = 16_000_000;
/** What a value takes in BSON besides its text: type, name or index, length. */
const VALUE_BYTES = 16;

/** Keys that MongoDB, FerretDB or a driver give a meaning of their own, move or refuse are not plain. */
const PLAIN_KEY = /^(?!\$|__proto__$|_bsontype$|_id$)[^.\0]+$/;

/** FerretDB's time grows with the square of the keys of one object: 20,000 take seconds, in which nobody else is served. */
const MAX_PLAIN_KEYS = 1_000;

interface Findings {
  values: number;
  /** Every server that speaks MongoDB's protocol gives it back unchanged. */
  plain: boolean;
  finite: boolean;
  negativeZero: boolean;
}

// Recursion is safe: what comes in was held to the limits on depth before (48 levels at most).
function look(value: unknown, inArray: boolean, found: Findings): void {
  found.values += 1;
  if (typeof value === "string") {
    // FerretDB keeps texts in PostgreSQL, which cannot hold NUL.
    if (value.includes("\0")) found.plain = false;
  } else if (typeof value === "number") {
    if (!Number.isFinite(value)) found.finite = false;
    if (Object.is(value, -0)) {
      found.negativeZero = true;
      found.plain = false;
    }
  } else if (Array.isArray(value)) {
    // FerretDB refuses arrays directly inside arrays.
    if (inArray) found.plain = false;
    for (const item of value) look(item, true, found);
  } else if (typeof value === "object" && value !== null) {
    const keys = Object.keys(value);
    if (keys.length > MAX_PLAIN_KEYS) found.plain = false;
    for (const key of keys) {
      if (!PLAIN_KEY.test(key)) found.plain = false;
      look((value as Record<string, unknown>)[key], false, found);
    }
  }
}

/** ECMAScript 2026; the compiler's library does not know it yet. */
const { rawJSON } = JSON as JSON & { rawJSON(this: void, text: string): unknown };

// JSON.stringify writes -0 as 0, though JSON can carry it.
function keepNegativeZero(_key: string, value: unknown): unknown {
  return Object.is(value, -0) ? rawJSON("-0") : value;
}

/**
 * @param data a value as JSON or MessagePack decode to, within the limits of the edges.
 * @returns failure `invalid` for numbers that JSON cannot carry, `too_large` for what no document can hold.
 */
export function encodeData(data: unknown): Result<EncodedData> {
  const found: Findings = { values: 0, plain: true, finite: true, negativeZero: false };
  look(data, false, found);
  if (!found.finite) return fail("invalid", "data has a number beyond the range of a double");
  const text = JSON.stringify(data, found.negativeZero ? keepNegativeZero : undefined);
  const bytes = text.length + found.values * VALUE_BYTES;
  if (found.plain) return ok({ stored: { data }, text, bytes });
  const encoded = Buffer.from(text);
  if (encoded.byteLength > MAX_TEXT_BYTES) return fail("too_large", "data is larger than one document may be");
  return ok({ stored: { data: new Binary(encoded), data_encoding: "json" }, text, bytes });
}

/** The inverse of `encodeData`, for documents of other writers too: what has no marker is as it is. */
export function decodeData(stored: Readonly<StoredData>): unknown {
  if (stored.data_encoding !== "json" || !(stored.data instanceof Binary)) return stored.data;
  return JSON.parse(Buffer.from(stored.data.value()).toString("utf8"));
}
