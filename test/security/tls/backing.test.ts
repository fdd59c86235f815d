/** The ways to RabbitMQ, PostgreSQL, MongoDB, Redis and the mail server by TLS: whom they trust, and that they notice a change. */
import { beforeAll, expect, test } from "bun:test";
import type { AddressInfo } from "node:net";
import type { TlsOptions } from "node:tls";
import { SMTPServer } from "smtp-server";
import { makePublisher } from "#shared/amqp";
import { Secret } from "#shared/config";
import { makeRuntime } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { makeRedis } from "#shared/redis";
import { HAS_REDIS, NEEDS_REDIS, startRedis } from "#shared/redis-testing";
import { makeDatabase } from "#shared/postgres";
import { Deadline } from "#shared/resilience";
import type { Authority, Pair } from "../../../dev/certificates/authority.ts";
import { connectMongo } from "../../../logger/mongo.ts";
import { makeSmtp } from "../../../mail/smtp/smtp.ts";
import { until } from "../../kit.ts";
import { type Front, startFront } from "./front.test-kit.ts";
import { issue, LOCAL, makeFiles, newAuthority, use } from "./tls.test-kit.ts";

const { TEST_RABBITMQ_URL, TEST_POSTGRES_URL, TEST_MONGODB_URL } = process.env;

let authority: Authority;
let rogue: Authority;
let own: Pair;
beforeAll(async () => {
  [authority, rogue] = await Promise.all([newAuthority(), newAuthority()]);
  own = await issue(authority, "own");
});

let runtimes = 0;
const newRuntime = () => makeRuntime(`tls_backing${(runtimes += 1)}`, silentLog, () => undefined);

/** The URL of a server on this machine, at another port and by another protocol. */
function at(url: string, port: number, protocol: string, query = ""): string {
  const parsed = new URL(url);
  const user = parsed.username === "" ? "" : `${parsed.username}:${parsed.password}@`;
  return `${protocol}://${user}localhost:${port}${parsed.pathname}${query}`;
}

interface Way extends AsyncDisposable {
  /** Whether it came up; false once it has said that it is down. */
  readonly state: () => string;
}

/** What every way out has to do, whatever is spoken on it. */
async function keepsItsTrust(kind: "tls" | "postgres", target: string, open: (port: number) => Way): Promise<void> {
  const port = Number(new URL(target).port);
  const good = await issue(authority, "server", LOCAL);
  const bad: readonly [string, TlsOptions][] = [
    ["another authority", await issue(rogue, "server", LOCAL)],
    ["TLS 1.1", { ...good, minVersion: "TLSv1", maxVersion: "TLSv1.1" }],
    ["another name", await issue(authority, "server", ["elsewhere.example"])],
    [
      "ended",
      await authority.issue("server", {
        hosts: LOCAL,
        notBefore: new Date(Date.now() - 86_400_000),
        notAfter: new Date(Date.now() - 60_000),
      }),
    ],
  ];
  using files = makeFiles(authority, own);
  using _tls = use(files);
  const mutual = { ca: authority.cert, requestCert: true, rejectUnauthorized: true };
  await using front: Front = await startFront(port, { ...good, ...mutual }, kind);
  await using way = open(front.port);
  await until("it to be up", () => way.state() === "up");
  expect(front.secured).toBeGreaterThan(0);

  for (const [what, pair] of bad) {
    front.use({ ...pair, ...mutual });
    front.cut();
    await until(`it to be down: ${what}`, () => way.state() === "down");
    const { secured } = front;
    // Long enough for some more tries.
    await Bun.sleep(500);
    expect([what, way.state()]).toEqual([what, "down"]);
    expect(front.secured - secured).toBe(0);
    front.use({ ...good, ...mutual });
    await until(`it to be up again after: ${what}`, () => way.state() === "up", 20_000);
  }
}

test.skipIf(TEST_RABBITMQ_URL === undefined)(
  "amqps:// (needs TEST_RABBITMQ_URL)",
  () =>
    keepsItsTrust("tls", TEST_RABBITMQ_URL ?? "", (port) => {
      const { health, metrics } = newRuntime();
      const dependency = health.dependency("rabbitmq");
      const publisher = makePublisher({
        url: new Secret(at(TEST_RABBITMQ_URL ?? "", port, "amqps")),
        name: "tls test",
        log: silentLog,
        metrics,
        dependency,
        topology: { exchanges: [], queues: [] },
      });
      return { state: () => dependency.state, [Symbol.asyncDispose]: () => publisher[Symbol.asyncDispose]() };
    }),
  60_000,
);

test.skipIf(TEST_POSTGRES_URL === undefined)(
  "postgres://…?sslmode=verify-full (needs TEST_POSTGRES_URL)",
  () =>
    keepsItsTrust("postgres", TEST_POSTGRES_URL ?? "", (port) => {
      const { health, metrics } = newRuntime();
      const dependency = health.dependency("postgres");
      const database = makeDatabase({
        url: new Secret(
          `${at(TEST_POSTGRES_URL ?? "", port, "postgres").replace(/\/$/, "")}/postgres?sslmode=verify-full`,
        ),
        name: "tls test",
        log: silentLog,
        metrics,
        dependency,
        migrations: [],
      });
      return { state: () => dependency.state, [Symbol.asyncDispose]: () => database[Symbol.asyncDispose]() };
    }),
  60_000,
);

test.skipIf(TEST_POSTGRES_URL === undefined)(
  "PostgreSQL by its address, and one that says no to TLS (needs TEST_POSTGRES_URL)",
  async () => {
    const target = new URL(TEST_POSTGRES_URL ?? "");
    const pair = await issue(authority, "server", ["127.0.0.1"]);
    await using front = await startFront(Number(target.port), pair, "postgres");
    using files = makeFiles(authority, own);
    using _tls = use(files);
    const open = (address: string, mode: string) => {
      const { health, metrics } = newRuntime();
      const url = new Secret(`postgres://${target.username}@${address}/postgres?sslmode=${mode}`);
      const dependency = health.dependency("postgres");
      return makeDatabase({ url, name: "tls test", log: silentLog, metrics, dependency, migrations: [] });
    };
    const isUp = async (database: ReturnType<typeof makeDatabase>): Promise<boolean> =>
      (await database.ready(Deadline.after(3_000))).ok;
    await using byAddress = open(`127.0.0.1:${front.port}`, "require");
    expect(await isUp(byAddress)).toBe(true);
    // The certificate is for the address alone: `require` verifies as much as `verify-full`.
    await using byName = open(`localhost:${front.port}`, "require");
    expect(await isUp(byName)).toBe(false);
    // The server for tests has no TLS: there is no falling back.
    await using plain = open(`127.0.0.1:${target.port}`, "verify-full");
    expect(await isUp(plain)).toBe(false);
  },
  30_000,
);

test.skipIf(TEST_MONGODB_URL === undefined)(
  "mongodb://…?tls=true (needs TEST_MONGODB_URL)",
  () =>
    keepsItsTrust("tls", TEST_MONGODB_URL ?? "", (port) => {
      const { health, metrics } = newRuntime();
      const dependency = health.dependency("mongodb");
      const url = `${at(TEST_MONGODB_URL ?? "", port, "mongodb").replace(/\/$/, "")}/tls_test?tls=true`;
      const connection = connectMongo({ url, dependency, log: silentLog, metrics, onRefused: () => undefined });
      return { state: () => dependency.state, [Symbol.asyncDispose]: () => connection[Symbol.asyncDispose]() };
    }),
  60_000,
);

test.skipIf(!HAS_REDIS)(
  `rediss:// ${NEEDS_REDIS}`,
  async () => {
    await using server = await startRedis();
    await keepsItsTrust("tls", server.url, (port) => {
      const { health, metrics } = newRuntime();
      const dependency = health.dependency("redis");
      const url = new Secret(`rediss://localhost:${port}/1`);
      const redis = makeRedis({ url, name: "tls test", metrics, dependency });
      return { state: () => dependency.state, [Symbol.asyncDispose]: () => redis[Symbol.asyncDispose]() };
    });
  },
  60_000,
);

test.each(["smtps", "smtp"])("%s:// hands a mail over to whom it trusts, and to nobody else", async (protocol) => {
  using files = makeFiles(authority, own);
  using _tls = use(files);
  const bytes = new TextEncoder().encode("Subject: hi\r\n\r\nhello\r\n");
  const letter = { from: "ann@example.com", to: "bob@example.org", bytes };
  const got: string[] = [];
  const sendTo = async (pair: Pair) => {
    const server = new SMTPServer({
      ...pair,
      secure: protocol === "smtps",
      authOptional: true,
      logger: false,
      onData(stream, _session, done) {
        got.push("a mail");
        stream.on("end", () => done());
        stream.resume();
      },
    });
    server.on("error", () => undefined);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    await using smtp = makeSmtp({
      url: new Secret(`${protocol}://localhost:${(server.server.address() as AddressInfo).port}`),
      tls: "required",
      name: "here.example",
      connectTimeoutMs: 3_000,
      idleTimeoutMs: 3_000,
      onLost: () => undefined,
    });
    const result = await smtp.send(letter, async () => true, AbortSignal.timeout(5_000));
    await smtp[Symbol.asyncDispose]();
    await new Promise<void>((resolve) => server.close(resolve));
    return result.ok ? "sent" : result.text;
  };
  expect(await sendTo(await issue(authority, "server"))).toBe("sent");
  expect(await sendTo(await issue(rogue, "server"))).not.toBe("sent");
  expect(await sendTo(await issue(authority, "server", ["elsewhere.example"]))).not.toBe("sent");
  expect(got).toHaveLength(1);
});
