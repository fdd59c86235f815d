/** What an API key is as text: `pk_<id>_<secret>`, 70 characters. Looks nothing up. */
import { hashOf, newToken } from "../keys.ts";

/** Its id (a UUID, 16 bytes) and 256 random bits, both as base64url. What begins with it is found by scanners of leaked secrets. */
const KEY = /^pk_[\w-]{22}_[\w-]{43}$/;

export interface MadeKey {
  /** UUIDv7. */
  readonly id: string;
  /** The whole of it: shown once, and kept nowhere. */
  readonly key: string;
  /** What it begins with: tells it from others, and opens nothing. */
  readonly prefix: string;
  readonly hash: Uint8Array;
}

export function makeKey(): MadeKey {
  const id = Bun.randomUUIDv7();
  const prefix = `pk_${Buffer.from(id.replaceAll("-", ""), "hex").toString("base64url")}`;
  const key = `${prefix}_${newToken()}`;
  return { id, key, prefix, hash: hashOf(key) };
}

/** What is stored of a key; undefined for text that cannot be one. */
export function keyHashOf(key: string): Uint8Array | undefined {
  return KEY.test(key) ? hashOf(key) : undefined;
}
