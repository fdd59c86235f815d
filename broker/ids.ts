/**
 * Ids of entries, events and mails: each is its receipt's id, too, and shows whether we gave it.
 *
 *     48 bits   time (ms since 1970)            ┐ version 8 has 90 bits made from an
 *      4        version: 7, or 8                │ Idempotency-Key in these places
 *     12        counter within the millisecond  │
 *      2        variant                         │
 *     30        process, random at its start    ┘
 *     32        tag: HMAC-SHA-256 over the kind and all before it, truncated
 *
 * UUIDs of RFC 9562: version 7 (§5.7) with a counter in rand_a (§6.2 method 1, its overflow moves the time on), and
 * version 8 (§5.8). Text is lower-case.
 *
 * Two ids of one process never collide. Those of two processes do only if both drew the same 30 bits (one pair of
 * processes in 1.1 · 10⁹) and then share a millisecond and the counter there: drawing these bits for each id instead
 * would make a collision a matter of traffic (at 1,000 ids a second one in 70 years for each pair of brokers). Of n keys
 * two get one id in n² / 2⁹¹ cases: of a billion, one in 2.5 · 10⁹.
 *
 * Whoever does not know the secret makes an id that `verify` takes with a chance of 3 in 2³² a try; an id is taken for one
 * of another kind as often.
 */
import { RECEIPT_KINDS, type ReceiptKind } from "#contracts/receipts";
import { asUuidV8, uuidText } from "#shared/ids";

/** Whose Idempotency-Key it is, and for which route: the same key elsewhere is another one. */
export interface KeyScope {
  readonly caller: string;
  readonly route: string;
  readonly key: string;
}

/** What an id says by itself. */
export interface SignedId {
  readonly kind: ReceiptKind;
  /** When it was given; not in an id that was made from a key. */
  readonly at: Date | undefined;
}

export interface Ids {
  /** A new id, above all that this process gave before. */
  mint(kind: ReceiptKind): string;
  /** The id under a key: the same in every process with the secret, at any time. `index` tells actions of a batch apart. */
  derive(kind: ReceiptKind, scope: KeyScope, index: number): string;
  /** What the id is of, if it was given with this secret; undefined for all other text. */
  verify(id: string): SignedId | undefined;
  /** A keyed hash of text: tells texts apart without keeping them. */
  fingerprint(text: string): string;
}

const TAG_AT = 12;
const COUNTER_MAX = 0xfff;
const ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[78][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const KIND_BYTES = new Map(RECEIPT_KINDS.map((kind) => [kind, Buffer.from(`${kind}\0`)]));

type Mac = (...parts: readonly (string | Uint8Array)[]) => Buffer;

/** HMAC-SHA-256 under a key of its own for each purpose (RFC 2104; the copy saves hashing the key again). */
function macOf(secret: string, purpose: string): Mac {
  const key = new Bun.CryptoHasher("sha256", secret).update(purpose).digest();
  const keyed = new Bun.CryptoHasher("sha256", key);
  return (...parts) => {
    const mac = keyed.copy();
    for (const part of parts) mac.update(part);
    return mac.digest();
  };
}

/** @param secret the same in all brokers, so that one knows the ids of the others. @param now ms since 1970. */
export function makeIds(secret: string, now: () => number = Date.now): Ids {
  const tagMac = macOf(secret, "receipt tag");
  const keyMac = macOf(secret, "idempotency key");
  const textMac = macOf(secret, "fingerprint");
  const random = new Uint32Array(2);
  const variantAndProcess = ((0x8000_0000 | (crypto.getRandomValues(random)[0] ?? 0)) & 0xbfff_ffff) >>> 0;
  let time = 0;
  let counter = 0;

  /** The lower half of the counter's room at random: nobody tells from an id how many there were. */
  function startOf(millisecond: number): void {
    time = millisecond;
    counter = (crypto.getRandomValues(random)[1] ?? 0) & (COUNTER_MAX >> 1);
  }

  const tagOf = (kind: ReceiptKind, bytes: Buffer): number =>
    tagMac(KIND_BYTES.get(kind) ?? kind, bytes.subarray(0, TAG_AT)).readUInt32BE(0);

  function signed(kind: ReceiptKind, bytes: Buffer): string {
    bytes.writeUInt32BE(tagOf(kind, bytes), TAG_AT);
    return uuidText(bytes);
  }

  return {
    mint(kind) {
      const at = now();
      // A clock that was set back does not make ids twice: time stands until it has caught up.
      if (at > time) startOf(at);
      else if (counter < COUNTER_MAX) counter += 1;
      else startOf(time + 1);
      const bytes = Buffer.allocUnsafe(16);
      bytes.writeUIntBE(time, 0, 6);
      bytes.writeUInt16BE(0x7000 | counter, 6);
      bytes.writeUInt32BE(variantAndProcess, 8);
      return signed(kind, bytes);
    },

    derive(kind, { caller, route, key }, index) {
      const bytes = keyMac(JSON.stringify([caller, route, key, index])).subarray(0, 16);
      return signed(kind, asUuidV8(bytes));
    },

    verify(id) {
      if (!ID.test(id)) return undefined;
      const bytes = Buffer.from(id.replaceAll("-", ""), "hex");
      const tag = bytes.readUInt32BE(TAG_AT);
      const kind = RECEIPT_KINDS.find((candidate) => tagOf(candidate, bytes) === tag);
      if (kind === undefined) return undefined;
      return { kind, at: id.charAt(14) === "7" ? new Date(bytes.readUIntBE(0, 6)) : undefined };
    },

    fingerprint: (text) => textMac(text).toString("base64url"),
  };
}
