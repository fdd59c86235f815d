/** What breaking and counting need of a running platform, whoever started it: its parts, and clients that look where things end. */
import amqp from "amqplib";
import { type Collection, MongoClient } from "mongodb";
import postgres from "postgres";
import type { Envelope } from "#contracts/envelope";
import { outgoingTls } from "#shared/tls";
import type { BackingName } from "../backing/types.ts";
import { LOGS_DATABASE, type ServiceName } from "../services.ts";
import type { Stack } from "../stack.ts";
import type { Hops } from "./hops.ts";

/** A document as the logger stores it, as far as somebody looks who only counts. */
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

export interface Grounds {
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
  /** The newest 1,000 mails of the development inbox; none where the mail server is another one. */
  readonly inbox: () => Promise<InboxMail[]>;
  /** State by id of the mails that the outbox knows, of these. */
  readonly outbox: (ids: readonly string[]) => Promise<Map<string, string>>;
  /** A connection as a foreign client has it. */
  readonly rabbit: () => Promise<amqp.ChannelModel>;
}

/** Longest that an answer may take, and that a store may be away before a look at it fails (ms). */
const POST_MS = 30_000;
const MONGODB_MS = 5_000;

function backingUrl(stack: Stack, name: BackingName): string {
  const part = stack.backing.get(name);
  if (part === undefined) throw new Error(`no ${name}: ${stack.missing.get(name)?.remedy ?? "not started"}`);
  return part.url;
}

/** The clients connect when they are first used. @throws Error where a backing service is missing. */
export function openGrounds(stack: Stack, hops: Hops | undefined): Grounds & AsyncDisposable {
  const mongo = new MongoClient(backingUrl(stack, "mongodb"), { serverSelectionTimeoutMS: MONGODB_MS });
  const url = (service: ServiceName): string => stack.part(service).url;
  const post: Grounds["post"] = async (service, path, body, headers = {}) => {
    const answer = await fetch(`${url(service)}${path}`, {
      method: "POST",
      body: typeof body === "string" ? body : JSON.stringify(body),
      headers: { "content-type": "application/json", ...headers },
      ...outgoingTls(),
      signal: AbortSignal.timeout(POST_MS),
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
    entries: mongo.db(LOGS_DATABASE).collection<StoredEntry>("logs"),
    post,
    handle: (body) => post("broker", "/handle", body),
    async inbox() {
      const web = stack.backing.get("smtp")?.current.web;
      if (web === undefined) return [];
      const listed = await fetch(`${web}/api/v1/messages?limit=1000`);
      return ((await listed.json()) as { messages: InboxMail[] }).messages;
    },
    // A connection for each look: PostgreSQL is killed and restarted meanwhile.
    async outbox(ids) {
      const sql = postgres(`${backingUrl(stack, "postgres")}/mail`, { max: 1, connect_timeout: 2 });
      try {
        const rows = await sql<
          { id: string; state: string }[]
        >`SELECT id, state FROM mail_outbox WHERE id = ANY(${ids}::uuid[])`;
        return new Map(rows.map(({ id, state }) => [id, state]));
      } finally {
        await sql.end({ timeout: 1 });
      }
    },
    rabbit: () => amqp.connect(backingUrl(stack, "rabbitmq")),
    [Symbol.asyncDispose]: () => mongo.close(),
  };
}
