/**
 * What the examples of the description need before they can succeed: whoever asks, what has to be there, and the real ids,
 * tokens and times that stand in the place of those that are invented.
 */
import postgres from "postgres";
import type { LoginReply } from "#contracts/auth";
import type { ChaosExperiment, ChaosOverview } from "#contracts/chaos";
import { bounceOf } from "../../mail/bounces/bounces.test-kit.ts";
import { type Platform, until } from "../kit.ts";

export const PUBLIC_URL = "https://app.example.com";
const ADMIN = { email: "admin@example.com", password: "verysecret" };
const PASSWORD = "a first secret";
const DAY_MS = 86_400_000;
/** The examples drop the first one. */
const DEAD_LETTERS = ["order-17", "order-18", "order-19"];

/** A fault that nobody notices, and how long an experiment takes to heal and to be counted (ms). */
const HARMLESS = { fault: "trickle", part: "smtp", seconds: 1, rate: 1 } as const;
const EXPERIMENT_MS = 30_000;

/** What is sent besides the example, or in the place of a part of it. */
export interface Needs {
  /** Default: an administrator's. */
  readonly token?: string;
  readonly path?: Readonly<Record<string, string>>;
  /** A value for each parameter of the query but `cursor`, which is what `limit=1` gives. */
  readonly query?: Readonly<Record<string, string>>;
  /** Fields of the body. */
  readonly body?: Readonly<Record<string, unknown>>;
}

export interface World {
  readonly admin: string;
  needsOf(operation: string, title: string): Promise<Needs>;
}

/** Of the entries that `publish` makes. */
type Made = Needs | Promise<Needs>;

const tomorrow = (): string => new Date(Date.now() + DAY_MS).toISOString();

/** Logs an administrator in, and sees to it that every list has two things to show. */
export async function makeWorld(platform: Platform): Promise<World> {
  let count = 0;
  const unique = (): string => `${process.pid}-${(count += 1)}`;

  async function send<T>(path: string, body: unknown, token?: string): Promise<T> {
    const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const answer = await platform.post("broker", path, body, headers);
    if (answer.body.error) throw new Error(`POST ${path}: ${answer.status} ${answer.body.message}`);
    return answer.body.data as T;
  }

  /** Ends the experiment that is under way, if one is, and waits for its report. */
  async function endExperiment(): Promise<void> {
    await until(
      "no experiment is under way",
      async () => {
        const { running } = (await asked("GET", "/v1/chaos")) as ChaosOverview;
        if (running === null) return true;
        await asked("DELETE", `/v1/chaos/experiments/${running.id}`);
        return false;
      },
      EXPERIMENT_MS,
    );
  }
  /** The id of an experiment whose fault has begun: one that disturbs no other example. */
  async function breaking(): Promise<string> {
    await endExperiment();
    const { id } = await send<ChaosExperiment>("/v1/chaos/experiments", { ...HARMLESS, seconds: 60 });
    return until("it is broken", async () => {
      const { phase } = (await asked("GET", `/v1/chaos/experiments/${id}`)) as ChaosExperiment;
      return phase === "fault" && id;
    });
  }
  async function asked(method: string, path: string): Promise<unknown> {
    const answer = await fetch(`${platform.url("broker")}${path}`, { method });
    return ((await answer.json()) as { data: unknown }).data;
  }

  const login = (who: { email: string; password: string }) => send<LoginReply>("/v1/sessions", who);
  async function person(): Promise<LoginReply> {
    const who = { email: `someone-${unique()}@example.com`, password: PASSWORD };
    await send("/v1/users", who);
    return login(who);
  }
  /** What a pattern finds in a mail of that subject to an address: in its text, or in its headers. */
  const inMail = (email: string, subject: string, pattern: RegExp): Promise<string> =>
    until(
      `"${subject}" to ${email}`,
      async () => {
        const found = (await platform.inbox()).find((one) => one.Subject === subject && one.To[0]?.Address === email);
        if (found === undefined) return undefined;
        const { Text } = await platform.inboxMail(found.ID);
        return pattern.exec(`${String(Text)}\n${await platform.inboxRaw(found.ID)}`)?.[1];
      },
      20_000,
    );
  const oneTimeToken = (email: string, subject: string) => inMail(email, subject, /#token=([\w-]{43})/);

  const { access_token: admin } = await login(ADMIN);
  const apiKey = async (more = {}) =>
    (await send<{ id: string }>("/v1/api-keys", { name: unique(), scopes: ["logs:read"], ...more }, admin)).id;
  const MAIL = { from: "shop@example.com", to: "ann@example.org", subject: "Your order", message: "It is on its way." };
  const mail = async (more = {}) => (await send<{ id: string }>("/v1/mails", { ...MAIL, ...more }, admin)).id;
  const waitingMail = () => mail({ send_at: tomorrow() });
  async function cancelledMail(): Promise<string> {
    const id = await waitingMail();
    await send(`/v1/mails/${id}/cancel`, {}, admin);
    return id;
  }
  /** Only a mail server that falls silent, or a death of the service in that moment, leaves one: it is put there. */
  async function ambiguousMail(): Promise<string> {
    const id = await waitingMail();
    const sql = postgres(`${platform.stack.backing.get("postgres")?.url}/mail`, { max: 1 });
    await sql`UPDATE mail_outbox SET state = 'ambiguous' WHERE mail_id = ${id}`;
    await sql.end({ timeout: 1 });
    return id;
  }
  async function suppressed(list?: string): Promise<string> {
    const address = `suppressed-${unique()}@example.org`;
    await send("/v1/suppressions", { address, ...(list === undefined ? {} : { list }) }, admin);
    return address;
  }
  async function unsubscribing(): Promise<Needs> {
    const to = `reader-${unique()}@example.org`;
    await mail({ to, list: "news" });
    return { path: { token: await inMail(to, MAIL.subject, /\/v1\/unsubscribe\/([\w.~-]+)>/) } };
  }
  const bounce = async (): Promise<string> => {
    const to = `gone-${unique()}@example.org`;
    return bounceOf(to, `${await mail({ to })}@example.com`);
  };
  async function publish(): Promise<void> {
    const rabbit = await platform.rabbit();
    const channel = await rabbit.createConfirmChannel();
    for (const messageId of DEAD_LETTERS) channel.publish("logs_topic", "log.INFO", Buffer.from("{bad"), { messageId });
    for (const id of ["one", "two"]) {
      channel.publish("logs_topic", "log.INFO", Buffer.from(JSON.stringify({ name: "numbered", data: 1 })), {
        headers: { "x-producer": id, "x-sequence": 1 },
      });
    }
    await channel.waitForConfirms();
    await until(
      "they are parked",
      async () => (await channel.checkQueue("logs.dlq.v1")).messageCount >= DEAD_LETTERS.length,
    );
    await until("they are stored", async () => (await platform.entries.countDocuments({ name: "numbered" })) === 2);
    await rabbit.close();
  }

  await Promise.all([
    login(ADMIN),
    apiKey(),
    apiKey(),
    apiKey({ service: "billing" }),
    mail(),
    mail({ list: "news" }),
    send(
      "/v1/mails",
      { from: MAIL.from, to: MAIL.to, template: { name: "welcome", variables: { address: MAIL.to } } },
      admin,
    ),
    suppressed(),
    suppressed(),
    person(),
    publish(),
  ]);

  /** What an entry that is there can be found by. */
  async function logFilter(): Promise<Record<string, string>> {
    const entry = await platform.entries.findOne({ name: "numbered", producer_id: "one" });
    const own = (field: string): string => String((entry as Record<string, unknown> | null)?.[field]);
    return {
      name: "numbered",
      severity: "INFO",
      from: new Date(0).toISOString(),
      to: tomorrow(),
      producer: "one",
      trace_id: own("trace_id"),
      request_id: own("request_id"),
      event_id: own("event_id"),
      q: "numbered",
    };
  }

  /** Kept by the logger as a service tells it. */
  async function aTrace(): Promise<string> {
    const hex = (bytes: number): string => crypto.getRandomValues(Buffer.alloc(bytes)).toString("hex");
    const [traceId, spanId, now] = [hex(16), hex(8), String(BigInt(Date.now()) * 1_000_000n)];
    const span = { traceId, spanId, name: "POST /handle", kind: 2, startTimeUnixNano: now, endTimeUnixNano: now };
    const resource = { attributes: [{ key: "service.name", value: { stringValue: "broker" } }] };
    await platform.post("logger", "/otlp/v1/traces", {
      resourceSpans: [{ resource, scopeSpans: [{ spans: [span] }] }],
    });
    await until("it is kept", async () => (await fetch(`${platform.url("logger")}/traces/${traceId}`)).ok);
    return traceId;
  }

  const nothing = (): Needs => ({});
  const asSomeone = async (): Promise<Needs> => ({ token: (await person()).access_token });
  const aPerson = async (): Promise<Needs> => ({ path: { id: String((await person()).id) } });
  const ofMail = (make: () => Promise<string>) => async (): Promise<Needs> => ({ path: { id: await make() } });

  /** Every operation of the description. */
  const NEEDS: Readonly<Record<string, (title: string) => Made>> = {
    "POST /": nothing,
    "POST /handle": nothing,
    "GET /.well-known/jwks.json": nothing,
    "GET /ping": nothing,
    "GET /ready": nothing,
    "GET /metrics": nothing,
    "GET /openapi.json": nothing,

    "POST /v1/sessions": nothing,
    "GET /v1/sessions": () => ({ query: { limit: "2" } }),
    "DELETE /v1/sessions": asSomeone,
    "POST /v1/sessions/refresh": async () => ({ body: { refresh_token: (await person()).refresh_token } }),
    "DELETE /v1/sessions/current": asSomeone,
    "DELETE /v1/sessions/{id}": async () => {
      const { access_token: token, session_id: id } = await person();
      return { token, path: { id } };
    },
    "GET /v1/users/{id}/sessions": async () => {
      const { id, email } = await person();
      await login({ email, password: PASSWORD });
      return { path: { id: String(id) }, query: { limit: "2" } };
    },
    "DELETE /v1/users/{id}/sessions": aPerson,
    "GET /v1/me": nothing,
    "PATCH /v1/me": async () => {
      const { access_token: token, version } = await person();
      return { token, body: { version } };
    },
    "PUT /v1/me/password": async () => ({ ...(await asSomeone()), body: { current_password: PASSWORD } }),

    "POST /v1/users": nothing,
    "GET /v1/users": () => ({ query: { limit: "2", q: "someone", role: "member", active: "true" } }),
    "GET /v1/users/{id}": aPerson,
    "PATCH /v1/users/{id}": async () => {
      const { id, version } = await person();
      return { path: { id: String(id) }, body: { version } };
    },
    "DELETE /v1/users/{id}": aPerson,
    "POST /v1/email-verifications": nothing,
    "POST /v1/email-verifications/confirm": async () => {
      const { email } = await person();
      return { body: { token: await oneTimeToken(email, "Confirm your address") } };
    },
    "POST /v1/password-resets": nothing,
    "POST /v1/password-resets/confirm": async () => {
      const { email } = await person();
      await send("/v1/password-resets", { email });
      return { body: { token: await oneTimeToken(email, "Choose a new password") } };
    },

    // The example's end would be over one day.
    "POST /v1/api-keys": (title) => (title === "mine" ? { body: { expires_at: tomorrow() } } : {}),
    "GET /v1/api-keys": () => ({ query: { limit: "2", user_id: "1", service: "billing" } }),
    "DELETE /v1/api-keys/{id}": ofMail(apiKey),
    "POST /v1/api-keys/{id}/rotate": ofMail(apiKey),

    "GET /v1/receipts/{id}": async () => {
      const { body } = await platform.handle({ action: "log", log: { name: "example", data: 1 } });
      return { path: { id: (body.data as { receipt_id: string }).receipt_id } };
    },

    "GET /v1/traces": async () => {
      await aTrace();
      await aTrace();
      const query = { limit: "2", name: "POST /handle", service: "broker", error: "false", min_duration_ms: "0" };
      return { query };
    },
    "GET /v1/traces/{id}": async () => ({ path: { id: await aTrace() } }),

    "POST /v1/mails": (title) => (title === "template" ? { body: { send_at: tomorrow() } } : {}),
    "GET /v1/mails": () => ({
      query: {
        limit: "2",
        state: "sent",
        to: MAIL.to,
        from: MAIL.from,
        list: "news",
        template: "welcome",
        since: new Date(0).toISOString(),
        until: tomorrow(),
      },
    }),
    "GET /v1/mails/{id}": ofMail(mail),
    "GET /v1/mails/{id}/content": ofMail(mail),
    "POST /v1/mails/{id}/resolve": (title) => ofMail(title === "resend" ? cancelledMail : ambiguousMail)(),
    "POST /v1/mails/{id}/cancel": ofMail(waitingMail),
    "GET /v1/unsubscribe/{token}": unsubscribing,
    "POST /v1/unsubscribe/{token}": unsubscribing,
    "GET /v1/templates": nothing,
    "POST /v1/templates/{name}/preview": nothing,
    "GET /v1/suppressions": async () => ({ query: { limit: "2", address: await suppressed() } }),
    // Ann goes on getting the mails of other examples.
    "POST /v1/suppressions": () => ({ body: { address: `suppressed-${unique()}@example.org` } }),
    "DELETE /v1/suppressions/{address}": async (title) => {
      const list = title === "list" ? "news" : undefined;
      return { path: { address: await suppressed(list) }, query: { list: "news" } };
    },
    "POST /v1/bounces": async (title) => {
      const message = await bounce();
      return { body: { message: title === "base64" ? Buffer.from(message).toString("base64") : message } };
    },

    "GET /v1/events/queues": nothing,
    "GET /v1/events/dead-letters": () => ({
      query: {
        limit: "2",
        parked: "logs",
        id: "order-18",
        routing_key: "log.*",
        error: "JSON",
        older_than_s: "0",
        younger_than_s: "3600",
      },
    }),
    "POST /v1/events/dead-letters/replay": nothing,
    "POST /v1/events/dead-letters/drop": nothing,
    "GET /v1/log-levels": nothing,
    "PUT /v1/log-levels": nothing,
    "GET /v1/chaos": nothing,
    "POST /v1/chaos/experiments": async () => {
      await endExperiment();
      return { body: { suite: false, ...HARMLESS } };
    },
    "GET /v1/chaos/experiments/{id}": async () => ({ path: { id: await breaking() } }),
    "POST /v1/chaos/experiments/{id}/heal": async () => ({ path: { id: await breaking() } }),
    "DELETE /v1/chaos/experiments/{id}": async () => ({ path: { id: await breaking() } }),
    "GET /v1/chaos/reports/{id}": async () => {
      const id = await breaking();
      await endExperiment();
      return { path: { id }, query: { format: "json" } };
    },
    "GET /v1/logs/tail": () => ({
      query: {
        name: "payment",
        severity: "ERROR",
        producer: "one",
        trace_id: "4bf92f3577b34da6a3ce929d0e0e4736",
        request_id: "request-17",
        event_id: "one",
        q: "card declined",
        after: new Date().toISOString(),
      },
    }),
    "GET /v1/logs": async () => ({ query: { limit: "2", ...(await logFilter()) } }),
    "GET /v1/logs/histogram": async () => ({ query: { interval: "12h", ...(await logFilter()) } }),
    "GET /v1/logs/export": async () => ({ query: await logFilter() }),
    "GET /v1/logs/{id}": async () => {
      const entry = await platform.entries.findOne({ name: "numbered" });
      return { path: { id: String(entry?.["event_id"]) } };
    },
    "GET /v1/logs/sizes": () => ({ query: { days: "7" } }),
    "GET /v1/logs/gaps": () => ({ query: { limit: "2", producer: "one" } }),
    "GET /v1/logs/audit": nothing,
    "POST /v1/logs": nothing,
    "POST /otlp/v1/logs": nothing,
    "GET /v1/health": nothing,
    "GET /v1/platform/figures": nothing,
    "GET /v1/platform/figures/{part}": () => ({ query: { window_s: "60" } }),
  };

  return {
    admin,
    async needsOf(operation, title) {
      const make = NEEDS[operation];
      if (make === undefined) throw new Error(`nothing says what ${operation} needs: it is not in the table`);
      return make(title);
    },
  };
}
