/** The whole platform by TLS: every action goes through, its parts refuse strangers, and new certificates disturb nobody. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { certificatesDirectory, makeCertificates } from "../../../dev/certificates/files.ts";
import { programOf, SERVICE_NAMES } from "../../../dev/services.ts";
import { HAS_BACKING, type Platform, START_MS, startPlatform, until } from "../../kit.ts";
import { expectRefused, handshake } from "./tls.test-kit.ts";

describe.skipIf(!HAS_BACKING)("the platform by TLS (needs backing services: bun run test)", () => {
  let platform: Platform;
  beforeAll(async () => {
    platform = await startPlatform({ tls: true });
  }, START_MS);
  afterAll(() => platform[Symbol.asyncDispose]());

  const pem = (name: string): string =>
    readFileSync(join(certificatesDirectory(platform.stack.dataDir), `${name}.pem`), "utf8");
  const portOf = (url: string): number => Number(new URL(url).port);

  const login = { action: "auth", auth: { email: "admin@example.com", password: "verysecret" } };
  const log = { action: "log", log: { name: "by TLS", data: "x" } };
  const mail = { action: "mail", mail: { from: "a@example.com", to: "b@example.com", subject: "s", message: "m" } };

  test("auth, log and mail are done by who owns them, none of them degraded", async () => {
    for (const service of SERVICE_NAMES) expect(platform.url(service)).toStartWith("https://");
    expect(platform.stack.rpcUrl).toStartWith("tls://");
    for (const action of [login, log, mail]) {
      const { status, headers } = await platform.handle(action);
      expect([status, headers.get("x-degraded")]).toEqual([202, null]);
    }
    await until("the event of the login in MongoDB", () => platform.entries.findOne({ name: "authentication" }));
  });

  test("behind the broker nobody is answered without a certificate, nor by TLS 1.2, nor plainly", async () => {
    const [ca, cert, key] = [pem("ca"), pem("developer"), pem("developer-key")];
    expect((await handshake(portOf(platform.url("broker")), { ca, maxVersion: "TLSv1.2" })).name).toBe("broker");
    for (const service of SERVICE_NAMES.filter((name) => name !== "broker")) {
      const port = portOf(platform.url(service));
      expect((await handshake(port, { ca, cert, key })).name).toBe(service);
      await expectRefused(handshake(port, { ca }));
      await expectRefused(handshake(port, { ca, cert, key, maxVersion: "TLSv1.2" }));
      await expectRefused(fetch(`http://127.0.0.1:${port}/ping`));
    }
    await expectRefused(handshake(portOf(platform.stack.rpcUrl), { ca, maxVersion: "TLSv1.2" }), /PROTOCOL_VERSION/);
  });

  test("certificates are renewed under work: each service shows the new one, and nothing fails", async () => {
    const ping = (port: number): Promise<string> =>
      fetch(`https://127.0.0.1:${port}/ping`, { keepalive: false, tls: tlsOf() }).then((answer) => answer.text());
    const tlsOf = () => ({ ca: pem("ca"), cert: pem("developer"), key: pem("developer-key") });
    const stop = new AbortController();
    const statuses = new Map<string, number>();
    const load = (async () => {
      for (let i = 0; !stop.signal.aborted; i += 1) {
        const { status, headers } = await platform.handle(i % 2 === 0 ? log : mail);
        const seen = `${status} ${headers.get("x-degraded") ?? "in full"}`;
        statuses.set(seen, (statuses.get(seen) ?? 0) + 1);
      }
    })();
    await makeCertificates(platform.stack.dataDir, { renew: true, hosts: ["renewed.example"] });
    for (const service of SERVICE_NAMES) {
      const port = portOf(platform.url(service));
      await until(`${service} to show its new certificate`, async () => {
        await handshake(port, { ...tlsOf(), servername: "renewed.example" });
        return true;
      });
      expect(await ping(port)).toBe("OK");
    }
    stop.abort();
    await load;
    expect([...statuses.keys()]).toEqual(["202 in full"]);
  }, 60_000);

  test("the health check of an executable asks by TLS, and shows its certificate", async () => {
    const { command, args, cwd } = programOf("auth", undefined);
    const directory = certificatesDirectory(platform.stack.dataDir);
    const check = (env: Record<string, string>): Promise<number> =>
      Bun.spawn([command, ...args, "healthcheck"], {
        cwd,
        env: { PORT: String(portOf(platform.url("auth"))), ...env },
        stdout: "ignore",
        stderr: "ignore",
      }).exited;
    const own = { TLS_CERT_FILE: join(directory, "auth.pem"), TLS_KEY_FILE: join(directory, "auth-key.pem") };
    expect(await check(own)).toBe(0);
    expect(await check({})).toBe(1);
  }, 30_000);
});
