/**
 * Messages in: the bytes of an untrusted peer are checked (check.ts), then msgpackr makes values of them. Its parts are
 * imported by themselves because they leave out its optional native addon, which a compiled executable has not: so
 * both behave the same.
 */
import { addExtension, Unpackr } from "msgpackr/unpack";
import * as check from "./check.ts";
import { broken } from "./check.ts";

/** Bodies up to this length (bytes) are decoded in one buffer that is used again and again. */
const SCRATCH_BYTES = 65_536;
const SHORT_METHOD_BYTES = 32;
const METHOD_CACHE_SIZE = 64;
const TWO_32 = 0x1_0000_0000;
const BAD_ID = "an id is an unsigned 32-bit integer";
/** The extension type, of those left to applications, that stands for a text inside this file. */
const TEXT_TYPE = 0x54;
/** Of a body up to this length (bytes), texts are slices of one text: each made by itself costs several times that. */
const SLICED_BYTES = 1_024;
/** Runs of bytes up to this length are copied one by one, which is cheaper than a native call. */
const SHORT_RUN_BYTES = 48;

const scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
// The second is for values with a key `__proto__`, which the first renames.
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: "number" });
const mapUnpackr = new Unpackr({ useRecords: false, mapsAsObjects: false, int64AsType: "number" });

// Of the decoding that is going on: neither waits nor calls out, so it cannot overlap another.
let source: Buffer = Buffer.alloc(0);
/** The body byte by byte, and where it begins, where it is short and ASCII. */
let sliced = "";
let slicedFrom = 0;

addExtension({
  type: TEXT_TYPE,
  read: (index: number) => {
    const texts = check.listedTexts();
    const from = texts[index + 1] ?? 0;
    const to = texts[index + 2] ?? 0;
    return sliced === "" ? source.toString("utf8", from, to) : sliced.slice(from - slicedFrom, to - slicedFrom);
  },
});

/** Recently seen names of methods by a hash of their bytes. */
const methodTexts = Array.from({ length: METHOD_CACHE_SIZE }, () => "");

/** One message of the protocol. Of the fields only those of its type mean something. */
export interface Message {
  /** 0 request, 1 response, 2 notification. */
  type: 0 | 1 | 2;
  /** -1 where it could not be read, or where there is none. */
  id: number;
  method: string;
  params: unknown[];
  /** As sent, unchecked; `undefined` where absent. */
  meta: Record<string, unknown> | undefined;
  /** `null`, or as sent, unchecked. */
  error: unknown;
  result: unknown;
}

export function emptyMessage(): Message {
  return { type: 0, id: -1, method: "", params: [], meta: undefined, error: null, result: null };
}

/**
 * Reads the message in `bytes` from `from` to `to` into `into`. What was read when it throws stays there: an error
 * answer can be sent where `into.id` is not negative and `into.type` is 0.
 * @throws WireError
 */
export function decodeMessage(bytes: Buffer, from: number, to: number, into: Message): void {
  check.begin(bytes, from, to);
  into.type = 2;
  into.id = -1;
  into.meta = undefined;
  const length = arrayLength(check.uint(1));
  const type = length >= 3 && length <= 5 ? check.uint(1) : -1;
  const optional = type === 0 ? 5 : type === 2 ? 4 : -1;
  if (
    (type !== 0 && type !== 1 && type !== 2) ||
    (type === 1 ? length !== 4 : length !== optional && length !== optional - 1)
  ) {
    broken("not a request, response or notification");
  }
  check.spend(length);
  if (type !== 2) {
    into.id = id(bytes);
    into.type = type;
  }
  if (type === 1) {
    const body = check.position();
    check.checkValue(1);
    check.checkValue(1);
    check.finish();
    [into.error, into.result] = decode(bytes, body, to, 2);
    return;
  }
  into.method = method(bytes);
  const body = check.position();
  check.checkValue(1);
  if (!isArray(bytes[body])) broken("params are an array");
  if (length === optional) {
    const meta = bytes[check.position()];
    check.checkValue(1);
    if (!isMap(meta) && meta !== 0xc0) broken("meta is a map");
  }
  check.finish();
  const [params, meta] = decode(bytes, body, to, length === optional ? 2 : 1);
  into.params = params as unknown[];
  into.meta = (meta ?? undefined) as Message["meta"];
}

/**
 * The one value that `bytes` hold, checked: only standard types that JSON has too, text that is UTF-8, keys that are
 * text (of the same key twice the last counts; `__proto__` is a key like any other), lengths inside the bytes and
 * nothing after the value.
 * @throws WireError
 */
export function decodeValue(bytes: Buffer): unknown {
  check.begin(bytes, 0, bytes.length);
  check.checkValue(0);
  check.finish();
  return decode(bytes, 0, bytes.length, 1)[0];
}

function isArray(token: number | undefined): boolean {
  return token !== undefined && ((token & 0xf0) === 0x90 || token === 0xdc || token === 0xdd);
}

function isMap(token: number | undefined): boolean {
  return token !== undefined && ((token & 0xf0) === 0x80 || token === 0xde || token === 0xdf);
}

function arrayLength(token: number): number {
  if (token >= 0x90 && token <= 0x9f) return token - 0x90;
  if (token === 0xdc) return check.uint(2);
  return token === 0xdd ? check.uint(4) : broken("not a request, response or notification");
}

/** An integer in any form; the usual ones without a decoder. */
function id(bytes: Buffer): number {
  const from = check.position();
  try {
    check.checkValue(1);
  } catch {
    // Also where the value alone would be no reason to close: nobody could be answered.
    return broken(BAD_ID);
  }
  const token = bytes[from] ?? 0;
  if (token < 0x80) return token;
  if (token === 0xcc) return bytes.readUInt8(from + 1);
  if (token === 0xcd) return bytes.readUInt16BE(from + 1);
  if (token === 0xce) return bytes.readUInt32BE(from + 1);
  const [value] = decode(bytes, from, check.position(), 1);
  if (typeof value === "number" && value >= 0 && value < TWO_32 && Number.isInteger(value)) return value;
  return broken(BAD_ID);
}

function method(bytes: Buffer): string {
  const header = check.position();
  const length = check.textLength();
  if (length < 0) broken("a method is named by text");
  const from = check.position();
  check.checkText(length, header);
  const to = check.position();
  if (length === 0 || length > SHORT_METHOD_BYTES) return bytes.toString("utf8", from, to);
  const slot = (length * 31 + (bytes[to - 1] ?? 0) * 7 + (bytes[from + (length >> 1)] ?? 0)) & (METHOD_CACHE_SIZE - 1);
  const known = methodTexts[slot] ?? "";
  if (known.length === length) {
    let i = 0;
    // Only text of one byte a character is kept, so bytes and characters compare one to one.
    while (i < length && known.charCodeAt(i) === bytes[from + i]) i += 1;
    if (i === length) return known;
  }
  const made = bytes.toString("utf8", from, to);
  if (made.length === length) methodTexts[slot] = made;
  return made;
}

/**
 * The `count` checked values from `from` to `to`: copied behind a header that makes them one array, for msgpackr. In
 * place of each listed text it is given a token that has it ask for the text: its own reader of texts takes several
 * times as long, and strips a byte order mark. No peer can send such a token, since it is an extension type.
 */
function decode(bytes: Buffer, from: number, to: number, count: 1 | 2): unknown[] {
  const texts = check.listedTexts();
  const numbers = check.listedNumbers();
  const room = to - from + 1;
  const body = room <= SCRATCH_BYTES ? scratch : Buffer.allocUnsafeSlow(room);
  body[0] = 0x90 | count;
  let length = 1;
  let at = from;
  for (let i = 0; i < numbers; i += check.LISTED) {
    const header = texts[i] ?? 0;
    if (header < from) continue;
    length = copyRun(bytes, at, header, body, length);
    body[length] = 0xd4;
    body[length + 1] = TEXT_TYPE;
    body[length + 2] = 0;
    body[length + 3] = 0xce;
    body.writeUInt32BE(i, length + 4);
    length += 8;
    at = texts[i + 2] ?? 0;
  }
  length = copyRun(bytes, at, to, body, length);
  source = bytes;
  sliced = at > from && room <= SLICED_BYTES && check.isAscii() ? bytes.toString("latin1", from, to) : "";
  slicedFrom = from;
  const decoded: unknown = (check.hasProto() ? mapUnpackr : unpackr).unpack(body, length);
  return (check.hasProto() ? plain(decoded) : decoded) as unknown[];
}

function copyRun(bytes: Buffer, from: number, to: number, into: Buffer, at: number): number {
  if (to - from > SHORT_RUN_BYTES) return at + bytes.copy(into, at, from, to);
  let next = at;
  for (let i = from; i < to; i += 1) into[next++] = bytes[i] ?? 0;
  return next;
}

/** What was decoded with maps as `Map`, with objects in their place. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (!(value instanceof Map)) return value;
  const out: Record<string, unknown> = {};
  for (const [key, item] of value as Map<string, unknown>) {
    // Assigning `__proto__` would set the prototype; as data it is a key like any other.
    Object.defineProperty(out, key, { value: plain(item), enumerable: true, configurable: true, writable: true });
  }
  return out;
}
