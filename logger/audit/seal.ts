/**
 * What the chain is made of: documents as bytes, and their authentication. HMAC-SHA-256 (RFC 2104), truncated to 128 bits
 * (§5), under a key of its own for each purpose.
 */
import { Binary } from "mongodb";

/** A MAC as text: 22 characters of base64url. */
export type Mac = string;

const MAC_BYTES = 16;

/** Makes the MAC of some texts, none of which can be taken for a part of another. */
export type Sealer = (...parts: readonly (string | number)[]) => Mac;

function hmac(key: string | Uint8Array, ...parts: readonly (string | number)[]): Buffer {
  const hash = new Bun.CryptoHasher("sha256", key);
  for (const part of parts) hash.update(`${String(part).length}:${part};`);
  return hash.digest();
}

function sealerOf(key: Uint8Array): Sealer {
  const keyed = new Bun.CryptoHasher("sha256", key);
  return (...parts) => {
    const hash = keyed.copy();
    for (const part of parts) hash.update(`${String(part).length}:${part};`);
    return hash.digest().subarray(0, MAC_BYTES).toString("base64url");
  };
}

/** What one secret seals. */
export interface AuditKey {
  /** Tells which secret it is, and nothing about it: 11 characters. */
  readonly id: string;
  /** For what is no chain's. */
  readonly seal: Sealer;
  /** For the entries and notes of the chain that was registered with `registration`. */
  sealOf(registration: Mac): Sealer;
}

export function auditKeyOf(secret: string): AuditKey {
  return {
    id: hmac(secret, "key id").subarray(0, 8).toString("base64url"),
    seal: sealerOf(hmac(secret, "registry")),
    sealOf: (registration) => sealerOf(hmac(secret, "chain", registration)),
  };
}

/** A value of a document as text: the same before it is written and after it was read, whatever the order of its keys. */
function canonicalOf(value: unknown): string {
  if (value === undefined || value === null) return "null";
  if (typeof value !== "object") return JSON.stringify(value);
  if (value instanceof Date) return `date(${value.getTime()})`;
  if (value instanceof Binary) return `binary(${Buffer.from(value.value()).toString("base64")})`;
  if (Array.isArray(value)) return `[${value.map(canonicalOf).join(",")}]`;
  return fieldsOf(value as Record<string, unknown>, []);
}

function fieldsOf(fields: Readonly<Record<string, unknown>>, except: readonly string[]): string {
  const keys = Object.keys(fields)
    .filter((key) => !except.includes(key))
    .sort();
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonicalOf(fields[key])}`).join(",")}}`;
}

/** Where an entry stands in its chain: its own fields of the document. */
export interface Place {
  audit_chain: number;
  /** From 1, in the order in which the chain took them. */
  audit_sequence: number;
  /** The MAC before it. */
  audit_previous: Mac;
  audit_mac: Mac;
}

/** Everything that a document says but its MAC and its `_id`, which the driver gives. */
export function contentOf(document: object): string {
  return fieldsOf(document as Record<string, unknown>, ["_id", "audit_mac"]);
}
