/** Signs mails with the domain's key (DKIM, RFC 6376): rsa-sha256, relaxed/relaxed. */
import { createPrivateKey } from "node:crypto";
import type { Secret } from "#shared/config";
import DKIM from "nodemailer/lib/dkim";

/** RFC 8301 §3.2: signers should not use less, verifiers need not take more (bits). */
const MIN_BITS = 2_048;
const MAX_BITS = 4_096;

/** What is signed, where the mail has it. RFC 8058 §4 wants both of the last two signed. */
const SIGNED = [
  "From",
  "Reply-To",
  "To",
  "Cc",
  "Subject",
  "Date",
  "Message-ID",
  "In-Reply-To",
  "References",
  "MIME-Version",
  "Content-Type",
  "Content-Transfer-Encoding",
  "List-Id",
  "List-Unsubscribe",
  "List-Unsubscribe-Post",
];

const FIELD = "DKIM-Signature: ";

export interface DkimOptions {
  /** `d=`: the key is published under it, and receivers compare it with the domain of `From` (DMARC). */
  readonly domain: string;
  /** `s=`: the key is published as `<selector>._domainkey.<domain>`. */
  readonly selector: string;
  /** As `isDkimKey` takes it. */
  readonly privateKey: Secret;
}

export interface Dkim {
  /**
   * @param bytes a message as `compose` makes it.
   * @returns the same with one `DKIM-Signature` before it. The same bytes have the same signature.
   * @throws where it cannot be signed; never unsigned bytes.
   */
  sign(bytes: Uint8Array): Promise<Uint8Array>;
}

/** Whether a text is a private key to sign with: RSA of 2048 to 4096 bits, as PEM without a passphrase. */
export function isDkimKey(pem: string): boolean {
  try {
    const { asymmetricKeyType, asymmetricKeyDetails } = createPrivateKey(pem);
    const bits = asymmetricKeyDetails?.modulusLength ?? 0;
    return asymmetricKeyType === "rsa" && bits >= MIN_BITS && bits <= MAX_BITS;
  } catch {
    // Not a key at all: what it is instead must not be told.
    return false;
  }
}

export function makeDkim({ domain, selector, privateKey }: DkimOptions): Dkim {
  const signer = new DKIM({
    domainName: domain,
    keySelector: selector,
    privateKey: privateKey.reveal(),
    headerFieldNames: SIGNED.join(":"),
  });
  return {
    async sign(bytes) {
      const input = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      const chunks: Uint8Array[] = [];
      for await (const chunk of signer.sign(input)) chunks.push(chunk);
      const signed = Buffer.concat(chunks);
      // Where the key fails, nodemailer gives the message back as it was, without a word.
      if (signed.toString("latin1", 0, FIELD.length) !== FIELD) throw new Error("the mail could not be signed (DKIM)");
      return signed;
    },
  };
}
