/** What whole-system tests share: a platform of their own, clients that look at where things end, and patient waiting. */
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import amqp from "amqplib";
import { type Collection, MongoClient } from "mongodb";
import postgres from "postgres";
import type { Envelope } from "#contracts/envelope";
import { outgoingTls } from "#shared/tls";
import { type BackingName } from "../dev/backing/types.ts";
import type { ServiceName } from "../dev/services.ts";
import { developerFiles, makeCertificates, tlsEnvironment } from "../dev/certificates/files.ts";
import { lock } from "../dev/lock.ts";
import { type Stack, startStack } from "../dev/stack.ts";
import { type Hops, startHops } from "./faults/hops.ts";

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

/** A document as the logger stores it, as far as tests look. */
export interface StoredEntry {
  event_id: string;
  name: string;
  data: unknown;
  severity: string;
  created_at: Date;
}

export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Envelope;
}

/** A mail as the inbox lists it (Mailpit's shape). */
export interface InboxMail {
  readonly ID: string;
  readonly Subject: string;
  readonly To: readonly { readonly Address: string }[];
}

export interface Platform extends AsyncDisposable {
  readonly stack: Stack;
  /** The proxies between its parts. @throws where it was started without. */
  readonly hops: Hops;
  readonly url: (service: ServiceName) => string;
  readonly entries: Collection<StoredEntry>;
  /** POST of a JSON value, or of text as it is. */
  readonly post: (
    service: ServiceName,
    path: string,
    body: unknown,
    headers?: Record<string, string>,
  ) => Promise<Answered>;
  readonly handle: (body: unknown) => Promise<Answered>;
  readonly inbox: () => Promise<InboxMail[]>;
  readonly inboxMail: (id: string) => Promise<Record<string, unknown>>;
  /** As it came, with all of its headers. */
  readonly inboxRaw: (id: string) => Promise<string>;
  /** State by id of the mails that the outbox knows, of these. */
  readonly outbox: (ids: readonly string[]) => Promise<Map<string, string>>;
  /** A connection as a foreign client has it. */
  readonly rabbit: () => Promise<amqp.ChannelModel>;
}

function backingUrl(stack: Stack, name: BackingName): string {
  const part = stack.backing.get(name);
  if (part === undefined) throw new Error(`no ${name}: ${stack.missing.get(name)?.remedy ?? "not started"}`);
  return part.url;
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
  const hops = options.hops === true ? await startHops() : undefined;
  const tls = options.tls === true;
  if (tls) await makeCertificates(dataDir);
  const stack = await startStack({
    dataDir,
    ports: "free",
    env: { ...env, ...(tls ? tlsEnvironment(dataDir) : {}) },
    ...(tls ? { tls: developerFiles(dataDir) } : {}),
    ...(hops === undefined ? {} : { rewire: hops.rewire }),
    ...(options.executables === undefined ? {} : { executables: options.executables }),
  });
  const late = await stack.untilReady(READY_MS);
  if (late.length > 0) {
    await stack.stop();
    throw new Error(`not ready within ${READY_MS} ms: ${late.join(", ")}; logs are in ${dataDir}`);
  }
  const mongo = new MongoClient(backingUrl(stack, "mongodb"));
  await mongo.connect();
  // A connection for each look: PostgreSQL is killed and restarted in some tests.
  const outbox: Platform["outbox"] = async (ids) => {
    const sql = postgres(`${backingUrl(stack, "postgres")}/mail`, { max: 1, connect_timeout: 2 });
    try {
      const rows = await sql<
        { id: string; state: string }[]
      >`SELECT id, state FROM mail_outbox WHERE id = ANY(${ids}::uuid[])`;
      return new Map(rows.map(({ id, state }) => [id, state]));
    } finally {
      await sql.end({ timeout: 1 });
    }
  };
  const web = stack.backing.get("smtp")?.current.web ?? "";
  const url = (service: ServiceName): string => stack.part(service).url;

  const post: Platform["post"] = async (service, path, body, headers = {}) => {
    const answer = await fetch(`${url(service)}${path}`, {
      method: "POST",
      body: typeof body === "string" ? body : JSON.stringify(body),
      headers: { "content-type": "application/json", ...headers },
      ...outgoingTls(),
      signal: AbortSignal.timeout(30_000),
    });
    return { status: answer.status, headers: answer.headers, body: (await answer.json()) as Envelope };
  };

  return {
    stack,
    get hops() {
      if (hops === undefined) throw new Error("this platform was started without proxies");
      return hops;
    },
    url,
    entries: mongo.db("logs").collection<StoredEntry>("logs"),
    post,
    handle: (body) => post("broker", "/handle", body),
    inbox: async () => {
      const listed = await fetch(`${web}/api/v1/messages?limit=1000`);
      return ((await listed.json()) as { messages: InboxMail[] }).messages;
    },
    inboxMail: async (id) => (await (await fetch(`${web}/api/v1/message/${id}`)).json()) as Record<string, unknown>,
    inboxRaw: async (id) => (await fetch(`${web}/api/v1/message/${id}/raw`)).text(),
    outbox,
    rabbit: () => amqp.connect(backingUrl(stack, "rabbitmq")),
    [Symbol.asyncDispose]: async () => {
      await mongo.close();
      await stack.stop();
      await hops?.[Symbol.asyncDispose]();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/** Looks every 25 ms until `look` gives something that is not undefined or false; an error of `look` counts as not yet. */
export async function until<T>(
  what: string,
  look: () => Promise<T | undefined | false> | T | undefined | false,
  ms = 10_000,
): Promise<T> {
  const endsAt = performance.now() + ms;
  let last: unknown;
  while (performance.now() < endsAt) {
    try {
      const found = await look();
      if (found !== undefined && found !== false) return found;
      last = undefined;
    } catch (error) {
      last = error;
    }
    await Bun.sleep(25);
  }
  throw new Error(`${what}: not within ${ms} ms`, { cause: last });
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
