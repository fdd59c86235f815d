/** The development authority and one certificate a service, as files below the data directory. */
import { X509Certificate } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { isIP } from "node:net";
import { join } from "node:path";
import type { TlsFiles } from "#shared/tls";
import { SERVICE_NAMES, type ServiceName } from "../services.ts";
import { type Authority, daysFromNow, makeAuthority, type Pair, readAuthority } from "./authority.ts";

const AUTHORITY_DAYS = 730;
const CERTIFICATE_DAYS = 90;
/** A certificate that ends sooner than this is made anew (days). */
const RENEW_DAYS = 14;
const AUTHORITY = "ca";
/** Who looks at the services from outside: `bun run status`, `demo`, a person with curl. */
const DEVELOPER = "developer";
const LOCAL = ["localhost", "127.0.0.1", "::1"];

/** The authority in the way can be neither used nor replaced; says what to do. */
export class CertificatesError extends Error {
  override readonly name = "CertificatesError";
}

export interface Made {
  readonly directory: string;
  /** Whether the authority is new: who trusted the one before has to be told. */
  readonly authority: "new" | "kept";
  /** Certificates that were made; the others are good as they are. */
  readonly made: readonly string[];
}

export const certificatesDirectory = (dataDir: string): string => join(dataDir, "tls");

function pathsOf(directory: string, name: string) {
  return { cert: join(directory, `${name}.pem`), key: join(directory, `${name}-key.pem`) };
}

function put(path: string, text: string, mode: number): void {
  writeFileSync(`${path}.new`, text, { mode });
  // What was there from before, or a umask, has no say.
  chmodSync(`${path}.new`, mode);
  renameSync(`${path}.new`, path);
}

function write(directory: string, name: string, { cert, key }: Pair): void {
  const paths = pathsOf(directory, name);
  put(paths.key, key, 0o600);
  put(paths.cert, cert, 0o644);
}

function certificateAt(path: string): X509Certificate | undefined {
  try {
    return new X509Certificate(readFileSync(path));
  } catch {
    return undefined;
  }
}

const isOver = (certificate: X509Certificate): boolean => certificate.validToDate.getTime() <= Date.now();

/** An authority that is valid is kept, always: certificates that it has signed would be worth nothing otherwise. */
async function authorityIn(directory: string): Promise<{ authority: Authority; isNew: boolean }> {
  const { cert, key } = pathsOf(directory, AUTHORITY);
  const there = certificateAt(cert);
  if (there !== undefined && !isOver(there)) {
    try {
      const pair = { cert: readFileSync(cert, "utf8"), key: readFileSync(key, "utf8") };
      return { authority: await readAuthority(pair), isNew: false };
    } catch (cause) {
      throw new CertificatesError(
        `${cert} is a valid authority, and its key ${key} cannot be used: put the key back, or remove ${directory} to begin anew`,
        { cause },
      );
    }
  }
  if (there === undefined && existsSync(cert)) {
    throw new CertificatesError(`${cert} is no certificate: remove ${directory} to begin anew`);
  }
  const authority = await makeAuthority("Platform development CA", { notAfter: daysFromNow(AUTHORITY_DAYS) });
  write(directory, AUTHORITY, authority);
  return { authority, isNew: true };
}

function isGood(path: string, ca: X509Certificate, hosts: readonly string[]): boolean {
  const certificate = certificateAt(path);
  return (
    certificate !== undefined &&
    certificate.validToDate > daysFromNow(RENEW_DAYS) &&
    certificate.verify(ca.publicKey) &&
    hosts.every((host) => (isIP(host) === 0 ? certificate.checkHost(host) : certificate.checkIP(host)) !== undefined)
  );
}

/**
 * Makes what is missing, ends soon, or is not good for one of `hosts`; with `renew` all certificates but the authority's.
 * @throws CertificatesError
 */
export async function makeCertificates(
  dataDir: string,
  { renew = false, hosts = [] }: { renew?: boolean; hosts?: readonly string[] } = {},
): Promise<Made> {
  const directory = certificatesDirectory(dataDir);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const { authority, isNew } = await authorityIn(directory);
  const ca = new X509Certificate(authority.cert);
  const made: string[] = [];
  for (const name of [...SERVICE_NAMES, DEVELOPER]) {
    const names = name === DEVELOPER ? [DEVELOPER] : [...LOCAL, name, ...hosts];
    if (!renew && isGood(pathsOf(directory, name).cert, ca, names)) continue;
    write(directory, name, await authority.issue(name, { hosts: names, notAfter: daysFromNow(CERTIFICATE_DAYS) }));
    made.push(name);
  }
  return { directory, authority: isNew ? "new" : "kept", made };
}

/** For a program that calls the services as a developer. */
export function developerFiles(dataDir: string): TlsFiles {
  const directory = certificatesDirectory(dataDir);
  const { cert, key } = pathsOf(directory, DEVELOPER);
  return { TLS_CERT_FILE: cert, TLS_KEY_FILE: key, TLS_CA_FILE: pathsOf(directory, AUTHORITY).cert };
}

/** The variables of one service. Who calls the broker shows no certificate: browsers have none. */
function filesOf(directory: string, name: ServiceName): TlsFiles {
  const ca = pathsOf(directory, AUTHORITY).cert;
  const { cert, key } = pathsOf(directory, name);
  const own = { TLS_CERT_FILE: cert, TLS_KEY_FILE: key, TLS_CA_FILE: ca };
  return name === "broker" ? own : { ...own, TLS_CLIENT_CA_FILE: ca };
}

/** `files` as variables of `name` alone: `AUTH_TLS_CERT_FILE`. */
export function variablesOf(name: ServiceName, files: TlsFiles): Record<string, string> {
  return Object.fromEntries(
    Object.entries(files).flatMap(([variable, path]: [string, string | undefined]) =>
      path === undefined ? [] : [[`${name.toUpperCase()}_${variable}`, path]],
    ),
  );
}

/** What the five are given to speak TLS to each other. */
export function tlsEnvironment(dataDir: string): Record<string, string> {
  const directory = certificatesDirectory(dataDir);
  return Object.assign({}, ...SERVICE_NAMES.map((name) => variablesOf(name, filesOf(directory, name)))) as Record<
    string,
    string
  >;
}
