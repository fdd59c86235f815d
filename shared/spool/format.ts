/**
 * The bytes of a segment, version 1. Numbers are unsigned and big-endian; CRC is CRC-32 (IEEE 802.3).
 *
 *     segment   "SPOOL" | u8 version | u16 0 | u64 first sequence | 8 bytes mark | u32 0 | u32 crc of the 28 before
 *     record    8 bytes mark | u64 sequence | u32 length | u32 crc of the payload | u32 crc of the 24 before | payload
 *     payload   u16 length of meta | meta: JSON [id, kind, at, "json" or "bytes"] | body
 *
 * The header of a record has a CRC of its own, so that a length can be trusted: a record that reaches beyond the end
 * of the file was being written when the process died (torn), anything else that does not add up is damage.
 * The mark is random for each segment: behind damage the next record is found by it, and nobody who sends bodies
 * can put a forged record inside one.
 */
import { MESSAGE_LIMITS } from "#contracts/limits";
import { fail, ok, type Result } from "#shared/errors";
import type { SpoolRecord } from "./types.ts";

export const VERSION = 1;
export const SEGMENT_HEADER_BYTES = 32;
export const RECORD_HEADER_BYTES = 28;
const MAGIC = Buffer.from("SPOOL");
const MARK_BYTES = 8;
const ID_MAX = 128;
const KIND_MAX = 64;
/** Room for the meta besides the body: an id and kind of four-byte or escaped characters, a time. */
const META_MAX_BYTES = 2_048;
export const RECORD_MAX_BYTES = RECORD_HEADER_BYTES + 2 + META_MAX_BYTES + MESSAGE_LIMITS.bytes;

export interface SegmentHeader {
  readonly version: number;
  readonly first: number;
  readonly mark: Buffer;
}

export function newMark(): Buffer {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(MARK_BYTES)));
}

export function segmentHeader(first: number, mark: Buffer): Buffer {
  const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES);
  MAGIC.copy(bytes, 0);
  bytes.writeUInt8(VERSION, 5);
  bytes.writeBigUInt64BE(BigInt(first), 8);
  mark.copy(bytes, 16);
  bytes.writeUInt32BE(Bun.hash.crc32(bytes.subarray(0, 28)), 28);
  return bytes;
}

/** The header of a segment, or undefined where it is damaged or incomplete. */
export function readSegmentHeader(bytes: Buffer): SegmentHeader | undefined {
  if (bytes.length < SEGMENT_HEADER_BYTES || !bytes.subarray(0, MAGIC.length).equals(MAGIC)) return undefined;
  if (Bun.hash.crc32(bytes.subarray(0, 28)) !== bytes.readUInt32BE(28)) return undefined;
  const mark = Buffer.from(bytes.subarray(16, 24));
  return { version: bytes.readUInt8(5), first: Number(bytes.readBigUInt64BE(8)), mark };
}

/** The mark where the segment's header is damaged: the first record's, which its own CRC vouches for. */
export function markOfFirstRecord(bytes: Buffer): Buffer {
  return Buffer.from(bytes.subarray(SEGMENT_HEADER_BYTES, SEGMENT_HEADER_BYTES + MARK_BYTES));
}

/**
 * A record as bytes, without mark and sequence, which `stamp` puts in when it is written.
 * @returns `invalid` for a shape that is not a record's, `too_large` for a body above 4 MiB.
 */
export function encodeRecord(record: SpoolRecord): Result<Buffer> {
  const { id, kind, at, body } = record;
  if (id.length < 1 || id.length > ID_MAX) return fail("invalid", `id: 1 to ${ID_MAX} characters`);
  if (kind.length < 1 || kind.length > KIND_MAX) return fail("invalid", `kind: 1 to ${KIND_MAX} characters`);
  if (at.length > 40 || Number.isNaN(Date.parse(at))) return fail("invalid", "at: a time as of RFC 3339");
  const raw = body instanceof Uint8Array;
  let content: Uint8Array;
  try {
    const text: string | undefined = raw ? "" : JSON.stringify(body);
    if (text === undefined) return fail("invalid", "body: a JSON value or bytes");
    content = raw ? body : Buffer.from(text);
  } catch (error) {
    return fail("invalid", "body: a JSON value or bytes", { cause: error });
  }
  if (content.length > MESSAGE_LIMITS.bytes) return fail("too_large", "the record is above 4 MiB");

  const meta = Buffer.from(JSON.stringify([id, kind, at, raw ? "bytes" : "json"]));
  const length = 2 + meta.length + content.length;
  const bytes = Buffer.allocUnsafe(RECORD_HEADER_BYTES + length);
  bytes.writeUInt32BE(length, 16);
  bytes.writeUInt16BE(meta.length, RECORD_HEADER_BYTES);
  meta.copy(bytes, RECORD_HEADER_BYTES + 2);
  bytes.set(content, RECORD_HEADER_BYTES + 2 + meta.length);
  bytes.writeUInt32BE(Bun.hash.crc32(bytes.subarray(RECORD_HEADER_BYTES)), 20);
  return ok(bytes);
}

export function stamp(record: Buffer, mark: Buffer, sequence: number): void {
  mark.copy(record, 0);
  record.writeBigUInt64BE(BigInt(sequence), 8);
  record.writeUInt32BE(Bun.hash.crc32(record.subarray(0, 24)), 24);
}

/** The record in a payload whose CRC was right. */
export function decodeRecord(payload: Buffer): SpoolRecord {
  const bodyAt = 2 + payload.readUInt16BE(0);
  const [id, kind, at, type] = JSON.parse(payload.toString("utf8", 2, bodyAt)) as [string, string, string, string];
  const content = payload.subarray(bodyAt);
  return {
    id,
    kind,
    at,
    body: type === "bytes" ? new Uint8Array(content) : (JSON.parse(content.toString()) as unknown),
  };
}

/** A record that was found, as offsets into the bytes that were scanned. */
export interface Found {
  readonly sequence: number;
  readonly payloadAt: number;
  readonly end: number;
}

export interface Scan {
  readonly found: Found[];
  /** Something between the records is not what was written. */
  readonly damaged: boolean;
  /** Where the scan ended: what follows is a record not written to its end, or blocks never written (zeros). */
  readonly end: number;
}

function headerAt(
  bytes: Buffer,
  at: number,
  mark: Buffer,
): { sequence: number; length: number; crc: number } | undefined {
  if (bytes.compare(mark, 0, MARK_BYTES, at, at + MARK_BYTES) !== 0) return undefined;
  if (Bun.hash.crc32(bytes.subarray(at, at + 24)) !== bytes.readUInt32BE(at + 24)) return undefined;
  return {
    sequence: Number(bytes.readBigUInt64BE(at + 8)),
    length: bytes.readUInt32BE(at + 16),
    crc: bytes.readUInt32BE(at + 20),
  };
}

/** Finds every intact record from `from` on; behind damage it goes on at the next mark. */
export function scan(bytes: Buffer, mark: Buffer, from: number): Scan {
  const found: Found[] = [];
  let damaged = false;
  let at = from;
  while (bytes.length - at >= RECORD_HEADER_BYTES) {
    const header = headerAt(bytes, at, mark);
    if (header === undefined) {
      if (bytes.subarray(at).every((byte) => byte === 0)) break;
      damaged = true;
      const next = bytes.indexOf(mark, at + 1);
      at = next === -1 ? bytes.length : next;
      continue;
    }
    const payloadAt = at + RECORD_HEADER_BYTES;
    const end = payloadAt + header.length;
    if (end > bytes.length) break;
    if (Bun.hash.crc32(bytes.subarray(payloadAt, end)) === header.crc)
      found.push({ sequence: header.sequence, payloadAt, end });
    else damaged = true;
    at = end;
  }
  return { found, damaged, end: at };
}
