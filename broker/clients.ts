/** The ways out of the broker: HTTP to auth and mail, RPC to the logger, RabbitMQ, the spool. They talk and never decide. */
import { type Credentials, LoginReply } from "#contracts/auth";
import {
  HEADER_CREATED_AT,
  HEADER_PRODUCER,
  HEADER_SEQUENCE,
  HEADER_VOIDED,
  JOBS_EXCHANGE,
  LOGS_EXCHANGE,
  MAIL_JOB,
  routingKeyOf,
} from "#contracts/events";
import { IDEMPOTENCY_KEY_HEADER } from "#contracts/headers";
import { type LogEntry, LogOnceResult, type Producer, RPC_LOG_INFO, RPC_LOG_ONCE } from "#contracts/logs";
import { MailReply } from "#contracts/mail";
import type { Publisher } from "#shared/amqp";
import { fail, ok, type Result } from "#shared/errors";
import type { Deadline, Edge } from "#shared/resilience";
import type { RpcClient } from "#shared/rpc";
import type { Deliver, Outcome, Spool, SpoolRecord } from "#shared/spool";
import {
  asSpan,
  type CallContext,
  inSpan,
  newContext,
  overEdge,
  traceOf,
  traceparentOf,
  within,
} from "#shared/telemetry";
import { makeValidator } from "#shared/validation";
import { ask, type Neighbour, OF_THE_CALLER, refusalOf } from "./forward.ts";
import type { AcceptedEntry, AcceptedEvent, Ports, Stored } from "./handle.ts";

/** What waits in a spool keeps its trace, so that a delivery hours later is part of the request that it came from. */
interface Spooled {
  readonly traceparent: string;
}

interface SpooledEntry extends Spooled {
  readonly entry: AcceptedEntry;
}

interface SpooledEvent extends Spooled {
  readonly routing_key: string;
  readonly event: { readonly name: string; readonly data: unknown };
  /** Not in what a broker before numbers has left. */
  readonly producer?: Producer;
}

export interface Clients {
  readonly auth: Neighbour;
  readonly mail: Neighbour;
  readonly logger: { readonly client: RpcClient; readonly edge: Edge };
  readonly publisher: Publisher;
  /** Entries that neither the logger nor RabbitMQ could take. */
  readonly entries: Spool;
  /** Events that RabbitMQ could not take. */
  readonly events: Spool;
  /** Told of an event that could be kept nowhere. */
  readonly onLost: (name: string, error: unknown) => void;
  /** Told of every login that auth has let in. */
  readonly onLogin: (reply: LoginReply) => void;
}

const loginReplyOf = makeValidator(LoginReply, { name: "auth's answer" });
const mailReplyOf = makeValidator(MailReply, { name: "mail's answer" });
const outcomeOf = makeValidator(LogOnceResult, { name: "the logger's answer" });
const encoder = new TextEncoder();
/** Longest that a batch from the spool may take, and the logger's part of it before RabbitMQ is tried (ms). */
const FORWARD_MS = 10_000;
const STORE_SPOOLED_MS = 3_000;

/** A producer's number as the headers of a message. */
function numberHeaders(producer: Producer | undefined): Record<string, unknown> {
  if (producer === undefined) return {};
  const { id, sequence, voided } = producer;
  return {
    [HEADER_PRODUCER]: id,
    [HEADER_SEQUENCE]: sequence,
    ...(voided === undefined ? {} : { [HEADER_VOIDED]: voided }),
  };
}

type Send = (record: SpoolRecord, context: CallContext) => Promise<Result<void>>;

/** One record, as a span of the request that it came from: of as long as it waited, also through our own end. */
async function sendOne(
  spool: string,
  record: SpoolRecord,
  tries: number,
  deadline: Deadline,
  send: Send,
): Promise<Outcome> {
  // The spool gives back what `append` was given below.
  const { traceparent } = record.body as Spooled;
  const attributes = {
    "platform.spool": spool,
    "platform.attempt": tries + 1,
    "platform.waited_ms": Math.max(0, Date.now() - Date.parse(record.at)),
    "log.record.uid": record.id,
  };
  const context = { requestId: record.id, trace: traceOf(traceparent), deadline };
  const sent = await asSpan(context, "spool", { attributes }, (own) => send(record, own));
  if (sent.ok) return "delivered";
  return sent.error.code === "invalid" || sent.error.code === "too_large" ? { refused: sent.error.message } : "later";
}

/**
 * Hands on what a spool holds. Parallel, in order: the RPC and the publisher pipeline what is handed to them in one turn.
 * Where nobody took the batch before, its first record goes ahead: one call, and one span, tells whether somebody is back.
 */
function handsOn(spool: string, send: Send): Deliver {
  /** Batches in a row that nothing came of. */
  let fruitless = 0;
  return async (records, signal) => {
    const { deadline } = newContext(FORWARD_MS, signal);
    const one = (record: SpoolRecord, tries: number) => sendOne(spool, record, tries, deadline, send);
    const [first, ...others] = records;
    if (first === undefined) return [];
    const ahead = fruitless === 0 ? undefined : await one(first, fruitless);
    if (ahead === "later") {
      fruitless += 1;
      return records.map(() => "later" as const);
    }
    const rest = await Promise.all((ahead === undefined ? records : others).map((record) => one(record, 0)));
    const outcomes = ahead === undefined ? rest : [ahead, ...rest];
    fruitless = outcomes[0] === "later" ? 1 : 0;
    return outcomes;
  };
}

/** The ports that are ways out. */
type WaysOut = Omit<Ports, "ids" | "numbers" | "answers" | "now" | "onDone">;

/** The ways out, and the forwarding of what waits in the spools. `loggerBack` ends the present wait of the entries. */
export function makeWaysOut(clients: Clients): WaysOut & { loggerBack(): void } {
  const { auth, mail, logger, publisher, entries, events } = clients;

  async function storeEntry(entry: LogEntry, isKeyed: boolean, context: CallContext): Promise<Result<Stored>> {
    let tries = 0;
    return overEdge(logger.edge, context, async (inner) => {
      tries += 1;
      const method = isKeyed ? RPC_LOG_ONCE : RPC_LOG_INFO;
      const stored = await logger.client.call(method, [entry], inner);
      if (!stored.ok) return { ok: false, error: refusalOf(stored.error) };
      if (!isKeyed) return ok({ outcome: "stored", tries });
      const outcome = outcomeOf(stored.value);
      return outcome.ok
        ? ok({ outcome: outcome.value, tries })
        : fail("bad_gateway", undefined, { cause: outcome.error });
    });
  }

  function queueEntry(entry: AcceptedEntry, context: CallContext): Promise<Result<void>> {
    return publisher.publish(
      {
        exchange: LOGS_EXCHANGE,
        routingKey: routingKeyOf(entry.severity),
        messageId: entry.event_id,
        body: encoder.encode(JSON.stringify({ name: entry.name, data: entry.data })),
        headers: { [HEADER_CREATED_AT]: entry.created_at, ...numberHeaders(entry.producer) },
      },
      context,
    );
  }

  function publishEvent(
    id: string,
    at: string,
    { routing_key, event, producer }: Omit<SpooledEvent, "traceparent">,
    context: CallContext,
  ): Promise<Result<void>> {
    return publisher.publish(
      {
        exchange: LOGS_EXCHANGE,
        routingKey: routing_key,
        messageId: id,
        body: encoder.encode(JSON.stringify(event)),
        headers: { [HEADER_CREATED_AT]: at, ...numberHeaders(producer) },
        timestamp: new Date(at),
      },
      context,
    );
  }

  const forwarding = entries.forward(
    handsOn("entries", async ({ body }, context) => {
      const { entry } = body as SpooledEntry;
      const stored = await storeEntry(entry, false, within(context, STORE_SPOOLED_MS));
      if (stored.ok) return ok();
      return stored.error.code === "invalid" ? stored : queueEntry(entry, context);
    }),
  );
  events.forward(handsOn("events", ({ id, at, body }, context) => publishEvent(id, at, body as SpooledEvent, context)));

  return {
    async authenticate(credentials: Credentials, context) {
      const reply = await ask(
        auth,
        {
          method: "POST",
          path: "/authenticate",
          body: credentials,
          status: 202,
          check: loginReplyOf,
          ofTheCaller: [...OF_THE_CALLER, "unauthenticated"],
        },
        context,
      );
      if (!reply.ok) return reply;
      clients.onLogin(reply.value.data);
      return ok(reply.value.data);
    },
    storeEntry,
    queueEntry,
    spoolEntry: (entry, context) =>
      inSpan(context, "spool append", { attributes: { "platform.spool": "entries" } }, ({ trace }) =>
        entries.append({
          id: entry.event_id,
          kind: "log",
          at: entry.created_at,
          body: { entry, traceparent: traceparentOf(trace) } satisfies SpooledEntry,
        }),
      ),
    // The same key on both ways, so that a timeout followed by a queued job cannot send twice.
    async sendMail(letter, id, context) {
      const headers = { [IDEMPOTENCY_KEY_HEADER]: id };
      const question = {
        method: "POST",
        path: "/send",
        body: letter,
        headers,
        status: 202,
        check: mailReplyOf,
        // Who may send mails as whom is the mail service's to say.
        ofTheCaller: [...OF_THE_CALLER, "forbidden"],
      } as const;
      const taken = await ask(mail, question, context);
      return taken.ok ? ok(taken.value.data) : taken;
    },
    queueMail: (letter, id, context) =>
      publisher.publish(
        {
          exchange: JOBS_EXCHANGE,
          routingKey: MAIL_JOB,
          messageId: id,
          body: encoder.encode(JSON.stringify(letter)),
        },
        context,
      ),
    async announce({ id, created_at, producer, name, data }: AcceptedEvent, context) {
      const told = { routing_key: routingKeyOf("INFO"), event: { name, data }, producer };
      const published = await publishEvent(id, created_at, told, context);
      if (published.ok) return published;
      const kept = await inSpan(
        context,
        "spool append",
        { attributes: { "platform.spool": "events" } },
        ({ trace }) => {
          const body: SpooledEvent = { ...told, traceparent: traceparentOf(trace) };
          return events.append({ id, kind: "event", at: created_at, body });
        },
      );
      if (!kept.ok) clients.onLost(name, kept.error);
      return kept;
    },
    loggerBack: () => forwarding.wake(),
  };
}
