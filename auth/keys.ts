/** Keys derived from AUTH_SECRET, one for each use, and what is done with them. */
import { createCipheriv, createDecipheriv, createHash, createHmac, hkdfSync, randomBytes } from "node:crypto";
import type { Secret } from "#shared/config";

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** HKDF-SHA-256 (RFC 5869) without salt; `info` keeps the uses apart, so that none of them weakens another. */
function derive(secret: Secret, info: string): Buffer {
  return Buffer.from(hkdfSync("sha256", secret.reveal(), "", info, 32));
}

/** HMAC-SHA-384 of a long password, as 64 characters of base64: what bcrypt is given in its place. */
export function makePrehash(secret: Secret): (password: Uint8Array) => Uint8Array {
  const key = derive(secret, "auth/password-prehash/v1");
  return (password) => new TextEncoder().encode(createHmac("sha384", key).update(password).digest("base64"));
}

export interface Sealer {
  /** AES-256-GCM: nonce, ciphertext, tag. `name` is bound to it: sealed bytes cannot be passed off as another's. */
  seal(plain: string, name: string): Uint8Array;
  /** @returns undefined where it was sealed with another secret, for another name, or was changed. */
  open(sealed: Uint8Array, name: string): string | undefined;
}

/** @param use keeps what is sealed for one use from being opened as another's. */
export function makeSealer(secret: Secret, use: "signing-keys" | "outbox" | "cache" = "signing-keys"): Sealer {
  const key = derive(secret, `auth/${use}/v1`);
  return {
    seal(plain, name) {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv("aes-256-gcm", key, nonce).setAAD(Buffer.from(name));
      return Buffer.concat([nonce, cipher.update(plain, "utf8"), cipher.final(), cipher.getAuthTag()]);
    },
    open(sealed, name) {
      if (sealed.byteLength < NONCE_BYTES + TAG_BYTES) return undefined;
      const bytes = Buffer.from(sealed);
      const tagAt = bytes.byteLength - TAG_BYTES;
      const cipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(0, NONCE_BYTES));
      cipher.setAAD(Buffer.from(name)).setAuthTag(bytes.subarray(tagAt));
      try {
        return Buffer.concat([cipher.update(bytes.subarray(NONCE_BYTES, tagAt)), cipher.final()]).toString("utf8");
      } catch {
        // The tag is wrong: told by the value, since the caller knows what that means.
        return undefined;
      }
    },
  };
}

/** A token that is handed out and can be guessed by nobody: 256 random bits, as base64url. */
export function newToken(): string {
  return randomBytes(32).toString("base64url");
}

/** What of such a token, or an API key, is stored: its SHA-256. */
export function hashOf(token: string): Uint8Array {
  return createHash("sha256").update(token).digest();
}

/**
 * The token that follows a refresh token: HMAC-SHA-256 of it, as base64url. Whoever knows the token and the key can
 * make its successor again, so that it can be given once more and is stored nowhere.
 */
export function makeSuccession(secret: Secret): (token: string) => string {
  const key = derive(secret, "auth/refresh-succession/v1");
  return (token) => createHmac("sha256", key).update(token).digest("base64url");
}

/** What an account is called in audit entries where no user has the address: 16 hexadecimal digits that only we can make. */
export function makeAccountName(secret: Secret): (email: string) => string {
  const key = derive(secret, "auth/account-name/v1");
  return (email) => createHmac("sha256", key).update(email.toLowerCase()).digest("hex").slice(0, 16);
}
