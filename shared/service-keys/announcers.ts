/**
 * Who may announce instances of a service. Whoever can publish to RabbitMQ could otherwise draw calls, with passwords in
 * them, to himself. A SERVICE_KEY can sign nothing: whoever is called gets to see it, and could announce himself as the
 * caller. So each service that is called has an ANNOUNCE_KEY, which never leaves its process; of it there is an Ed25519 key
 * pair (RFC 8032), and who listens knows its public half.
 */
import { createPrivateKey, createPublicKey, hkdfSync, type KeyObject, randomBytes, sign, verify } from "node:crypto";
import { type Field, Secret } from "#shared/config";

/** A service whose announcements are believed, by its public key (hex). Its name may come twice while its key is changed. */
export interface KnownAnnouncer {
  readonly name: string;
  readonly publicKey: string;
}

const ANNOUNCER = /^([a-z][a-z0-9-]{0,62}):([0-9a-f]{64})$/;
const MAX_ANNOUNCERS = 64;
/** DER before the 32 bytes of a key (RFC 8410 §7 and §4). */
const PRIVATE_PREFIX = Buffer.from("302e020100300506032b657004220420", "hex");
const PUBLIC_PREFIX = Buffer.from("302a300506032b6570032100", "hex");
const PURPOSE = "platform registry announcements v1";

const KEY = /^[\w-]{32,256}$/;

export const announceKeyField: Field<Secret | undefined> = {
  about:
    "Key that signs how this service announces itself; it is never sent, and those who call this service know its public half by SERVICE_ANNOUNCERS (bun run service-key). Without it only development believes what is announced",
  allowed: "32 to 256 characters of A-Z a-z 0-9 - _",
  default: undefined,
  required: false,
  secret: true,
  parse: (text) => (KEY.test(text) ? new Secret(text) : undefined),
};

export const serviceAnnouncersField: Field<readonly KnownAnnouncer[] | undefined> = {
  about:
    "Services whose announcements in the registry are believed, as NAME:KEY, the public half of its ANNOUNCE_KEY in hex (bun run service-key); a name may come twice while its key is changed. Without it announcements are believed in development with DISCOVERY=rabbitmq only",
  allowed: `a comma-separated list of 1 to ${MAX_ANNOUNCERS} NAME:KEY, 64 hex digits in small letters each, none twice`,
  default: undefined,
  required: false,
  secret: false,
  parse(text) {
    const found = text.split(",").map((part) => ANNOUNCER.exec(part.trim()));
    const known = found.flatMap((match) => {
      const [, name, publicKey] = match ?? [];
      return name === undefined || publicKey === undefined ? [] : [{ name, publicKey }];
    });
    const isUnique = new Set(known.map(({ publicKey }) => publicKey)).size === known.length;
    return known.length === found.length && known.length <= MAX_ANNOUNCERS && isUnique ? known : undefined;
  },
};

function privateKeyOf(key: Secret): KeyObject {
  const seed = Buffer.from(hkdfSync("sha256", key.reveal(), "", PURPOSE, 32));
  return createPrivateKey({ key: Buffer.concat([PRIVATE_PREFIX, seed]), format: "der", type: "pkcs8" });
}

/** A new ANNOUNCE_KEY (256 random bits), and its public half (hex), for SERVICE_ANNOUNCERS of those who listen. */
export function makeAnnounceKey(): { readonly key: string; readonly publicKey: string } {
  const key = `ak_${randomBytes(32).toString("base64url")}`;
  return { key, publicKey: publicHalfOf(new Secret(key)) };
}

function publicHalfOf(key: Secret): string {
  const der = createPublicKey(privateKeyOf(key)).export({ format: "der", type: "spki" });
  return der.subarray(PUBLIC_PREFIX.length).toString("hex");
}

/** Signs announcements (base64url). */
export function makeAnnouncerSignature(key: Secret): (text: string) => string {
  const signing = privateKeyOf(key);
  return (text) => sign(null, Buffer.from(text), signing).toString("base64url");
}

/** Tells whether `signature` of `text` is by a key of the service that is named. */
export function makeAnnouncerCheck(
  known: readonly KnownAnnouncer[],
): (name: string, text: string, signature: string) => boolean {
  const keys = known.map(({ name, publicKey }) => ({
    name,
    key: createPublicKey({
      key: Buffer.concat([PUBLIC_PREFIX, Buffer.from(publicKey, "hex")]),
      format: "der",
      type: "spki",
    }),
  }));
  return (name, text, signature) =>
    keys.some(
      (one) => one.name === name && verify(null, Buffer.from(text), one.key, Buffer.from(signature, "base64url")),
    );
}
