/** What the tests of the whole service share: auth on a free port, on a database of its own (TEST_POSTGRES_URL). */
import { test } from "bun:test";
import postgres from "postgres";
import type { LoginReply } from "#contracts/auth";
import { type Environment, loadConfig } from "#shared/config";
import { type App, makeRuntime } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { start } from "./app.ts";
import { fields, secretOf } from "./config.ts";
import { makeSealer } from "./keys.ts";
import type { Parcel } from "./outbox/outbox.ts";

const SERVER = process.env["TEST_POSTGRES_URL"];
export const withServer = test.skipIf(SERVER === undefined);
export const NEEDS = "(needs TEST_POSTGRES_URL)";
/** Nothing listens there. */
const NOWHERE = "127.0.0.1:9";

export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly json: {
    readonly error: boolean;
    readonly message: string;
    readonly data: Readonly<Record<string, unknown>>;
  };
}

export interface TestAuth extends AsyncDisposable {
  readonly app: App;
  readonly sql: postgres.Sql;
  readonly databaseUrl: string;
  /** Another replica on the same database. */
  readonly begin: (env?: Environment) => Promise<App>;
  readonly post: (path: string, body: unknown, headers?: Record<string, string>, at?: App) => Promise<Reply>;
  readonly get: (path: string, headers?: Record<string, string>, at?: App) => Promise<Reply>;
  /** Any request with an access token. */
  readonly ask: (method: string, path: string, token: string, body?: unknown, at?: App) => Promise<Reply>;
  /** A new user, active, with the password `s3cret`. */
  readonly addUser: (role?: "member" | "operator" | "admin") => Promise<{ id: number; email: string }>;
  /** Logs in. */
  readonly login: (email: string, agent?: string, at?: App) => Promise<LoginReply>;
  /** What waits in the outbox, opened: it is brought out nowhere where RabbitMQ is away. */
  readonly waiting: () => Promise<Parcel[]>;
}

/** What is sealed under the secret of development. */
const outboxSealer = makeSealer(secretOf(loadConfig("auth", fields, {})), "outbox");
const HASH = Bun.password.hashSync("s3cret", { algorithm: "bcrypt", cost: 4 });
let users = 0;

/** Cheap hashes, and neighbours that are not there unless `env` says where. */
export async function startAuth(env: Environment = {}): Promise<TestAuth> {
  if (SERVER === undefined) throw new Error("TEST_POSTGRES_URL is not set");
  const name = `test_auth_${process.pid}_${Bun.randomUUIDv7().replaceAll("-", "")}`;
  const admin = postgres(SERVER, { max: 1, onnotice: () => undefined });
  await admin`create database ${admin(name)}`;
  const url = new URL(SERVER);
  url.pathname = `/${name}`;
  const databaseUrl = url.href;
  const begin = async (more: Environment = {}): Promise<App> => {
    const config = loadConfig("auth", fields, {
      PORT: "0",
      DATABASE_URL: databaseUrl,
      BCRYPT_COST: "4",
      HASH_WORKERS: "1",
      // Tests change the tables behind the back of the service, and look at once.
      USER_CACHE_MS: "0",
      MAIL_URL: `http://${NOWHERE}`,
      RABBITMQ_URL: `amqp://${NOWHERE}`,
      ...env,
      ...more,
    });
    const begun = await start(
      config,
      makeRuntime("auth", silentLog, () => undefined),
    );
    await until("ready", async () => (await fetch(`${begun.url}/ready`)).status === 200);
    return begun;
  };
  const app = await begin();
  const sql = postgres(databaseUrl, { max: 2, onnotice: () => undefined });
  const ask: TestAuth["ask"] = async (method, path, token, body, at = app) =>
    replyOf(
      await fetch(`${at.url}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${token}`,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }),
    );
  const post: TestAuth["post"] = async (path, body, headers = {}, at = app) =>
    replyOf(
      await fetch(`${at.url}${path}`, {
        method: "POST",
        body: typeof body === "string" ? body : JSON.stringify(body),
        headers: { "content-type": "application/json", ...headers },
      }),
    );
  return {
    app,
    sql,
    ask,
    async addUser(role = "member") {
      const email = `user-${(users += 1)}@example.com`;
      const [user] = await sql<{ id: number }[]>`
        insert into users (email, password, user_active, role) values (${email}, ${HASH}, 1, ${role}) returning id`;
      return { id: user?.id ?? 0, email };
    },
    async login(email, agent = "test", at = app) {
      const reply = await post("/authenticate", { email, password: "s3cret" }, { "user-agent": agent }, at);
      if (reply.status !== 202) throw new Error(`not logged in: ${reply.text}`);
      return reply.json.data as unknown as LoginReply;
    },
    async waiting() {
      const rows = await sql<{ id: string; body: Uint8Array }[]>`select id, body from outbox order by seq`;
      return rows.map(({ id, body }) => JSON.parse(outboxSealer.open(body, id) ?? "null") as Parcel);
    },
    databaseUrl,
    begin,
    post,
    get: async (path, headers = {}, at = app) => replyOf(await fetch(`${at.url}${path}`, { headers })),
    async [Symbol.asyncDispose]() {
      await app[Symbol.asyncDispose]();
      await sql.end();
      await admin`drop database if exists ${admin(name)} with (force)`;
      await admin.end();
    },
  };
}

async function replyOf(reply: Response): Promise<Reply> {
  const text = await reply.text();
  return { status: reply.status, headers: reply.headers, text, json: JSON.parse(text) as Reply["json"] };
}

/** Looks every 20 ms until `look` gives something that is not undefined or false. */
export async function until<T>(
  what: string,
  look: () => Promise<T | undefined | false> | T | undefined | false,
  ms = 10_000,
): Promise<T> {
  const end = performance.now() + ms;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await Bun.sleep(20);
  }
}
