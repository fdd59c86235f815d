/**
 * The check that bytes of a peer pass before msgpackr decodes them: a walk over the tokens of MessagePack
 * (https://github.com/msgpack/msgpack/blob/master/spec.md) that builds nothing. By itself msgpackr decodes extension
 * types (records, dates, shared references that make 42 MB of a 291-byte frame) and knows no limit on depth or number.
 */
import { isUtf8 } from "node:buffer";
import { RPC_LIMITS } from "#contracts/limits";

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
const SCANNED_TEXT_BYTES = 192;
/** A list of texts that grew beyond this (numbers) is not kept. */
const KEPT_TEXTS = 16_384;
/** Integers whose high 32 bits are from the negative of this to one below it are those from -2^53 to 2^53 - 1. */
const SAFE_HIGH = 0x20_0000;

/** Texts longer than this (bytes) are listed, for decode.ts: msgpackr is quick with shorter ones. */
const UNLISTED_BYTES = 15;
/** Numbers in the list for each text: the place of its header, of its first byte, and of the byte after it. */
export const LISTED = 3;

// State of the one check that is going on: it neither waits nor calls out, so it cannot overlap another.
let src: Buffer = Buffer.alloc(0);
let at = 0;
let end = 0;
let nodesLeft = 0;
let protoSeen = false;
let asciiOnly = true;
let listed: number[] = [];
let listedLength = 0;

/** Starts the check of the bytes from `from` to `to`. */
export function begin(bytes: Buffer, from: number, to: number): void {
  src = bytes;
  at = from;
  end = to;
  nodesLeft = RPC_LIMITS.nodes - 1;
  protoSeen = false;
  asciiOnly = true;
  listedLength = 0;
  if (listed.length > KEPT_TEXTS) listed = [];
}

/** Where the next value begins. */
export function position(): number {
  return at;
}

/** Whether a checked map has what may be the key `__proto__`, which msgpackr renames. */
export function hasProto(): boolean {
  return protoSeen;
}

/** Whether all checked texts are known to be ASCII, so that bytes and characters are the same; long ones never are. */
export function isAscii(): boolean {
  return asciiOnly;
}

/** The texts listed so far, in order, `LISTED` numbers each; only `listedNumbers()` of them count. */
export function listedTexts(): readonly number[] {
  return listed;
}

export function listedNumbers(): number {
  return listedLength;
}

export function broken(what: string): never {
  throw new WireError(what, true);
}

function unsupported(what: string): never {
  throw new WireError(what, false);
}

function need(bytes: number): void {
  if (bytes > end - at) broken("a value ends beyond its frame");
}

/** Takes an unsigned integer of `bytes` bytes. */
export function uint(bytes: 1 | 2 | 4): number {
  need(bytes);
  let value = src[at++] ?? 0;
  for (let i = 1; i < bytes; i += 1) value = value * 256 + (src[at++] ?? 0);
  return value;
}

/** Takes the header of a text: its length, or -1 where something else is next (which is then not taken). */
export function textLength(): number {
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

/** Takes the `length` bytes of a text, whose header is at `header`. */
export function checkText(length: number, header: number): void {
  need(length);
  const from = at;
  at += length;
  if (length > UNLISTED_BYTES) {
    listed[listedLength++] = header;
    listed[listedLength++] = from;
    listed[listedLength++] = at;
  }
  if (length <= SCANNED_TEXT_BYTES) {
    let seen = 0;
    for (let i = from; i < at; i += 1) seen |= src[i] ?? 0;
    if (seen < 0x80) return;
  }
  asciiOnly = false;
  if (!isUtf8(src.subarray(from, at))) broken("a text is not UTF-8");
}

/** Counts values, before they are looked at. */
export function spend(values: number): void {
  nodesLeft -= values;
  if (nodesLeft < 0) broken(`more than ${RPC_LIMITS.nodes} values`);
}

function checkArray(length: number, depth: number): void {
  need(length);
  spend(length);
  for (let i = 0; i < length; i += 1) checkValue(depth + 1);
}

function checkMap(length: number, depth: number): void {
  need(2 * length);
  spend(length);
  for (let i = 0; i < length; i += 1) {
    const header = at;
    const bytes = textLength();
    if (bytes < 0) unsupported("a key that is not text");
    // Any key of that length with these letters: being wrong costs only time.
    if (bytes === 9 && src[at] === 0x5f && src[at + 8] === 0x5f) protoSeen = true;
    checkText(bytes, header);
    checkValue(depth + 1);
  }
}

function checkInt64(signed: boolean): void {
  need(8);
  const high = signed ? src.readInt32BE(at) : src.readUInt32BE(at);
  const low = src.readUInt32BE(at + 4);
  at += 8;
  const safe = high < SAFE_HIGH && (high > -SAFE_HIGH || (high === -SAFE_HIGH && low > 0));
  if (!safe) unsupported("an integer beyond 2^53 - 1");
}

function skip(bytes: number): void {
  need(bytes);
  at += bytes;
}

/**
 * Takes one value.
 * @param depth containers around it.
 * @throws WireError
 */
export function checkValue(depth: number): void {
  if (at >= end) broken("a value ends beyond its frame");
  const header = at;
  const token = src[at++] ?? 0;
  if (token < 0x80 || token >= 0xe0) return;
  if (token >= 0xa0 && token < 0xc0) {
    checkText(token - 0xa0, header);
    return;
  }
  if (token < 0xa0 || token >= 0xdc) {
    if (depth >= RPC_LIMITS.depth) broken(`more than ${RPC_LIMITS.depth} levels`);
    if (token < 0x90) checkMap(token - 0x80, depth);
    else if (token < 0xa0) checkArray(token - 0x90, depth);
    else {
      const length = uint(token === 0xdc || token === 0xde ? 2 : 4);
      if (token <= 0xdd) checkArray(length, depth);
      else checkMap(length, depth);
    }
    return;
  }
  switch (token) {
    case 0xc0: // nil
    case 0xc2: // false
    case 0xc3: // true
      return;
    case 0xcc: // unsigned and signed integers, floats
    case 0xd0:
      skip(1);
      return;
    case 0xcd:
    case 0xd1:
      skip(2);
      return;
    case 0xca:
    case 0xce:
    case 0xd2:
      skip(4);
      return;
    case 0xcb:
      skip(8);
      return;
    case 0xcf:
      checkInt64(false);
      return;
    case 0xd3:
      checkInt64(true);
      return;
    case 0xd9: // text
      checkText(uint(1), header);
      return;
    case 0xda:
      checkText(uint(2), header);
      return;
    case 0xdb:
      checkText(uint(4), header);
      return;
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

/** @throws WireError where bytes are left. */
export function finish(): void {
  if (at !== end) broken("bytes after the message");
}
