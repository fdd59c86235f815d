/** A mail service on a database and a mail server of its own. */
import postgres from "postgres";
import type { MailReply } from "#contracts/mail";
import { loadConfig } from "#shared/config";
import { type App, makeRuntime } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { start } from "./app.ts";
import { fields } from "./config.ts";
import { type Behaviour, type SmtpDouble, startSmtpDouble } from "./smtp/smtp-double.test-kit.ts";
import type { MailState } from "./outbox/states.ts";

export const POSTGRES_URL = process.env["TEST_POSTGRES_URL"];

export interface Answer {
  status: number;
  headers: Headers;
  error: boolean;
  message: string;
  data?: MailReply;
}

export interface Row {
  state: MailState;
  attempt: number;
  smtp_code: number | null;
  smtp_text: string | null;
}

export interface World extends AsyncDisposable {
  readonly double: SmtpDouble;
  /** Of this world's own database. */
  readonly sql: postgres.Sql;
  readonly databaseUrl: string;
  /** Outside of it: shuts its door and opens it again. */
  allowConnections(allowed: boolean): Promise<void>;
  /** Another replica on the same database and mail server; the first one is there already. */
  replica(env?: Record<string, string>): Promise<App>;
  readonly app: App;
  send(body: unknown, headers?: Record<string, string>, url?: string, path?: string): Promise<Answer>;
  row(id: string): Promise<Row>;
  /** Waits until a mail is in a state (default at most 10 s). */
  until(id: string, state: MailState, ms?: number): Promise<Row>;
  /** Ends when `holds` resolves to true; asked again and again (default at most 10 s). */
  eventually(what: string, holds: () => Promise<boolean>, ms?: number): Promise<void>;
  get(path: string): Promise<string>;
}

const FAST = {
  PORT: "0",
  // Nothing listens there.
  RABBITMQ_URL: "amqp://127.0.0.1:1",
  OUTBOX_POLL_MS: "50",
  SEND_WAIT_MS: "1000",
  SMTP_CONNECT_TIMEOUT_MS: "500",
  SMTP_ATTEMPT_TIMEOUT_MS: "2000",
  RETRY_SCHEDULE_MS: "200,400",
};

let worlds = 0;

/** @param before what is done with the database before the service comes. */
export async function makeWorld(
  env: Record<string, string> = {},
  behaviour: Partial<Behaviour> = {},
  before: (databaseUrl: string) => Promise<void> = async () => undefined,
): Promise<World> {
  if (POSTGRES_URL === undefined) throw new Error("TEST_POSTGRES_URL is needed");
  worlds += 1;
  const name = `mail_test_${process.pid}_${worlds}_${Date.now()}`;
  const admin = postgres(POSTGRES_URL, { max: 1, onnotice: () => undefined });
  await admin.unsafe(`CREATE DATABASE ${name}`);
  const databaseUrl = Object.assign(new URL(POSTGRES_URL), { pathname: `/${name}` }).href;
  const sql = postgres(databaseUrl, { max: 2, onnotice: () => undefined });
  await before(databaseUrl);
  const double = startSmtpDouble(behaviour);
  const apps: App[] = [];

  async function eventually(what: string, holds: () => Promise<boolean>, ms = 10_000): Promise<void> {
    const until = performance.now() + ms;
    while (!(await holds())) {
      if (performance.now() > until) throw new Error(`waited in vain: ${what}`);
      await Bun.sleep(10);
    }
  }

  async function replica(more: Record<string, string> = {}): Promise<App> {
    const config = loadConfig("mail", fields, {
      DATABASE_URL: databaseUrl,
      SMTP_URL: double.url,
      ...FAST,
      ...env,
      ...more,
    });
    const app = await start(
      config,
      makeRuntime("mail", silentLog, () => undefined),
    );
    apps.push(app);
    await eventually("ready", async () => (await fetch(`${app.url}/ready`)).status === 200);
    return app;
  }

  const world: World = {
    double,
    sql,
    databaseUrl,
    async allowConnections(allowed) {
      await admin.unsafe(`ALTER DATABASE ${name} ALLOW_CONNECTIONS ${allowed}`);
      if (!allowed) await admin`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ${name}`;
    },
    replica,
    app: await replica(),
    eventually,
    async send(body, headers = {}, url = world.app.url, path = "/send") {
      const response = await fetch(`${url}${path}`, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: typeof body === "string" ? body : JSON.stringify(body),
      });
      const answer = (await response.json()) as Omit<Answer, "status" | "headers">;
      return { status: response.status, headers: response.headers, ...answer };
    },
    async row(id) {
      const [row] = await sql<Row[]>`SELECT state, attempt, smtp_code, smtp_text FROM mail_outbox WHERE id = ${id}`;
      if (row === undefined) throw new Error(`no mail ${id}`);
      return row;
    },
    async until(id, state, ms) {
      await eventually(`${id} ${state}`, async () => (await world.row(id)).state === state, ms);
      return world.row(id);
    },
    async get(path) {
      return (await fetch(`${world.app.url}${path}`)).text();
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(apps.map((app) => app[Symbol.asyncDispose]()));
      await double[Symbol.asyncDispose]();
      await sql.end();
      await admin.unsafe(`DROP DATABASE ${name} WITH (FORCE)`);
      await admin.end();
    },
  };
  return world;
}
