/** The desk over HTTP on a database of its own, without anything that carries mails: what a test puts there stays as it is. */
import postgres from "postgres";
import type { MailState } from "#contracts/mail";
import { loadConfig } from "#shared/config";
import { fail, ok } from "#shared/errors";
import { httpApp, listen } from "#shared/http";
import { makeRuntime } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { type Database, makeDatabase } from "#shared/postgres";
import { Deadline } from "#shared/resilience";
import { makeCallers } from "#shared/service-keys";
import { fields } from "../config.ts";
import { MIGRATIONS } from "../migrations.ts";
import { POSTGRES_URL } from "../service.test-kit.ts";
import type { Notification, ParseBounce } from "./bounces.ts";
import { makeDesk } from "./desk.ts";
import { deskRoutes, UNSUBSCRIBE_PATHS } from "./routes.ts";
import type { VerifyUnsubscribe } from "./suppressions.ts";

export const NEEDS = "(needs TEST_POSTGRES_URL)";

/** One recipient as it is to stand in the database. */
export interface GivenRecipient {
  readonly address?: string;
  readonly kind?: "to" | "cc" | "bcc";
  readonly state?: MailState;
  readonly attempt?: number;
  readonly code?: number;
  readonly text?: string;
  readonly command?: string;
}

export interface GivenMail {
  readonly id?: string;
  readonly from?: string;
  readonly subject?: string;
  readonly list?: string;
  readonly priority?: 0 | 1 | 2;
  /** RFC 3339, to the microsecond (as text: the driver would make a Date of it); default now. */
  readonly at?: string;
  readonly content?: Readonly<Record<string, unknown>>;
  /** Default: one in the state `sent`. */
  readonly recipients?: readonly GivenRecipient[];
}

export interface Reply<T = unknown> {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly error: boolean;
  readonly message: string;
  readonly data: T;
}

export interface Scene extends AsyncDisposable {
  readonly url: string;
  readonly sql: postgres.Sql;
  readonly database: Database;
  readonly databaseUrl: string;
  /** @returns its id. */
  insert(mail?: GivenMail): Promise<string>;
  call<T>(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Reply<T>>;
  /** The states of a mail's recipients, and what is in their history, both in their order. */
  states(id: string): Promise<MailState[]>;
  history(id: string): Promise<{ outcome: string; code: number | null; text: string | null }[]>;
}

/** A notification is given as JSON here: how one is read is the parser's own test. */
const parseJson: ParseBounce = (bytes) =>
  Promise.resolve(ok(JSON.parse(new TextDecoder().decode(bytes)) as Notification[]));

/** Tokens are `<address>|<list>` here: how one is signed is its own test. */
const verifyPlain: VerifyUnsubscribe = (token) => {
  const [address, list] = token.split("|");
  return address === undefined || list === undefined
    ? fail("not_found", "this link is not valid")
    : ok({ address, list });
};

/** Of the request that each mail of a scene came with. */
const TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

let scenes = 0;

export async function makeScene(): Promise<Scene> {
  if (POSTGRES_URL === undefined) throw new Error("TEST_POSTGRES_URL is needed");
  scenes += 1;
  const name = `mail_desk_test_${process.pid}_${scenes}_${Date.now()}`;
  const admin = postgres(POSTGRES_URL, { max: 1, onnotice: () => undefined });
  await admin.unsafe(`CREATE DATABASE ${name}`);
  const databaseUrl = Object.assign(new URL(POSTGRES_URL), { pathname: `/${name}` }).href;
  const config = loadConfig("mail", fields, { PORT: "0", DATABASE_URL: databaseUrl });
  const runtime = makeRuntime("mail", silentLog, () => undefined);
  const database = makeDatabase({
    url: config.DATABASE_URL,
    name: "mail desk",
    log: silentLog,
    metrics: runtime.metrics,
    dependency: runtime.health.dependency("postgres"),
    migrations: MIGRATIONS,
    maxConnections: 8,
  });
  const ready = await database.ready(Deadline.after(20_000));
  if (!ready.ok) throw ready.error;
  const desk = makeDesk({
    database,
    expireAfterMs: config.EXPIRE_AFTER_MS,
    parseBounce: parseJson,
    verifyUnsubscribe: verifyPlain,
  });
  const callers = makeCallers(undefined, {});
  const app = httpApp(runtime, [], { bodiless: [UNSUBSCRIBE_PATHS], callers }).use(deskRoutes(desk));
  const listening = listen(app, config);
  const sql = postgres(databaseUrl, { max: 3, onnotice: () => undefined });

  return {
    url: listening.url,
    sql,
    database,
    databaseUrl,
    async insert(mail = {}) {
      const { id = Bun.randomUUIDv7(), from = "me@example.com", subject = "Test email", list, priority = 1 } = mail;
      const at = mail.at ?? new Date().toISOString();
      const recipients = mail.recipients ?? [{}];
      const content = { text: "The secret inside", to: recipients.map(({ address }) => address), ...mail.content };
      await sql.begin(async (tx) => {
        await tx`
          INSERT INTO mail_messages (id, content_hash, sender, subject, content, message_id, request_id, traceparent,
            list, priority, created_at)
          VALUES (${id}, '\\x00', ${from}, ${subject}, ${tx.json(content as postgres.JSONValue)},
            ${`${id}@mail.example`}, 'request', ${TRACEPARENT}, ${list ?? null}, ${priority}, ${at}::text::timestamptz)`;
        for (const [ordinal, one] of recipients.entries()) {
          const { address = "you@there.example", kind = "to", state = "sent", attempt = 1, code, text, command } = one;
          const sending = state === "sending";
          await tx`
            INSERT INTO mail_outbox (id, mail_id, ordinal, kind, recipient, priority, state, attempt, smtp_code,
              smtp_text, smtp_command, created_at, updated_at, expires_at, claim, lease_until, data_at)
            VALUES (${ordinal === 0 ? id : Bun.randomUUIDv7()}, ${id}, ${ordinal}, ${kind}, ${address}, ${priority},
              ${state}, ${attempt}, ${code ?? null}, ${text ?? null}, ${command ?? null}, ${at}::text::timestamptz, ${at}::text::timestamptz,
              now() + interval '1 hour', ${sending || state === "ambiguous" ? Bun.randomUUIDv7() : null},
              ${sending ? tx`now() + interval '1 minute'` : null}, ${state === "ambiguous" ? tx`now()` : null})`;
        }
      });
      return id;
    },
    async call(
      method: string,
      path: string,
      body?: unknown,
      headers: Record<string, string> = {},
    ): Promise<Reply<never>> {
      const answer = await fetch(`${listening.url}${path}`, {
        method,
        headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
        ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
      });
      const text = await answer.text();
      const isJson = answer.headers.get("content-type")?.includes("json") ?? false;
      const envelope = (isJson ? JSON.parse(text) : {}) as Pick<Reply<never>, "error" | "message" | "data">;
      return { status: answer.status, headers: answer.headers, text, ...envelope };
    },
    async states(id) {
      const rows = await sql<{ state: MailState }[]>`
        SELECT state FROM mail_outbox WHERE mail_id = ${id} ORDER BY ordinal`;
      return rows.map(({ state }) => state);
    },
    async history(id) {
      return sql<{ outcome: string; code: number | null; text: string | null }[]>`
        SELECT a.outcome, a.code, a.text FROM mail_attempts a JOIN mail_outbox o ON o.id = a.outbox_id
        WHERE o.mail_id = ${id} ORDER BY o.ordinal, a.id`;
    },
    async [Symbol.asyncDispose]() {
      await listening[Symbol.asyncDispose]();
      await database[Symbol.asyncDispose]();
      await sql.end();
      await admin.unsafe(`DROP DATABASE ${name} WITH (FORCE)`);
      await admin.end();
      runtime.metrics[Symbol.dispose]();
    },
  };
}
