/**
 * What the platform does for each action, and what it does instead when a part is away. Knows no HTTP, RPC or AMQP.
 *
 *     log    logger → RabbitMQ (the listener stores it) → spool on disk → 503
 *     mail   mail service (its outbox) → RabbitMQ (the listener hands it over) → 503
 *     auth   auth service → 503: a gateway keeps no password verifiers
 */
import type { Credentials } from "#contracts/auth";
import { AuthAction, type BatchItem, BATCH_MAX, type Degraded, LogAction, MailAction } from "#contracts/broker";
import { LOG_SUCCEEDED, type LogEntry, type LogRequest } from "#contracts/logs";
import type { MailReply, MailRequest } from "#contracts/mail";
import { FAILURES, Failure, fail, ok, type Result } from "#shared/errors";
import type { CallContext } from "#shared/telemetry";
import { makeValidator } from "#shared/validation";

/** An entry on its way: with its identity and time, so that storing it twice stores it once. */
export type AcceptedEntry = LogEntry & Required<Pick<LogEntry, "severity" | "event_id" | "created_at">>;

/** What the operations need from outside. Failures keep the code of what is behind. */
export interface Ports {
  /** The user and his tokens. */
  authenticate(credentials: Credentials, context: CallContext): Promise<Result<object>>;
  /** Stored and acknowledged by the logger. */
  storeEntry(entry: AcceptedEntry, context: CallContext): Promise<Result<void>>;
  /** On disk in a queue, for the listener to store. */
  queueEntry(entry: AcceptedEntry, context: CallContext): Promise<Result<void>>;
  /** On this machine's disk, for this broker to forward. */
  spoolEntry(entry: AcceptedEntry, context: CallContext): Promise<Result<void>>;
  /** Taken by the mail service. The same id again is the same mail. */
  sendMail(mail: MailRequest, id: string, context: CallContext): Promise<Result<MailReply>>;
  /** On disk in a queue, for the listener to hand to the mail service. */
  queueMail(mail: MailRequest, id: string, context: CallContext): Promise<Result<void>>;
  /** An event of the platform's own, on disk in a queue or in the spool. */
  announce(name: string, data: unknown, context: CallContext): Promise<Result<void>>;
  newId(): string;
  now(): Date;
}

/** What an accepted action is answered with. */
export interface Accepted {
  message: string;
  data?: Record<string, unknown>;
  degraded?: Degraded;
}

export interface Operations {
  /** `POST /`: told to everybody who listens. */
  hit(context: CallContext): Promise<Result<Accepted>>;
  /** One action of `POST /handle`. */
  handle(body: unknown, context: CallContext): Promise<Result<Accepted>>;
  /** Several, side by side: each has its own outcome. Failure only for the batch as such. */
  handleBatch(
    bodies: readonly unknown[],
    context: CallContext,
  ): Promise<Result<{ items: BatchItem[]; degraded: Degraded }>>;
}

const authOf = makeValidator(AuthAction);
const logOf = makeValidator(LogAction);
const mailOf = makeValidator(MailAction);

/** Whether a failure says that a part behind is sick, and not that the request is wrong. */
function isAway(failure: Failure): boolean {
  return FAILURES[failure.code].queue === "hold";
}

/** A failure of a part behind, under the message that clients know; the code, and so the status, stays. */
function renamed(failure: Failure, message: string): Result<never> {
  return fail(failure.code, message, { cause: failure, retryAfterS: failure.retryAfterS ?? 1 });
}

export function makeOperations(ports: Ports): Operations {
  async function auth(credentials: Credentials, context: CallContext): Promise<Result<Accepted>> {
    const user = await ports.authenticate(credentials, context);
    if (!user.ok) {
      if (user.error.code === "unauthenticated") return fail("unauthenticated", "Invalid credentials!!!");
      return isAway(user.error) && user.error.code !== "exhausted"
        ? renamed(user.error, "Error calling the Auth Service!!!")
        : user;
    }
    // The login has happened whether or not it can be told: what is lost here is counted where it is published.
    await ports.announce("authentication", `${credentials.email} logged in`, context);
    return ok({ message: "Authenticated!", data: { ...user.value } });
  }

  async function log(request: LogRequest, context: CallContext): Promise<Result<Accepted>> {
    const entry: AcceptedEntry = {
      name: request.name,
      data: request.data,
      severity: request.severity ?? "INFO",
      event_id: ports.newId(),
      created_at: ports.now().toISOString(),
    };
    const stored = await ports.storeEntry(entry, context);
    if (stored.ok) return ok({ message: `Logged via RPC: ${LOG_SUCCEEDED}` });
    if (!isAway(stored.error)) return stored;
    const queued = await ports.queueEntry(entry, context);
    if (queued.ok) return ok({ message: "Log entry queued", degraded: { logger: "queued" } });
    const spooled = await ports.spoolEntry(entry, context);
    if (spooled.ok) return ok({ message: "Log entry queued", degraded: { logger: "spooled" } });
    return renamed(spooled.error, "Error calling the Logger Service!!!");
  }

  async function mail(request: MailRequest, context: CallContext): Promise<Result<Accepted>> {
    const { from, to, subject, message } = request;
    const letter = { from, to, subject, message };
    const id = ports.newId();
    const taken = await ports.sendMail(letter, id, context);
    if (taken.ok && taken.value.state === "sent") return ok({ message: `Message sent to ${to}`, data: { id } });
    if (!taken.ok) {
      if (!isAway(taken.error) || taken.error.code === "exhausted") return taken;
      const queued = await ports.queueMail(letter, id, context);
      if (!queued.ok) return renamed(taken.error, "Error calling mail service");
    }
    return ok({ message: `Message queued for ${to}`, data: { id }, degraded: { mail: "queued" } });
  }

  async function handle(body: unknown, context: CallContext): Promise<Result<Accepted>> {
    const action =
      typeof body === "object" && body !== null && Object.hasOwn(body, "action")
        ? (body as { action: unknown }).action
        : undefined;
    switch (action) {
      case "auth": {
        const valid = authOf(body);
        return valid.ok ? auth(valid.value.auth, context) : valid;
      }
      case "log": {
        const valid = logOf(body);
        return valid.ok ? log(valid.value.log, context) : valid;
      }
      case "mail": {
        const valid = mailOf(body);
        return valid.ok ? mail(valid.value.mail, context) : valid;
      }
      default:
        return fail("malformed", "Unknown action!!!");
    }
  }

  return {
    handle,

    async hit(context) {
      const told = await ports.announce("broker_hit", "Hit the Broker", context);
      return told.ok ? ok({ message: "Hit the Broker" }) : told;
    },

    async handleBatch(bodies, context) {
      if (bodies.length === 0) return fail("invalid", "a batch needs at least one action");
      if (bodies.length > BATCH_MAX) return fail("invalid", `a batch has at most ${BATCH_MAX} actions`);
      const outcomes = await Promise.all(bodies.map((body) => handle(body, context)));
      const degraded: Degraded = {};
      const items = outcomes.map((outcome): BatchItem => {
        if (!outcome.ok) return { status: outcome.error.status, error: true, message: outcome.error.message };
        for (const [part, how] of Object.entries(outcome.value.degraded ?? {})) {
          // The header has room for one word a part: the worst of them.
          if (degraded[part] !== "spooled") degraded[part] = how;
        }
        return { status: 202, error: false, ...replyOf(outcome.value) };
      });
      return ok({ items, degraded });
    },
  };
}

/** Message and data of an accepted action, with what was degraded among the data. */
export function replyOf({ message, data, degraded }: Accepted): { message: string; data?: Record<string, unknown> } {
  if (data === undefined && degraded === undefined) return { message };
  return { message, data: { ...data, ...(degraded === undefined ? {} : { degraded }) } };
}
