/** The ways out of the broker: HTTP to auth and mail, RPC to the logger, RabbitMQ, the spool. They talk and never decide. */
import { type Credentials, LoginReply } from "#contracts/auth";
import { HEADER_CREATED_AT, JOBS_EXCHANGE, LOGS_EXCHANGE, MAIL_JOB, routingKeyOf } from "#contracts/events";
import { RPC_LOG_INFO } from "#contracts/logs";
import { MailReply } from "#contracts/mail";
import type { Publisher } from "#shared/amqp";
import { FAILURES, Failure, type FailureCode, fail, ok, type Result } from "#shared/errors";
import { failureOfAnswer, type JsonClient } from "#shared/client";
import type { Edge } from "#shared/resilience";
import type { RpcClient } from "#shared/rpc";
import type { Outcome, Spool, SpoolRecord } from "#shared/spool";
import { type CallContext, newContext, traceOf, traceparentOf, within } from "#shared/telemetry";
import { makeValidator } from "#shared/validation";
import type { AcceptedEntry, Ports } from "./handle.ts";

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
}

export interface Clients {
  readonly auth: { readonly client: JsonClient; readonly edge: Edge };
  readonly mail: { readonly client: JsonClient; readonly edge: Edge };
  readonly logger: { readonly client: RpcClient; readonly edge: Edge };
  readonly publisher: Publisher;
  /** Entries that neither the logger nor RabbitMQ could take. */
  readonly entries: Spool;
  /** Events that RabbitMQ could not take. */
  readonly events: Spool;
  /** Told of an event that could be kept nowhere. */
  readonly onLost: (name: string, error: unknown) => void;
}

const loginReplyOf = makeValidator(LoginReply, { name: "auth's answer" });
const mailReplyOf = makeValidator(MailReply, { name: "mail's answer" });
const encoder = new TextEncoder();
/** Longest that a batch from the spool may take, and the logger's part of it before RabbitMQ is tried (ms). */
const FORWARD_MS = 10_000;
const STORE_SPOOLED_MS = 3_000;

/** Refusals that are said of what the caller sent, whoever says them. */
const OF_THE_CALLER: readonly FailureCode[] = ["invalid", "too_large", "exhausted"];

/**
 * What a refusal by a part behind means to our caller: itself where it is said of the caller's request, or of that
 * part's health; else the two of us do not understand each other (no such route, a token that is wrong, a bug there).
 */
function refusalOf(failure: Failure, ofTheCaller: readonly FailureCode[] = OF_THE_CALLER): Failure {
  if (ofTheCaller.includes(failure.code) || FAILURES[failure.code].queue === "hold") return failure;
  return new Failure("bad_gateway", undefined, { cause: failure });
}

interface Request<T> {
  readonly path: string;
  readonly body: unknown;
  readonly headers?: Record<string, string>;
  readonly check: (data: unknown) => Result<T>;
  readonly ofTheCaller?: readonly FailureCode[];
}

/** What a service answered with 202, checked; any other status is the failure that it stands for. */
async function accepted<T>(
  call: { readonly client: JsonClient; readonly edge: Edge },
  { path, body, headers, check, ofTheCaller }: Request<T>,
  context: CallContext,
): Promise<Result<T>> {
  return call.edge.run(context.deadline, async (deadline) => {
    const answer = await call.client.request("POST", path, body, { ...context, deadline }, headers);
    if (!answer.ok) return answer;
    if (answer.value.status !== 202) {
      return { ok: false, error: refusalOf(failureOfAnswer(answer.value), ofTheCaller) };
    }
    const checked = check(answer.value.envelope.data);
    return checked.ok ? checked : fail("bad_gateway", undefined, { cause: checked.error });
  });
}

/** Parallel, in order: the RPC and the publisher pipeline what is handed to them in one turn. */
function eachOf(
  records: readonly SpoolRecord[],
  signal: AbortSignal,
  send: (record: SpoolRecord, context: CallContext) => Promise<Result<void>>,
): Promise<Outcome[]> {
  const { deadline } = newContext(FORWARD_MS, signal);
  return Promise.all(
    records.map(async (record) => {
      // The spool gives back what `append` was given below.
      const { traceparent } = record.body as Spooled;
      const sent = await send(record, { requestId: record.id, trace: traceOf(traceparent), deadline });
      if (sent.ok) return "delivered";
      return sent.error.code === "invalid" || sent.error.code === "too_large"
        ? { refused: sent.error.message }
        : "later";
    }),
  );
}

/** The ports, and the forwarding of what waits in the spools. `loggerBack` ends the present wait of the entries. */
export function makePorts(clients: Clients): Ports & { loggerBack(): void } {
  const { auth, mail, logger, publisher, entries, events } = clients;

  async function storeEntry(entry: AcceptedEntry, context: CallContext): Promise<Result<void>> {
    return logger.edge.run(context.deadline, async (deadline) => {
      const stored = await logger.client.call(RPC_LOG_INFO, [entry], { ...context, deadline });
      return stored.ok ? ok() : { ok: false, error: refusalOf(stored.error) };
    });
  }

  function queueEntry(entry: AcceptedEntry, context: CallContext): Promise<Result<void>> {
    return publisher.publish(
      {
        exchange: LOGS_EXCHANGE,
        routingKey: routingKeyOf(entry.severity),
        messageId: entry.event_id,
        body: encoder.encode(JSON.stringify({ name: entry.name, data: entry.data })),
        headers: { [HEADER_CREATED_AT]: entry.created_at },
      },
      context,
    );
  }

  function publishEvent(
    id: string,
    at: string,
    { routing_key, event }: SpooledEvent,
    context: CallContext,
  ): Promise<Result<void>> {
    return publisher.publish(
      {
        exchange: LOGS_EXCHANGE,
        routingKey: routing_key,
        messageId: id,
        body: encoder.encode(JSON.stringify(event)),
        headers: { [HEADER_CREATED_AT]: at },
        timestamp: new Date(at),
      },
      context,
    );
  }

  const forwarding = entries.forward((batch, signal) =>
    eachOf(batch, signal, async ({ body }, context) => {
      const { entry } = body as SpooledEntry;
      const stored = await storeEntry(entry, within(context, STORE_SPOOLED_MS));
      if (stored.ok || stored.error.code === "invalid") return stored;
      return queueEntry(entry, context);
    }),
  );
  events.forward((batch, signal) =>
    eachOf(batch, signal, ({ id, at, body }, context) => publishEvent(id, at, body as SpooledEvent, context)),
  );

  return {
    authenticate: (credentials: Credentials, context) =>
      accepted(
        auth,
        {
          path: "/authenticate",
          body: credentials,
          check: loginReplyOf,
          ofTheCaller: [...OF_THE_CALLER, "unauthenticated"],
        },
        context,
      ),
    storeEntry,
    queueEntry,
    spoolEntry: (entry, context) =>
      entries.append({
        id: entry.event_id,
        kind: "log",
        at: entry.created_at,
        body: { entry, traceparent: traceparentOf(context.trace) } satisfies SpooledEntry,
      }),
    // The same key on both ways, so that a timeout followed by a queued job cannot send twice.
    sendMail: (letter, id, context) =>
      accepted(mail, { path: "/send", body: letter, headers: { "idempotency-key": id }, check: mailReplyOf }, context),
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
    async announce(name, data, context) {
      const id = Bun.randomUUIDv7();
      const at = new Date().toISOString();
      const spooled: SpooledEvent = {
        routing_key: routingKeyOf("INFO"),
        event: { name, data },
        traceparent: traceparentOf(context.trace),
      };
      const published = await publishEvent(id, at, spooled, context);
      if (published.ok) return published;
      const kept = await events.append({ id, kind: "event", at, body: spooled });
      if (!kept.ok) clients.onLost(name, kept.error);
      return kept;
    },
    loggerBack: () => forwarding.wake(),
    newId: () => Bun.randomUUIDv7(),
    now: () => new Date(),
  };
}
