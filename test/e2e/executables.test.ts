/** The command line of each executable: flags, exit codes, drain; in an empty directory, with nothing behind it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build, SERVICES, type ServiceName } from "../../deploy/build.ts";
import { freePort } from "../../dev/backing/ports.ts";
import { until } from "../kit.ts";

let dir: string;
let empty: string;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "platform-exe-"));
  empty = join(dir, "empty");
  await mkdir(empty);
  await build(SERVICES, undefined, join(dir, "dist"));
}, 120_000);
afterAll(() => rm(dir, { recursive: true, force: true }));

function start(service: ServiceName, args: readonly string[], env: Record<string, string> = {}) {
  return Bun.spawn([join(dir, "dist", service), ...args], { cwd: empty, env, stdout: "pipe", stderr: "pipe" });
}

async function run(service: ServiceName, args: readonly string[], env: Record<string, string> = {}) {
  const child = start(service, args, env);
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { out, err, code };
}

describe.each(SERVICES)("%s", (service) => {
  test("--version and --help", async () => {
    const version = await run(service, ["--version"]);
    expect(version).toMatchObject({ code: 0, err: "" });
    expect(version.out).toMatch(new RegExp(`^${service} \\d+\\.\\d+\\.\\d+ \\(\\w+`));
    const help = await run(service, ["--help"]);
    expect(help.code).toBe(0);
    for (const word of ["--check-config", "healthcheck", "PORT", "Exit codes"]) expect(help.out).toContain(word);
  });

  test("a wrong environment: exit code 2, every bad variable named, no secret, no stack", async () => {
    const bad = {
      PORT: "eighty",
      ENVIRONMENT: "staging",
      LOG_LEVEL: "loud",
      RABBITMQ_URL: "http://u:canary@h",
      MONGODB_URL: "http://u:canary@h",
      DATABASE_URL: "http://u:canary@h",
    };
    for (const args of [[], ["--check-config"]]) {
      const { code, out, err } = await run(service, args, bad);
      expect(code).toBe(2);
      for (const name of ["PORT", "ENVIRONMENT", "LOG_LEVEL"]) expect(err).toContain(name);
      expect(out + err).not.toContain("canary");
      expect(err).not.toMatch(/\n\s+at /);
    }
    expect((await run(service, ["--check-config"])).code).toBe(0);
    expect((await run(service, ["--nonsense"])).code).toBe(2);
  });

  test("alive with nothing behind it, says in /ready what is missing, drains on SIGTERM with exit code 0", async () => {
    const port = String(await freePort());
    const env = {
      PORT: port,
      RPC_PORT: String(await freePort()),
      SPOOL_DIR: join(dir, `spool-${service}`),
      // Nothing listens on port 1.
      RABBITMQ_URL: "amqp://127.0.0.1:1",
      MONGODB_URL: "mongodb://127.0.0.1:1/logs",
      DATABASE_URL: "postgres://postgres@127.0.0.1:1/x",
      SMTP_URL: "smtp://127.0.0.1:1",
      LOGGER_RPC_URL: "tcp://127.0.0.1:1",
      AUTH_URL: "http://127.0.0.1:1",
      MAIL_URL: "http://127.0.0.1:1",
    };
    expect((await run(service, ["healthcheck"], { PORT: port })).code).toBe(1);
    const child = start(service, [], env);
    const url = `http://127.0.0.1:${port}`;
    await until("/ping", async () => (await fetch(`${url}/ping`)).status === 200);
    expect((await run(service, ["healthcheck"], { PORT: port })).code).toBe(0);
    const ready = await until("something missing", async () => {
      const report = (await (await fetch(`${url}/ready`)).json()) as {
        data: { dependencies: { name: string; state: string; last_error?: string }[] };
      };
      return (
        report.data.dependencies.some(({ state, last_error }) => state === "down" && last_error !== undefined) && report
      );
    });
    expect(JSON.stringify(ready)).not.toMatch(/\.ts:\d/);
    // A second one on the same port: a message that says what to do.
    const second = await run(service, [], { ...env, RPC_PORT: "0", SPOOL_DIR: join(dir, "spool-second") });
    expect(second.code).toBe(2);
    expect(second.err).toContain(port);
    child.kill("SIGTERM");
    const startedAt = performance.now();
    expect(await child.exited).toBe(0);
    expect(performance.now() - startedAt).toBeLessThan(10_000);
  }, 30_000);
});

/** What production needs at least. */
const PRODUCTION = {
  ENVIRONMENT: "production",
  AUTH_SECRET: "x".repeat(32),
  AUDIT_SECRET: "x".repeat(32),
  RECEIPT_SECRET: "x".repeat(32),
  ACCESS: "closed",
  RABBITMQ_URL: "amqp://platform:Xk29vLqT@127.0.0.1:9",
  PUBLIC_URL: "https://app.example.com",
  LOGGER_RPC_TOKEN: "x".repeat(32),
  SERVICE_KEY: "x".repeat(32),
  ANNOUNCE_KEY: "y".repeat(32),
  SERVICE_CALLERS: `broker:${"0".repeat(64)}`,
};

test.each(SERVICES)("%s: production names what it needs, and is content with it", async (service) => {
  const { code, err } = await run(service, ["--check-config"], { ENVIRONMENT: "production" });
  expect(code).toBe(2);
  expect(err).toContain(service === "broker" ? "SERVICE_KEY is missing" : "SERVICE_CALLERS is missing");
  expect(await run(service, ["--check-config"], PRODUCTION)).toMatchObject({ code: 0, err: "" });
});

test("auth seed is listed, and refused in production", async () => {
  expect((await run("auth", ["--help"])).out).toContain("seed ");
  const refused = await run("auth", ["seed"], PRODUCTION);
  expect(refused.code).toBe(2);
  expect(refused.err).not.toContain("the configuration is wrong");
  expect(refused.out).toContain("not for production");
  expect((await run("broker", ["seed"])).code).toBe(2);
});

test("a request that was accepted is answered although SIGTERM came in its middle", async () => {
  const port = await freePort();
  const child = start("broker", [], {
    PORT: String(port),
    SPOOL_DIR: join(dir, "spool-drain"),
    RABBITMQ_URL: "amqp://127.0.0.1:1",
    LOGGER_RPC_URL: "tcp://127.0.0.1:1",
  });
  await until("/ping", async () => (await fetch(`http://127.0.0.1:${port}/ping`)).status === 200);
  const body = JSON.stringify({ action: "log", log: { name: "drain", data: "x" } });
  const answer = await new Promise<string>((resolve, reject) => {
    let seen = "";
    const socket = connect(port, "127.0.0.1", () => {
      socket.write(
        `POST /handle HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body.slice(0, 10)}`,
      );
      setTimeout(() => child.kill("SIGTERM"), 100);
      setTimeout(() => socket.write(body.slice(10)), 400);
    });
    socket.on("data", (chunk) => (seen += chunk.toString()));
    socket.on("close", () => resolve(seen));
    socket.on("error", reject);
  });
  expect(answer).toStartWith("HTTP/1.1 202 ");
  expect(answer).toContain("spooled");
  expect(await child.exited).toBe(0);
}, 30_000);
