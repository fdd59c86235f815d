/** What whole-system tests share: a platform of their own, clients that look at where things end, and patient waiting. */
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import postgres from "postgres";
import { developerFiles, makeCertificates, tlsEnvironment } from "../dev/certificates/files.ts";
import { type Grounds, openGrounds } from "../dev/chaos/grounds.ts";
import { startHops } from "../dev/chaos/hops.ts";
import { openChaos } from "../dev/chaos/open.ts";
import { lock } from "../dev/lock.ts";
import { startStack } from "../dev/stack.ts";
import { until } from "../dev/until.ts";

export type { Answered } from "../dev/chaos/grounds.ts";
export { until } from "../dev/until.ts";

/** Longest that a platform may take to be ready (ms): a first RabbitMQ on two busy cores is most of it. */
const READY_MS = 90_000;
/** The same for a test's hook, with the time to say what was not ready. */
export const START_MS = 120_000;

/** Longest that a test waits until others that want the machine for themselves are done (ms). */
const ALONE_MS = 300_000;
/** `START_MS` of a test that starts alone. */
export const ALONE_START_MS = START_MS + ALONE_MS;

/**
 * Waits until no other test of this run that asks for the same is under way: those that take all of the machine, and those that
 * have to heal by the clock. Others go on beside.
 */
export async function alone(): Promise<Disposable> {
  const dir = join(process.env["PLATFORM_TEST_DIR"] ?? tmpdir(), "alone");
  const release = await until(
    "alone",
    () => {
      const taken = lock(dir);
      return "release" in taken ? taken.release : undefined;
    },
    ALONE_MS,
  );
  return { [Symbol.dispose]: release };
}

export interface Platform extends Grounds, AsyncDisposable {
  readonly inboxMail: (id: string) => Promise<Record<string, unknown>>;
  /** As it came, with all of its headers. */
  readonly inboxRaw: (id: string) => Promise<string>;
}

/** Whether this machine is expected to have everything: `bun run test` says so, plain `bun test` does not. */
export const HAS_BACKING = process.env["PLATFORM_TEST_BACKING"] === "1";

export interface PlatformOptions {
  /** Directory of compiled services to run instead of the sources. */
  executables?: string;
  /** What the services get besides their addresses. */
  env?: Record<string, string>;
  /** A proxy of ours in every way between two parts (default: none). */
  hops?: boolean;
  /** Can be broken from the console, as what `bun run up` starts: proxies and a controller (default: none). */
  chaos?: boolean;
  /** TLS between the services and to the broker, as `bun run up --tls` (default: none). */
  tls?: boolean;
}

/** Starts all backing services and all five services on free ports, with data of their own that is removed at the end. */
export async function startPlatform(options: PlatformOptions = {}): Promise<Platform> {
  const dataDir = await mkdtemp(join(tmpdir(), "platform-test-"));
  // PostgreSQL does not run as root: its own user has to reach the data.
  await chmod(dataDir, 0o755);
  // Addresses that the test runner hands to other tests are not this platform's configuration.
  const { PATH, HOME, LANG, TMPDIR, GOCACHE, GOPATH, GOFLAGS, GOPROXY } = process.env;
  const env = { PATH, HOME, LANG, TMPDIR, GOCACHE, GOPATH, GOFLAGS, GOPROXY, LOG_LEVEL: "info", ...options.env };
  const chaos = options.chaos === true ? await openChaos() : undefined;
  const hops = chaos?.hops ?? (options.hops === true ? await startHops() : undefined);
  const rewire = chaos?.rewire ?? hops?.rewire;
  const tls = options.tls === true;
  if (tls) await makeCertificates(dataDir);
  const stack = await startStack({
    dataDir,
    ports: "free",
    env: { ...env, ...(tls ? tlsEnvironment(dataDir) : {}) },
    ...(tls ? { tls: developerFiles(dataDir) } : {}),
    ...(rewire === undefined ? {} : { rewire }),
    ...(chaos === undefined ? {} : { chaos: chaos.address }),
    ...(options.executables === undefined ? {} : { executables: options.executables }),
  });
  const late = await stack.untilReady(READY_MS);
  if (late.length > 0) {
    await stack.stop();
    throw new Error(`not ready within ${READY_MS} ms: ${late.join(", ")}; logs are in ${dataDir}`);
  }
  chaos?.attach(stack);
  const grounds = openGrounds(stack, hops);
  const web = stack.backing.get("smtp")?.current.web ?? "";
  const close = grounds[Symbol.asyncDispose];
  return Object.assign(grounds, {
    inboxMail: async (id: string) =>
      (await (await fetch(`${web}/api/v1/message/${id}`)).json()) as Record<string, unknown>,
    inboxRaw: async (id: string) => (await fetch(`${web}/api/v1/message/${id}/raw`)).text(),
    [Symbol.asyncDispose]: async () => {
      await close();
      await chaos?.settle();
      await stack.stop();
      await (chaos ?? hops)?.[Symbol.asyncDispose]();
      await rm(dataDir, { recursive: true, force: true });
    },
  });
}

/** The development user is made with a hash of the usual cost, whatever is configured: for tests that are not about hashing. */
export async function makeLoginCheap(platform: Platform, cost: number): Promise<void> {
  const hash = await Bun.password.hash("verysecret", { algorithm: "bcrypt", cost });
  const sql = postgres(`${platform.stack.part("postgres").url}/users`, { max: 1 });
  try {
    await sql`UPDATE users SET password = ${hash} WHERE email = 'admin@example.com'`;
  } finally {
    await sql.end({ timeout: 1 });
  }
}
