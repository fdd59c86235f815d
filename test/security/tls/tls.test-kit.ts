/** For the tests of this folder: an authority, files of one service that can be replaced, and what a socket sees. */
import { expect } from "bun:test";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type ConnectionOptions } from "node:tls";
import { type Authority, daysFromNow, makeAuthority, type Pair } from "../../../dev/certificates/authority.ts";
import { silentLog } from "#shared/log";
import { useTls } from "#shared/tls";

export const LOCAL = ["localhost", "127.0.0.1", "::1"];

export interface TestFiles extends Disposable {
  readonly paths: { TLS_CERT_FILE: string; TLS_KEY_FILE: string; TLS_CA_FILE: string; TLS_CLIENT_CA_FILE?: string };
  /** Puts another certificate in place, the key first, as a tool that renews them may. */
  replace(pair: Pair): void;
}

export const newAuthority = (name = "Test CA"): Promise<Authority> =>
  makeAuthority(name, { notAfter: daysFromNow(30) });

export const issue = (authority: Authority, name: string, hosts: readonly string[] = LOCAL): Promise<Pair> =>
  authority.issue(name, { hosts, notAfter: daysFromNow(10) });

export function makeFiles(authority: Pair, pair: Pair, { mutual = false } = {}): TestFiles {
  const directory = mkdtempSync(join(tmpdir(), "tls-"));
  const put = (name: string, text: string): string => {
    const path = join(directory, name);
    writeFileSync(`${path}.new`, text, { mode: 0o600 });
    renameSync(`${path}.new`, path);
    return path;
  };
  const ca = put("ca.pem", authority.cert);
  return {
    paths: {
      TLS_CERT_FILE: put("cert.pem", pair.cert),
      TLS_KEY_FILE: put("key.pem", pair.key),
      TLS_CA_FILE: ca,
      ...(mutual ? { TLS_CLIENT_CA_FILE: ca } : {}),
    },
    replace(next) {
      put("key.pem", next.key);
      put("cert.pem", next.cert);
    },
    [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }),
  };
}

/** This process with these files; looked at often. */
export const use = (files: TestFiles): Disposable => useTls(files.paths, silentLog, { lookMs: 10 });

export interface Seen {
  readonly name: string | undefined;
  readonly version: string | null;
}

/** One handshake, and then a request's worth of waiting: in TLS 1.3 a client hears of its refusal after its own success. */
export function handshake(port: number, options: ConnectionOptions): Promise<Seen> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", servername: "localhost", ...options });
    const seen = (): Seen => ({
      name: [socket.getPeerCertificate().subject?.CN ?? []].flat()[0],
      version: socket.getProtocol(),
    });
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("the connection was closed")));
    socket.on("data", () => {
      resolve(seen());
      socket.destroy();
    });
    socket.on("secureConnect", () => socket.write("GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    socket.setTimeout(3_000, () => socket.destroy(new Error("silence")));
  });
}

const ACCEPTED = "it was not refused";

/** Why something failed; a text of its own where it did not. */
async function refusal(of: Promise<unknown>): Promise<string> {
  try {
    await of;
    return ACCEPTED;
  } catch (error) {
    return String(error);
  }
}

export async function expectRefused(of: Promise<unknown>, why = /./): Promise<void> {
  const said = await refusal(of);
  expect(said).not.toBe(ACCEPTED);
  expect(said).toMatch(why);
}
