/** Certificates and keys as files hold them: read together, and taken only where they fit together. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";

/** The variables that name files, as every service reads them. */
export interface TlsFiles {
  readonly TLS_CERT_FILE?: string | undefined;
  readonly TLS_KEY_FILE?: string | undefined;
  readonly TLS_CLIENT_CA_FILE?: string | undefined;
  readonly TLS_CA_FILE?: string | undefined;
}

/** Of a configuration, what names files: as a message to another thread can carry it. */
export function filesOf({ TLS_CERT_FILE, TLS_KEY_FILE, TLS_CLIENT_CA_FILE, TLS_CA_FILE }: TlsFiles): TlsFiles {
  return { TLS_CERT_FILE, TLS_KEY_FILE, TLS_CLIENT_CA_FILE, TLS_CA_FILE };
}

/** What a server shows, in PEM; with `ca`, who calls has to show a certificate that one of these has signed. */
export interface ServerTls {
  readonly cert: string;
  readonly key: string;
  readonly ca?: string;
}

/** Whom a client trusts, in PEM, and what it shows where it is asked who it is. */
export interface ClientTls {
  readonly ca: string;
  readonly cert?: string;
  readonly key?: string;
}

export interface Material {
  /** Undefined: what listens is plain. */
  readonly server: ServerTls | undefined;
  /** Undefined: the certificates that the system trusts. */
  readonly client: ClientTls | undefined;
  /** End of the own certificate. */
  readonly notAfter: Date | undefined;
}

export const PLAIN: Material = { server: undefined, client: undefined, notAfter: undefined };

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

interface Reading {
  readonly problems: string[];
  readonly text: (variable: keyof TlsFiles) => string | undefined;
}

function reading(files: TlsFiles): Reading {
  const problems: string[] = [];
  return {
    problems,
    text(variable) {
      const path = files[variable];
      if (path === undefined) return undefined;
      try {
        return readFileSync(path, "utf8");
      } catch (error) {
        const code = error instanceof Error && "code" in error ? String(error.code) : "unreadable";
        problems.push(`${variable} names a file that cannot be read (${code})`);
        return undefined;
      }
    },
  };
}

/** The certificates of a PEM text; undefined where one of them is none, or there is none. */
function certificatesOf(pem: string): X509Certificate[] | undefined {
  try {
    const found = (pem.match(CERTIFICATE) ?? []).map((one) => new X509Certificate(one));
    return found.length > 0 ? found : undefined;
  } catch {
    return undefined;
  }
}

function fits(certificate: X509Certificate, key: string): boolean | undefined {
  try {
    return certificate.checkPrivateKey(createPrivateKey(key));
  } catch {
    return undefined;
  }
}

/** @returns what the files hold, or what is wrong with them: a line each, which begins with the variable's name. */
export function readMaterial(files: TlsFiles): { material: Material } | { problems: readonly string[] } {
  const { problems, text } = reading(files);
  const { TLS_CERT_FILE, TLS_KEY_FILE, TLS_CLIENT_CA_FILE } = files;
  if (TLS_CERT_FILE !== undefined && TLS_KEY_FILE === undefined) {
    problems.push("TLS_KEY_FILE is missing: it names the key of the certificate in TLS_CERT_FILE");
  }
  if (TLS_CERT_FILE === undefined && TLS_KEY_FILE !== undefined) {
    problems.push("TLS_CERT_FILE is missing: it names the certificate of the key in TLS_KEY_FILE");
  }
  if (TLS_CLIENT_CA_FILE !== undefined && TLS_CERT_FILE === undefined) {
    problems.push("TLS_CLIENT_CA_FILE asks clients for certificates, which needs TLS_CERT_FILE and TLS_KEY_FILE");
  }
  const [cert, key, clientCa, ca] = [
    text("TLS_CERT_FILE"),
    text("TLS_KEY_FILE"),
    text("TLS_CLIENT_CA_FILE"),
    text("TLS_CA_FILE"),
  ];
  const own = cert === undefined ? undefined : certificatesOf(cert)?.[0];
  if (cert !== undefined && own === undefined) problems.push("TLS_CERT_FILE must hold certificates as PEM, own first");
  if (own !== undefined && key !== undefined) {
    const fit = fits(own, key);
    if (fit === undefined) problems.push("TLS_KEY_FILE must hold a private key as PEM, without a passphrase");
    else if (!fit) problems.push("TLS_KEY_FILE holds a key that is not that of the certificate in TLS_CERT_FILE");
  }
  for (const [variable, pem] of [
    ["TLS_CLIENT_CA_FILE", clientCa],
    ["TLS_CA_FILE", ca],
  ] as const) {
    if (pem !== undefined && certificatesOf(pem) === undefined)
      problems.push(`${variable} must hold certificates as PEM`);
  }
  if (problems.length > 0) return { problems };
  const identity = cert === undefined || key === undefined ? undefined : { cert, key };
  return {
    material: {
      server: identity === undefined ? undefined : { ...identity, ...(clientCa === undefined ? {} : { ca: clientCa }) },
      client: ca === undefined ? undefined : { ca, ...identity },
      notAfter: own?.validToDate,
    },
  };
}

/** What is wrong with the files that a configuration names; for `problemsOf` of a service. */
export function tlsProblemsOf(files: TlsFiles): readonly string[] {
  const read = readMaterial(files);
  return "problems" in read ? read.problems : [];
}
