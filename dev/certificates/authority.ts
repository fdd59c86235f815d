/** A certificate authority for development and tests: ECDSA P-256, as browsers and every TLS library take it. */
// oxlint-disable-next-line import/no-unassigned-import -- @peculiar/x509 needs what it puts in place
import "reflect-metadata";
import { randomBytes } from "node:crypto";
import { isIP } from "node:net";
import * as x509 from "@peculiar/x509";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const DAY_MS = 86_400_000;
/** Clocks of machines differ: what is made now is valid for those that are behind (ms). */
const BEHIND_MS = 5 * 60_000;

/** A certificate and its key, as PEM. */
export interface Pair {
  readonly cert: string;
  readonly key: string;
}

interface Validity {
  /** Default: five minutes ago. */
  readonly notBefore?: Date;
  readonly notAfter: Date;
}

export interface Issued extends Validity {
  /** Names and IP addresses that it is good for. */
  readonly hosts: readonly string[];
}

export interface Authority extends Pair {
  /** A certificate for a server that is a client too: both sides of the platform's links. */
  issue(name: string, issued: Issued): Promise<Pair>;
}

const serialNumber = (): string => `00${randomBytes(15).toString("hex")}`;

export const daysFromNow = (days: number): Date => new Date(Date.now() + days * DAY_MS);

async function makeKeys(): Promise<CryptoKeyPair> {
  return await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
}

async function pemOf(key: CryptoKey): Promise<string> {
  return `${x509.PemConverter.encode(await crypto.subtle.exportKey("pkcs8", key), "PRIVATE KEY")}\n`;
}

/** A new authority, which signs itself. */
export async function makeAuthority(name: string, { notBefore, notAfter }: Validity): Promise<Authority> {
  const keys = await makeKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: [{ CN: [name] }],
    notBefore: notBefore ?? new Date(Date.now() - BEHIND_MS),
    notAfter,
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      // It signs certificates of servers, not of further authorities.
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return authorityOf(certificate, keys.privateKey, await pemOf(keys.privateKey));
}

/** An authority that was made before, from its PEM. @throws where it is none, or the key cannot be read. */
export async function readAuthority({ cert, key }: Pair): Promise<Authority> {
  const der = x509.PemConverter.decodeFirst(key);
  const privateKey = await crypto.subtle.importKey("pkcs8", der, ALGORITHM, true, ["sign"]);
  return authorityOf(new x509.X509Certificate(cert), privateKey, key);
}

function authorityOf(certificate: x509.X509Certificate, signingKey: CryptoKey, key: string): Authority {
  return {
    cert: `${certificate.toString("pem")}\n`,
    key,
    async issue(name, { hosts, notBefore, notAfter }) {
      const keys = await makeKeys();
      const names = hosts.map((value) => ({ type: isIP(value) !== 0 ? ("ip" as const) : ("dns" as const), value }));
      const issued = await x509.X509CertificateGenerator.create({
        serialNumber: serialNumber(),
        subject: [{ CN: [name] }],
        issuer: certificate.subject,
        notBefore: notBefore ?? new Date(Date.now() - BEHIND_MS),
        notAfter,
        signingAlgorithm: ALGORITHM,
        publicKey: keys.publicKey,
        signingKey,
        extensions: [
          new x509.BasicConstraintsExtension(false, undefined, true),
          new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
          new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
          new x509.SubjectAlternativeNameExtension(names),
          await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
          await x509.AuthorityKeyIdentifierExtension.create(certificate.publicKey),
        ],
      });
      return { cert: `${issued.toString("pem")}\n`, key: await pemOf(keys.privateKey) };
    },
  };
}
