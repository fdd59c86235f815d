/** What the tests of the whole service share: auth on a free port, on a database of its own (TEST_POSTGRES_URL). */
import { test } from "bun:test";
import postgres from "postgres";
import { type Environment, loadConfig } from "#shared/config";
import { type App, makeRuntime } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { start } from "./app.ts";
import { fields } from "./config.ts";

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
}

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
  return {
    app,
    sql,
    databaseUrl,
    begin,
    post: async (path, body, headers = {}, at = app) =>
      replyOf(
        await fetch(`${at.url}${path}`, {
          method: "POST",
          body: typeof body === "string" ? body : JSON.stringify(body),
          headers: { "content-type": "application/json", ...headers },
        }),
      ),
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
