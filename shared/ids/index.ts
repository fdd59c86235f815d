/** UUIDs (RFC 9562) of given bytes, and Idempotency-Keys, which ids are made from. New random ones are `Bun.randomUUIDv7()`. */
import { fail, ok, type Result } from "#shared/errors";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Whether it is a UUID of any version, in lower case. */
export const isUuid = (text: string): boolean => UUID.test(text);

/** The first 16 bytes as the text of a UUID, in lower case. */
export function uuidText(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset, 16).toString("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** Makes a UUID of version 8 (§5.8) of the first 16 bytes of a hash, in place: 122 bits of it stay. */
export function asUuidV8<T extends Uint8Array>(hash: T): T {
  hash[6] = ((hash[6] ?? 0) & 0x0f) | 0x80;
  hash[8] = ((hash[8] ?? 0) & 0x3f) | 0x80;
  return hash;
}

/**
 * The key that the header's value gives: quotes around it are not part of it (draft-ietf-httpapi-idempotency-key-header-07 §2).
 * @returns failure `invalid` for one that is not 1 to 255 printable ASCII characters.
 */
export function idempotencyKeyOf(value: string): Result<string> {
  const bare = /^"(.*)"$/.exec(value)?.[1] ?? value;
  return /^[\x20-\x7e]{1,255}$/.test(bare)
    ? ok(bare)
    : fail("invalid", "Idempotency-Key must be 1 to 255 printable ASCII characters");
}
