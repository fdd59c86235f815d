/** What files are taken, what is said of those that are not, and how a development authority is kept. */
import { afterEach, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig, secretUrl } from "#shared/config";
import { makeLog } from "#shared/log";
import { currentTls, onTlsChange, tlsProblemsOf, useTls } from "#shared/tls";
import { type Authority, daysFromNow, makeAuthority, type Pair } from "../../../dev/certificates/authority.ts";
import { certificatesDirectory, makeCertificates } from "../../../dev/certificates/files.ts";
import { until } from "../../kit.ts";
import { expectRefused, issue, makeFiles, newAuthority } from "./tls.test-kit.ts";

let authority: Authority;
let pair: Pair;
beforeAll(async () => {
  authority = await newAuthority();
  pair = await issue(authority, "own");
});

const directories: string[] = [];
const newDirectory = (): string => {
  const directory = mkdtempSync(join(tmpdir(), "certificates-"));
  directories.push(directory);
  return directory;
};
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

test("each file that cannot be used is named, with what is wrong, and never with what is in it", async () => {
  using files = makeFiles(authority, pair, { mutual: true });
  using other = makeFiles(authority, await issue(authority, "other"));
  const { TLS_CERT_FILE: cert, TLS_KEY_FILE: key, TLS_CA_FILE: ca } = files.paths;
  expect(tlsProblemsOf(files.paths)).toEqual([]);
  expect(tlsProblemsOf({})).toEqual([]);
  for (const [given, said] of [
    [{ TLS_CERT_FILE: cert }, "TLS_KEY_FILE is missing"],
    [{ TLS_KEY_FILE: key }, "TLS_CERT_FILE is missing"],
    [{ TLS_CLIENT_CA_FILE: ca }, "TLS_CLIENT_CA_FILE asks clients"],
    [{ TLS_CERT_FILE: "/nowhere", TLS_KEY_FILE: key }, "TLS_CERT_FILE names a file that cannot be read (ENOENT)"],
    [{ TLS_CERT_FILE: key, TLS_KEY_FILE: key }, "TLS_CERT_FILE must hold certificates"],
    [{ TLS_CERT_FILE: cert, TLS_KEY_FILE: cert }, "TLS_KEY_FILE must hold a private key"],
    [{ TLS_CERT_FILE: cert, TLS_KEY_FILE: other.paths.TLS_KEY_FILE }, "TLS_KEY_FILE holds a key that is not that"],
    [{ TLS_CA_FILE: key }, "TLS_CA_FILE must hold certificates"],
  ] as const) {
    const problems = tlsProblemsOf(given);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toStartWith(said);
    expect(problems[0]).not.toContain("BEGIN");
  }
});

test("a certificate whose key is still to come is left alone, told once, and taken when they fit", async () => {
  using files = makeFiles(authority, pair);
  const lines: string[] = [];
  const log = makeLog({ service: "test", write: (line) => lines.push(line) });
  using _tls = useTls(files.paths, log, { lookMs: 5 });
  const next = await issue(authority, "next");
  writeFileSync(files.paths.TLS_CERT_FILE, next.cert);
  await until("it to be told", () => lines.some((line) => line.includes("cannot be used")));
  await Bun.sleep(50);
  expect(lines.filter((line) => line.includes("cannot be used"))).toHaveLength(1);
  expect(currentTls().server?.cert).toBe(pair.cert);
  writeFileSync(files.paths.TLS_KEY_FILE, next.key);
  await until("it to be taken", () => currentTls().server?.cert === next.cert);
  expect(currentTls().server?.key).toBe(next.key);
});

test("who cannot take a new certificate now is asked again, and the others and the process go on", async () => {
  using files = makeFiles(authority, pair);
  const lines: string[] = [];
  using _tls = useTls(files.paths, makeLog({ service: "test", write: (line) => lines.push(line) }), { lookMs: 5 });
  const taken = { late: 0, other: 0 };
  let tries = 0;
  using _late = onTlsChange(() => {
    tries += 1;
    if (tries < 3) throw new Error("EMFILE: too many open files, listen");
    taken.late += 1;
  });
  using _other = onTlsChange(() => {
    taken.other += 1;
  });
  files.replace(await issue(authority, "next"));
  await until("both to take it", () => taken.late > 0 && taken.other > 0);
  await Bun.sleep(50);
  expect(taken).toEqual({ late: 1, other: 1 });
  expect(lines.filter((line) => line.includes("tried again"))).toHaveLength(2);
});

test("a certificate that ends soon is told of", async () => {
  using files = makeFiles(authority, await authority.issue("own", { hosts: ["localhost"], notAfter: daysFromNow(3) }));
  const lines: string[] = [];
  using _tls = useTls(files.paths, makeLog({ service: "test", write: (line) => lines.push(line) }));
  expect(lines.join()).toContain("ends soon");
});

test("sslmode: what somebody between could talk both sides out of is no configuration", () => {
  const fields = { DATABASE_URL: secretUrl("x", "", ["postgres"]) };
  const load = (mode: string): string => {
    try {
      return loadConfig("auth", fields, {
        DATABASE_URL: `postgres://u:canary@h/d?sslmode=${mode}`,
      }).DATABASE_URL.reveal();
    } catch (error) {
      return String(error);
    }
  };
  for (const mode of ["disable", "require", "verify-ca", "verify-full"]) expect(load(mode)).toEndWith(mode);
  for (const mode of ["prefer", "allow", "VERIFY-FULL", ""]) {
    expect(load(mode)).toContain("sslmode (if any) one of disable, require, verify-ca, verify-full");
    expect(load(mode)).not.toContain("canary");
  }
});

test("certificates: keys are their owner's alone; a second time all stays; --renew keeps the authority", async () => {
  const data = newDirectory();
  const first = await makeCertificates(data);
  expect([first.authority, first.made.length]).toEqual(["new", 6]);
  const directory = certificatesDirectory(data);
  expect(statSync(directory).mode & 0o777).toBe(0o700);
  const modes = readdirSync(directory).map((name) => [
    name.endsWith("-key.pem"),
    statSync(join(directory, name)).mode & 0o777,
  ]);
  expect(modes.filter(([isKey, mode]) => mode !== (isKey === true ? 0o600 : 0o644))).toEqual([]);
  const contents = () =>
    Object.fromEntries(readdirSync(directory).map((name) => [name, readFileSync(join(directory, name), "utf8")]));
  const before = contents();
  expect(await makeCertificates(data)).toMatchObject({ authority: "kept", made: [] });
  expect(contents()).toEqual(before);
  expect(await makeCertificates(data, { hosts: ["platform.test", "192.0.2.1"] })).toMatchObject({
    made: { length: 5 },
  });
  expect((await makeCertificates(data, { renew: true })).made).toHaveLength(6);
  const after = contents();
  expect(after["ca.pem"]).toBe(before["ca.pem"] ?? "");
  expect(after["auth.pem"]).not.toBe(before["auth.pem"]);
});

test("certificates: a valid authority without its key, or what is none, is not replaced; one that is over is", async () => {
  const data = newDirectory();
  await makeCertificates(data);
  const directory = certificatesDirectory(data);
  const ca = join(directory, "ca.pem");
  const key = readFileSync(join(directory, "ca-key.pem"), "utf8");
  rmSync(join(directory, "ca-key.pem"));
  await expectRefused(makeCertificates(data), /put the key back/);
  writeFileSync(join(directory, "ca-key.pem"), key);
  const over = await makeAuthority("over", { notBefore: daysFromNow(-2), notAfter: daysFromNow(-1) });
  writeFileSync(ca, over.cert);
  expect(await makeCertificates(data)).toMatchObject({ authority: "new", made: { length: 6 } });
  writeFileSync(ca, "nonsense");
  await expectRefused(makeCertificates(data), /no certificate/);
});
