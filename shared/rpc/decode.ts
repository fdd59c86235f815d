/**
 * MessagePack in (https://github.com/msgpack/msgpack/blob/master/spec.md): bytes of a peer that is not trusted become
 * plain values in one pass that checks each byte before it builds anything from it. Ours instead of a library's,
 * because a library's defaults decode extension types (dates, shared references that make 42 MB of a 291-byte frame),
 * rename the key `__proto__`, drop a leading byte order mark and know no limit on depth or number of values.
 */
import { RPC_LIMITS, type ValueLimits } from "#contracts/limits";

/** Why bytes were refused. */
export class WireError extends Error {
  override readonly name = "WireError";
  /**
   * Whether the peer breaks the protocol, so that its connection is closed. Otherwise the bytes are MessagePack, but
   * hold what has no place in JSON (binary, an integer beyond 2^53, a key that is no text): an error answer suffices.
   */
  readonly fatal: boolean;

  constructor(message: string, fatal: boolean) {
    super(message);
    this.fatal = fatal;
  }
}

/** Texts up to this length (bytes) are looked at here; longer ones are cheaper in one native call. */
const SHORT_TEXT_BYTES = 32;
/** Keys and names of methods up to this length (bytes) are kept. */
const KEPT_TEXT_BYTES = 32;
/** Of a value up to this length (bytes), texts are slices of one text: each made by itself costs two to five times that. */
const SLICED_BYTES = 1_024;
const KEY_CACHE_SIZE = 1_024;
const TWO_32 = 0x1_0000_0000;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

// State of the one decoding that is going on: decoding neither waits nor calls out, so it cannot overlap another.
let src: Buffer = Buffer.alloc(0);
let at = 0;
let end = 0;
let nodesLeft = 0;
/** The value byte by byte, and where it begins, where it is short enough. */
let sliced = "";
let slicedFrom = 0;
let limits: ValueLimits = RPC_LIMITS;

/** Recently seen keys by a hash of their bytes: keys repeat, and a text that exists need not be made again. */
const keyTexts = Array.from({ length: KEY_CACHE_SIZE }, () => "");

function broken(what: string): never {
  throw new WireError(what, true);
}

function unsupported(what: string): never {
  throw new WireError(what, false);
}

function need(bytes: number): void {
  if (bytes > end - at) broken("a value ends beyond its frame");
}

function uint(bytes: 1 | 2 | 4): number {
  need(bytes);
  let value = src[at++] ?? 0;
  for (let i = 1; i < bytes; i += 1) value = value * 256 + (src[at++] ?? 0);
  return value;
}

/** 64 bits, high word signed where `signed`; only what a JavaScript number holds exactly. */
function int64(signed: boolean): number {
  const high = uint(4);
  const value = (signed ? high | 0 : high) * TWO_32 + uint(4);
  return Number.isSafeInteger(value) ? value : unsupported("an integer beyond 2^53 - 1");
}

function text(length: number): string {
  need(length);
  const from = at;
  at += length;
  if (length <= SHORT_TEXT_BYTES || sliced !== "") {
    let seen = 0;
    for (let i = from; i < at; i += 1) seen |= src[i] ?? 0;
    // ASCII, so that bytes and characters are the same.
    if (seen < 0x80)
      return sliced === "" ? src.toString("latin1", from, at) : sliced.slice(from - slicedFrom, at - slicedFrom);
  }
  try {
    return utf8.decode(src.subarray(from, at));
  } catch {
    // The decoder's error says no more than that.
    return broken("a text is not UTF-8");
  }
}

/** A text that is likely to come again: a key, the name of a method. */
function repeatedText(length: number): string {
  if (length > KEPT_TEXT_BYTES || length === 0) return text(length);
  need(length);
  const first = src[at] ?? 0;
  const last = src[at + length - 1] ?? 0;
  const middle = src[at + (length >> 1)] ?? 0;
  const slot = ((length * 31 + first) * 31 + middle * 7 + last) & (KEY_CACHE_SIZE - 1);
  const known = keyTexts[slot] ?? "";
  if (known.length === length) {
    let i = 0;
    // Only text of one byte a character is kept, so bytes and characters compare one to one.
    while (i < length && known.charCodeAt(i) === src[at + i]) i += 1;
    if (i === length) {
      at += length;
      return known;
    }
  }
  const made = text(length);
  if (made.length === length) keyTexts[slot] = made;
  return made;
}

/** The length of the text whose header is next, or -1 where something else is next (which is then not consumed). */
function textLength(): number {
  need(1);
  const token = src[at] ?? 0;
  if (token >= 0xa0 && token < 0xc0) {
    at += 1;
    return token - 0xa0;
  }
  if (token < 0xd9 || token > 0xdb) return -1;
  at += 1;
  return uint(token === 0xd9 ? 1 : token === 0xda ? 2 : 4);
}

function spend(values: number): void {
  nodesLeft -= values;
  if (nodesLeft < 0) broken(`more than ${limits.nodes} values`);
}

function array(length: number, depth: number): unknown[] {
  need(length);
  spend(length);
  const out: unknown[] = [];
  for (let i = 0; i < length; i += 1) out.push(value(depth + 1));
  return out;
}

function map(length: number, depth: number): Record<string, unknown> {
  need(2 * length);
  spend(length);
  const out: Record<string, unknown> = {};
  for (let i = 0; i < length; i += 1) {
    const bytes = textLength();
    if (bytes < 0) unsupported("a key that is not text");
    const key = repeatedText(bytes);
    const item = value(depth + 1);
    // Assigning this one would set the prototype; as data it is a key like any other.
    if (key === "__proto__") {
      Object.defineProperty(out, key, { value: item, enumerable: true, configurable: true, writable: true });
    } else out[key] = item;
  }
  return out;
}

/** @param depth containers around this value. */
function value(depth: number): unknown {
  if (at >= end) broken("a value ends beyond its frame");
  const token = src[at++] ?? 0;
  if (token < 0x80) return token;
  if (token >= 0xa0 && token < 0xc0) return text(token - 0xa0);
  if (token >= 0xe0) return token - 0x100;
  if (token < 0xa0 || token >= 0xdc) {
    if (depth >= limits.depth) broken(`more than ${limits.depth} levels`);
    if (token < 0x90) return map(token - 0x80, depth);
    if (token < 0xa0) return array(token - 0x90, depth);
    const length = uint(token === 0xdc || token === 0xde ? 2 : 4);
    return token <= 0xdd ? array(length, depth) : map(length, depth);
  }
  switch (token) {
    case 0xc0:
      return null;
    case 0xc2:
      return false;
    case 0xc3:
      return true;
    case 0xca:
      need(4);
      at += 4;
      return src.readFloatBE(at - 4);
    case 0xcb:
      need(8);
      at += 8;
      return src.readDoubleBE(at - 8);
    case 0xcc:
      return uint(1);
    case 0xcd:
      return uint(2);
    case 0xce:
      return uint(4);
    case 0xcf:
      return int64(false);
    case 0xd0:
      return (uint(1) << 24) >> 24;
    case 0xd1:
      return (uint(2) << 16) >> 16;
    case 0xd2:
      return uint(4) | 0;
    case 0xd3:
      return int64(true);
    case 0xd9:
      return text(uint(1));
    case 0xda:
      return text(uint(2));
    case 0xdb:
      return text(uint(4));
    case 0xc4:
    case 0xc5:
    case 0xc6:
      return unsupported("binary data: send text");
    case 0xc1:
      return broken("0xc1 is no MessagePack");
    default:
      return broken("an extension type");
  }
}

function begin(bytes: Buffer, from: number, to: number, within: ValueLimits): void {
  src = bytes;
  at = from;
  end = to;
  limits = within;
  nodesLeft = within.nodes - 1;
  sliced = to - from <= SLICED_BYTES ? bytes.toString("latin1", from, to) : "";
  slicedFrom = from;
}

/**
 * The one value that `bytes` hold, checked: only standard types that JSON has too, text that is UTF-8, keys that are
 * text (of the same key twice the last counts; `__proto__` is a key like any other), lengths inside the bytes and
 * nothing after the value.
 * @throws WireError
 */
export function decodeValue(bytes: Buffer, within: ValueLimits = RPC_LIMITS): unknown {
  begin(bytes, 0, bytes.length, within);
  const decoded = value(0);
  if (at !== end) broken("bytes after the value");
  return decoded;
}

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

function header(token: number): number {
  if (token >= 0x90 && token <= 0x9f) return token - 0x90;
  if (token === 0xdc) return uint(2);
  return token === 0xdd ? uint(4) : broken("not a request, response or notification");
}

/**
 * Reads the message in `bytes` from `from` to `to` into `into`. What was read when it throws stays there: an error
 * answer can be sent where `into.id` is not negative and `into.type` is 0.
 * @throws WireError
 */
export function decodeMessage(bytes: Buffer, from: number, to: number, into: Message): void {
  begin(bytes, from, to, RPC_LIMITS);
  into.type = 2;
  into.id = -1;
  into.meta = undefined;
  const length = header(uint(1));
  const type = length >= 3 && length <= 5 ? uint(1) : -1;
  const optional = type === 0 ? 5 : type === 2 ? 4 : -1;
  if (
    (type !== 0 && type !== 1 && type !== 2) ||
    (type === 1 ? length !== 4 : length !== optional && length !== optional - 1)
  ) {
    broken("not a request, response or notification");
  }
  spend(length);
  if (type !== 2) {
    const id = value(1);
    if (typeof id !== "number" || id < 0 || id >= TWO_32 || !Number.isInteger(id))
      broken("an id is an unsigned 32-bit integer");
    into.id = id;
    into.type = type;
  }
  if (type === 1) {
    into.error = value(1);
    into.result = value(1);
  } else {
    const name = textLength();
    if (name < 0) broken("a method is named by text");
    into.method = repeatedText(name);
    const params = value(1);
    if (!Array.isArray(params)) broken("params are an array");
    into.params = params as unknown[];
    const meta = length === optional ? value(1) : null;
    if (meta !== null) {
      if (typeof meta !== "object" || Array.isArray(meta)) broken("meta is a map");
      into.meta = meta as Record<string, unknown>;
    }
  }
  if (at !== end) broken("bytes after the message");
}
